//! A replica that takes over while messages are written: the old master is left, nothing acknowledged
//! is lost or there twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentkeep::{Kind, Store};
use redis::Connection;

use crate::moving::{more, subscriber, writer};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::{named, nameless, opened, prepared, said};

fn at(server: &Server) -> Connection {
    redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap()
}

fn port(server: &Server) -> &str {
    server.url.rsplit_once(':').unwrap().1
}

fn role(server: &Server) -> String {
    let said: redis::Value = redis::cmd("ROLE").query(&mut at(server)).unwrap();
    let redis::Value::Array(said) = said else { panic!("{said:?}") };
    redis::from_redis_value_ref(&said[0]).unwrap()
}

/// Makes one server follow the other, and waits until it has all.
fn follow(replica: &Server, master: &Server) {
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("SET").arg("repl-diskless-sync-delay").arg(0).exec(&mut at(master)).unwrap();
    let mut cmd = redis::cmd("REPLICAOF");
    cmd.arg("127.0.0.1").arg(port(master)).exec(&mut at(replica)).unwrap();
    let acknowledged: u64 = redis::cmd("WAIT").arg(1).arg(0).query(&mut at(master)).unwrap();
    assert_eq!(acknowledged, 1);
}

/// The roles change without a loss, as the server's own command does it.
fn fail_over(from: &Server, to: &Server) {
    let mut cmd = redis::cmd("FAILOVER");
    cmd.arg("TO").arg("127.0.0.1").arg(port(to)).exec(&mut at(from)).unwrap();
    // There is nothing that could be waited for.
    while role(to) != "master" || role(from) != "slave" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let acknowledged: u64 = redis::cmd("WAIT").arg(1).arg(0).query(&mut at(to)).unwrap();
    assert_eq!(acknowledged, 1);
}

const TIMES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_in_the_middle_of_writes_loses_and_doubles_nothing() {
    needs!(Single, "failover::a_failover_in_the_middle_of_writes_loses_and_doubles_nothing");
    let servers = [Server::start("redis", "first"), Server::start("redis", "second")];
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", port(&servers[0]), port(&servers[1]));
    let url = format!("redis://:tests@{hosts}?timeout=30");
    let servers = Arc::new(servers);
    let store = prepared(&url).await;
    store.sessions().save(agentkeep::Session::new("nameless", "i", "c").unwrap()).await.unwrap();
    let following = Arc::clone(&servers);
    tokio::task::spawn_blocking(move || follow(&following[1], &following[0])).await.unwrap();
    let other = Store::open(&url).await.unwrap();
    let subscribed = tokio::spawn(subscriber(other.clone()));
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
    for time in 0..TIMES {
        more(&done, 20).await;
        let servers = Arc::clone(&servers);
        let change = move || fail_over(&servers[time % 2], &servers[(time + 1) % 2]);
        tokio::task::spawn_blocking(change).await.unwrap();
        more(&done, 20).await;
        more(&sure, 5).await;
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    store.messages("s").add(named("end")).await.unwrap();
    let seen = subscribed.await.unwrap();
    let mut acknowledged = done.lock().unwrap().clone();
    acknowledged.push("end".to_owned());
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    let there = said(&store, "s").await;
    assert_eq!(seen, there, "the subscriber has a gap");
    assert_eq!(sorted(there), sorted(acknowledged), "lost or doubled");
    let (there, sure) = (said(&store, "nameless").await, sure.lock().unwrap().clone());
    assert_eq!(sorted(there), sorted(sure), "lost or doubled, without ids");
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    other.close().await.unwrap();
}

/// Who names one server alone is told what it has become, and goes on when it is the master again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_was_replaced_is_told_by_its_role() {
    needs!(Single, "failover::a_master_that_was_replaced_is_told_by_its_role");
    let (first, second) = (Server::start("redis", "alone"), Server::start("redis", "instead"));
    let store = prepared(&format!("{}?timeout=5", first.url)).await;
    store.messages("s").add(named("a")).await.unwrap();
    let reader = opened(&first.url).await;
    assert_eq!(said(&reader, "s").await, ["a"]);
    follow(&second, &first);
    fail_over(&first, &second);
    // A limit: who only reads does not meet what tells a writer.
    assert_eq!(said(&reader, "s").await, ["a"]);
    for _ in 0..3 {
        let error = store.messages("s").add(named("b")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
        assert!(error.to_string().contains("role is slave; needed: master"), "{error}");
    }
    let now = Store::open(&second.url).await.unwrap();
    assert_eq!(said(&now, "s").await, ["a"]);
    now.messages("s").add(named("c")).await.unwrap();
    now.close().await.unwrap();
    fail_over(&second, &first);
    store.messages("s").add(named("b")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["a", "c", "b"]);
    assert!(store.check().await.unwrap().is_sound());
}
