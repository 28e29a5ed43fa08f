//! A slot that moves from one master of a cluster to another, and back, while messages are written and
//! followed: nothing acknowledged is lost, nothing is there twice, everybody goes on by himself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentkeep::driver::{Blob, Driver as _, Operation};
use agentkeep::schema::{MESSAGES, Namespace, OperationId};
use agentkeep::{Message, Store};
use redis::Connection;

use crate::cluster::slot;
use crate::fixture::keys;
use crate::grouped::{add, batch, open, stream, texts, told, turned};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::{named, nameless, prepared, said};

/// A node as `CLUSTER SLOTS` tells of it.
type Node = (String, u16, String, redis::Value);

/// The masters, and what each is called.
struct Nodes(Vec<(Connection, String, String)>);

impl Nodes {
    fn of(url: &str) -> Self {
        let (login, hosts) = url.rsplit_once('@').unwrap();
        let node = |host: &str| {
            let client = redis::Client::open(format!("{login}@{host}")).unwrap();
            let mut node = client.get_connection().unwrap();
            let id = redis::cmd("CLUSTER").arg("MYID").query(&mut node).unwrap();
            (node, id, host.rsplit_once(':').unwrap().1.to_owned())
        };
        Self(hosts.split(',').map(node).collect())
    }

    fn set(&mut self, at: usize, slot: u16, state: &str, other: usize) {
        let id = self.0[other].1.clone();
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SETSLOT").arg(slot).arg(state).arg(id).exec(&mut self.0[at].0).unwrap();
    }

    /// The node that has the slot.
    fn owner(&mut self, slot: u16) -> usize {
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        let ranges: Vec<(u16, u16, Node)> = cmd.query(&mut self.0[0].0).unwrap();
        let range = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).unwrap();
        self.0.iter().position(|(_, id, _)| *id == range.2.2).unwrap()
    }

    /// Moves a slot as `redis-cli --cluster reshard` does; `halfway` is called while some of its keys
    /// are here and some there.
    fn move_slot(&mut self, slot: u16, from: usize, to: usize, halfway: impl FnOnce()) {
        self.set(to, slot, "IMPORTING", from);
        self.set(from, slot, "MIGRATING", to);
        let port = self.0[to].2.clone();
        let mut halfway = Some(halfway);
        loop {
            let mut cmd = redis::cmd("CLUSTER");
            cmd.arg("GETKEYSINSLOT").arg(slot).arg(2);
            let some: Vec<String> = cmd.query(&mut self.0[from].0).unwrap();
            if some.is_empty() {
                break;
            }
            let mut cmd = redis::cmd("MIGRATE");
            cmd.arg("127.0.0.1").arg(&port).arg("").arg(0).arg(5000).arg("AUTH").arg("tests");
            cmd.arg("KEYS").arg(some).exec(&mut self.0[from].0).unwrap();
            if let Some(halfway) = halfway.take() {
                halfway();
            }
        }
        // The one that gets it is told first: so nobody is sent back and forth.
        self.set(to, slot, "NODE", to);
        self.set(from, slot, "NODE", to);
        for other in 0..self.0.len() {
            self.set(other, slot, "NODE", to);
        }
    }
}

/// Writes until told to stop. With an id what has no certain outcome is written again; without one it
/// is an error that says that nothing has changed, or the test has nothing to say about it.
pub(crate) async fn writer(
    store: Store,
    session: &'static str,
    task: usize,
    message: fn(&str) -> Message,
    stop: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
) {
    for i in 0.. {
        let id = format!("{task}-{i}");
        while let Err(error) = store.messages(session).add(message(&id)).await {
            assert!(error.is_retryable(), "{error:?}");
        }
        done.lock().unwrap().push(id);
        if stop.load(Ordering::Acquire) {
            return;
        }
    }
}

