//! Connections that the server ends in the middle of commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agentkeep::driver::{Append, Batch, Driver as _, Known, NewEntry, Operation, Outcome};
use agentkeep::drivers::sql::postgres::{Options, Postgres};
use agentkeep::schema::{AGENTKEEP, MESSAGES, Namespace, OperationId, Stream};

use crate::fixture::Place;
use crate::servers::{nameless, prepared, said};
use crate::{needs_server, plain};

/// So many connections are ended at least: fewer would show little.
const ENDS: u64 = 30;

/// Ends the connections of a store again and again, and counts them.
async fn reaper(schema: String, stop: Arc<AtomicBool>, ended: Arc<AtomicU64>) {
    let client = plain().await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'agentkeep' AND query LIKE $1";
    while !stop.load(Ordering::Acquire) {
        let row = client.query_one(sql, &[&format!("%{schema}%")]).await.unwrap();
        ended.fetch_add(row.get::<_, i64>(0).cast_unsigned(), Ordering::AcqRel);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_outlive_their_connections() {
    needs_server!("dying::commits_outlive_their_connections");
    let place = Place::new();
    let store = prepared(&place.url()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicU64::new(0));
    let reaper = tokio::spawn(reaper(place.schema.clone(), Arc::clone(&stop), Arc::clone(&ended)));
    let retried = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, retried) = (store.clone(), Arc::clone(&retried));
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                let mut count = 0;
                while count < 60 || ended.load(Ordering::Acquire) < ENDS {
                    let i = count;
                    // An error that says that nothing changed is believed: then it is done again.
                    while let Err(error) =
                        store.messages("s").add(nameless(&format!("{task}-{i}"))).await
                    {
                        assert!(error.is_retryable(), "{error:?}");
                        retried.fetch_add(1, Ordering::Relaxed);
                    }
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut expected = Vec::new();
    for (task, running) in tasks.into_iter().enumerate() {
        expected.extend((0..running.await.unwrap()).map(|i| format!("{task}-{i}")));
    }
    stop.store(true, Ordering::Release);
    reaper.await.unwrap();
    let mut said = said(&store, "s").await;
    said.sort();
    expected.sort();
    assert_eq!(said, expected, "lost or doubled");
    assert!(store.check().await.unwrap().is_sound());
    let ended = ended.load(Ordering::Acquire);
    println!("{ended} connections ended, {} errors told", retried.load(Ordering::Relaxed));
}

pub(crate) fn batch(operation: &str) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    batch.operation = Some(OperationId::new(operation).unwrap());
    let entry = NewEntry { id: None, body: agentkeep::Json::string(operation), refs: Vec::new() };
    batch.push(Operation::Append(Append {
        log: &MESSAGES,
        stream: Stream::new("s").unwrap(),
        entries: vec![entry],
        known: Known::Refuse,
        start: None,
    }));
    batch
}

/// A commit that waits for a lock is ended there, and one that is through is found by its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operation_is_done_once_whatever_dies() {
    needs_server!("dying::an_operation_is_done_once_whatever_dies");
    let place = Place::new();
    let open = async || {
        Arc::new(
            Postgres::open(&AGENTKEEP, Options::from_url(&place.url()).unwrap()).await.unwrap(),
        )
    };
    let driver = open().await;
    driver.commit(batch("first")).await.unwrap();
    let client = plain().await;
    for round in 0..10 {
        // Somebody holds the stream's row: the commit waits in the middle.
        client.batch_execute("BEGIN").await.unwrap();
        let held = format!("SELECT * FROM \"{}\"._streams FOR UPDATE", place.schema);
        client.batch_execute(&held).await.unwrap();
        let operation = format!("op-{round}");
        let (committing, sent) = (Arc::clone(&driver), batch(&operation));
        let commit = tokio::spawn(async move { committing.commit(sent).await });
        let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND query LIKE $1";
        let pid = loop {
            let found = client.query(waiting, &[&format!("%{}%", place.schema)]).await.unwrap();
            if let Some(row) = found.first() {
                break row.get::<_, i32>(0);
            }
            tokio::task::yield_now().await;
        };
        client.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        let first = commit.await.unwrap().unwrap();
        assert_eq!(first.outcomes, [Outcome::Appended { numbers: vec![round + 2] }]);
        // Also from another process, it is the same commit.
        let again = open().await.commit(batch(&operation)).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.outcomes, first.outcomes);
    }
    assert!(driver.check().await.unwrap().is_sound());
}
