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

/// So many connections are ended at least: fewer would show little.
const ENDS: u64 = 30;

/// Ends all connections but its own again and again, and counts them.
fn reap(url: &str, stop: &AtomicBool, ended: &AtomicU64) {
    let _enough = Enough(ended);
    let mut client = plain(url);
    while !stop.load(Ordering::Acquire) {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        let count = kill.query::<u64>(&mut client).unwrap_or_else(|_| {
            client = plain(url);
            0
        });
        ended.fetch_add(count, Ordering::AcqRel);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Whoever waits for more ends waits no longer when there will be none, also after a panic.
struct Enough<'a>(&'a AtomicU64);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(ENDS, Ordering::AcqRel);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_outlive_their_connections() {
    needs!(Single, "dying::commits_outlive_their_connections");
    let server = Server::start("redis", "dying");
    let store = prepared(&server.url).await;
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicU64::new(0));
    let (stopping, counting, url) = (Arc::clone(&stop), Arc::clone(&ended), server.url.clone());
    let reaper = tokio::task::spawn_blocking(move || reap(&url, &stopping, &counting));
    let retried = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, retried) = (store.clone(), Arc::clone(&retried));
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                let mut count = 0;
                while count < 800 || ended.load(Ordering::Acquire) < ENDS {
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
    let ended = ended.load(Ordering::Acquire) - ENDS;
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
    let url = format!("{}?timeout=3&pool=1", server.url);
    let store = prepared(&url).await;
    store.messages("s").add(nameless("before")).await.unwrap();
    // The server takes what is sent and looks at it only after the deadline.
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(6000).arg("WRITE");
    pause.exec(&mut plain(&server.url)).unwrap();
    let error = store.messages("s").add(nameless("late")).await.unwrap_err();
    assert_eq!(error.kind(), agentkeep::Kind::Timeout, "{error}");
    store.messages("s").add(nameless("after")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["before", "after"]);
    assert!(store.check().await.unwrap().is_sound());
}
