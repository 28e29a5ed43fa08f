//! Appends whose head the client knows from the last one: the server takes its word only while the
//! head is still what it was.

use agentkeep::Kind;
use agentkeep::driver::{Batch, Driver as _, Operation};
use agentkeep::drivers::redis::Redis;
use agentkeep::schema::{EVENTS, MESSAGES};

use crate::fixture::{Form, Place};
use crate::grouped::{
    add, append, batch, kept, kinds, numbers, open, stream, texts, together, told, turned, warm,
};
use crate::needs;
use crate::servers::own::Server;

/// How often the server was given an id that must not be there: only who knows the head does so.
fn taken(url: &str) -> u64 {
    let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
    let said: String = redis::cmd("INFO").arg("commandstats").query(&mut client).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("cmdstat_hsetnx:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn one_writer_knows_the_head_from_the_second_append_on() {
    needs!(Single, "heads::one_writer_knows_the_head_from_the_second_append_on");
    let server = Server::start("redis", "heads");
    let driver = open(&server.url).await;
    warm(&driver, &["a", "b"]).await;
    let names = ["a", "b"];
    for round in 0..100 {
        let all = names.map(|to| add(to, &round.to_string(), &round.to_string()));
        for (to, answer) in together(&driver, all.to_vec()).await.iter().enumerate() {
            assert_eq!(numbers(answer), [round + 2], "{}", names[to]);
        }
    }
    assert_eq!(taken(&server.url), 2 * 99);
    for to in names {
        let read = told(&driver, &MESSAGES, to).await;
        assert!(read.iter().map(|(number, _)| *number).eq(1..=101), "{read:?}");
    }
    let ids = "agentkeep:{default}:ids:messages:a";
    let mut client = redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap();
    let kind: String = redis::cmd("OBJECT").arg("ENCODING").arg(ids).query(&mut client).unwrap();
    assert_eq!(kind, "hashtable", "ids are looked for in a list");
    let count: u64 = redis::cmd("HLEN").arg(ids).query(&mut client).unwrap();
    assert_eq!(count, 101);
    assert!(driver.check().await.unwrap().is_sound());
}

/// What others do to a stream between two appends of one who knows its head.
fn others() -> Vec<(&'static str, Vec<Batch>)> {
    let trim = |before| batch(Operation::Trim { log: &MESSAGES, stream: stream("a"), before });
    let drop = || batch(Operation::Drop { log: &MESSAGES, stream: stream("a") });
    let rewrite = Operation::Rewrite {
        log: &MESSAGES,
        stream: stream("a"),
        number: 2,
        body: agentkeep::Json::string("changed"),
        refs: Vec::new(),
    };
    vec![
        ("nothing", vec![]),
        ("an append", vec![add("a", "other", "other")]),
        ("an append of two", vec![append(&MESSAGES, "a", &[("x", "one"), ("", "two")])]),
        ("an append in a turn", vec![turned(add("a", "turned", "turned"), "turn")]),
        ("an append elsewhere", vec![append(&EVENTS, "a", &[("", "event")]), add("b", "", "b")]),
        ("a trim", vec![trim(2)]),
        ("a trim of all", vec![trim(1000)]),
        ("a rewrite", vec![batch(rewrite)]),
        ("a drop", vec![drop()]),
        ("another stream of that name", vec![drop(), add("a", "first", "again")]),
        (
            "one that is as long",
            vec![drop(), add("a", "first", "first"), add("a", "1", "one"), add("a", "2", "two")],
        ),
    ]
}

/// Who knows heads writes what one writes who does not.
#[tokio::test]
async fn whatever_others_do_what_is_known_does_no_harm() {
    needs!(Single, "heads::whatever_others_do_what_is_known_does_no_harm");
    for (what, others) in others() {
        let mut found = Vec::new();
        for knows in [true, false] {
            let place = Place::new(Form::Single);
            let url = place.url();
            let (driver, other) = (open(&url).await, open(&url).await);
            let commit = |batch: Batch| {
                let (driver, url) = (&driver, &url);
                async move {
                    let fresh = open(url).await;
                    let answer = if knows { driver } else { &fresh }.commit(batch).await;
                    answer.map(|committed| committed.outcomes).map_err(|error| error.kind())
                }
            };
            let mut answers = Vec::new();
            for (id, text) in [("first", "first"), ("1", "one"), ("2", "two")] {
                answers.push(commit(add("a", id, text)).await);
            }
            for batch in others.clone() {
                other.commit(batch).await.unwrap();
            }
            for (id, text) in [("3", "three"), ("4", "four"), ("2", "two"), ("3", "other")] {
                answers.push(commit(add("a", id, text)).await);
            }
            answers.push(commit(add("a", "", "nameless")).await);
            answers.push(commit(turned(add("a", "5", "five"), "turn")).await);
            answers.push(commit(add("a", "6", "six")).await);
            answers.push(commit(add("a", "7", "seven")).await);
            assert!(driver.check().await.unwrap().is_sound(), "{what}");
            found.push((answers, kept(&place)));
        }
        assert_eq!(found[0], found[1], "{what}");
    }
}

async fn knowing(url: &str, streams: &[&str]) -> Redis {
    let driver = open(url).await;
    warm(&driver, streams).await;
    for to in streams {
        driver.commit(add(to, "second", "second")).await.unwrap();
    }
    driver
}

#[tokio::test]
async fn one_refused_leaves_nothing_and_stops_nobody() {
    needs!(Single, "heads::one_refused_leaves_nothing_and_stops_nobody");
    let place = Place::new(Form::Single);
    let driver = knowing(&place.url(), &["a", "b", "c", "d"]).await;
    let before = driver.sent();
    let all = vec![
        add("d", "", "alone"),
        add("a", "3", "three"),
        add("b", "first", "first"),
        add("c", "first", "another"),
        add("d", "3", "three"),
    ];
    let answers = together(&driver, all).await;
    let expected = [None, None, None, Some(Kind::IdempotencyConflict), None];
    assert_eq!(kinds(&answers), expected);
    assert_eq!(driver.sent() - before, 2 + 2);
    assert!(answers[2].as_ref().unwrap().replayed);
    let both = [(1, "first"), (2, "second")];
    assert_eq!(texts(&told(&driver, &MESSAGES, "b").await), both);
    assert_eq!(texts(&told(&driver, &MESSAGES, "c").await), both);
    assert_eq!(numbers(&answers[1]), [3]);
    assert_eq!(numbers(&answers[4]), [4]);
    for to in ["b", "c"] {
        assert_eq!(numbers(&driver.commit(add(to, "3", "three")).await), [3]);
    }
    assert!(driver.check().await.unwrap().is_sound());
}

/// What somebody put in the place of a key meets those alone who need it, and no id stays behind.
#[tokio::test]
async fn a_key_of_another_kind_leaves_no_id_behind() {
    needs!(Single, "heads::a_key_of_another_kind_leaves_no_id_behind");
    for of in ["entries", "ids"] {
        let place = Place::new(Form::Single);
        let driver = knowing(&place.url(), &["a", "bad", "c"]).await;
        let key = |of: &str| format!("{}:{{default}}:{of}:messages:bad", place.base);
        let mut client = crate::plain();
        let aside = format!("{}:aside", key(of));
        redis::cmd("RENAME").arg(key(of)).arg(&aside).exec(&mut client).unwrap();
        redis::cmd("SET").arg(key(of)).arg("x").exec(&mut client).unwrap();
        let before = ids_of_bad(&place);
        let all = ["c", "a", "bad", "c"].map(|to| add(to, "3", "three"));
        let mut all = all.to_vec();
        all[0] = add("c", "", "alone");
        let answers = together(&driver, all).await;
        assert_eq!(kinds(&answers), [None, None, Some(Kind::Corrupt), None], "{of}");
        assert_eq!(ids_of_bad(&place), before, "{of}");
        redis::cmd("RENAME").arg(&aside).arg(key(of)).exec(&mut client).unwrap();
        assert!(driver.check().await.unwrap().is_sound(), "{of}");
        assert_eq!(numbers(&driver.commit(add("bad", "3", "three")).await), [3]);
    }
}

/// The ids of the stream that somebody has spoilt, if they can be read.
fn ids_of_bad(place: &Place) -> Option<Vec<String>> {
    let key = format!("{}:{{default}}:ids:messages:bad", place.base);
    redis::cmd("HKEYS").arg(key).query(&mut crate::plain()).ok()
}
