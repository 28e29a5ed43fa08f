//! Snapshots, namespaces, blobs, the check, and the end.

use std::sync::Arc;

use super::*;
use crate::driver::{FoundBlob, Maintain, Snapshot, Usage, Want};
use crate::drivers::memory::State;
use crate::schema::{BLOBS, OperationId, STREAMS, Turn};

#[tokio::test]
async fn a_snapshot_stays_as_it_was() {
    let memory = memory();
    let (kept, late) = (blob("kept"), blob("late"));
    let start =
        [Operation::PutBlob(kept.clone()), put(thing("x"), r#"{"a":1}"#), add("s", &["a=1", "=2"])];
    commit(&memory, start).await.unwrap();
    let snapshot = memory.snapshot(&space("n")).await.unwrap();
    let shows = async || {
        let mut records = Vec::new();
        for table in [&THINGS, &STREAMS, &BLOBS, &NAMESPACES] {
            records.extend(all_records(&*snapshot, table).await);
        }
        let hashes = [kept.hash(), late.hash()];
        let blobs = snapshot.blobs(&space("n"), &hashes, Want::Bytes).await.unwrap();
        (entries(&*snapshot, "s").await, records, blobs)
    };
    let before = shows().await;
    for change in [
        vec![put(thing("x"), r#"{"a":2}"#), add("s", &["=3"]), Operation::PutBlob(late.clone())],
        vec![rewrite("s", 1, "0"), trim("s", 2), put(name_of("n"), r#"{"a":1}"#)],
        vec![drop_stream("s"), Operation::Delete(thing("x")), Operation::DropBlob(kept.hash())],
        vec![add("s", &["a=1"])],
        vec![Operation::DropBlob(late.hash()), drop_stream("s")],
        vec![Operation::Delete(name_of("n"))],
    ] {
        refused(&memory, change.iter().cloned().chain([trim("missing", 1)])).await;
        commit(&memory, change).await.unwrap();
        assert_eq!(shows().await, before);
        sound(&memory).await;
    }
    let other = snapshot.get(&space("m"), &[thing("x")]).await.unwrap_err();
    assert_eq!((other.kind(), other.driver()), (Kind::InvalidInput, Some("memory")));
    memory.close().await.unwrap();
    let after = snapshot.get(&space("n"), &[thing("x")]).await.unwrap_err();
    assert_eq!(after.kind(), Kind::Closed);
}

#[tokio::test]
async fn a_snapshot_of_what_does_not_exist_stays_empty() {
    let memory = memory();
    let snapshot = memory.snapshot(&space("n")).await.unwrap();
    commit(&memory, [put(thing("x"), "{}"), add("s", &["=1"])]).await.unwrap();
    assert_eq!(all_records(&*snapshot, &THINGS).await, []);
    assert_eq!(all_records(&*snapshot, &NAMESPACES).await, []);
    assert_eq!(entries(&*snapshot, "s").await, []);
}

#[tokio::test]
async fn a_namespace_has_a_record_from_its_first_thing_on() {
    let memory = memory();
    let name = name_of("n");
    let nothing = [Operation::Delete(thing("x")), drop_stream("s")];
    commit(&memory, nothing).await.unwrap();
    commit(&memory, []).await.unwrap();
    assert_eq!(version(&memory, &name).await, 0);
    for first in [put(thing("x"), "{}"), add("s", &[]), Operation::PutBlob(blob("x"))] {
        let (memory, turn) = (self::memory(), Turn::new("t").unwrap());
        memory.commit(Batch { turn: Some(turn.clone()), ..batch([first]) }).await.unwrap();
        let made = record(&memory, &name).await.unwrap();
        assert_eq!((made.body.as_str(), made.turn), ("{}", Some(turn)));
    }
    commit(&memory, [put(thing("x"), "{}"), save(name.clone(), r#"{"a":1}"#, Save::Create)])
        .await
        .unwrap();
    assert_eq!(record(&memory, &name).await.unwrap().body.as_str(), r#"{"a":1}"#);
    let elsewhere = memory.get(&space("m"), std::slice::from_ref(&name)).await.unwrap();
    assert_eq!(elsewhere, [record(&memory, &name).await]);
    assert_eq!(refused(&memory, [put(name_of("m"), "{}")]).await, Kind::InvalidInput);
    assert_eq!(refused(&memory, [Operation::Delete(name_of("m"))]).await, Kind::InvalidInput);
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_empty_and_leaves_nothing() {
    let memory = memory();
    let gone = || Operation::Delete(name_of("n"));
    let under = |id: &str, operations: Vec<Operation>| Batch {
        operation: Some(OperationId::new(id).unwrap()),
        ..batch(operations)
    };
    memory.commit(under("1", vec![put(thing("x"), "{}")])).await.unwrap();
    let holds = [put(thing("x"), "{}"), add("s", &[]), Operation::PutBlob(blob("b"))];
    let empties =
        [Operation::Delete(thing("x")), drop_stream("s"), Operation::DropBlob(hash_of("b"))];
    for (hold, empty) in holds.into_iter().zip(empties) {
        commit(&memory, [hold]).await.unwrap();
        assert_eq!(refused(&memory, [gone()]).await, Kind::Conflict);
        assert_eq!(refused(&memory, [gone(), empty.clone()]).await, Kind::Conflict);
        commit(&memory, [empty]).await.unwrap();
    }
    let last = vec![put(thing("y"), "{}"), add("s", &["=1"]), drop_stream("s")];
    commit(&memory, last).await.unwrap();
    let old = version(&memory, &thing("y")).await;
    let delete = under("2", vec![Operation::Delete(thing("y")), gone()]);
    memory.commit(delete.clone()).await.unwrap();
    assert_eq!(version(&memory, &name_of("n")).await, 0);
    assert!(memory.commit(delete).await.unwrap().replayed);
    // Neither the older operation id nor the versions went with the namespace.
    let before = under("1", vec![put(thing("x"), "{}")]);
    assert!(memory.commit(before).await.unwrap().replayed);
    commit(&memory, [put(thing("y"), "{}")]).await.unwrap();
    assert!(version(&memory, &thing("y")).await > old);
    assert_eq!(version(&memory, &name_of("n")).await, 2);
    sound(&memory).await;
}

#[tokio::test]
async fn a_namespace_deleted_and_used_in_one_commit_is_there() {
    let memory = memory();
    let operations = [Operation::Delete(name_of("n")), put(thing("x"), "{}")];
    commit(&memory, operations).await.unwrap();
    assert_eq!(version(&memory, &name_of("n")).await, 1);
    // What was made and went again before the record does not bring it back.
    let operations = [
        add("s", &["=1"]),
        drop_stream("s"),
        Operation::Delete(thing("x")),
        Operation::Delete(name_of("n")),
    ];
    commit(&memory, operations).await.unwrap();
    assert_eq!(version(&memory, &name_of("n")).await, 0);
    sound(&memory).await;
}

#[tokio::test]
async fn references_are_counted_once_for_each_holder() {
    let memory = memory();
    let b = blob("b");
    let told = async || {
        let key = Key::new(&BLOBS, [b.hash().to_hex().as_str()]).unwrap();
        record(&memory, &key).await.unwrap()
    };
    let entry = |to: &str, id: &str| {
        let mut append = append(to, &[id], Known::Refuse);
        append.entries[0].refs = vec![b.hash(), b.hash()];
        Operation::Append(append)
    };
    let time = commit(&memory, [Operation::PutBlob(b.clone())]).await.unwrap().time;
    assert_eq!(told().await.body.to_string(), body(&b, 0, Some(time)));
    let steps = [
        (put_with(thing("x"), &[&b, &b]), 1),
        (put_with(thing("x"), &[&b]), 1),
        (entry("s", "=1"), 2),
        (entry("s", "=2"), 3),
        (entry("t", "=1"), 4),
        (rewrite("s", 2, "0"), 3),
        (trim("s", 2), 2),
        (drop_stream("t"), 1),
        (put(thing("x"), "{}"), 0),
        (put_with(name_of("n"), &[&b]), 1),
        (put(name_of("n"), "{}"), 0),
        (put_with(thing("x"), &[&b]), 1),
    ];
    for (operation, references) in steps {
        let time = commit(&memory, [operation]).await.unwrap().time;
        let since = (references == 0).then_some(time);
        assert_eq!(told().await.body.to_string(), body(&b, references, since));
        sound(&memory).await;
    }
    assert_eq!(refused(&memory, [Operation::DropBlob(b.hash())]).await, Kind::Conflict);
    let drop = [Operation::Delete(thing("x")), Operation::DropBlob(b.hash())];
    commit(&memory, drop).await.unwrap();
    assert_eq!(all_records(&memory, &BLOBS).await, []);
}

fn body(blob: &Blob, references: u64, since: Option<i64>) -> String {
    let since = since.map(|since| format!(",\"unreferencedSince\":{since}")).unwrap_or_default();
    format!(r#"{{"hash":"{}","size":1,"references":{references}{since}}}"#, blob.hash())
}

#[tokio::test]
async fn a_blob_that_is_there_stays_as_it_is() {
    let memory = memory();
    let b = blob("b");
    commit(&memory, [Operation::PutBlob(b.clone())]).await.unwrap();
    let told = all_records(&memory, &BLOBS).await;
    commit(&memory, [Operation::PutBlob(b.clone())]).await.unwrap();
    assert_eq!(all_records(&memory, &BLOBS).await, told);
    let hashes = [b.hash(), hash_of("no"), b.hash()];
    let found = memory.blobs(&space("n"), &hashes, Want::Presence).await.unwrap();
    assert_eq!(found, [Some(FoundBlob::Present), None, Some(FoundBlob::Present)]);
    assert_eq!(memory.blobs(&space("m"), &hashes[..1], Want::Bytes).await.unwrap(), [None]);
}

#[tokio::test]
async fn the_check_finds_damage() {
    let harm: [fn(&mut State); 8] = [
        |state| stream_of(state).ids.clear(),
        |state| stream_of(state).head.bytes += 1,
        |state| drop(stream_of(state).entries.pop_front()),
        |state| Arc::make_mut(&mut space_of(state).turns).clear(),
        |state| {
            let blobs = Arc::make_mut(&mut space_of(state).blobs);
            for state in blobs.values_mut() {
                state.state.references += 1;
            }
        },
        |state| Arc::make_mut(&mut space_of(state).blobs).clear(),
        |state| {
            let rows = space_of(state).tables.get_mut(STREAMS.name).unwrap();
            Arc::make_mut(rows).set(&Key::new(&STREAMS, ["notes", "s"]).unwrap(), None);
        },
        |state| drop(Arc::make_mut(&mut state.names.rows).set(&name_of("n"), None)),
    ];
    for harm in harm {
        let memory = memory();
        let held = blob("held");
        let mut batch = batch([
            Operation::PutBlob(held.clone()),
            put_with(thing("x"), &[&held]),
            add("s", &["a=1", "=2"]),
        ]);
        batch.turn = Some(Turn::new("t").unwrap());
        memory.commit(batch).await.unwrap();
        let report = memory.check().await.unwrap();
        assert!(report.is_sound() && report.due.is_empty(), "{report:?}");
        assert_eq!((report.records, report.streams, report.entries, report.blobs), (1, 1, 2, 1));
        harm(&mut memory.state.write().unwrap());
        assert!(!memory.check().await.unwrap().is_sound());
    }
}

fn space_of(state: &mut State) -> &mut crate::drivers::memory::space::Space {
    Arc::make_mut(&mut state.namespaces.get_mut(&space("n")).unwrap().space)
}

fn stream_of(state: &mut State) -> &mut crate::drivers::memory::space::StreamState {
    let streams = Arc::make_mut(&mut space_of(state).streams);
    Arc::make_mut(streams.values_mut().next().unwrap())
}

#[tokio::test]
async fn an_index_that_disagrees_with_a_body_is_damage() {
    let memory = memory();
    let mut lie = Put::new(thing("x"), json(r#"{"a":1}"#), Save::Any).unwrap();
    lie.fields = THINGS.extract(&json(r#"{"a":2}"#)).unwrap();
    commit(&memory, [Operation::Put(lie)]).await.unwrap();
    let report = memory.check().await.unwrap();
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].place, r#""n" things "k" "x""#);
}

#[tokio::test]
async fn what_nothing_refers_to_is_due_and_counted() {
    let memory = memory();
    let operations = [
        Operation::PutBlob(blob("idle")),
        put(thing("x"), "{}"),
        add("s", &["=10", "=2"]),
        add("t", &[]),
    ];
    commit(&memory, operations).await.unwrap();
    assert_eq!(memory.check().await.unwrap().due.len(), 1);
    let usage = Usage {
        records: vec![("things".into(), 1)],
        logs: vec![("notes".into(), 2, 2, 3)],
        blobs: 1,
        blob_bytes: 4,
    };
    assert_eq!(memory.usage(&space("n")).await.unwrap(), usage);
    assert_eq!(memory.usage(&space("m")).await.unwrap().blobs, 0);
    assert_eq!((memory.upgrade().await.unwrap(), memory.compact().await.unwrap()), (3, 0));
}

#[tokio::test]
async fn nothing_answers_after_the_end() {
    let memory = memory();
    commit(&memory, [put(thing("x"), "{}")]).await.unwrap();
    let mut watch = memory.watch(&space("n"), &NOTES, None).await.unwrap();
    commit(&memory, [add("s", &["=1"])]).await.unwrap();
    assert!(watch.changed().await);
    assert_eq!(
        memory.watch(&space("n"), &ELSEWHERE, None).await.unwrap_err().kind(),
        Kind::InvalidInput
    );
    memory.close().await.unwrap();
    memory.close().await.unwrap();
    assert!(!watch.changed().await);
    let read = Read { log: &NOTES, which: Which::Ids(vec![]), reverse: false, limit: 1 };
    let n = space("n");
    let errors = [
        memory.get(&n, &[]).await.err(),
        memory.find(&n, &Find::by(&THINGS, "key").unwrap()).await.err(),
        memory.read(&n, &read).await.err(),
        memory.blobs(&n, &[], Want::Bytes).await.err(),
        commit(&memory, []).await.err(),
        memory.watch(&n, &NOTES, None).await.err(),
        memory.check().await.err(),
        memory.snapshot(&n).await.err(),
        memory.upgrade().await.err(),
        memory.compact().await.err(),
        memory.usage(&n).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!((error.kind(), error.driver()), (Kind::Closed, Some("memory")));
    }
    assert_eq!(memory.describe().format, 3);
}
