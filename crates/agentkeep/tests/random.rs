//! Random sequences of operations on each driver, beside the memory model: every answer must be
//! the same, and at the end the whole stores.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::ops::Bound;
use std::sync::Arc;

use agentkeep::conformance::{ALPHA, BETA, PAIRS, SCHEMA, THINGS, dump};
use agentkeep::driver::{
    Append, Batch, Blob, Driver, Durability, Expect, Find, Known, NewEntry, Operation, Outcome,
    Put, Read, Save, Stretch, Want, Which,
};
use agentkeep::drivers::memory::Memory;
use agentkeep::drivers::sql::sqlite::{Options, Sqlite};
use agentkeep::schema::{
    BLOBS, BY_KEY, EntryId, Key, Log, NAMESPACES, Namespace, OperationId, STREAMS, Stream, Turn,
    Value,
};
use agentkeep::{Error, Json};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// Sequences for each driver, and steps in each.
const CASES: u32 = 500;
const STEPS: usize = 50;

/// One step: plain data, so that a failing sequence is printed as it is and can be replayed.
#[derive(Debug, Clone)]
enum Step {
    Commit {
        namespace: u8,
        turn: Option<u8>,
        operation: Option<u8>,
        expect: Vec<Wish>,
        change: Vec<Change>,
    },
    Find {
        namespace: u8,
        index: u8,
        equal: Vec<u8>,
        range: (u8, u8, u8),
        reverse: bool,
        limit: u8,
    },
    Read {
        namespace: u8,
        stretches: Vec<(u8, u8, u8)>,
        reverse: bool,
        limit: u8,
    },
    Ids {
        namespace: u8,
        ids: Vec<(u8, u8)>,
        reverse: bool,
        limit: u8,
    },
    Turn {
        namespace: u8,
        turn: u8,
        limit: u8,
    },
    Get {
        namespace: u8,
        keys: Vec<u8>,
        blobs: Vec<u8>,
    },
}

#[derive(Debug, Clone)]
enum Wish {
    Absent(u8),
    Exists(u8),
    Version(u8, u8),
    Ends(u8, u8),
    NoRecord(u8, u8),
    Blob(u8),
}

#[derive(Debug, Clone)]
enum Change {
    Put {
        key: u8,
        kind: u8,
        rank: u8,
        tags: Vec<u8>,
        refs: Vec<u8>,
        save: Option<u8>,
    },
    Delete(u8),
    Append {
        stream: u8,
        entries: Vec<(Option<u8>, u8, Option<u8>)>,
        answer: bool,
        start: Option<u8>,
    },
    Trim(u8, u8),
    Rewrite(u8, u8, u8, Option<u8>),
    Drop(u8),
    PutBlob(u8),
    DropBlob(u8),
    Name(Option<u8>),
}

fn small() -> impl Strategy<Value = u8> {
    0..4_u8
}

