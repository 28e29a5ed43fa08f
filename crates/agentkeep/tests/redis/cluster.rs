//! A cluster: where keys lie, and that a store is whole there.

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
use crate::needs;
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
fn batch(namespace: &str) -> Batch {
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
