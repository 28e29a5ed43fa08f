//! Many at once, each wanting to bring the store up to date.

use agentkeep::Kind;
use agentkeep::driver::{
    Append, Batch, Driver as _, Find, Known, NewEntry, Operation, Outcome, Put, Reader as _, Save,
};
use agentkeep::drivers::sql::postgres::{Options, Postgres};
use agentkeep::schema::{Field, Index, Key, Log, Namespace, Order, Schema, Stream, Table, Value};

use crate::fixture::Place;
use crate::needs_server;

static FIRST: Table = Table { name: "first", since: 1, key: &["id"], fields: &[], indexes: &[] };
static LATER: Table = Table { name: "later", since: 2, key: &["id"], fields: &[], indexes: &[] };
static NOTES: Log = Log { name: "notes", since: 1 };
static MORE: Log = Log { name: "more", since: 2 };
static OLD: Schema =
    Schema { name: "test", version: 1, tables: &[&FIRST], logs: &[&NOTES], views: &[] };
static NEW: Schema = Schema {
    name: "test",
    version: 2,
    tables: &[&FIRST, &LATER],
    logs: &[&NOTES, &MORE],
    views: &[],
};

fn put(table: &'static Table, id: &str) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    let key = Key::new(table, [id]).unwrap();
    let body = agentkeep::Json::parse("{}").unwrap();
    batch.push(Operation::Put(Put::new(key, body, Save::Create).unwrap()));
    batch
}

