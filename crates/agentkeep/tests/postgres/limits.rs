//! Where there is nothing to be done but to say so: a replica, a pool in use, a server that is gone.

use std::sync::Arc;

use agentkeep::Kind;
use agentkeep::driver::{Driver as _, Outcome};
use agentkeep::drivers::sql::postgres::{Options, Postgres};
use agentkeep::schema::AGENTKEEP;
use tokio::task::JoinHandle;

use crate::dying::batch;
use crate::fixture::Place;
use crate::servers::own::Server;
use crate::servers::{named, opened, prepared, said};
use crate::sql::{ask, client};
use crate::{needs_server, plain};

/// Waits until a statement of a store's schema waits for a lock, or whoever sent it has given up.
async fn until_waiting<T>(client: &tokio_postgres::Client, schema: &str, sent: &JoinHandle<T>) {
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
    let schema = format!("%{schema}%");
    while !sent.is_finished() && client.query(waiting, &[&schema]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_told_and_not_written_to() {
    needs_server!("limits::a_replica_is_told_and_not_written_to");
    let server = Server::start("postgres", "replica");
    prepared(&server.url).await.close().await.unwrap();
    let folder = ask(&server, "SHOW data_directory").await;
    let signal = std::path::Path::new(&folder).join("standby.signal");
    server.kill();
    std::fs::write(&signal, "").unwrap();
    server.restart();
    let error = agentkeep::Store::open(&server.url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
    assert!(error.to_string().contains("a read-only replica; needed: the primary"), "{error}");
    // Less durability is another thing than a server that takes no writes.
    let less = format!("{}?durability=process", server.url);
    assert_eq!(agentkeep::Store::open(&less).await.unwrap_err().kind(), Kind::DurabilityNotMet);
    server.kill();
    std::fs::remove_file(&signal).unwrap();
    server.restart();
    let store = opened(&server.url).await;
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_in_use_is_a_timeout_and_free_again_afterwards() {
    needs_server!("limits::a_pool_in_use_is_a_timeout_and_free_again_afterwards");
    let place = Place::new();
    prepared(&place.url()).await.close().await.unwrap();
    let store = opened(&format!("{}&pool=1&timeout=3", place.url())).await;
    let client = plain().await;
    // Both, for the second read may find the connection free when the first has timed out.
    client.batch_execute("BEGIN").await.unwrap();
    for table in ["containers", "sessions"] {
        let hold = format!("LOCK TABLE \"{}\".{table}", place.schema);
        client.batch_execute(&hold).await.unwrap();
    }
    let reading = store.clone();
    let first = tokio::spawn(async move { reading.containers().get("c").await });
    until_waiting(&plain().await, &place.schema, &first).await;
    // On a slow machine the first is late before the second is: then that one meets the lock, too.
    let (second, first) = (store.containers().get("d").await, first.await.unwrap());
    for late in [second.map(|_| ()), first.map(|_| ())] {
        let error = late.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert!(error.is_retryable(), "{error}");
    }
    client.batch_execute("COMMIT").await.unwrap();
    assert!(store.containers().get("c").await.unwrap().is_some());
    store.close().await.unwrap();
}

/// The server goes in the middle of a commit and does not come back in time: nobody can tell. Under
/// its operation id the commit is found, or made, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_tell_is_unknown_and_resolved_by_its_operation() {
    needs_server!("limits::what_nobody_can_tell_is_unknown_and_resolved_by_its_operation");
    let server = Server::start("postgres", "unknown");
    let url = format!("{}?timeout=5", server.url);
    prepared(&server.url).await.close().await.unwrap();
    let options = Options::from_url(&url).unwrap();
    let driver = Arc::new(Postgres::open(&AGENTKEEP, options).await.unwrap());
    driver.commit(batch("before")).await.unwrap();
    let holder = client(&server).await;
    holder.batch_execute("BEGIN; SELECT * FROM agentkeep._streams FOR UPDATE").await.unwrap();
    let committing = Arc::clone(&driver);
    let commit = tokio::spawn(async move { committing.commit(batch("held")).await });
    until_waiting(&client(&server).await, "agentkeep", &commit).await;
    server.kill();
    let error = commit.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    assert!(!error.is_retryable() && error.advice_text().is_some(), "{error:?}");
    server.restart();
    let committed = driver.commit(batch("held")).await.unwrap();
    assert_eq!(committed.outcomes, [Outcome::Appended { numbers: vec![2] }]);
    assert!(driver.commit(batch("held")).await.unwrap().replayed);
    assert!(driver.check().await.unwrap().is_sound());
    driver.close().await.unwrap();
    let store = opened(&server.url).await;
    store.messages("s").add(named("after")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["after"]);
    store.close().await.unwrap();
}
