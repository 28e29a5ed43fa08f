//! The server's settings, held against what was asked for.

use deadpool_postgres::ClientWrapper;

use super::errors::map;
use super::options::Options;
use crate::driver::Durability;
use crate::error::{Error, Kind, Result};

/// The oldest server.
const OLDEST: i32 = 140_000;

/// What a connection says of the server.
const ASK: &str = "SELECT current_setting('server_version_num')::int4, \
     current_setting('server_version'), current_setting('server_encoding'), \
     pg_catalog.pg_is_in_recovery(), current_setting('default_transaction_read_only'), \
     current_setting('default_transaction_isolation'), current_setting('fsync'), \
     current_setting('full_page_writes'), current_setting('synchronous_commit'), \
     pg_catalog.pg_backend_pid()";

/// Refuses a server that is too old, cannot be written to, or would lose what it acknowledged;
/// answers the number of its process.
pub(super) async fn verify(connection: &ClientWrapper, options: &Options) -> Result<i32> {
    let rows = connection.query_typed(ASK, &[]).await.map_err(|error| map(&error))?;
    let row = rows.first().ok_or_else(|| odd("the server's settings"))?;
    let text = |i: usize| row.try_get::<_, &str>(i).map_err(|error| map(&error));
    let version: i32 = row.try_get(0).map_err(|error| map(&error))?;
    if version < OLDEST {
        let message = format!("the server is PostgreSQL {}, and 14 is needed", text(1)?);
        return Err(Error::new(Kind::Unsupported, message).advice("use a newer server"));
    }
    needs(Kind::Unsupported, "server_encoding", text(2)?, "UTF8", text(2)? == "UTF8")
        .map_err(|error| error.advice("make the database with ENCODING 'UTF8'"))?;
    let replica: bool = row.try_get(3).map_err(|error| map(&error))?;
    let role = if replica { "a read-only replica" } else { "the primary" };
    needs(Kind::DurabilityNotMet, "the server's role", role, "the primary", !replica)
        .map_err(|error| error.advice("connect to the primary"))?;
    for (i, name, needed) in [
        (4, "default_transaction_read_only", "off"),
        (5, "default_transaction_isolation", "read committed"),
    ] {
        needs(Kind::Unsupported, name, text(i)?, needed, text(i)? == needed).map_err(|error| {
            error.advice(format!("ALTER ROLE {} SET {name} = '{needed}'", options.user))
        })?;
    }
    let process: i32 = row.try_get(9).map_err(|error| map(&error))?;
    if options.durability < Durability::Power {
        return Ok(process);
    }
    for (i, name, needed) in [(6, "fsync", "on"), (7, "full_page_writes", "on")] {
        needs(Kind::DurabilityNotMet, name, text(i)?, needed, text(i)? == needed)
            .map_err(accept_less)?;
    }
    synchronous(text(8)?)?;
    Ok(process)
}

fn synchronous(found: &str) -> Result<()> {
    let needed = "on, remote_apply, remote_write or local";
    needs(Kind::DurabilityNotMet, "synchronous_commit", found, needed, found != "off")
        .map_err(accept_less)
}

/// The condition of a commit: this setting alone can change under a connection that has been looked at,
/// for behind a pooler it is what another client has set.
pub(super) fn synced(durability: Durability) -> &'static str {
    match durability {
        Durability::Power => {
            "pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'off'"
        }
        _ => "true",
    }
}

/// What a commit is told when its condition does not hold.
pub(super) fn not_synced() -> Error {
    synchronous("off").err().unwrap_or_else(|| odd("synchronous_commit"))
}

fn accept_less(error: Error) -> Error {
    error.advice("change the setting, or knowingly accept less with durability=process")
}

fn needs(kind: Kind, name: &str, found: &str, needed: &str, fine: bool) -> Result<()> {
    if fine {
        return Ok(());
    }
    let message = format!("{name} is {found}; needed: {needed}");
    Err(Error::new(kind, message).retryable(false))
}

fn odd(what: &str) -> Error {
    Error::new(Kind::Unavailable, format!("the server does not tell {what}"))
}
