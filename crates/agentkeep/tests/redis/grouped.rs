//! Callers that share a call: one refused is nothing to its neighbours, and what is written is what
//! each would have written alone.

use std::collections::BTreeMap;

use agentkeep::driver::{
    Append, Batch, Committed, Driver as _, Expect, Known, NewEntry, Operation, Outcome, Read,
    Reader as _, Stretch, Which,
};
use agentkeep::drivers::redis::{Options, Redis};
use agentkeep::schema::{
    AGENTKEEP, CONTAINERS, EVENTS, EntryId, Key, Log, MESSAGES, Namespace, Stream, Turn,
};
use agentkeep::{Error, Json, Kind};

use crate::fixture::{Form, Place, keys};
use crate::needs;

pub(crate) async fn open(url: &str) -> Redis {
    Redis::open(&AGENTKEEP, Options::from_url(url).unwrap()).await.unwrap()
}

pub(crate) fn stream(name: &str) -> Stream {
    Stream::new(name).unwrap()
}

pub(crate) fn batch(operation: Operation) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    batch.push(operation);
    batch
}

pub(crate) fn append(log: &'static Log, to: &str, entries: &[(&str, &str)]) -> Batch {
    let entry = |(id, text): &(&str, &str)| NewEntry {
        id: (!id.is_empty()).then(|| EntryId::new(id).unwrap()),
        body: Json::string(text),
        refs: Vec::new(),
    };
    batch(Operation::Append(Append {
        log,
        stream: stream(to),
        entries: entries.iter().map(entry).collect(),
        known: Known::Answer,
        start: None,
    }))
}

/// One message; without an id if that is empty.
pub(crate) fn add(to: &str, id: &str, text: &str) -> Batch {
    append(&MESSAGES, to, &[(id, text)])
}

pub(crate) fn turned(mut batch: Batch, turn: &str) -> Batch {
    batch.turn = Some(Turn::new(turn).unwrap());
    batch
}

/// All at once: on one thread the first goes alone, and the others together.
pub(crate) async fn together(driver: &Redis, batches: Vec<Batch>) -> Vec<Result<Committed, Error>> {
    let all = batches.into_iter().map(|batch| driver.commit(batch));
    futures_util::future::join_all(all).await
}

/// Makes streams that the driver then knows to be there.
pub(crate) async fn warm(driver: &Redis, streams: &[&str]) {
    for stream in streams {
        driver.commit(add(stream, "first", "first")).await.unwrap();
    }
    // The server knows both scripts now.
    for _ in 0..2 {
        driver.commit(add("warm", "", "warm")).await.unwrap();
    }
}