/// Follows the session `s` from its beginning until the message `end`.
pub(crate) async fn subscriber(store: Store) -> Vec<String> {
    let mut watch = store.driver().watch(&Namespace::default(), &MESSAGES, None).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "end") {
        assert!(watch.changed().await, "hints ended");
        loop {
            match store.messages("s").range(seen.len() as u64..).await {
                Ok(more) if more.is_empty() => break,
                Ok(more) => seen.extend(more.iter().map(|m| m.message.id().unwrap().to_owned())),
                // What has been hinted at is still to be read: no other hint may come.
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }
    seen
}

/// Waits until so many more have been written.
pub(crate) async fn more(done: &Mutex<Vec<String>>, count: usize) {
    let before = done.lock().unwrap().len();
    while done.lock().unwrap().len() < before + count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const MOVES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_moves_loses_and_doubles_nothing() {
    needs!(Cluster, "moving::a_slot_that_moves_loses_and_doubles_nothing");
    let server = Server::start("redis-cluster", "moving");
    let url = format!("{}?timeout=30", server.url);
    let store = prepared(&url).await;
    store.sessions().save(agentkeep::Session::new("nameless", "i", "c").unwrap()).await.unwrap();
    let other = Store::open(&url).await.unwrap();
    let following = tokio::spawn(subscriber(other.clone()));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let sure = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..6)
        .map(|task| {
            let (store, stop) = (if task % 2 == 0 { &store } else { &other }, Arc::clone(&stop));
            if task < 4 {
                tokio::spawn(writer(store.clone(), "s", task, named, stop, Arc::clone(&done)))
            } else {
                let sure = Arc::clone(&sure);
                tokio::spawn(writer(store.clone(), "nameless", task, nameless, stop, sure))
            }
        })
        .collect();
    let slot = slot(b"{default}");
    let mut nodes = Nodes::of(&server.url);
    for round in 0..MOVES {
        more(&done, 20).await;
        // Half the rounds stay halfway for some time, so that all who write have met it.
        let wait = Duration::from_millis(if round % 2 == 0 { 0 } else { 400 });
        nodes = tokio::task::spawn_blocking(move || {
            let from = nodes.owner(slot);
            let to = (from + 1) % nodes.0.len();
            nodes.move_slot(slot, from, to, || std::thread::sleep(wait));
            nodes
        })
        .await
        .unwrap();
        more(&done, 20).await;
        more(&sure, 5).await;
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    store.messages("s").add(named("end")).await.unwrap();
    let seen = following.await.unwrap();
    let mut acknowledged = done.lock().unwrap().clone();
    acknowledged.push("end".to_owned());
    let there = said(&store, "s").await;
    assert_eq!(seen, there, "the subscriber has a gap");
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(there), sorted(acknowledged), "lost or doubled");
    let (there, sure) = (said(&store, "nameless").await, sure.lock().unwrap().clone());
    assert_eq!(sorted(there), sorted(sure), "lost or doubled, without ids");
    assert!(store.check().await.unwrap().is_sound());
    println!("{MOVES} moves; {} acknowledged writes", seen.len());
    store.close().await.unwrap();
    other.close().await.unwrap();
}

/// A commit on a store whose slot is halfway waits for the end of the move, or says within its deadline
/// that nothing has changed; what it read or wrote before is still whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn halfway_a_commit_is_refused_within_its_deadline_and_changes_nothing() {
    needs!(Cluster, "moving::halfway_a_commit_is_refused_within_its_deadline_and_changes_nothing");
    let server = Server::start("redis-cluster", "halfway");
    let store = prepared(&format!("{}?timeout=4", server.url)).await;
    for id in ["a", "b", "c"] {
        store.messages("s").add(named(id)).await.unwrap();
    }
    let slot = slot(b"{default}");
    let mut nodes = Nodes::of(&server.url);
    let (from, to) = (nodes.owner(slot), (nodes.owner(slot) + 1) % nodes.0.len());
    let handle = tokio::runtime::Handle::current();
    let (moving, counting) = (store.clone(), server.url.clone());
    let done = tokio::task::spawn_blocking(move || {
        nodes.move_slot(slot, from, to, || {
            let mut both = Nodes::of(&counting);
            let counts = [from, to].map(|at| keys(&mut both.0[at].0, "agentkeep:{default}").len());
            assert!(counts.iter().all(|count| *count > 0), "not halfway: {counts:?}");
            let error = handle.block_on(moving.messages("s").add(named("d"))).unwrap_err();
            assert!(error.is_retryable(), "{error:?}");
            let kinds = [agentkeep::Kind::Unavailable, agentkeep::Kind::Timeout];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            // What a read needs may be all on one side; half of it is never shown.
            if let Ok(all) = handle.block_on(moving.messages("s").all()) {
                assert_eq!(all.len(), 3);
            }
        });
    });
    done.await.unwrap();
    assert_eq!(said(&store, "s").await, ["a", "b", "c"]);
    store.messages("s").add(named("d")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["a", "b", "c", "d"]);
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
}

