//! Entries for streams that are there: what is committed most, and has ways of its own.

use std::sync::Arc;

use agentkeep::driver::{
    Append, Batch, Committed, Driver as _, Entries, Expect, Known, NewEntry, Operation, Outcome,
    Put, Read, Reader as _, Save, Stretch, Which,
};
use agentkeep::drivers::sql::postgres::{Options, Postgres};
use agentkeep::schema::{AGENTKEEP, CONTAINERS, EntryId, Key, MESSAGES, Namespace, Stream};
use agentkeep::{Error, Json, Kind};

use crate::fixture::Place;
use crate::servers::{nameless, prepared};
use crate::{needs_server, plain};

async fn open(place: &Place) -> Arc<Postgres> {
    let options = Options::from_url(&place.url()).unwrap();
    Arc::new(Postgres::open(&AGENTKEEP, options).await.unwrap())
}

fn entry(id: Option<&str>, body: &str) -> NewEntry {
    let id = id.map(|id| EntryId::new(id).unwrap());
    NewEntry { id, body: Json::string(body), refs: Vec::new() }
}

fn add(stream: &str, entries: Vec<NewEntry>, known: Known) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    let stream = Stream::new(stream).unwrap();
    batch.push(Operation::Append(Append { log: &MESSAGES, stream, entries, known, start: None }));
    batch
}

fn container(id: &str) -> Key {
    Key::new(&CONTAINERS, [id]).unwrap()
}

fn save(id: &str, save: Save) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    let body = Json::parse("{}").unwrap();
    batch.push(Operation::Put(Put::new(container(id), body, save).unwrap()));
    batch
}

fn numbers(committed: Result<Committed, Error>) -> Vec<u64> {
    match committed.unwrap().outcomes.as_slice() {
        [Outcome::Appended { numbers }] => numbers.clone(),
        other => panic!("{other:?}"),
    }
}

/// A store with a container and a stream that it knows.
async fn warm(place: &Place) -> Arc<Postgres> {
    let driver = open(place).await;
    driver.commit(save("c", Save::Any)).await.unwrap();
    for number in 1..=2 {
        let batch = add("s", vec![entry(None, "warm")], Known::Refuse);
        assert_eq!(numbers(driver.commit(batch).await), [number]);
    }
    driver
}

async fn read(driver: &Postgres, stream: &str) -> Entries {
    let stretch = Stretch { stream: Stream::new(stream).unwrap(), from: 1, to: u64::MAX };
    let which = Which::Stretches(vec![stretch]);
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 1_000 };
    driver.read(&Namespace::default(), &read).await.unwrap()
}

