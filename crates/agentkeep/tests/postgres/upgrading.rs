//! Many at once, each wanting to bring the store up to date.

use agentkeep::Kind;
use agentkeep::driver::{
    Append, Batch, Driver as _, Known, NewEntry, Operation, Outcome, Put, Save,
};
use agentkeep::drivers::sql::postgres::{Options, Postgres};
use agentkeep::schema::{Key, Log, Namespace, Schema, Stream, Table};

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
