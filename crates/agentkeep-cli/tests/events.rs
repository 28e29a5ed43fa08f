//! The `events` commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use agentkeep::Event;
use serde_json::{Value, json};
use support::{Home, Ran, beside};

/// A command that goes on until it is ended.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn begin(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn event(&mut self) -> Value {
        serde_json::from_str::<Value>(&self.line()).unwrap()["event"].clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes what stdin holds.
fn piped(home: &Home, topic: &str, stdin: &str) -> Ran {
    let mut command = home.command(&["events", "publish", topic, "-", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

fn bodies(home: &Home, args: &[&str]) -> Vec<Value> {
    let shown = home.ok(&[&["events", "tail", "--json"], args].concat());
    let lines = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|event| event["event"].clone()).collect()
}

fn publish(home: &Home, topic: &str, body: &str) -> String {
    home.ok(&["events", "publish", topic, body]).trim_end().to_owned()
}

#[test]
fn what_is_published_is_shown_in_order() {
    let home = Home::new();
    let first = publish(&home, "chat/17", r#"{"type":"text_delta","n":1.0}"#);
    let second = publish(&home, "chat/17", r#""two\u001b[2J""#);
    assert!(first < second && first.ends_with("-0000"));
    let shown = home.ok(&["events", "tail", "chat/17", "--json"]);
    assert!(shown.lines().next().unwrap().ends_with(r#""event":{"type":"text_delta","n":1.0}}"#));
    let event: Value = serde_json::from_str(shown.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&event["topic"], &event["cursor"]), (&json!("chat/17"), &json!(second)));
    assert!(event["timestamp"].is_i64());
    let shown = home.ok(&["events", "tail", "chat/17"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].ends_with(r#"ago  chat/17  {"type":"text_delta","n":1.0}"#)
            || lines[0].starts_with("just now  chat/17")
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let long = home.ok(&["events", "tail", "chat/17", "--long"]);
    assert!(long.contains(&first) && long.contains('Z'), "{long}");
    assert_eq!(bodies(&home, &["chat/17", "--from", &first]), [json!("two\u{1b}[2J")]);
    assert_eq!(bodies(&home, &["chat/17", "--from", &second]), Vec::<serde_json::Value>::new());
    assert_eq!(bodies(&home, &["chat/17", "--from", "now"]), Vec::<serde_json::Value>::new());
    let ran = home.run(&["events", "tail", "nowhere"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("No events"), "{}", ran.stderr);
}

#[test]
fn a_key_publishes_once() {
    let home = Home::new();
    let args = ["events", "publish", "orders", "17", "--key", "k"];
    let first = home.run(&args);
    let again = home.run(&args);
    assert_eq!(first.stdout, again.stdout);
    assert!(first.stderr.is_empty() && again.stderr.contains("nothing was changed"));
    assert_eq!(home.json(&args)["duplicate"], true);
    let said = home.fails(&["events", "publish", "orders", "18", "--key", "k"]);
    assert!(said.contains("\"k\""), "{said}");
    assert_eq!(bodies(&home, &["orders"]), [17]);
}

#[test]
fn stdin_is_published_value_by_value() {
    let home = Home::new();
    let ran = piped(&home, "t", "{\"a\":\n 1}\n\"b\" 3\n[4]");
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stderr);
    assert_eq!(bodies(&home, &["t"]), [json!({"a": 1}), json!("b"), json!(3), json!([4])]);
    let many = (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
    assert_eq!(piped(&home, "many", &many).stdout.lines().count(), 2_500);
    assert_eq!(bodies(&home, &["many"]), (0..2_500).map(Value::from).collect::<Vec<_>>());
    let ran = piped(&home, "torn", "1\n2\n{\"a\":");
    assert_eq!((ran.code, ran.stdout.lines().count()), (1, 2));
    assert!(ran.stderr.contains("value 3"), "{}", ran.stderr);
    assert_eq!(bodies(&home, &["torn"]), [1, 2]);
}

#[test]
fn wrong_input_changes_nothing() {
    let home = Home::new();
    for args in [
        ["publish", "t", "not json"].as_slice(),
        &["publish", "", "1"],
        &["publish", "a\nb", "1"],
        &["publish", "t", "1", "--key", ""],
        &["publish", "t", "-", "--key", "k"],
        &["publish", "t", "{\"a\":1,\"a\":2}"],
    ] {
        home.fails(&[&["events"], args].concat());
        assert!(!home.store().exists(), "{args:?}");
    }
    let cursor = publish(&home, "t", "1");
    let other = publish(&home, "other", "1");
    for args in [
        ["tail", "t", "--from", "nonsense"].as_slice(),
        &["tail", "t", "--from", &other],
        &["tail", "t", "other", "--from", &cursor],
        &["ack", "c", "t", "nonsense"],
        &["ack", "c", "t", &other],
        &["ack", "", "t", &cursor],
        &["ack", "c", "nowhere", &cursor],
        &["seek", "c", "t", &other],
        &["forget", "nobody", "--yes"],
        &["retention", "set", "t"],
    ] {
        home.fails(&[&["events"], args].concat());
    }
    assert_eq!(home.json(&["events", "consumers", "t"]), json!([]));
    for args in [
        ["tail"].as_slice(),
        &["tail", "t", "--below", "x"],
        &["tail", "t", "--ack"],
        &["tail", "t", "--from", "now", "--consumer", "c"],
        &["retention", "set", "t", "--age", "0"],
        &["retention", "set", "t", "--age", "soon"],
        &["retention", "set", "t", "--inherit", "--age", "1h"],
    ] {
        let ran = home.run(&[&["events"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
    }
}

#[test]
fn a_consumer_goes_on_where_it_was() {
    let home = Home::new();
    let cursors: Vec<String> = (1..=4).map(|n| publish(&home, "t", &n.to_string())).collect();
    assert_eq!(bodies(&home, &["t", "--consumer", "c"]), [1, 2, 3, 4]);
    assert_eq!(home.json(&["events", "consumers", "t"])[0]["lag"], 4, "nothing acknowledged");
    home.ok(&["events", "ack", "c", "t", &cursors[1]]);
    home.ok(&["events", "ack", "c", "t", &cursors[0]]);
    assert_eq!(bodies(&home, &["t", "--consumer", "c"]), [3, 4], "only forward");
    assert_eq!(bodies(&home, &["t", "--consumer", "c", "--ack"]), [3, 4]);
    assert_eq!(bodies(&home, &["t", "--consumer", "c", "--ack"]), [0; 0]);
    let placed = home.json(&["events", "seek", "c", "t", &cursors[2]]);
    assert_eq!(placed, json!({"consumer": "c", "topic": "t", "acked": cursors[2]}));
    assert_eq!(bodies(&home, &["t", "--consumer", "c"]), [4]);
    let shown = home.ok(&["events", "consumers", "t", "--long"]);
    assert!(shown.starts_with("CONSUMER") && shown.contains(&cursors[2]), "{shown}");
    let said = home.fails(&["events", "forget", "c"]);
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(home.json(&["events", "forget", "c", "--yes"])["topics"], 1);
    assert_eq!(home.json(&["events", "consumers", "t"]), json!([]));
}

#[test]
fn many_topics_are_shown_together() {
    let home = Home::new();
    for (topic, body) in [("a", "1"), ("a/b", "2"), ("ab", "3"), ("c", "4"), ("a/b", "5")] {
        publish(&home, topic, body);
    }
    let sorted = |args: &[&str]| {
        let mut bodies: Vec<i64> =
            bodies(&home, args).iter().map(|body| body.as_i64().unwrap()).collect();
        bodies.sort_unstable();
        bodies
    };
    assert_eq!(sorted(&["--below", "a"]), [1, 2, 5]);
    assert_eq!(sorted(&["--below", ""]), [1, 2, 3, 4, 5]);
    assert_eq!(sorted(&["a", "c", "nowhere"]), [1, 4]);
    assert_eq!(sorted(&["--below", "a", "--consumer", "x", "--ack"]), [1, 2, 5]);
    publish(&home, "a", "6");
    assert_eq!(sorted(&["--below", "a", "--consumer", "x", "--ack"]), [6]);
    let topics = home.json(&["events", "topics"]);
    let names: Vec<&Value> =
        topics.as_array().unwrap().iter().map(|topic| &topic["topic"]).collect();
    assert_eq!(names, ["a", "a/b", "ab", "c"]);
    assert_eq!(topics[1]["events"], 2);
    let shown = home.ok(&["events", "topics", "--limit", "2"]);
    assert_eq!(shown.lines().count(), 3);
    assert!(shown.starts_with("TOPIC"), "{shown}");
}

#[test]
fn retention_is_told_and_changed() {
    let home = Home::new();
    publish(&home, "t", "1");
    let show = |args: &[&str]| home.json(&[&["events", "retention", "show"], args].concat());
    let day = json!({"keep": {"ageMs": 86_400_000}, "hard": {}, "forgetAfterMs": 604_800_000});
    assert_eq!((show(&[]), show(&["t"])), (day.clone(), day));
    home.ok(&["events", "retention", "set", "t", "--age", "7d", "--hard-bytes", "1MiB"]);
    let own = home.json(&["events", "retention", "set", "t", "--count", "5", "--age", "none"]);
    let wanted =
        json!({"keep": {"count": 5}, "hard": {"bytes": 1_048_576}, "forgetAfterMs": 604_800_000});
    assert_eq!((&own, &show(&["t"])), (&wanted, &wanted));
    home.ok(&["events", "retention", "default", "--age", "1h", "--forget-after", "never"]);
    assert_eq!(show(&[]), json!({"keep": {"ageMs": 3_600_000}, "hard": {}, "forgetAfterMs": null}));
    assert_eq!(show(&["t"]), wanted);
    assert!(home.ok(&["events", "topics"]).contains("own"));
    home.ok(&["events", "retention", "set", "t", "--inherit"]);
    assert_eq!(show(&["t"]), show(&[]));
    let shown = home.ok(&["events", "retention", "show"]);
    assert!(
        shown.contains("age          1 h\n") && shown.contains("forget after never\n"),
        "{shown}"
    );
}

/// A follower in a process of its own sees what this one and a third publish, each event once.
#[test]
fn a_follower_sees_what_other_processes_publish() {
    let home = Home::new();
    publish(&home, "t", "0");
    let args = ["events", "tail", "--below", "t", "--follow", "--json", "--consumer", "c", "--ack"];
    let mut follower = Running::begin(&home, &args);
    assert_eq!(follower.event(), 0);
    publish(&home, "t", "1");
    assert_eq!(follower.event(), 1);
    let mut publisher = Running::begin(&home, &["events", "publish", "t/new", "-"]);
    let stdin = publisher.stdin.as_mut().unwrap();
    for n in 2..50 {
        // Each is there as soon as its line is: nothing waits for the end of stdin.
        writeln!(stdin, "{{\"n\":{n}}}").unwrap();
        stdin.flush().unwrap();
        assert_eq!(follower.event(), json!({"n": n}));
    }
    beside(&home, async |store| {
        let events = (0..3_000).map(|n| Event::of(&n).unwrap()).collect();
        store.events().publish_many("t", events).await.unwrap();
        for n in 0..3_000 {
            assert_eq!(follower.event(), n);
        }
        // It acknowledges once it has shown them; the last one shows that, too.
        while store.events().consumers("t").await.unwrap()[0].lag > 0 {
            tokio::task::yield_now().await;
        }
    });
    drop(follower);
    publish(&home, "t", "\"after\"");
    let mut again = Running::begin(&home, &args);
    assert_eq!(again.event(), "after");
}

#[test]
fn a_restore_that_was_told_tells_lost_cursors_apart() {
    let home = Home::new();
    publish(&home, "chat/17", "1");
    let store = home.store();
    let backup = std::fs::read(&store).unwrap();
    let lost = publish(&home, "chat/17", "2");
    std::fs::write(&store, backup).unwrap();
    assert_eq!(home.json(&["restored"]), json!({ "topics": 1 }));
    let new = publish(&home, "chat/17", "3");
    let error = home.fails(&["events", "tail", "chat/17", "--from", &lost]);
    assert!(error.contains("after event 1"), "{error}");
    assert_eq!(bodies(&home, &["chat/17", "--from", &new]), [] as [Value; 0]);
    let nowhere = home.fails(&["restored", "--store", "sqlite:nowhere/keep.db"]);
    assert!(nowhere.contains("nowhere"), "{nowhere}");
    assert!(home.run(&["restored"]).stderr.contains("1 topic"));
}
