//! All or nothing, in order; versions, preconditions and operation ids.

use super::*;
use crate::driver::{Expect, Outcome};
use crate::schema::{BY_KEY, BY_TURN, OperationId, STREAMS, Turn, Value};

/// A store with something of everything.
async fn filled() -> Memory {
    let memory = memory();
    let turn = Turn::new("t1").unwrap();
    let mut first = batch([
        Operation::PutBlob(blob("used")),
        Operation::PutBlob(blob("idle")),
        put_with(thing("refers"), &[&blob("used"), &blob("used")]),
        put(thing("x"), r#"{"a":1,"deep":{"b":"z"},"tags":["p","q"]}"#),
        put(thing("gone"), "{}"),
        add("s", &["a=1", "b=2", "=3", "c=4"]),
        add("t", &["a=1"]),
    ]);
    first.turn = Some(turn);
    memory.commit(first).await.unwrap();
    commit(&memory, [Operation::Delete(thing("gone"))]).await.unwrap();
    memory
}

/// Every kind of change, several of them of one thing.
fn everything() -> Vec<Operation> {
    let mut entry = append("s", &["e=5"], Known::Refuse);
    entry.entries[0].refs = vec![hash_of("idle"), hash_of("new")];
    vec![
        Operation::PutBlob(blob("new")),
        put_with(thing("refers"), &[&blob("new"), &blob("idle")]),
        put(thing("x"), r#"{"a":"other","tags":["q",1]}"#),
        put(thing("made"), r#"{"a":null}"#),
        Operation::Append(entry),
        rewrite("s", 5, r#""again""#),
        rewrite("s", 2, r#""shorter""#),
        trim("s", 3),
        add("s", &["b=2"]),
        drop_stream("t"),
        Operation::DropBlob(hash_of("used")),
        Operation::PutBlob(blob("used")),
        add("t", &["a=7"]),
        add("u", &["a=1"]),
        put(name_of("n"), r#"{"title":"mine"}"#),
        Operation::Delete(thing("x2")),
    ]
}

#[tokio::test]
async fn a_commit_refused_anywhere_changes_nothing() {
    let fail: [(Operation, Kind); 9] = [
        (save(thing("refers"), "{}", Save::At(99)), Kind::Conflict),
        (put_with(thing("new"), &[&blob("missing")]), Kind::NotFound),
        (add("s", &["fine=1", "c=1"]), Kind::AlreadyExists),
        (add_or_answer("s", &["c=0"]), Kind::IdempotencyConflict),
        (trim("missing", 1), Kind::NotFound),
        (rewrite("s", 99, "1"), Kind::NotFound),
        (Operation::DropBlob(hash_of("held")), Kind::Conflict),
        (Operation::Drop { log: &ELSEWHERE, stream: stream("s") }, Kind::InvalidInput),
        (put(name_of("other"), "{}"), Kind::InvalidInput),
    ];
    for (operation, kind) in fail {
        let memory = filled().await;
        let holder = [Operation::PutBlob(blob("held")), put_with(thing("h"), &[&blob("held")])];
        commit(&memory, holder).await.unwrap();
        for length in 0..=everything().len() {
            let mut operations = everything();
            operations.truncate(length);
            operations.retain(|o| !same_record(o, &operation));
            operations.push(operation.clone());
            assert_eq!(refused(&memory, operations).await, kind, "{operation:?} after {length}");
        }
        sound(&memory).await;
        commit(&memory, everything()).await.unwrap();
        sound(&memory).await;
    }
}

/// A batch may not write one record twice.
fn same_record(a: &Operation, b: &Operation) -> bool {
    matches!((a, b), (Operation::Put(a), Operation::Put(b)) if a.key == b.key)
}

#[tokio::test]
async fn operations_take_effect_in_order() {
    let memory = filled().await;
    commit(&memory, everything()).await.unwrap();
    let found = entries(&memory, "s").await;
    let found: Vec<_> = found.iter().map(|e| (e.number, e.body.as_str(), e.id.as_ref())).collect();
    let id = |id: &str| EntryId::new(id).unwrap();
    let (c, e, b) = (id("c"), id("e"), id("b"));
    assert_eq!(
        found,
        [(3, "3", None), (4, "4", Some(&c)), (5, r#""again""#, Some(&e)), (6, "2", Some(&b))]
    );
    assert_eq!(entries(&memory, "t").await[0].body.as_str(), "7");
    assert_eq!(
        refused(&memory, [put_with(thing("y"), &[&blob("y")]), { Operation::PutBlob(blob("y")) }])
            .await,
        Kind::NotFound
    );
}

#[tokio::test]
async fn entries_keep_their_time_and_turn_when_they_are_rewritten() {
    let memory = filled().await;
    let old = entries(&memory, "s").await.remove(0);
    let mut batch = batch([rewrite("s", 1, "[]")]);
    batch.turn = Some(Turn::new("t2").unwrap());
    let time = memory.commit(batch).await.unwrap().time;
    let new = entries(&memory, "s").await.remove(0);
    assert_eq!(new, Entry { body: json("[]"), rewritten: Some(time), ..old });
    let of = |turn: &str| Read {
        log: &NOTES,
        which: Which::Turn(Turn::new(turn).unwrap()),
        reverse: true,
        limit: 3,
    };
    let found = memory.read(&space("n"), &of("t1")).await.unwrap();
    let found: Vec<_> = found.entries.iter().map(|e| (e.stream.as_str(), e.number)).collect();
    assert_eq!(found, [("t", 1), ("s", 4), ("s", 3)]);
    assert!(memory.read(&space("n"), &of("t1")).await.unwrap().more);
    assert_eq!(memory.read(&space("n"), &of("t2")).await.unwrap().entries, []);
}

#[tokio::test]
async fn a_record_made_anew_is_above_every_deleted_one() {
    let memory = memory();
    for _ in 0..3 {
        commit(&memory, [put(thing("a"), "{}")]).await.unwrap();
    }
    commit(&memory, [put(thing("b"), "{}")]).await.unwrap();
    assert_eq!((version(&memory, &thing("a")).await, version(&memory, &thing("b")).await), (3, 1));
    commit(&memory, [Operation::Delete(thing("a"))]).await.unwrap();
    let outcomes = commit(&memory, [put(thing("a"), "{}"), put(thing("c"), "{}")]).await.unwrap();
    assert_eq!(outcomes.outcomes, [Outcome::Put { version: 4 }, Outcome::Put { version: 4 }]);
    commit(&memory, [put(thing("b"), "{}")]).await.unwrap();
    assert_eq!(version(&memory, &thing("b")).await, 2);
    // Of a stream dropped and made again at once, too; streams count for themselves.
    let record = Key::new(&STREAMS, ["notes", "s"]).unwrap();
    commit(&memory, [add("s", &["=1"])]).await.unwrap();
    commit(&memory, [put(thing("c"), "{}"), put(thing("b"), "{}")]).await.unwrap();
    commit(&memory, [Operation::Delete(thing("c"))]).await.unwrap();
    commit(&memory, [drop_stream("s"), add("s", &["=1"])]).await.unwrap();
    assert_eq!(version(&memory, &record).await, 2);
}

#[tokio::test]
async fn save_modes_say_over_what() {
    let memory = memory();
    let at = |version| [save(thing("a"), "{}", Save::At(version))];
    let create = || [save(thing("a"), "{}", Save::Create)];
    assert_eq!(refused(&memory, at(1)).await, Kind::Conflict);
    commit(&memory, create()).await.unwrap();
    assert_eq!(refused(&memory, create()).await, Kind::AlreadyExists);
    assert_eq!(refused(&memory, at(2)).await, Kind::Conflict);
    assert_eq!(refused(&memory, at(0)).await, Kind::Conflict);
    commit(&memory, at(1)).await.unwrap();
    assert_eq!(version(&memory, &thing("a")).await, 2);
}

#[tokio::test]
async fn preconditions_see_the_state_before_and_say_which_failed() {
    let up_down = THINGS.index("up_down").unwrap();
    let by_tag = THINGS.index("by_tag").unwrap();
    let none = |index, value| Expect::NoRecord(&THINGS, index, value);
    let cases = [
        (Expect::Absent(thing("x")), Some(Kind::AlreadyExists)),
        (Expect::Absent(thing("y")), None),
        (Expect::Exists(thing("x")), None),
        (Expect::Exists(thing("y")), Some(Kind::NotFound)),
        (Expect::Version(thing("x"), 1), None),
        (Expect::Version(thing("x"), 2), Some(Kind::Conflict)),
        (Expect::Version(thing("y"), 0), None),
        (Expect::LogEnds(&NOTES, stream("s"), 4), None),
        (Expect::LogEnds(&NOTES, stream("s"), 0), Some(Kind::Conflict)),
        (Expect::LogEnds(&NOTES, stream("u"), 0), None),
        (Expect::LogEnds(&ELSEWHERE, stream("u"), 0), Some(Kind::InvalidInput)),
        (none(up_down, Value::integer(1)), Some(Kind::Conflict)),
        (none(up_down, Value::text("1")), None),
        (none(by_tag, Value::text("q")), Some(Kind::Conflict)),
        (none(by_tag, Value::text("qq")), None),
        (none(&BY_TURN, Value::text("t1")), Some(Kind::Conflict)),
        (none(&BY_TURN, Value::text("t")), None),
        (none(&BY_KEY, Value::text("k")), Some(Kind::InvalidInput)),
        (Expect::BlobPresent(hash_of("idle")), None),
        (Expect::BlobPresent(hash_of("new")), Some(Kind::NotFound)),
    ];
    for (expect, kind) in cases {
        let memory = filled().await;
        let mut batch = batch(everything());
        batch.expect(Expect::Exists(name_of("n"))).expect(expect.clone());
        let before = dump(&memory);
        match (memory.commit(batch).await, kind) {
            (Ok(_), None) => {}
            (Err(error), Some(kind)) => {
                assert_eq!((error.kind(), error.expectation()), (kind, Some(1)), "{expect:?}");
                assert_eq!(dump(&memory), before);
            }
            (result, _) => panic!("{expect:?} gave {result:?}"),
        }
    }
}

#[tokio::test]
async fn an_operation_id_is_done_once() {
    let memory = memory();
    let under = |id: &str, body: &str| Batch {
        operation: Some(OperationId::new(id).unwrap()),
        ..batch([add("s", &[body]), put(thing("a"), body.trim_start_matches('='))])
    };
    let first = memory.commit(under("1", "=1")).await.unwrap();
    memory.commit(under("2", "=2")).await.unwrap();
    let before = dump(&memory);
    let mut again = under("1", "=1");
    again.expect(Expect::Absent(thing("a")));
    let replayed = memory.commit(again).await.unwrap();
    assert_eq!(replayed, Committed { replayed: true, ..first });
    let error = memory.commit(under("1", "=2")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict);
    assert_eq!(dump(&memory), before);
    // An id of a refused commit is free; that of another namespace is another.
    let refused = Batch { operations: vec![trim("no", 1)], ..under("3", "=3") };
    assert!(memory.commit(refused).await.is_err());
    assert!(!memory.commit(under("3", "=3")).await.unwrap().replayed);
    let other = Batch { namespace: space("m"), ..under("1", "=9") };
    assert!(!memory.commit(other).await.unwrap().replayed);
}
