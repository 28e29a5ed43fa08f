//! Numbers and ids of entries.

use super::*;
use crate::driver::MAX_NUMBER;
use crate::driver::{Expect, Outcome};
use crate::schema::STREAMS;

fn numbers(committed: &Committed) -> Vec<Vec<u64>> {
    let of = |outcome: &Outcome| match outcome {
        Outcome::Appended { numbers } => numbers.clone(),
        _ => Vec::new(),
    };
    committed.outcomes.iter().map(of).collect()
}

async fn bodies(memory: &Memory, of: &str) -> Vec<(u64, String)> {
    let entries = entries(memory, of).await;
    entries.into_iter().map(|entry| (entry.number, entry.body.to_string())).collect()
}

fn starting(to: &str, start: u64, entries: &[&str]) -> Operation {
    Operation::Append(Append { start: Some(start), ..append(to, entries, Known::Refuse) })
}

#[tokio::test]
async fn known_entries_are_answered_and_nothing_is_done() {
    let memory = memory();
    commit(&memory, [add("s", &["a=1", "b=2", "=3"])]).await.unwrap();
    let before = dump(&memory);
    let operations = [put(thing("x"), "{}"), add_or_answer("s", &["b=2", "a=1", "b=2"])];
    let committed = commit(&memory, operations).await.unwrap();
    assert!(committed.replayed);
    assert_eq!(
        committed.outcomes,
        [Outcome::LeftOut, Outcome::Appended { numbers: vec![2, 1, 2] }]
    );
    assert_eq!(dump(&memory), before);
}

#[tokio::test]
async fn a_batch_is_left_out_when_all_its_appends_are_known() {
    let memory = memory();
    commit(&memory, [add("s", &["a=1"]), add("t", &["=0", "b=2"])]).await.unwrap();
    let before = dump(&memory);
    let a = || add_or_answer("s", &["a=1"]);
    let all = [a(), add("s", &["=1"]), add_or_answer("t", &["b=2"]), drop_stream("s")];
    let committed = commit(&memory, all).await.unwrap();
    assert!(committed.replayed);
    assert_eq!(numbers(&committed), [vec![1], vec![], vec![2], vec![]]);
    assert_eq!(committed.outcomes[1], Outcome::LeftOut);
    assert_eq!(dump(&memory), before);
    // An acknowledged entry must be there: one that is new is not left out with the others.
    let new = || add_or_answer("u", &["new=1"]);
    for some in [[a(), new()], [new(), a()]] {
        assert_eq!(refused(&memory, some).await, Kind::AlreadyExists);
    }
    let other = || add_or_answer("t", &["b=5"]);
    for some in [[a(), other()], [other(), a()], [new(), other()], [other(), new()]] {
        assert_eq!(refused(&memory, some).await, Kind::IdempotencyConflict);
    }
}

#[tokio::test]
async fn other_ids_are_refused() {
    let memory = memory();
    commit(&memory, [add("s", &["a=1", "b=2"])]).await.unwrap();
    let cases = [
        (add("s", &["a=1"]), Kind::AlreadyExists),
        (add("s", &["c=1", "c=1"]), Kind::AlreadyExists),
        (add_or_answer("s", &["c=1", "c=1"]), Kind::AlreadyExists),
        (add_or_answer("s", &["a=2"]), Kind::IdempotencyConflict),
        (add_or_answer("s", &["c=1", "a=2"]), Kind::IdempotencyConflict),
        (add_or_answer("s", &["c=1", "a=1"]), Kind::AlreadyExists),
        (add_or_answer("s", &["a=1", "=1"]), Kind::AlreadyExists),
    ];
    for (operation, kind) in cases {
        assert_eq!(refused(&memory, [operation.clone()]).await, kind, "{operation:?}");
    }
    // An id that was trimmed away, or is of another stream, is free.
    commit(&memory, [trim("s", 2), add("s", &["a=9"]), add("t", &["b=9"])]).await.unwrap();
    assert_eq!(bodies(&memory, "s").await, [(2, "2".into()), (3, "9".into())]);
}

#[tokio::test]
async fn what_is_known_was_there_before_the_batch() {
    let memory = memory();
    for second in ["a=1", "a=2"] {
        let twice = [add_or_answer("s", &["a=1"]), add_or_answer("s", &[second])];
        assert_eq!(refused(&memory, twice).await, Kind::AlreadyExists);
    }
    commit(&memory, [add("s", &["a=1"])]).await.unwrap();
    let rewritten = [rewrite("s", 1, "2"), add_or_answer("s", &["a=2"])];
    assert_eq!(refused(&memory, rewritten).await, Kind::IdempotencyConflict);
    // It counts before any operation, also before one that could not be done again.
    let created = [save(name_of("n"), "{}", Save::Create), add_or_answer("s", &["a=1"])];
    assert!(commit(&memory, created).await.unwrap().replayed);
    let replaced = [drop_stream("s"), add_or_answer("s", &["a=1", "b=1"])];
    let committed = commit(&memory, replaced).await.unwrap();
    assert!(!committed.replayed);
    assert_eq!(numbers(&committed), [vec![], vec![1, 2]]);
    sound(&memory).await;
}

