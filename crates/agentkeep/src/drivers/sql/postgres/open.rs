//! Finding the store in its schema, making it if it is new, bringing it up to date.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::Type;

use super::connections::{Connections, Failed, reading};
use super::ddl::{self, within};
use super::errors::map;
use super::options::Options;
use crate::drivers::sql::shape::quoted;
use crate::error::{Error, Kind, Result};
use crate::schema::Schema;

/// What a store says of itself.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) store_id: String,
    pub(super) epoch: u64,
}

/// What opening came to.
pub(super) struct Opened {
    pub(super) identity: Identity,
    /// The format that was found; a new store has that of this build.
    pub(super) before: u32,
}

/// What is found in the schema of the database.
#[derive(Debug, Default)]
struct Found {
    /// Names and values of `_store`; `None` when there is no such table.
    facts: Option<Vec<(String, String)>>,
    /// Whether the functions that this build calls are there.
    functions: bool,
}

/// The store's identity; the store itself is made or upgraded first, if the options say so.
pub(super) async fn open(schema: &'static Schema, connections: &Connections) -> Result<Opened> {
    let options = &connections.options;
    let found = reading!(connections, |client| find(schema, connections, client))?;
    let before = format_of(schema, &found, options)?;
    if before == schema.version && found.functions {
        return Ok(Opened { identity: identity(&found)?, before });
    }
    refuse_change(schema, before, options)?;
    let (client, _told) = connections.single().await?;
    let changing = make(schema, connections, &client, options);
    let upgrades = before > 0 && before < schema.version;
    let longest = if upgrades { options.timeout.max(UPGRADING) } else { options.timeout };
    let Ok(made) = tokio::time::timeout(longest, changing).await else {
        connections.cancel(client.cancel_token()).await;
        return Err(if upgrades { overlong() } else { super::errors::late() });
    };
    let identity = identity(&made?)?;
    Ok(Opened { identity, before: if before == 0 { schema.version } else { before } })
}

/// An upgrade may take so long: indexes over all that is there may be made. Only its waits for locks end
/// with the deadline of the options.
const UPGRADING: Duration = Duration::from_hours(1);

/// Most milliseconds that a setting takes.
const MAX_SETTING: u128 = 2_147_483_647;

fn overlong() -> Error {
    Error::new(Kind::Timeout, "the upgrade did not end within an hour; nothing was changed")
        .advice("run what agentkeep schema print shows, which has no deadline")
}

/// Makes or upgrades under a lock that all openers of this place take.
async fn make(
    schema: &'static Schema,
    connections: &Connections,
    client: &ClientWrapper,
    options: &Options,
) -> Result<Found> {
    let run =
        async |sql: &str| client.batch_execute(sql).await.map_err(|error| place(options, &error));
    run("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let patience = options.timeout.as_millis().clamp(1, MAX_SETTING);
    run(&format!("SET LOCAL lock_timeout = {patience}")).await?;
    // The deadline is ours. Where nobody waits any more the server gives up, too, if it can find out.
    run("SET LOCAL statement_timeout = 0").await?;
    run("DO $$ BEGIN PERFORM pg_catalog.set_config('client_connection_check_interval', '5s', true); \
         EXCEPTION WHEN OTHERS THEN NULL; END $$")
    .await?;
    let lock = format!("agentkeep {}", options.schema);
    let lock: (&(dyn tokio_postgres::types::ToSql + Sync), Type) = (&lock, Type::TEXT);
    let sql = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))::text";
    client.query_typed(sql, &[lock]).await.map_err(|error| map(&error))?;
    // Somebody else may have been faster.
    let found = find(schema, connections, client).await.map_err(Error::from)?;
    let before = format_of(schema, &found, options)?;
    let sql = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let there = client.query_typed(sql, &[(&options.schema, Type::TEXT)]).await;
    let there = !there.map_err(|error| map(&error))?.is_empty();
    for statement in statements(schema, &options.schema, before) {
        // Even with IF NOT EXISTS it would need the right to make one.
        if !(there && statement.starts_with("CREATE SCHEMA")) {
            run(&statement).await?;
        }
    }
    if before == 0 {
        introduce(schema, client, options).await?;
    }
    let version = schema.version.to_string();
    let sql = format!("UPDATE {} SET value = $1 WHERE name = 'format'", t(options, "_store"));
    client.query_typed(&sql, &[(&version, Type::TEXT)]).await.map_err(|error| map(&error))?;
    let found = find(schema, connections, client).await.map_err(Error::from)?;
    run("COMMIT").await?;
    Ok(found)
}

fn t(options: &Options, name: &str) -> String {
    within(&options.schema, name)
}

/// The statements that bring format `before` up to date; 0 is no store.
pub(super) fn statements(schema: &Schema, place: &str, before: u32) -> Vec<String> {
    let mut statements = Vec::new();
    if before == 0 {
        statements.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(place)));
        statements.extend(ddl::create(schema, place));
    } else if before < schema.version {
        statements.extend(ddl::add(schema, place, before));
    }
    statements.extend(ddl::functions(schema, place));
    statements
}