fn change() -> impl Strategy<Value = Change> {
    let entry = (proptest::option::of(0..5_u8), 0..3_u8, proptest::option::weighted(0.2, 0..3_u8));
    prop_oneof![
        4 => (0..6_u8, 0..3_u8, 0..9_u8, vec(0..3_u8, 0..3), vec(0..3_u8, 0..2), proptest::option::weighted(0.3, 0..5_u8))
            .prop_map(|(key, kind, rank, tags, refs, save)| Change::Put { key, kind, rank, tags, refs, save }),
        2 => (0..6_u8).prop_map(Change::Delete),
        5 => (small(), vec(entry, 0..4), any::<bool>(), proptest::option::weighted(0.1, 0..12_u8))
            .prop_map(|(stream, entries, answer, start)| Change::Append { stream, entries, answer, start }),
        1 => (small(), 0..8_u8).prop_map(|(stream, before)| Change::Trim(stream, before)),
        1 => (small(), 0..8_u8, 0..9_u8, proptest::option::of(0..3_u8))
            .prop_map(|(stream, number, body, blob)| Change::Rewrite(stream, number, body, blob)),
        1 => small().prop_map(Change::Drop),
        2 => (0..3_u8).prop_map(Change::PutBlob),
        1 => (0..3_u8).prop_map(Change::DropBlob),
        1 => proptest::option::of(0..3_u8).prop_map(Change::Name),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        (0..6_u8).prop_map(Wish::Absent),
        (0..6_u8).prop_map(Wish::Exists),
        (0..6_u8, 0..4_u8).prop_map(|(key, version)| Wish::Version(key, version)),
        (small(), 0..4_u8).prop_map(|(stream, last)| Wish::Ends(stream, last)),
        (0..3_u8, 0..3_u8).prop_map(|(index, value)| Wish::NoRecord(index, value)),
        (0..3_u8).prop_map(Wish::Blob),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let limit = select(vec![1_u8, 2, 3, 100]);
    prop_oneof![
        8 => (0..3_u8, proptest::option::of(0..3_u8), proptest::option::weighted(0.2, 0..4_u8), vec(wish(), 0..2), vec(change(), 0..4))
            .prop_map(|(namespace, turn, operation, expect, change)| Step::Commit { namespace, turn, operation, expect, change }),
        2 => (0..3_u8, 0..6_u8, vec(0..9_u8, 0..3), (0..3_u8, 0..9_u8, 0..9_u8), any::<bool>(), limit.clone())
            .prop_map(|(namespace, index, equal, range, reverse, limit)| Step::Find { namespace, index, equal, range, reverse, limit }),
        2 => (0..3_u8, vec((small(), 0..8_u8, 0..10_u8), 0..4), any::<bool>(), limit.clone())
            .prop_map(|(namespace, stretches, reverse, limit)| Step::Read { namespace, stretches, reverse, limit }),
        1 => (0..3_u8, vec((small(), 0..5_u8), 0..4), any::<bool>(), limit.clone())
            .prop_map(|(namespace, ids, reverse, limit)| Step::Ids { namespace, ids, reverse, limit }),
        1 => (0..3_u8, 0..3_u8, limit).prop_map(|(namespace, turn, limit)| Step::Turn { namespace, turn, limit }),
        1 => (0..3_u8, vec(0..7_u8, 0..4), vec(0..3_u8, 0..3))
            .prop_map(|(namespace, keys, blobs)| Step::Get { namespace, keys, blobs }),
    ]
}

/// Ranks of every type, several of them equal.
const RANKS: [&str; 9] =
    ["null", "false", "true", "-1.5", "1", "1.0", "9e99", "\"a\"", "\"a\\u0000\""];
const KINDS: [&str; 3] = ["\"k\"", "\"l\"", "null"];

/// Turns plain numbers into what drivers take. `round` keeps the namespaces of sequences apart.
struct Words<'a> {
    round: &'a str,
}

impl Words<'_> {
    fn namespace(&self, n: u8) -> Namespace {
        Namespace::new(&format!("{}{n}", self.round)).unwrap()
    }

    fn key(n: u8) -> Key {
        match n {
            0..4 => Key::new(&THINGS, [&*format!("t{n}")]).unwrap(),
            4 => Key::new(&PAIRS, ["p", ""]).unwrap(),
            _ => Key::new(&PAIRS, ["p", "q"]).unwrap(),
        }
    }

    fn stream(n: u8) -> (&'static Log, Stream) {
        let log = if n == 3 { &BETA } else { &ALPHA };
        (log, Stream::new(["s", "t", "u", "s"][usize::from(n)]).unwrap())
    }

    fn blob(n: u8) -> Blob {
        Blob::new(vec![n; 3])
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn value(n: u8) -> Value {
        Value::of_json(RANKS[usize::from(n)])
    }

    fn wish(wish: &Wish) -> Expect {
        match *wish {
            Wish::Absent(key) => Expect::Absent(Self::key(key)),
            Wish::Exists(key) => Expect::Exists(Self::key(key)),
            Wish::Version(key, version) => Expect::Version(Self::key(key), u64::from(version)),
            Wish::Ends(stream, last) => {
                let (log, stream) = Self::stream(stream);
                Expect::LogEnds(log, stream, u64::from(last))
            }
            Wish::NoRecord(index, value) => {
                let (name, value) = match index {
                    0 => ("by_kind", Value::of_json(KINDS[usize::from(value)])),
                    1 => ("by_tag", Value::integer(i64::from(value))),
                    _ => ("by_rank_down", Self::value(value * 3)),
                };
                Expect::NoRecord(&THINGS, THINGS.index(name).unwrap(), value)
            }
            Wish::Blob(blob) => Expect::BlobPresent(Self::blob(blob).hash()),
        }
    }

    fn change(&self, namespace: u8, change: &Change) -> Operation {
        let hashes = |refs: &[u8]| refs.iter().map(|n| Self::blob(*n).hash()).collect();
        match change {
            Change::Put { key, kind, rank, tags, refs, save } => {
                let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
                let body = format!(
                    r#"{{"kind":{},"deep":{{"rank":{}}},"tags":[{}]}}"#,
                    KINDS[usize::from(*kind)],
                    RANKS[usize::from(*rank)],
                    tags.join(",")
                );
                let save = match save {
                    None => Save::Any,
                    Some(0) => Save::Create,
                    Some(version) => Save::At(u64::from(*version)),
                };
                let put = Put::new(Self::key(*key), Self::json(&body), save).unwrap();
                Operation::Put(Put { refs: hashes(refs), ..put })
            }
            Change::Delete(key) => Operation::Delete(Self::key(*key)),
            Change::Append { stream, entries, answer, start } => {
                let (log, stream) = Self::stream(*stream);
                let entry = |(id, body, blob): &(Option<u8>, u8, Option<u8>)| NewEntry {
                    id: id.map(|id| EntryId::new(&format!("e{id}")).unwrap()),
                    body: Self::json(&body.to_string()),
                    refs: hashes(&blob.iter().copied().collect::<Vec<_>>()),
                };
                let entries = entries.iter().map(entry).collect();
                let known = if *answer { Known::Answer } else { Known::Refuse };
                Operation::Append(Append {
                    log,
                    stream,
                    entries,
                    known,
                    start: start.map(u64::from),
                })
            }
            Change::Trim(stream, before) => {
                let (log, stream) = Self::stream(*stream);
                Operation::Trim { log, stream, before: u64::from(*before) }
            }
            Change::Rewrite(stream, number, body, blob) => {
                let ((log, stream), number) = (Self::stream(*stream), u64::from(*number));
                let body = Self::json(&format!("[{body}]"));
                let refs = hashes(&blob.iter().copied().collect::<Vec<_>>());
                Operation::Rewrite { log, stream, number, body, refs }
            }
            Change::Drop(stream) => {
                let (log, stream) = Self::stream(*stream);
                Operation::Drop { log, stream }
            }
            Change::PutBlob(blob) => Operation::PutBlob(Self::blob(*blob)),
            Change::DropBlob(blob) => Operation::DropBlob(Self::blob(*blob).hash()),
            Change::Name(body) => {
                let name = self.namespace(namespace);
                let key = Key::new(&NAMESPACES, [name.as_str()]).unwrap();
                match body {
                    None => Operation::Delete(key),
                    Some(n) => {
                        let body = Self::json(&format!(r#"{{"n":{n}}}"#));
                        Operation::Put(Put::new(key, body, Save::Any).unwrap())
                    }
                }
            }
        }
    }
}

/// The answer as text, without what may differ between two equal stores.
fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?} at {:?}", error.kind(), error.expectation()),
    }
}