#[tokio::test]
async fn no_entries_are_not_known_entries() {
    let memory = memory();
    let committed = commit(&memory, [add_or_answer("s", &[])]).await.unwrap();
    assert!(!committed.replayed);
    let key = Key::new(&STREAMS, ["notes", "s"]).unwrap();
    let made = record(&memory, &key).await.unwrap();
    assert_eq!(
        made.body.raw_members(["first", "last", "count"]),
        [Some("1"), Some("0"), Some("0")]
    );
    // Nothing happens to the stream, so nothing is told of it.
    let again = [add_or_answer("s", &[]), put(thing("x"), "{}")];
    assert!(!commit(&memory, again).await.unwrap().replayed);
    assert_eq!(record(&memory, &key).await, Some(made));
}

#[tokio::test]
async fn imports_leave_gaps_and_never_go_back() {
    let memory = memory();
    commit(&memory, [starting("s", 5, &["a=5", "=6"])]).await.unwrap();
    for start in [0, 1, 5, 6] {
        assert_eq!(refused(&memory, [starting("s", start, &["=1"])]).await, Kind::Conflict);
    }
    commit(&memory, [starting("s", 10, &["b=10"]), add("s", &["=11"])]).await.unwrap();
    let found: Vec<u64> = bodies(&memory, "s").await.into_iter().map(|(n, _)| n).collect();
    assert_eq!(found, [5, 6, 10, 11]);
    let ids = ["b", "nope", "a"].map(|id| (stream("s"), EntryId::new(id).unwrap()));
    let read = Read { log: &NOTES, which: Which::Ids(ids.into()), reverse: false, limit: 9 };
    let found = memory.read(&space("n"), &read).await.unwrap().entries;
    assert_eq!(found.iter().map(|entry| entry.number).collect::<Vec<_>>(), [10, 5]);
    commit(&memory, [trim("s", 100)]).await.unwrap();
    assert_eq!(refused(&memory, [starting("s", 11, &["=1"])]).await, Kind::Conflict);
    let committed = commit(&memory, [add("s", &["=12"])]).await.unwrap();
    assert_eq!(numbers(&committed), [vec![12]]);
    sound(&memory).await;
}

#[tokio::test]
async fn numbers_end_before_they_overflow() {
    let memory = memory();
    for start in [MAX_NUMBER, MAX_NUMBER + 1, u64::MAX - 1, u64::MAX] {
        let entries = ["=1", "=2"];
        assert_eq!(refused(&memory, [starting("s", start, &entries)]).await, Kind::TooLarge);
    }
    commit(&memory, [starting("s", MAX_NUMBER, &["=1"])]).await.unwrap();
    assert_eq!(refused(&memory, [add("s", &["=2"])]).await, Kind::TooLarge);
    commit(&memory, [trim("s", u64::MAX)]).await.unwrap();
    assert_eq!(entries(&memory, "s").await, []);
    sound(&memory).await;
}

#[tokio::test]
async fn stretches_of_any_ends_are_read_both_ways() {
    let memory = memory();
    commit(&memory, [starting("s", 3, &["=3", "=4"]), starting("s", 8, &["=8"])]).await.unwrap();
    commit(&memory, [add("t", &["=1"])]).await.unwrap();
    let of = |name: &str, from, to| Stretch { stream: stream(name), from, to };
    let which = [of("s", 0, 3), of("t", 1, 1), of("no", 1, 9), of("s", 4, u64::MAX), of("s", 9, 1)];
    for (reverse, limit, numbers, more) in [
        (false, 9, vec![3, 1, 4, 8], false),
        (true, 9, vec![8, 4, 1, 3], false),
        (false, 4, vec![3, 1, 4, 8], false),
        (false, 3, vec![3, 1, 4], true),
        (true, 1, vec![8], true),
    ] {
        let read = Read { log: &NOTES, which: Which::Stretches(which.to_vec()), reverse, limit };
        let found = memory.read(&space("n"), &read).await.unwrap();
        assert_eq!(found.entries.iter().map(|e| e.number).collect::<Vec<_>>(), numbers);
        assert_eq!(found.more, more);
        let lasts: Vec<_> = found.heads.iter().map(|h| h.as_ref().map(|h| h.last)).collect();
        assert_eq!(lasts, [Some(8), Some(1), None, Some(8), Some(8)]);
    }
}

#[tokio::test]
async fn the_end_of_a_log_is_a_precondition() {
    let memory = memory();
    let ends = |last| {
        let mut batch = batch([add("s", &["=1"])]);
        batch.expect(Expect::LogEnds(&NOTES, stream("s"), last));
        batch
    };
    assert!(memory.commit(ends(0)).await.is_ok());
    let error = memory.commit(ends(0)).await.unwrap_err();
    assert_eq!((error.kind(), error.expectation()), (Kind::Conflict, Some(0)));
    commit(&memory, [trim("s", 9)]).await.unwrap();
    assert!(memory.commit(ends(1)).await.is_ok());
    commit(&memory, [drop_stream("s")]).await.unwrap();
    assert!(memory.commit(ends(0)).await.is_ok());
}