/// A node that gets slots has to keep what it acknowledges, too, whenever it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_a_slot_is_asked_for_its_settings() {
    needs!(Cluster, "moving::who_gets_a_slot_is_asked_for_its_settings");
    let server = Server::start("redis-cluster", "asked");
    let store = prepared(&server.url).await;
    store.messages("s").add(named("a")).await.unwrap();
    let slot = slot(b"{default}");
    let mut nodes = Nodes::of(&server.url);
    let (from, to) = (nodes.owner(slot), (nodes.owner(slot) + 1) % nodes.0.len());
    let set = |nodes: &mut Nodes, value: &str| {
        let mut cmd = redis::cmd("CONFIG");
        cmd.arg("SET").arg("appendfsync").arg(value).exec(&mut nodes.0[to].0).unwrap();
    };
    set(&mut nodes, "everysec");
    nodes.move_slot(slot, from, to, || ());
    for _ in 0..2 {
        let error = store.messages("s").add(named("b")).await.unwrap_err();
        assert_eq!(error.kind(), agentkeep::Kind::DurabilityNotMet, "{error}");
        assert!(error.to_string().contains("appendfsync is everysec"), "{error}");
    }
    set(&mut nodes, "always");
    store.messages("s").add(named("b")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["a", "b"]);
    store.close().await.unwrap();
}

/// Everything that a commit names is there, so that the server would run it in the middle of a move; a
/// key that the commit empties and fills again is then gone to the other master for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_the_middle_of_a_move_is_not_left_half_done() {
    needs!(Cluster, "moving::a_commit_in_the_middle_of_a_move_is_not_left_half_done");
    let server = Server::start("redis-cluster", "middle");
    let driver = open(&format!("{}?timeout=4", server.url)).await;
    let mut everything = turned(add("other", "first", "turned"), "turn");
    everything.operation = Some(OperationId::new("operation").unwrap());
    everything.push(Operation::PutBlob(Blob::new(&b"bytes"[..])));
    driver.commit(everything).await.unwrap();
    driver.commit(add("s", "only", "only")).await.unwrap();
    let slot = slot(b"{default}");
    let mut nodes = Nodes::of(&server.url);
    let (from, to) = (nodes.owner(slot), (nodes.owner(slot) + 1) % nodes.0.len());
    nodes.set(to, slot, "IMPORTING", from);
    nodes.set(from, slot, "MIGRATING", to);
    let rewrite = || {
        batch(Operation::Rewrite {
            log: &MESSAGES,
            stream: stream("s"),
            number: 1,
            body: agentkeep::Json::string("changed"),
            refs: Vec::new(),
        })
    };
    let error = driver.commit(rewrite()).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    for node in [from, to] {
        let mut stable = redis::cmd("CLUSTER");
        stable.arg("SETSLOT").arg(slot).arg("STABLE").exec(&mut nodes.0[node].0).unwrap();
    }
    assert_eq!(texts(&told(&driver, &MESSAGES, "s").await), [(1, "only")]);
    driver.commit(rewrite()).await.unwrap();
    assert_eq!(texts(&told(&driver, &MESSAGES, "s").await), [(1, "changed")]);
    assert!(driver.check().await.unwrap().is_sound());
}