async fn answer(driver: &dyn Driver, words: &Words<'_>, step: &Step) -> String {
    match step {
        Step::Commit { namespace, turn, operation, expect, change } => {
            let mut batch = Batch::new(words.namespace(*namespace));
            batch.turn = turn.map(|n| Turn::new(&format!("turn{n}")).unwrap());
            batch.operation = operation.map(|n| OperationId::new(&format!("op{n}")).unwrap());
            batch.expect = expect.iter().map(Words::wish).collect();
            batch.operations = change.iter().map(|c| words.change(*namespace, c)).collect();
            let committed = driver.commit(batch).await;
            shown::<(bool, Vec<Outcome>)>(committed.map(|c| (c.replayed, c.outcomes)))
        }
        Step::Find { namespace, index, equal, range, reverse, limit } => {
            let names = ["by_rank", "by_rank_down", "by_kind", "by_tag", "key", "turn"];
            let mut find = Find::by(&THINGS, names[usize::from(*index)]).unwrap();
            find.equal = equal.iter().map(|n| Words::value(*n)).collect();
            match (*index, find.equal.first_mut()) {
                (2, Some(first)) => *first = Value::of_json(KINDS[usize::from(equal[0] % 3)]),
                (3, Some(first)) => *first = Value::integer(i64::from(equal[0] % 3)),
                (5, Some(first)) => *first = Value::text(&format!("turn{}", equal[0] % 3)),
                _ => {}
            }
            let bound = |how: u8, n: u8| match how {
                0 => Bound::Unbounded,
                1 => Bound::Included(Words::value(n)),
                _ => Bound::Excluded(Words::value(n)),
            };
            find.range = (bound(range.0, range.1), bound((range.0 + range.1) % 3, range.2));
            find.reverse = *reverse;
            find.limit = usize::from(*limit);
            pages(driver, &words.namespace(*namespace), find).await
        }
        Step::Read { namespace, stretches, reverse, limit } => {
            let stretch = |&(stream, from, len): &(u8, u8, u8)| Stretch {
                stream: Words::stream(stream).1,
                from: u64::from(from),
                to: if len == 9 { u64::MAX } else { u64::from(from + len).saturating_sub(1) },
            };
            let which = Which::Stretches(stretches.iter().map(stretch).collect());
            read(driver, &words.namespace(*namespace), which, *reverse, *limit).await
        }
        Step::Ids { namespace, ids, reverse, limit } => {
            let id = |&(stream, id): &(u8, u8)| {
                (Words::stream(stream).1, EntryId::new(&format!("e{id}")).unwrap())
            };
            let which = Which::Ids(ids.iter().map(id).collect());
            read(driver, &words.namespace(*namespace), which, *reverse, *limit).await
        }
        Step::Turn { namespace, turn, limit } => {
            let which = Which::Turn(Turn::new(&format!("turn{turn}")).unwrap());
            read(driver, &words.namespace(*namespace), which, false, *limit).await
        }
        Step::Get { namespace, keys, blobs } => {
            let space = words.namespace(*namespace);
            let name = Key::new(&NAMESPACES, [space.as_str()]).unwrap();
            let key = |n: &u8| if *n == 6 { name.clone() } else { Words::key(*n) };
            let keys: Vec<Key> = keys.iter().map(key).collect();
            let hashes: Vec<_> = blobs.iter().map(|n| Words::blob(*n).hash()).collect();
            let records = shown(driver.get(&space, &keys).await);
            let blobs = shown(driver.blobs(&space, &hashes, Want::Bytes).await);
            format!("{records} {blobs}")
        }
    }
}

