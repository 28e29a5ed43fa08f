//! Connections that the server ends in the middle of commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agentkeep::driver::{Append, Batch, Driver as _, Known, NewEntry, Operation};
use agentkeep::drivers::redis::{Options, Redis};
use agentkeep::schema::{AGENTKEEP, MESSAGES, Namespace, OperationId, Stream};

use crate::grouped::{texts, told};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::{nameless, prepared, said};

fn plain(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// Ends all connections but its own again and again; answers how many.
fn reap(url: &str, stop: &AtomicBool) -> u64 {
    let mut client = plain(url);
    let mut ended = 0;
    while !stop.load(Ordering::Acquire) {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        ended += kill.query::<u64>(&mut client).unwrap_or_else(|_| {
            client = plain(url);
            0
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_outlive_their_connections() {
    needs!(Single, "dying::commits_outlive_their_connections");
    let server = Server::start("redis", "dying");
    let store = prepared(&server.url).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, url) = (Arc::clone(&stop), server.url.clone());
    let reaper = tokio::task::spawn_blocking(move || reap(&url, &stopping));
    let retried = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, retried) = (store.clone(), Arc::clone(&retried));
            tokio::spawn(async move {
                for i in 0..800 {
                    // An error that says that nothing changed is believed: then it is done again.
                    while let Err(error) =
                        store.messages("s").add(nameless(&format!("{task}-{i}"))).await
                    {
                        assert!(error.is_retryable(), "{error:?}");
                        retried.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::Release);
    let ended = reaper.await.unwrap();
    let mut said = said(&store, "s").await;
    said.sort();
    let mut expected: Vec<String> =
        (0..8).flat_map(|task| (0..800).map(move |i| format!("{task}-{i}"))).collect();
    expected.sort();
    assert_eq!(said, expected, "lost or doubled");
    assert!(store.check().await.unwrap().is_sound());
    assert!(ended >= 20, "only {ended} connections were ended: this run has shown little");
    println!("{ended} connections ended, {} errors told", retried.load(Ordering::Relaxed));
}

fn batch(operation: &str) -> Batch {
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

/// A read must not use up its attempts on connections to a server that is no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_a_restart_needs_no_luck() {
    needs!(Single, "dying::a_read_after_a_restart_needs_no_luck");
    let server = Server::start("redis", "restarted");
    let options = Options::from_url(&format!("{}?pool=16", server.url)).unwrap();
    let driver = Redis::open(&AGENTKEEP, options).await.unwrap();
    driver.commit(batch("before")).await.unwrap();
    for _ in 0..16 {
        told(&driver, &MESSAGES, "s").await;
    }
    server.kill();
    server.restart();
    let before = driver.sent();
    assert_eq!(texts(&told(&driver, &MESSAGES, "s").await), [(1, "before")]);
    assert_eq!(driver.sent() - before, 3, "one lost, one without its script, one answered");
}

/// The server has to load its scripts anew, and the client sends them again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_the_scripts_is_told_them() {
    needs!(Single, "dying::a_server_that_forgot_the_scripts_is_told_them");
    let server = Server::start("redis", "forgetting");
    let options = Options::from_url(&server.url).unwrap();
    let driver = Redis::open(&AGENTKEEP, options).await.unwrap();
    for round in 0..3 {
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut plain(&server.url)).unwrap();
        driver.commit(batch(&format!("op-{round}"))).await.unwrap();
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut plain(&server.url)).unwrap();
        assert!(driver.check().await.unwrap().is_sound());
    }
    let again = driver.commit(batch("op-1")).await.unwrap();
    assert!(again.replayed);
}

/// A call that was given up does nothing when it comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_never_happens() {
    needs!(Single, "dying::what_was_given_up_never_happens");
    let server = Server::start("redis", "late");
    let url = format!("{}?timeout=1&pool=1", server.url);
    let store = prepared(&url).await;
    store.messages("s").add(nameless("before")).await.unwrap();
    // The server takes what is sent and looks at it only after the deadline.
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(3000).arg("WRITE");
    pause.exec(&mut plain(&server.url)).unwrap();
    let error = store.messages("s").add(nameless("late")).await.unwrap_err();
    assert_eq!(error.kind(), agentkeep::Kind::Timeout, "{error}");
    store.messages("s").add(nameless("after")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["before", "after"]);
    assert!(store.check().await.unwrap().is_sound());
}