pub(crate) fn numbers(answer: &Result<Committed, Error>) -> Vec<u64> {
    match answer.as_ref().unwrap().outcomes.as_slice() {
        [Outcome::Appended { numbers }] => numbers.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn kinds(answers: &[Result<Committed, Error>]) -> Vec<Option<Kind>> {
    answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect()
}

/// The numbers and texts of a stream.
pub(crate) async fn told(driver: &Redis, log: &'static Log, of: &str) -> Vec<(u64, String)> {
    let which = Which::Stretches(vec![Stretch { stream: stream(of), from: 1, to: u64::MAX }]);
    let read = Read { log, which, reverse: false, limit: 1000 };
    let read = driver.read(&Namespace::default(), &read).await.unwrap();
    read.entries.iter().map(|entry| (entry.number, entry.body.to_text().unwrap())).collect()
}

pub(crate) fn texts(of: &[(u64, String)]) -> Vec<(u64, &str)> {
    of.iter().map(|(number, text)| (*number, text.as_str())).collect()
}

async fn neighbours_of_one_refused(form: Form) {
    let place = Place::new(form);
    let (driver, other) = (open(&place.url()).await, open(&place.url()).await);
    warm(&driver, &["a", "b", "dropped", "emptied"]).await;
    let dropped = Operation::Drop { log: &MESSAGES, stream: stream("dropped") };
    other.commit(batch(dropped)).await.unwrap();
    let emptied = Operation::Trim { log: &MESSAGES, stream: stream("emptied"), before: 9 };
    other.commit(batch(emptied)).await.unwrap();
    let container = Key::new(&CONTAINERS, ["c"]).unwrap();
    let mut wrong = add("a", "3", "wrong");
    wrong.expect(Expect::Absent(container.clone())).expect(Expect::Version(container.clone(), 7));
    let mut right = add("a", "4", "right");
    right.expect(Expect::Absent(container.clone())).expect(Expect::Version(container.clone(), 0));
    let mut missing = add("b", "", "missing");
    missing.expect(Expect::Exists(container));
    let before = driver.sent();
    let answers = together(
        &driver,
        vec![
            add("a", "1", "one"),
            add("a", "2", "two"),
            wrong,
            right,
            missing,
            add("a", "first", "first"),
            add("a", "first", "another"),
            append(&MESSAGES, "b", &[("1", "one"), ("2", "two")]),
            append(&MESSAGES, "b", &[("3", "three"), ("2", "two")]),
            add("dropped", "1", "again"),
            add("emptied", "1", "again"),
            turned(add("b", "", "turned"), "turn"),
            add("b", "", "nameless"),
        ],
    )
    .await;
    let expected = [
        None,
        None,
        Some(Kind::Conflict),
        None,
        Some(Kind::NotFound),
        None,
        Some(Kind::IdempotencyConflict),
        None,
        Some(Kind::AlreadyExists),
        None,
        None,
        None,
        None,
    ];
    assert_eq!(kinds(&answers), expected);
    assert_eq!(answers[2].as_ref().unwrap_err().expectation(), Some(1));
    assert_eq!(answers[4].as_ref().unwrap_err().expectation(), Some(0));
    // One alone, one for all others, one more for each that was left.
    assert_eq!(driver.sent() - before, 2 + 6);
    let replayed: Vec<bool> = answers.iter().flatten().map(|done| done.replayed).collect();
    assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 1);
    assert_eq!(numbers(&answers[5]), [1]);
    let expected = [(1, "first"), (2, "one"), (3, "two"), (4, "right")];
    assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), expected);
    assert_eq!([0, 1, 3].map(|i| numbers(&answers[i])), [[2], [3], [4]]);
    let expected = [(1, "first"), (2, "one"), (3, "two"), (4, "nameless"), (5, "turned")];
    let found = told(&driver, &MESSAGES, "b").await;
    assert_eq!(texts(&found), expected);
    assert_eq!(numbers(&answers[7]), [2, 3]);
    assert_eq!(texts(&told(&driver, &MESSAGES, "dropped").await), [(1, "again")]);
    assert_eq!(texts(&told(&driver, &MESSAGES, "emptied").await), [(2, "again")]);
    assert_eq!(numbers(&answers[10]), [2]);
    let turn = Which::Turn(Turn::new("turn").unwrap());
    let read = Read { log: &MESSAGES, which: turn, reverse: false, limit: 10 };
    let found = driver.read(&Namespace::default(), &read).await.unwrap();
    assert_eq!(vec![found.entries[0].number], numbers(&answers[11]));
    assert!(driver.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn one_refused_is_nothing_to_its_neighbours() {
    needs!(Single, "grouped::one_refused_is_nothing_to_its_neighbours");
    neighbours_of_one_refused(Form::Single).await;
}

#[tokio::test]
async fn one_refused_is_nothing_to_its_neighbours_in_a_cluster() {
    needs!(Cluster, "grouped::one_refused_is_nothing_to_its_neighbours_in_a_cluster");
    neighbours_of_one_refused(Form::Cluster).await;
}

#[tokio::test]
async fn an_id_given_twice_within_a_group_is_there_once() {
    needs!(Single, "grouped::an_id_given_twice_within_a_group_is_there_once");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    warm(&driver, &["a", "b"]).await;
    let answers = together(
        &driver,
        vec![
            add("b", "x", "first of all"),
            add("a", "x", "one"),
            add("a", "x", "one"),
            add("a", "x", "two"),
            append(&MESSAGES, "a", &[("y", "three"), ("y", "three")]),
            append(&MESSAGES, "a", &[("y", "three"), ("z", "four")]),
        ],
    )
    .await;
    let expected = [None, None, None, Some(Kind::IdempotencyConflict), None, None];
    assert_eq!(kinds(&answers), expected);
    // What is for the commit script comes after its neighbours.
    assert_eq!((numbers(&answers[4]), numbers(&answers[5])), (vec![3, 3], vec![3, 4]));
    assert_eq!((numbers(&answers[1]), numbers(&answers[2])), (vec![2], vec![2]));
    assert!(answers[2].as_ref().unwrap().replayed);
    let expected = [(1, "first"), (2, "one"), (3, "three"), (4, "four")];
    assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), expected);
    assert!(driver.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_batch_that_repeats_its_own_id_is_one_call() {
    needs!(Single, "grouped::a_batch_that_repeats_its_own_id_is_one_call");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    warm(&driver, &["a"]).await;
    let before = driver.sent();
    let twice = append(&MESSAGES, "a", &[("x", "one"), ("x", "one")]);
    let error = driver.commit(twice).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    assert_eq!(driver.sent() - before, 1);
    assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), [(1, "first")]);
}

