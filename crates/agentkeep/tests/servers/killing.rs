//! A server killed in the middle of writes: nothing acknowledged is lost, nobody has to be told.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentkeep::schema::{MESSAGES, Namespace};
use agentkeep::{Kind, Store};

use super::own::Server;
use super::{named, prepared, said};

const KILLS: usize = 20;

/// Writes until told to stop; what is refused or unknown is written again.
async fn writer(store: Store, task: usize, stop: Arc<AtomicBool>, done: Arc<Mutex<Vec<String>>>) {
    for i in 0.. {
        let id = format!("{task}-{i}");
        while let Err(error) = store.messages("s").add(named(&id)).await {
            let known = [Kind::Unavailable, Kind::OutcomeUnknown, Kind::Timeout, Kind::Conflict];
            assert!(known.contains(&error.kind()), "{error:?}");
        }
        done.lock().unwrap().push(id);
        if stop.load(Ordering::Acquire) {
            return;
        }
    }
}

/// Reads on from where it was whenever a hint comes, until it has seen the end.
async fn subscriber(store: Store) -> Vec<String> {
    let mut watch = store.driver().watch(&Namespace::default(), &MESSAGES, None).await.unwrap();
    let mut seen = Vec::new();
    loop {
        assert!(watch.changed().await, "hints ended");
        loop {
            match store.messages("s").range(seen.len() as u64..).await {
                Ok(more) if more.is_empty() => break,
                Ok(more) => seen.extend(more.iter().map(|m| m.message.id().unwrap().to_owned())),
                // What has been hinted at is still to be read: no other hint may come.
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        if seen.last().is_some_and(|last| last == "end") {
            return seen;
        }
    }
}

/// Starts a server of this kind and kills it again and again.
pub(crate) async fn loses_nothing_acknowledged(service: &'static str) {
    let server = Arc::new(Server::start(service, "killing"));
    let url = format!("{}?timeout=20", server.url);
    let store = prepared(&url).await;
    let other = Store::open(&url).await.unwrap();
    let (handle, reading) = (tokio::runtime::Handle::current(), other.clone());
    let subscriber = tokio::task::spawn_blocking(move || handle.block_on(subscriber(reading)));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let writers: Vec<_> = (0..4)
        .map(|task| tokio::spawn(writer(store.clone(), task, Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    let mut slowest = Duration::ZERO;
    for kill in 0..KILLS {
        let count = || done.lock().unwrap().len();
        let before = count();
        while count() < before + 20 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (killed, restarted) = (Arc::clone(&server), Arc::clone(&server));
        tokio::task::spawn_blocking(move || killed.kill()).await.unwrap();
        let before = count();
        tokio::task::spawn_blocking(move || restarted.restart()).await.unwrap();
        let back = Instant::now();
        while count() <= before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        slowest = slowest.max(back.elapsed());
        assert!(count() > before, "kill {kill}");
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    store.messages("s").add(named("end")).await.unwrap();
    let seen = subscriber.await.unwrap();
    let acknowledged = done.lock().unwrap().clone();
    let there = said(&store, "s").await;
    let unique: std::collections::BTreeSet<&String> = there.iter().collect();
    assert_eq!(unique.len(), there.len(), "a message twice");
    for id in &acknowledged {
        assert!(unique.contains(id), "{id} was acknowledged and is lost");
    }
    assert_eq!(seen, there, "the subscriber has a gap");
    assert!(store.check().await.unwrap().is_sound());
    println!(
        "{KILLS} kills; {} acknowledged writes, all there; writing again {slowest:?} after the \
         server's return at the latest",
        acknowledged.len()
    );
    store.close().await.unwrap();
    other.close().await.unwrap();
}