/// How many of the store's sessions at the server last did what these texts stand for.
async fn sessions(place: &Place, what: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentkeep' \
               AND query LIKE $1 AND query LIKE $2";
    let schema = format!("%{}%", place.schema);
    plain().await.query_one(sql, &[&schema, &what]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_message_alone_is_one_plain_statement() {
    needs_server!("appending::a_message_alone_is_one_plain_statement");
    let place = Place::new();
    let store = prepared(&format!("{}&pool=1", place.url())).await;
    for (text, like) in [("first", "%_commit_%"), ("second", "WITH h AS (UPDATE%")] {
        store.messages("s").add(nameless(text)).await.unwrap();
        assert_eq!(sessions(&place, like).await, 1, "{text}");
    }
}

/// The law of it all: what is expected is looked at once nobody can change it any more, and not as it
/// was when the statement was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_expected_is_looked_at_under_its_locks() {
    needs_server!("appending::what_is_expected_is_looked_at_under_its_locks");
    let place = Place::new();
    let (adding, saving) = (warm(&place).await, open(&place).await);
    let client = plain().await;
    for version in 1..=5 {
        // Somebody holds the record's row: who saves it waits there, and holds its lock.
        client.batch_execute("BEGIN").await.unwrap();
        let held = format!("SELECT * FROM \"{}\".containers FOR UPDATE", place.schema);
        client.batch_execute(&held).await.unwrap();
        let waiting = async |count: i64| {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND query LIKE $1";
            let schema = format!("%{}%", place.schema);
            let client = plain().await;
            while client.query_one(sql, &[&schema]).await.unwrap().get::<_, i64>(0) < count {
                tokio::task::yield_now().await;
            }
        };
        let driver = Arc::clone(&saving);
        let saved = tokio::spawn(async move { driver.commit(save("c", Save::At(version))).await });
        waiting(1).await;
        let with = |version| {
            let mut batch = add("s", vec![entry(None, "expecting")], Known::Refuse);
            batch.expect(Expect::Version(container("c"), version));
            batch
        };
        let (driver, batch) = (Arc::clone(&adding), with(version));
        let added = tokio::spawn(async move { driver.commit(batch).await });
        waiting(2).await;
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(saved.await.unwrap().unwrap().outcomes, [Outcome::Put { version: version + 1 }]);
        let error = added.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.expectation()), (Kind::Conflict, Some(0)), "{error:?}");
        assert_eq!(numbers(adding.commit(with(version + 1)).await), [version + 2]);
    }
    assert!(adding.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn what_is_refused_or_known_is_answered_as_ever() {
    needs_server!("appending::what_is_refused_or_known_is_answered_as_ever");
    let place = Place::new();
    let driver = warm(&place).await;
    let one = |known| add("s", vec![entry(Some("x"), "x")], known);
    assert_eq!(numbers(driver.commit(one(Known::Answer)).await), [3]);
    let again = driver.commit(one(Known::Answer)).await;
    assert!(again.as_ref().unwrap().replayed);
    assert_eq!(numbers(again), [3]);
    let error = driver.commit(one(Known::Refuse)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    let other = add("s", vec![entry(Some("x"), "another")], Known::Answer);
    let error = driver.commit(other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict, "{error}");
    // Past those that go to the commit function at once.
    for number in 4..40 {
        let batch = add("s", vec![entry(None, "next")], Known::Refuse);
        assert_eq!(numbers(driver.commit(batch).await), [number]);
    }
    let cases = [
        (Expect::Exists(container("c")), None),
        (Expect::Exists(container("d")), Some(Kind::NotFound)),
        (Expect::Absent(container("d")), None),
        (Expect::Absent(container("c")), Some(Kind::AlreadyExists)),
        (Expect::Version(container("c"), 1), None),
        (Expect::Version(container("c"), 2), Some(Kind::Conflict)),
    ];
    for (expect, refused) in cases {
        let mut batch = add("s", vec![entry(None, "expecting")], Known::Refuse);
        batch.expect(expect.clone());
        let before = read(&driver, "s").await.entries.len();
        let done = driver.commit(batch).await;
        assert_eq!(done.err().map(|error| error.kind()), refused, "{expect:?}");
        let after = read(&driver, "s").await.entries.len();
        assert_eq!(after - before, usize::from(refused.is_none()), "{expect:?}");
    }
    assert!(driver.check().await.unwrap().is_sound());
}

/// As in a store whose owner took them away.
#[tokio::test]
async fn without_the_types_of_locks_appends_go_on() {
    needs_server!("appending::without_the_types_of_locks_appends_go_on");
    let place = Place::new();
    let driver = open(&place).await;
    let sql = format!("DROP DOMAIN \"{0}\"._lock_shared, \"{0}\"._lock_own", place.schema);
    plain().await.batch_execute(&sql).await.unwrap();
    for number in 1..=25 {
        let batch = add("s", vec![entry(None, "next")], Known::Refuse);
        assert_eq!(numbers(driver.commit(batch).await), [number]);
    }
    assert_eq!(read(&driver, "s").await.entries.len(), 25);
}

/// Those who come together share a call, whatever stream each is for and however much each brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_of_many_streams_find_their_own() {
    needs_server!("appending::entries_of_many_streams_find_their_own");
    let place = Place::new();
    let driver = open(&place).await;
    let mut expected = vec![0; 40];
    for round in 0..6 {
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let driver = Arc::clone(&driver);
                let count = (n + round) % 4 + 1;
                tokio::spawn(async move {
                    let name = format!("s{n}");
                    let body = |i: usize| entry(None, &format!("{name} {round} {i}"));
                    let batch = add(&name, (0..count).map(body).collect(), Known::Refuse);
                    numbers(driver.commit(batch).await)
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let before: u64 = expected[n];
            expected[n] += ((n + round) % 4 + 1) as u64;
            let numbers: Vec<u64> = (before + 1..=expected[n]).collect();
            assert_eq!(task.await.unwrap(), numbers, "stream {n}, round {round}");
        }
    }
    for n in 0..40 {
        let bodies = (0..6).flat_map(|round| {
            (0..=(n + round) % 4).map(move |i| Json::string(&format!("s{n} {round} {i}")))
        });
        let entries = read(&driver, &format!("s{n}")).await.entries;
        let found: Vec<Json> = entries.into_iter().map(|entry| entry.body).collect();
        assert_eq!(found, bodies.collect::<Vec<_>>());
    }
    assert!(driver.check().await.unwrap().is_sound());
}
