//! A cluster: where keys lie, and that a store is whole there.

use std::sync::atomic::Ordering;

use agentkeep::driver::{
    Append, Batch, Blob, Driver as _, Expect, Known, NewEntry, Operation, Put, Save,
};
use agentkeep::drivers::redis::{Options, Redis};
use agentkeep::schema::{
    AGENTKEEP, CONTAINERS, EntryId, IMAGES, Key, MESSAGES, NAMESPACES, Namespace, OperationId,
    Stream, Turn,
};
use agentkeep::{Json, Kind, Store};

use crate::fixture::{Form, Place, keys, nodes};
use crate::grouped::{add, open, texts, told, warm};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::proxy::{Proxy, Way};
use crate::servers::{named, prepared, said};

/// As the cluster's specification says: CRC-16 of what stands in the first braces.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let length = key[open + 1..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open + 1..open + 1 + length])
    });
    let mut crc = 0u16;
    for byte in tag.unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % 16384
}

#[test]
fn slots_are_those_of_the_specification() {
    assert_eq!(slot(b"123456789"), 0x31c3);
    assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
    assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
    assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
}

/// Everything that a commit can do, in one.
pub(crate) fn batch(namespace: &str) -> Batch {
    let mut batch = Batch::new(Namespace::new(namespace).unwrap());
    batch.operation = Some(OperationId::new("{op}").unwrap());
    batch.turn = Some(Turn::new("}turn{").unwrap());
    let stream = Stream::new("{stream}:{x}").unwrap();
    let own = Key::new(&NAMESPACES, [namespace]).unwrap();
    let image = Key::new(&IMAGES, ["{image}"]).unwrap();
    let blob = Blob::new(&b"{bytes}"[..]);
    batch.expect(Expect::Absent(image.clone())).expect(Expect::LogEnds(
        &MESSAGES,
        stream.clone(),
        0,
    ));
    batch.expect(Expect::Absent(own.clone()));
    let index = IMAGES.index("by_name").unwrap();
    batch.expect(Expect::NoRecord(&IMAGES, index, agentkeep::schema::Value::text("{n}")));
    let hash = blob.hash();
    batch.push(Operation::PutBlob(blob));
    let body = Json::parse(r#"{"name":"{n}","tags":["{t}","}"],"createdAt":1}"#).unwrap();
    let put = Put::new(image, body, Save::Create).unwrap();
    batch.push(Operation::Put(Put { refs: vec![hash], ..put }));
    batch.push(Operation::Put(Put::new(own, Json::parse("{}").unwrap(), Save::Create).unwrap()));
    let entry = NewEntry {
        id: Some(EntryId::new("{id}").unwrap()),
        body: Json::parse("1").unwrap(),
        refs: vec![hash],
    };
    batch.push(Operation::Append(Append {
        log: &MESSAGES,
        stream: stream.clone(),
        entries: vec![entry],
        known: Known::Answer,
        start: None,
    }));
    batch.push(Operation::Rewrite {
        log: &MESSAGES,
        stream,
        number: 1,
        body: Json::parse("2").unwrap(),
        refs: Vec::new(),
    });
    let gone = Stream::new("gone{").unwrap();
    batch.push(Operation::Drop { log: &MESSAGES, stream: gone });
    batch.push(Operation::Delete(Key::new(&CONTAINERS, ["{c}"]).unwrap()));
    batch.push(Operation::DropBlob(Blob::new(&b"other"[..]).hash()));
    batch
}

const HOSTILE: [&str; 8] = ["default", "{", "}", "{}", "a{b}c", "%7B", "a:b", "{x}"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_commit_have_one_slot() {
    needs!(Cluster, "cluster::all_keys_of_a_commit_have_one_slot");
    let place = Place::new(Form::Cluster);
    let driver = Redis::open(&AGENTKEEP, Options::from_url(&place.url()).unwrap()).await.unwrap();
    let mut slots = std::collections::BTreeSet::new();
    for namespace in HOSTILE {
        let keys = driver.keys_of(&batch(namespace)).unwrap();
        assert!(keys.len() > 20, "{keys:?}");
        let own: std::collections::BTreeSet<u16> =
            keys.iter().map(|key| slot(key.as_bytes())).collect();
        assert_eq!(own.len(), 1, "{keys:?}");
        slots.extend(own);
        driver.commit(batch(namespace)).await.unwrap();
    }
    assert_eq!(slots.len(), HOSTILE.len(), "namespaces share a slot by their escaping");
    // What is there names nothing else, and the nodes share it.
    let counts: Vec<usize> =
        nodes(Form::Cluster).iter_mut().map(|node| keys(node, &place.base).len()).collect();
    assert!(counts.iter().filter(|count| **count > 0).count() > 1, "{counts:?}");
    for mut node in nodes(Form::Cluster) {
        for key in keys(&mut node, &place.base) {
            let text = String::from_utf8_lossy(&key).into_owned();
            let of_store = [":store", ":namespaces"].iter().any(|end| text.ends_with(end));
            assert!(of_store || slots.contains(&slot(&key)), "{text}");
        }
    }
    assert!(driver.check().await.unwrap().is_sound());
    driver.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_namespace_is_no_condition() {
    needs!(Cluster, "cluster::another_namespace_is_no_condition");
    let place = Place::new(Form::Cluster);
    let driver = Redis::open(&AGENTKEEP, Options::from_url(&place.url()).unwrap()).await.unwrap();
    let mut batch = Batch::new(Namespace::new("a").unwrap());
    batch.expect(Expect::Absent(Key::new(&NAMESPACES, ["b"]).unwrap()));
    let error = driver.commit(batch).await.unwrap_err();
    assert_eq!((error.kind(), error.expectation()), (Kind::Unsupported, Some(0)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn namespaces_are_copied_and_exported_between_nodes() {
    needs!(Cluster, "cluster::namespaces_are_copied_and_exported_between_nodes");
    let place = Place::new(Form::Cluster);
    let store = prepared(&place.url()).await;
    for i in 0..50 {
        store.messages("s").add(named(&format!("m{i}"))).await.unwrap();
    }
    let expected = said(&store, "s").await;
    for to in ["copy-1", "copy-2", "copy-3", "copy-4"] {
        store.namespaces().fork("default", to).await.unwrap();
        let copy = store.namespace(to).unwrap();
        assert_eq!(said(&copy, "s").await, expected, "{to}");
    }
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    let again = Store::open(&place.url()).await.unwrap();
    assert_eq!(said(&again, "s").await, expected);
    again.close().await.unwrap();
}

/// How many calls of scripts came to the nodes.
fn calls(nodes: &mut [redis::Connection]) -> usize {
    let of_node = |node: &mut redis::Connection| {
        let said: String = redis::cmd("INFO").arg("commandstats").query(node).unwrap();
        let count = |line: &str| {
            let rest = line.strip_prefix("cmdstat_eval")?;
            let calls = rest.split_once("calls=")?.1.split_once(',')?.0;
            calls.parse::<usize>().ok()
        };
        said.lines().filter_map(count).sum::<usize>()
    };
    nodes.iter_mut().map(of_node).sum()
}

/// A node as `CLUSTER SLOTS` tells of it.
type Node = (String, u16, String, redis::Value);

/// Puts proxies before all nodes, and has the nodes tell everybody to come by them.
async fn behind_proxies(hosts: &str, nodes: &mut [redis::Connection]) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (host, node) in hosts.split(',').zip(&mut *nodes) {
        let proxy = Proxy::start(host.to_owned()).await;
        let mut cmd = redis::cmd("CONFIG");
        cmd.arg("SET").arg("cluster-announce-port").arg(proxy.port).exec(node).unwrap();
        proxies.push(proxy);
    }
    for node in nodes {
        // There is nothing that could be waited for.
        loop {
            let ranges: Vec<(u16, u16, Node)> =
                redis::cmd("CLUSTER").arg("SLOTS").query(node).unwrap();
            let told = |port| proxies.iter().any(|proxy| proxy.port == port);
            if ranges.iter().all(|(_, _, node)| told(node.1)) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    proxies
}

/// What the client sends again by itself could have happened before, and nobody would be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_sends_no_commit_again_by_itself() {
    needs!(Cluster, "cluster::the_client_sends_no_commit_again_by_itself");
    let server = Server::start("redis-cluster", "again");
    let (login, hosts) = server.url.rsplit_once('@').unwrap();
    let node = |host: &str| {
        redis::Client::open(format!("{login}@{host}")).unwrap().get_connection().unwrap()
    };
    let mut nodes: Vec<redis::Connection> = hosts.split(',').map(node).collect();
    let proxies = behind_proxies(hosts, &mut nodes).await;
    let driver = open(&format!("{login}@127.0.0.1:{}", proxies[0].port)).await;
    warm(&driver, &["a"]).await;
    let cuts = || proxies.iter().any(|proxy| proxy.counts.cuts.load(Ordering::SeqCst) > 0);
    let (sent, came) = (driver.sent(), calls(&mut nodes));
    for proxy in &proxies {
        proxy.counts.cut_after(Way::ToClient, 0);
    }
    let once = async {
        while !cuts() {
            tokio::task::yield_now().await;
        }
        for proxy in &proxies {
            proxy.counts.no_cut();
        }
    };
    let (answer, ()) = futures_util::future::join(driver.commit(add("a", "", "once")), once).await;
    answer.unwrap();
    let (sent, came) = (driver.sent() - sent, calls(&mut nodes) - came);
    assert!((2..=sent).contains(&came), "{came} calls came, {sent} were sent");
    assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), [(1, "first"), (2, "once")]);
    assert!(driver.check().await.unwrap().is_sound());
}