#[tokio::test]
async fn many_callers_share_few_calls() {
    needs!(Single, "grouped::many_callers_share_few_calls");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    let names: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
    warm(&driver, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let before = driver.sent();
    let all = (0..257).map(|n| add(&names[n % 100], &n.to_string(), &n.to_string()));
    let answers = together(&driver, all.collect()).await;
    assert_eq!(driver.sent() - before, 3);
    for (n, answer) in answers.iter().enumerate() {
        let stream = told(&driver, &MESSAGES, &names[n % 100]).await;
        let found = stream.iter().find(|(_, text)| *text == n.to_string()).unwrap();
        assert_eq!(numbers(answer), [found.0]);
    }
    // Much at once is more calls, and each is whole.
    let entries: Vec<(String, String)> =
        (0..1500).map(|n| (format!("many {n}"), n.to_string())).collect();
    let entries: Vec<(&str, &str)> =
        entries.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    let all = (0..4).map(|n| append(&MESSAGES, &names[n], &entries));
    for answer in together(&driver, all.collect()).await {
        let numbers = numbers(&answer);
        assert_eq!(numbers.len(), 1500);
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]));
    }
    assert!(driver.check().await.unwrap().is_sound());
}

/// All that is kept, without times and birth tokens.
pub(crate) fn kept(place: &Place) -> BTreeMap<String, Vec<String>> {
    let mut client = crate::plain();
    let mut all = BTreeMap::new();
    for key in keys(&mut client, &place.base) {
        let key = String::from_utf8(key).unwrap();
        let name = key.strip_prefix(&place.base).unwrap().to_owned();
        let kind: String = redis::cmd("TYPE").arg(&key).query(&mut client).unwrap();
        let mut cmd = redis::cmd(if kind == "hash" { "HGETALL" } else { "ZRANGE" });
        cmd.arg(&key);
        if kind != "hash" {
            cmd.arg(0).arg(-1);
        }
        let values: Vec<Vec<u8>> = cmd.query(&mut client).unwrap();
        let mut values: Vec<String> =
            values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        if name.contains(":entries:") {
            for value in &mut values {
                let (_, rest) = value.split_once('\u{1f}').unwrap();
                let (rewritten, rest) = rest.split_once('\u{1f}').unwrap();
                let rewritten = if rewritten.is_empty() { "" } else { "TIME" };
                *value = format!("{}TIME|{rewritten}|{rest}", &value[..19]);
            }
        }
        if name.ends_with("records:_streams") {
            for value in values.iter_mut().skip(1).step_by(2) {
                let mut parts: Vec<&str> = value.split('\u{1f}').collect();
                (parts[0], parts[5]) = ("BIRTH", "TIME");
                *value = parts.join("|");
            }
        }
        let mut pairs: Vec<String> = match kind.as_str() {
            "hash" => values.chunks(2).map(|pair| pair.join(" = ")).collect(),
            _ => values,
        };
        pairs.sort();
        if !name.contains(":calls:") && !name.ends_with(":store") {
            all.insert(name, pairs);
        }
    }
    all
}