async fn pages(driver: &dyn Driver, namespace: &Namespace, mut find: Find) -> String {
    let mut seen = Vec::new();
    loop {
        match driver.find(namespace, &find).await {
            Ok(page) => {
                seen.push(format!("{:?}", page.records));
                match page.next {
                    Some(next) => find.after = Some(next),
                    None => return seen.join(" | "),
                }
            }
            Err(error) => return format!("{:?}", error.kind()),
        }
    }
}

async fn read(
    driver: &dyn Driver,
    namespace: &Namespace,
    which: Which,
    reverse: bool,
    limit: u8,
) -> String {
    let read = Read { log: &ALPHA, which, reverse, limit: usize::from(limit) };
    let result = driver.read(namespace, &read).await.map(|entries| {
        let shown = entries.entries.into_iter().map(|e| {
            let rewritten = e.rewritten.is_some();
            format!(
                "{} {} {:?} {} {:?} {rewritten} {:?}",
                e.stream, e.number, e.id, e.body, e.turn, e.refs
            )
        });
        let heads: Vec<_> = entries
            .heads
            .into_iter()
            .map(|head| head.map(|h| (h.first, h.last, h.count, h.bytes)))
            .collect();
        (shown.collect::<Vec<_>>(), heads, entries.more)
    });
    shown(result)
}

async fn whole(driver: &dyn Driver, words: &Words<'_>) -> String {
    let mut out = String::new();
    for n in 0..3 {
        let namespace = words.namespace(n);
        out.push_str(&dump(driver, &SCHEMA, &namespace).await.unwrap());
        for table in [&STREAMS, &BLOBS] {
            let found = driver.find(&namespace, &Find::new(table, &BY_KEY)).await.unwrap();
            out.extend([table.name, " ", &found.records.len().to_string(), "\n"]);
        }
    }
    out
}

async fn compare(driver: &dyn Driver, round: &str, steps: &[Step]) -> Result<(), TestCaseError> {
    let memory = Memory::open(&SCHEMA);
    let words = Words { round };
    for (i, step) in steps.iter().enumerate() {
        let expected = answer(&memory, &words, step).await;
        let seen = answer(driver, &words, step).await;
        prop_assert_eq!(seen, expected, "step {} {:?}", i, step);
    }
    let (seen, expected) = (whole(driver, &words).await, whole(&memory, &words).await);
    prop_assert_eq!(seen, expected, "the stores at the end");
    let report = memory.check().await.unwrap();
    prop_assert!(report.is_sound(), "{:?}", report);
    Ok(())
}

/// Runs sequences; a store serves several of them, each in namespaces of its own.
fn run(open: impl Fn(&std::path::Path) -> Arc<dyn Driver>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let folder = tempfile::tempdir().unwrap();
    let rounds = std::cell::Cell::new(0_u32);
    let store = std::cell::RefCell::new(None::<Arc<dyn Driver>>);
    let result = TestRunner::new(config).run(&vec(step(), STEPS), |steps| {
        let round = rounds.get();
        rounds.set(round + 1);
        if round.is_multiple_of(25) {
            if let Some(old) = store.borrow_mut().take() {
                let report = runtime.block_on(old.check()).unwrap();
                prop_assert!(report.is_sound(), "{:?}", report);
                runtime.block_on(old.close()).unwrap();
            }
            *store.borrow_mut() = Some(open(&folder.path().join(format!("{round}.db"))));
        }
        let driver = store.borrow().clone().unwrap();
        runtime.block_on(compare(&*driver, &format!("r{round}-"), &steps))
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn sqlite_answers_as_memory_does() {
    run(|path| {
        let options = Options { durability: Durability::None, ..Options::default() };
        let open = Sqlite::open(&SCHEMA, path, options);
        Arc::new(tokio::runtime::Handle::current().block_on(open).unwrap())
    });
}
