//! Importing AgentX's event queue.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

mod support;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use support::{Home, beside, fixture, names};

fn expected(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// The events that a subscriber sees from here.
fn tail(home: &Home, args: &[&str]) -> Vec<Value> {
    let shown = home.ok(&[&["events", "tail", "--json"], args].concat());
    shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An event as AgentX had it: `{cursor, topic, event, timestamp}`.
fn original(event: &Value) -> Value {
    let mut body = event["event"].clone();
    let origin = body.as_object_mut().unwrap().remove("_origin").unwrap();
    let body = if origin["wrapped"] == true { body["event"].clone() } else { body };
    json!({
        "cursor": origin["cursor"], "topic": event["topic"], "event": body,
        "timestamp": origin["timestamp"],
    })
}

fn originals(home: &Home, args: &[&str]) -> Vec<Value> {
    tail(home, args).iter().map(original).collect()
}

/// What came in is what AgentX recovers, for every topic and consumer.
fn equals(home: &Home, expected: &Value) {
    let topics = expected["topics"].as_object().unwrap();
    for (topic, events) in topics {
        assert_eq!(Value::from(originals(home, &[topic])), *events, "{topic}");
    }
    let listed = home.json(&["events", "topics"]);
    assert_eq!(listed.as_array().unwrap().len(), topics.len());
    for topic in listed.as_array().unwrap() {
        let events = topics[topic["topic"].as_str().unwrap()].as_array().unwrap();
        assert_eq!(topic["events"], events.len());
    }
    for (consumer, cursors) in expected["consumers"].as_object().unwrap() {
        for (topic, cursor) in cursors.as_object().unwrap() {
            let cursor = cursor.as_str().unwrap();
            let events = topics[topic].as_array().unwrap().iter();
            let missed: Vec<&Value> =
                events.filter(|event| event["cursor"].as_str().unwrap() > cursor).collect();
            let seen = originals(home, &[topic, "--consumer", consumer]);
            assert_eq!(seen.iter().collect::<Vec<_>>(), missed, "{consumer} {topic}");
            let told = &expected["missed"][consumer][topic];
            if let Some(told) = told.as_array() {
                let cursors: Vec<&Value> = missed.iter().map(|event| &event["cursor"]).collect();
                assert_eq!(cursors, told.iter().collect::<Vec<_>>());
            }
        }
    }
}

/// A copy of the fixture's database, with its log where it has one.
fn copied(home: &Home, name: &str) -> PathBuf {
    let folder = home.file("source");
    std::fs::create_dir(&folder).unwrap();
    for part in ["", "-wal"] {
        let from = fixture(&format!("{name}{part}"));
        if from.exists() {
            std::fs::copy(from, folder.join(format!("queue.db{part}"))).unwrap();
        }
    }
    folder.join("queue.db")
}

/// As newer AgentX names its columns.
fn renamed(path: &Path) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(
        "ALTER TABLE queue_entries RENAME COLUMN cursor TO offset;
         ALTER TABLE queue_consumers RENAME COLUMN cursor TO offset;",
    )
    .unwrap();
}

#[test]
fn it_equals_what_agentx_reads() {
    let expected = expected("expected-queue.json");
    for newer in [false, true] {
        let home = Home::new();
        let path = copied(&home, "queue.db");
        if newer {
            renamed(&path);
        }
        let before = std::fs::read(&path).unwrap();
        let dry = home.json(&["import", "agentx", path.to_str().unwrap(), "--dry-run"]);
        assert!(!home.store().exists(), "a dry run makes no store");
        let report = home.import(&path);
        assert_eq!(report["source"]["form"], "AgentX event queue");
        let tally = |new: u64, old: u64| json!({"new": new, "unchanged": old, "differing": 0});
        assert_eq!([&report["events"], &report["consumers"]], [&tally(500, 0), &tally(7, 0)]);
        for kind in ["events", "consumers", "notTaken", "altered", "escapedIds", "kept"] {
            assert_eq!(dry[kind], report[kind], "{kind}");
        }
        assert_eq!((&report["notTaken"], &report["altered"]), (&json!([]), &json!([])));
        equals(&home, &expected);
        let again = home.import(&path);
        assert_eq!([&again["events"], &again["consumers"]], [&tally(0, 500), &tally(0, 7)]);
        assert_eq!(again["nothingNew"], true);
        equals(&home, &expected);
        assert_eq!(std::fs::read(&path).unwrap(), before, "the source was written to");
        assert_eq!(names(path.parent().unwrap()), ["queue.db"]);
        assert_eq!(home.ok(&["check"]).lines().count(), 1);
    }
}

#[test]
fn a_hot_log_counts_and_stays_as_it_is() {
    let home = Home::new();
    let path = copied(&home, "queue-hot/queue.db");
    let wal = path.with_file_name("queue.db-wal");
    let before = [&path, &wal].map(|path| std::fs::read(path).unwrap());
    let report = home.import(&path);
    assert_eq!(report["events"]["new"], 12);
    equals(&home, &expected("queue-hot/expected.json"));
    assert_eq!([&path, &wal].map(|path| std::fs::read(path).unwrap()), before);
    assert_eq!(names(path.parent().unwrap()), ["queue.db", "queue.db-wal"]);
    let shown = home.ok(&["import", "agentx", path.to_str().unwrap()]);
    assert!(shown.starts_with("Nothing new in AgentX event queue") && shown.contains("events"));
    assert!(!shown.contains("--undo"), "{shown}");
}

/// A queue with these rows; its columns take anything.
fn queue(home: &Home, sql: &str) -> PathBuf {
    let path = home.file("odd.db");
    let _ = std::fs::remove_file(&path);
    let file = Connection::open(&path).unwrap();
    file.execute_batch(
        "CREATE TABLE queue_entries(id INTEGER PRIMARY KEY, cursor, topic, event, timestamp);
         CREATE TABLE queue_consumers(consumer_id, topic, cursor, updated_at);",
    )
    .unwrap();
    file.execute_batch(sql).unwrap();
    path
}

fn places(notes: &Value) -> Vec<&str> {
    notes.as_array().unwrap().iter().map(|note| note["place"].as_str().unwrap()).collect()
}

#[test]
fn what_cannot_be_taken_is_listed() {
    let home = Home::new();
    let path = queue(
        &home,
        r#"INSERT INTO queue_entries VALUES
             (1, 'a-0000', 't', '{"n":1}', 1), (2, 'a-0001', 't', '{"n":', 1),
             (3, 'a-0002', 't', NULL, 1), (4, 'a-0003', 't', '{"a":1,"a":2}', 1),
             (5, NULL, 't', '1', 1), (6, 'a-0004', 7, '1', 1), (7, 'a-0000', 't', '2', 1),
             (8, 'a-0005', 't', x'ff', 1), (9, 'a-0006', 't', '"half \ud83d"', 1.5),
             (10, '', 't', '3', NULL), (11, 'a-0007', 'line' || char(10), '4', 'late'),
             (12, 'a-0008', 't', '{"_origin":"mine"}', 1);
           INSERT INTO queue_entries VALUES (13, 'a-0009', 't', '"' || hex(zeroblob(5000000)) || '"', 1);
           INSERT INTO queue_consumers VALUES
             ('c', 't', 'nonsense', 1), (NULL, 't', 'a-0000', 1), ('d', 't', 'a-0000', 1),
             ('e' || char(9), 'line' || char(10), 'a-0007', 1), ('f', 'empty', 'a-0000', 1);"#,
    );
    let report = home.import(&path);
    let rows = [2, 3, 4, 5, 6, 7, 8, 13].map(|row| format!("queue_entries[{row}]"));
    assert_eq!(
        places(&report["notTaken"]),
        [&["queue_consumers[0]"], &rows.each_ref().map(String::as_str)[..]].concat()
    );
    assert_eq!(report["events"]["new"], 5);
    assert_eq!(report["consumers"]["new"], 4);
    assert_eq!(report["altered"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["escapedIds"].as_array().unwrap().len(), 2, "{report}");
    let all = tail(&home, &["t"]);
    let bodies: Vec<Value> = all.iter().map(|event| event["event"].clone()).collect();
    assert_eq!(
        bodies,
        [
            json!({"n": 1, "_origin": {"cursor": "a-0000", "timestamp": 1}}),
            json!({"event": "half \u{fffd}", "_origin": {"cursor": "a-0006", "timestamp": 1.5, "wrapped": true}}),
            json!({"event": 3, "_origin": {"cursor": "", "timestamp": null, "wrapped": true}}),
            json!({"event": {"_origin": "mine"}, "_origin": {"cursor": "a-0008", "timestamp": 1, "wrapped": true}}),
        ]
    );
    assert_eq!(tail(&home, &["t", "--consumer", "c"]).len(), 4, "begins at the first");
    assert_eq!(tail(&home, &["t", "--consumer", "d"]).len(), 3);
    let topics = home.json(&["events", "topics"]);
    let line = topics[1]["topic"].as_str().unwrap();
    assert!(topics[0]["topic"] == "empty" && line.starts_with("line%0A~"), "{topics}");
    let consumers = home.json(&["events", "consumers", line]);
    assert!(consumers[0]["consumer"].as_str().unwrap().starts_with("e%09~"));
    assert_eq!(consumers[0]["lag"], 0);
    assert_eq!(home.import(&path)["nothingNew"], true);
}

/// AgentX orders by the text of its cursors: after a clock was set back that loses events.
#[test]
fn the_order_is_that_of_publishing_also_when_the_clock_went_back() {
    let home = Home::new();
    let path = queue(
        &home,
        "INSERT INTO queue_entries VALUES
           (1, 'c-0000', 't', '1', 1), (2, 'd-0000', 't', '2', 1), (3, 'a-0000', 't', '3', 1),
           (4, 'b-0000', 't', '4', 1), (5, 'e-0000', 't', '5', 1);
         INSERT INTO queue_consumers VALUES
           ('exact', 't', 'd-0000', 1), ('between', 't', 'c-0001', 1), ('before', 't', '9-0000', 1),
           ('after', 't', 'z-0000', 1);",
    );
    home.import(&path);
    let numbers = |args: &[&str]| -> Vec<Value> {
        tail(&home, args).iter().map(|event| event["event"]["event"].clone()).collect()
    };
    assert_eq!(numbers(&["t"]), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&["t", "--consumer", "exact"]), [3, 4, 5]);
    assert_eq!(numbers(&["t", "--consumer", "between"]), [2, 3, 4, 5]);
    assert_eq!(numbers(&["t", "--consumer", "before"]), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&["t", "--consumer", "after"]), [0; 0]);
}