#[tokio::test]
async fn what_is_written_together_is_what_each_would_have_written() {
    needs!(Single, "grouped::what_is_written_together_is_what_each_would_have_written");
    let batches = || {
        let turned =
            |log, to: &str| turned(append(log, to, &[("t", "turned"), ("", "too")]), "t\"\\");
        vec![
            add("a", "1", "one"),
            add("a", "2", "two\nlines \u{1} \"quoted\" ü"),
            append(&MESSAGES, "b", &[("1", "one"), ("", "nameless"), ("3", "")]),
            append(&EVENTS, "a", &[("", "event")]),
            turned(&MESSAGES, "a"),
            turned(&EVENTS, "a"),
            add("a", "", "after"),
            turned(&MESSAGES, "b"),
        ]
    };
    let (place, alone) = (Place::new(Form::Single), Place::new(Form::Single));
    let driver = open(&place.url()).await;
    let start = |driver| async move {
        warm(driver, &["a", "b"]).await;
        driver.commit(append(&EVENTS, "a", &[("first", "first")])).await.unwrap();
    };
    start(&driver).await;
    let before = driver.sent();
    let answers = together(&driver, batches()).await;
    assert_eq!(kinds(&answers), [None; 8]);
    assert_eq!(driver.sent() - before, 2);
    // A process that has seen no stream takes the commit script.
    start(&open(&alone.url()).await).await;
    let mut order: Vec<(usize, Batch)> = batches().into_iter().enumerate().collect();
    order.sort_by_key(|(n, _)| numbers(&answers[*n])[0]);
    for (n, batch) in order {
        let answer = open(&alone.url()).await.commit(batch).await;
        assert_eq!(numbers(&answer), numbers(&answers[n]));
    }
    assert_eq!(kept(&place), kept(&alone));
    assert!(driver.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn numbers_go_on_where_halves_overflow_and_end_where_they_end() {
    needs!(Single, "grouped::numbers_go_on_where_halves_overflow_and_end_where_they_end");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    let last = agentkeep::driver::MAX_NUMBER;
    for (start, given) in [
        (999_999_997, 6),
        (1_000_000_000, 6),
        (9_007_199_254_740_990, 6),
        (8_999_999_999_999_999_998, 6),
        (last - 3, 3),
    ] {
        let name = start.to_string();
        let mut first = add(&name, "", "0");
        if let Some(Operation::Append(append)) = first.operations.first_mut() {
            append.start = Some(start);
        }
        driver.commit(first).await.unwrap();
        let all = (1..=6).map(|n| add(&name, "", &n.to_string()));
        let answers = together(&driver, all.collect()).await;
        let mut found: Vec<u64> = answers.iter().filter(|a| a.is_ok()).flat_map(numbers).collect();
        found.sort_unstable();
        assert_eq!(found, (start + 1..=start + given).collect::<Vec<_>>());
        let full = kinds(&answers).into_iter().flatten();
        assert!(full.into_iter().all(|kind| kind == Kind::TooLarge));
        let there = told(&driver, &MESSAGES, &name).await;
        assert_eq!(there.len() as u64, 1 + given);
        assert_eq!(there.last().unwrap().0, start + given);
    }
    assert!(driver.check().await.unwrap().is_sound());
}

/// What somebody put in the place of a key meets those alone who need it.
#[tokio::test]
async fn a_key_of_another_kind_stops_nobody_else() {
    needs!(Single, "grouped::a_key_of_another_kind_stops_nobody_else");
    for of in ["entries:messages:bad", "ids:messages:bad", "turns:messages"] {
        let place = Place::new(Form::Single);
        let driver = open(&place.url()).await;
        warm(&driver, &["a", "bad", "c"]).await;
        let key = format!("{}:{{default}}:{of}", place.base);
        redis::cmd("SET").arg(&key).arg("x").exec(&mut crate::plain()).unwrap();
        let all = vec![
            add("a", "1", "one"),
            add("a", "2", "two"),
            turned(add("bad", "1", "one"), "turn"),
            add("c", "1", "one"),
            add("a", "3", "three"),
        ];
        let answers = together(&driver, all).await;
        assert_eq!(kinds(&answers), [None, None, Some(Kind::Corrupt), None, None], "{of}");
        let expected = [(1, "first"), (2, "one"), (3, "two"), (4, "three")];
        assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), expected, "{of}");
        assert_eq!(texts(&told(&driver, &MESSAGES, "c").await), [(1, "first"), (2, "one")], "{of}");
        redis::cmd("DEL").arg(&key).exec(&mut crate::plain()).unwrap();
        if of.starts_with("turns") {
            // Nothing is there of what was refused.
            assert!(driver.check().await.unwrap().is_sound(), "{of}");
        }
    }
}