async fn open(schema: &'static Schema, url: &str) -> agentkeep::Result<Postgres> {
    Postgres::open(schema, Options::from_url(url)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_at_once_make_and_upgrade_a_store() {
    needs_server!("upgrading::sixteen_at_once_make_and_upgrade_a_store");
    let place = Place::new();
    for (schema, table) in [(&OLD, &FIRST), (&NEW, &LATER)] {
        if schema.version == 2 {
            let error = open(schema, &format!("{}&upgrade=no", place.url())).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        }
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let url = format!("{}&pool=2", place.url());
                tokio::spawn(async move {
                    let store = open(schema, &url).await.unwrap();
                    store.commit(put(table, &format!("r{i}"))).await.unwrap();
                    let id = store.describe().store_id.clone();
                    store.close().await.unwrap();
                    id
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "two stores were made");
    }
    let store = open(&NEW, &place.url()).await.unwrap();
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.records == 32, "{report:?}");
    store.close().await.unwrap();
    let error = open(&OLD, &place.url()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NewerFormat, "{error}");
}

/// Who has the older one open goes on: what he calls is still there.
#[tokio::test]
async fn an_older_process_goes_on_while_another_upgrades() {
    needs_server!("upgrading::an_older_process_goes_on_while_another_upgrades");
    let place = Place::new();
    let older = open(&OLD, &place.url()).await.unwrap();
    older.commit(put(&FIRST, "a")).await.unwrap();
    let newer = open(&NEW, &place.url()).await.unwrap();
    older.commit(put(&FIRST, "b")).await.unwrap();
    newer.commit(put(&FIRST, "c")).await.unwrap();
    newer.commit(put(&LATER, "d")).await.unwrap();
    let report = newer.check().await.unwrap();
    assert!(report.is_sound() && report.records == 4, "{report:?}");
}

static PLAIN: Table = Table {
    name: "grows",
    since: 1,
    key: &["id"],
    fields: &[Field::one("kind", &["kind"])],
    indexes: &[Index::over("by_kind", &[("kind", Order::Ascending)])],
};
static GROWN: Table = Table {
    name: "grows",
    since: 1,
    key: &["id"],
    fields: &[Field::one("kind", &["kind"]), Field::one("hidden", &["hidden"]).since(2)],
    indexes: &[Index::over("by_kind", &[("kind", Order::Ascending)]).unless("hidden").since(2)],
};
static SMALL: Schema =
    Schema { name: "test", version: 1, tables: &[&PLAIN], logs: &[&NOTES], views: &[] };
static LARGE: Schema =
    Schema { name: "test", version: 2, tables: &[&GROWN], logs: &[&NOTES], views: &[] };

/// Run on a store that is newer, it would make it say that it is older than it is.
#[tokio::test]
async fn what_is_printed_for_another_format_does_nothing() {
    needs_server!("upgrading::what_is_printed_for_another_format_does_nothing");
    let place = Place::new();
    open(&NEW, &place.url()).await.unwrap().close().await.unwrap();
    let client = crate::plain().await;
    let format = format!("\"{}\"._store SET value = '7' WHERE name = 'format'", place.schema);
    client.batch_execute(&format!("UPDATE {format}")).await.unwrap();
    for statement in Postgres::statements(&NEW, &place.schema, 1) {
        // As a shell does it, which goes on.
        let _ = client.batch_execute(&statement).await;
    }
    let error = open(&NEW, &place.url()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NewerFormat, "{error}");
    let newer = agentkeep::schema::AGENTKEEP.version + 1;
    let error = agentkeep::urls::sql("postgres", newer).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

/// A field more, and an index that leaves records out: also for who may only run what is printed.
#[tokio::test]
async fn a_table_that_there_was_grows() {
    needs_server!("upgrading::a_table_that_there_was_grows");
    for by_hand in [false, true] {
        let place = Place::new();
        let older = open(&SMALL, &place.url()).await.unwrap();
        let put = |table, id: &str, body: &str| {
            let mut batch = Batch::new(Namespace::default());
            let (key, body) = (Key::new(table, [id]).unwrap(), agentkeep::Json::parse(body));
            batch.push(Operation::Put(Put::new(key, body.unwrap(), Save::Any).unwrap()));
            batch
        };
        older.commit(put(&PLAIN, "a", r#"{"kind":"k"}"#)).await.unwrap();
        if by_hand {
            let script = Postgres::statements(&LARGE, &place.schema, 1).join(";\n");
            crate::plain().await.batch_execute(&script).await.unwrap();
        }
        let upgrade = if by_hand { "no" } else { "yes" };
        let url = format!("{}&upgrade={upgrade}", place.url());
        let newer = open(&LARGE, &url).await.unwrap();
        newer.commit(put(&GROWN, "b", r#"{"kind":"k","hidden":true}"#)).await.unwrap();
        newer.commit(put(&GROWN, "c", r#"{"kind":"k"}"#)).await.unwrap();
        older.commit(put(&PLAIN, "d", r#"{"kind":"k"}"#)).await.unwrap();
        let found = async |store: &Postgres, table| {
            let find = Find::by(table, "by_kind").unwrap().equal(Value::text("k"));
            let found = store.find(&Namespace::default(), &find).await.unwrap().records;
            found.iter().map(|record| record.key.first().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&newer, &GROWN).await, ["a", "c", "d"]);
        assert_eq!(
            found(&older, &PLAIN).await,
            ["a", "b", "c", "d"],
            "whose index has no exception"
        );
        let report = newer.check().await.unwrap();
        assert!(report.is_sound() && report.records == 4, "{report:?}");
        let sql =
            "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND indexname = 'grows_by_kind'";
        let index = crate::plain().await.query_one(sql, &[&place.schema]).await.unwrap();
        let index: String = index.get(0);
        assert!(index.contains("WHERE") && index.contains("hidden"), "{index}");
    }
}

/// As in a store that an agentkeep with other functions made, of the same format.
#[tokio::test]
async fn functions_that_are_missing_are_made() {
    needs_server!("upgrading::functions_that_are_missing_are_made");
    let place = Place::new();
    let before = open(&OLD, &place.url()).await.unwrap();
    before.commit(put(&FIRST, "a")).await.unwrap();
    before.close().await.unwrap();
    let drop = format!(
        "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT p.oid FROM pg_proc p \
         JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = '{}' \
         LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $$",
        place.schema
    );
    crate::plain().await.batch_execute(&drop).await.unwrap();
    let error = open(&OLD, &format!("{}&upgrade=no", place.url())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    let store = open(&OLD, &place.url()).await.unwrap();
    let stream = Stream::new("s").unwrap();
    for round in 1..4 {
        // The commit function makes the stream, the append function goes on with it.
        let mut batch = Batch::new(Namespace::default());
        let body = agentkeep::Json::parse("{}").unwrap();
        batch.push(Operation::Append(Append {
            log: &NOTES,
            stream: stream.clone(),
            entries: vec![NewEntry { id: None, body, refs: Vec::new() }],
            known: Known::Refuse,
            start: None,
        }));
        let done = store.commit(batch).await.unwrap();
        assert_eq!(done.outcomes, [Outcome::Appended { numbers: vec![round] }]);
    }
    let sql = "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname = $1 AND starts_with(p.proname, '_append_notes_')";
    let found = crate::plain().await.query_one(sql, &[&place.schema]).await.unwrap();
    assert_eq!(found.get::<_, i64>(0), 1);
    assert!(store.check().await.unwrap().is_sound());
}

/// An upgrade takes as long as it takes, in a database of its own whose server is slow with indexes.
/// Only waits for locks end with the deadline.
#[tokio::test]
async fn an_upgrade_has_more_time_than_the_deadline() {
    needs_server!("upgrading::an_upgrade_has_more_time_than_the_deadline");
    let name = format!("slow_{}", Place::new().schema);
    let plain = crate::plain().await;
    plain.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let server = crate::fixture::server().unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let older = open(&SMALL, &url).await.unwrap();
    older.close().await.unwrap();
    let (inside, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let slow = "CREATE FUNCTION slowly() RETURNS event_trigger LANGUAGE plpgsql \
                AS $$ BEGIN PERFORM pg_sleep(1.1); END $$; \
                CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE INDEX') \
                EXECUTE FUNCTION slowly()";
    inside.batch_execute(slow).await.unwrap();
    let url = format!("{url}?timeout=1");

    inside.batch_execute("BEGIN; LOCK TABLE agentkeep.grows IN ACCESS SHARE MODE").await.unwrap();
    let error = open(&LARGE, &url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.is_retryable(), "{error}");
    inside.batch_execute("COMMIT").await.unwrap();

    let store = open(&LARGE, &url).await.unwrap();
    assert_eq!(store.describe().format, 2);
    store.close().await.unwrap();
    drop(inside);
    connection.await.unwrap().unwrap();
    plain.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}