#[test]
fn other_content_under_a_cursor_is_refused_or_kept() {
    let home = Home::new();
    home.import(&queue(&home, "INSERT INTO queue_entries VALUES (1, 'a-0000', 't', '1', 1)"));
    let other = queue(
        &home,
        "INSERT INTO queue_entries VALUES (1, 'a-0000', 't', '2', 1), (2, 'a-0001', 't', '3', 1);
         INSERT INTO queue_consumers VALUES ('c', 't', 'a-0001', 1)",
    );
    let path = other.to_str().unwrap();
    let said = home.fails(&["import", "agentx", path]);
    assert!(said.contains("a-0000") && said.contains("--keep"), "{said}");
    assert_eq!(tail(&home, &["t"]).len(), 1, "nothing was changed");
    assert_eq!(home.json(&["events", "consumers", "t"]), json!([]));
    let report = home.json(&["import", "agentx", path, "--keep"]);
    assert_eq!(report["events"], json!({"new": 1, "unchanged": 0, "differing": 1}));
    assert_eq!(places(&report["kept"]).len(), 1);
    assert_eq!(tail(&home, &["t"]).len(), 2);
    assert_eq!(tail(&home, &["t", "--consumer", "c"]).len(), 0);
}

/// Not passed over without a word.
#[test]
fn a_queue_beside_records_is_told() {
    let home = Home::new();
    let path = home.file("both.db");
    support::kv(&path, &[("containers:c", r#"{"containerId":"c"}"#)]);
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE queue_entries(id, cursor, topic, event, timestamp)")
        .unwrap();
    let report = home.import(&path);
    assert_eq!(places(&report["notTaken"]), ["the table queue_entries"]);
    assert_eq!(report["containers"]["new"], 1);
}

/// A consumer that has gone on here stays where it is.
#[test]
fn importing_again_moves_nobody() {
    let home = Home::new();
    let path = queue(
        &home,
        "INSERT INTO queue_entries VALUES (1, 'a-0000', 't', '1', 1), (2, 'a-0001', 't', '2', 1);
         INSERT INTO queue_consumers VALUES ('c', 't', 'a-0000', 1)",
    );
    home.import(&path);
    home.ok(&["events", "seek", "c", "t", "beginning"]);
    home.import(&path);
    assert_eq!(home.json(&["events", "consumers", "t"])[0]["lag"], 2);
    home.ok(&["events", "seek", "c", "t", "now"]);
    home.import(&path);
    assert_eq!(home.json(&["events", "consumers", "t"])[0]["lag"], 0);
}

/// So many events in three topics.
fn long_queue(home: &Home, count: u64) -> PathBuf {
    queue(
        home,
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO queue_entries
               SELECT i, printf('a%06d-0000', i), 't' || (i % 3), printf('{{\"n\":%d}}', i), i FROM n;
             INSERT INTO queue_consumers VALUES ('c', 't1', 'a000400-0000', 1);"
        ),
    )
}

/// Every event once and in order, and the consumer where it was.
fn is_whole(home: &Home, count: u64) {
    for topic in 0..3 {
        let numbers: Vec<u64> = tail(home, &[&format!("t{topic}")])
            .iter()
            .map(|event| event["event"]["n"].as_u64().unwrap())
            .collect();
        let wanted: Vec<u64> = (1..=count).filter(|n| n % 3 == topic).collect();
        assert!(numbers == wanted, "t{topic}: {} of {}", numbers.len(), wanted.len());
    }
    let missed = (401..=count).filter(|n| n % 3 == 1).count();
    assert_eq!(home.json(&["events", "consumers", "t1"])[0]["lag"], missed);
}

/// More than one commit takes: what an earlier, interrupted run has published is not published
/// again, and the rest follows in order.
#[test]
fn an_interrupted_import_goes_on() {
    let home = Home::new();
    let path = long_queue(&home, 12_000);
    // As if it had been killed after the first commit.
    let part = home.file("part.db");
    std::fs::copy(&path, &part).unwrap();
    Connection::open(&part)
        .unwrap()
        .execute_batch("DELETE FROM queue_entries WHERE id > 5000; DELETE FROM queue_consumers")
        .unwrap();
    home.import(&part);
    let report = home.import(&path);
    assert_eq!(report["events"], json!({"new": 7000, "unchanged": 5000, "differing": 0}));
    is_whole(&home, 12_000);
}

#[test]
fn a_killed_import_goes_on() {
    let home = Home::new();
    let path = long_queue(&home, 30_000);
    let mut command = home.command(&["import", "agentx", path.to_str().unwrap(), "--json"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let published = async |store: &agentkeep::Store| {
        let page = store.events().topics(&agentkeep::List::of(10).unwrap()).await.unwrap();
        page.items.iter().map(|topic| topic.events).sum::<u64>()
    };
    let there = beside(&home, async |store| {
        // Killed as soon as its first commit shows.
        loop {
            let ended = child.try_wait().unwrap().is_some();
            if published(store).await > 0 {
                break;
            }
            assert!(!ended, "it ended without any event");
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        published(store).await
    });
    let report = home.import(&path);
    assert_eq!(
        (&report["events"]["unchanged"], &report["events"]["new"]),
        (&json!(there), &json!(30_000 - there))
    );
    is_whole(&home, 30_000);
    assert_eq!(home.import(&path)["nothingNew"], true);
}