/// The same for who runs them by hand, in one transaction.
pub(super) fn script(schema: &Schema, place: &str, before: u32) -> Vec<String> {
    let mut script = vec!["BEGIN".to_owned()];
    let (store, version) = (within(place, "_store"), schema.version);
    if before > 0 {
        // For a store of another format it is the wrong text: nothing of it is done.
        script.push(format!(
            "DO $agentkeep$ BEGIN IF NOT EXISTS (SELECT FROM {store} WHERE name = 'format' \
             AND value = '{before}') THEN RAISE EXCEPTION 'the store does not have format {before}'; \
             END IF; END $agentkeep$"
        ));
    }
    script.extend(statements(schema, place, before));
    if before == 0 {
        script.push(facts(schema, place));
    } else {
        script.push(format!("UPDATE {store} SET value = '{version}' WHERE name = 'format'"));
    }
    script.push("COMMIT".to_owned());
    script
}

/// The facts of a new store, in SQL alone.
fn facts(schema: &Schema, place: &str) -> String {
    format!(
        "INSERT INTO {}(name, value) VALUES ('schema', '{}'), ('format', '{}'), \
         ('store_id', pg_catalog.gen_random_uuid()::text), ('epoch', '1')",
        within(place, "_store"),
        schema.name,
        schema.version
    )
}

async fn introduce(schema: &Schema, client: &ClientWrapper, options: &Options) -> Result<()> {
    let sql = facts(schema, &options.schema);
    client.batch_execute(&sql).await.map_err(|error| place(options, &error))
}

/// An error that says which schema it is about.
fn place(options: &Options, error: &tokio_postgres::Error) -> Error {
    use tokio_postgres::error::SqlState;
    let taken = [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_COLUMN];
    if error.code().is_some_and(|code| taken.contains(code)) {
        let message = format!("the schema {:?} holds tables or columns of others", options.schema);
        return Error::new(Kind::InvalidInput, message)
            .advice("name another one with schema=NAME")
            .caused_by(map(error));
    }
    map(error).at(format!("schema {:?}", options.schema))
}

async fn find(
    schema: &Schema,
    connections: &Connections,
    client: &ClientWrapper,
) -> std::result::Result<Found, Failed> {
    let options = &connections.options;
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
               ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = '_store'), \
               EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
               ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2)";
    let function = super::commit_sql::plain_name(schema);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&options.schema, Type::TEXT), (&function, Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await?;
    let Some(row) = rows.first() else { return Ok(Found::default()) };
    let functions = row.try_get(1)?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(Found { facts: None, functions });
    }
    let sql = format!("SELECT name, value FROM {}", t(options, "_store"));
    let rows = client.query_typed(&sql, &[]).await?;
    let facts = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let facts = facts.collect::<std::result::Result<_, tokio_postgres::Error>>()?;
    Ok(Found { facts: Some(facts), functions })
}

fn fact<'a>(found: &'a Found, name: &str) -> Option<&'a str> {
    found.facts.as_ref()?.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The store's format; 0 when there is no store.
fn format_of(schema: &Schema, found: &Found, options: &Options) -> Result<u32> {
    let at = || format!("schema {:?}", options.schema);
    if found.facts.is_none() {
        return Ok(0);
    }
    match fact(found, "schema") {
        Some(name) if name == schema.name => {}
        Some(_) => {
            return Err(Error::new(Kind::InvalidInput, "the store holds another schema")
                .at(at())
                .advice("name another one with schema=NAME"));
        }
        None => return Err(no_fact("schema")),
    }
    let format = fact(found, "format").and_then(|format| format.parse::<u32>().ok());
    let format = format.filter(|format| *format > 0).ok_or_else(|| no_fact("format"))?;
    if format > schema.version {
        let message =
            format!("the store has format {format}; this agentkeep knows up to {}", schema.version);
        return Err(Error::new(Kind::NewerFormat, message)
            .at(at())
            .advice("use a newer agentkeep"));
    }
    Ok(format)
}

fn refuse_change(schema: &Schema, before: u32, options: &Options) -> Result<()> {
    let at = || format!("schema {:?}", options.schema);
    if before == 0 && !options.create {
        return Err(Error::new(Kind::NotFound, "there is no store")
            .at(at())
            .advice("name the schema of a store that is there"));
    }
    if before > 0 && !options.upgrade {
        let message = format!("the store has format {before}, not {}", schema.version);
        let message = if before == schema.version {
            "the store lacks the functions of this agentkeep".to_owned()
        } else {
            message
        };
        return Err(Error::new(Kind::Unsupported, message)
            .at(at())
            .advice("open it without upgrade=no, or run what agentkeep schema print shows"));
    }
    Ok(())
}

fn identity(found: &Found) -> Result<Identity> {
    let store_id = fact(found, "store_id").ok_or_else(|| no_fact("store_id"))?.to_owned();
    let epoch = fact(found, "epoch").and_then(|epoch| epoch.parse().ok());
    Ok(Identity { store_id, epoch: epoch.ok_or_else(|| no_fact("epoch"))? })
}

fn no_fact(name: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the store does not say its {name}"))
        .at("_store")
        .advice("restore the store from a backup")
}
