//! `sessions show`: what is searched for, and what comes while it is followed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use support::{Home, beside, filled, said};

fn message(value: &Value) -> agentkeep::Message {
    agentkeep::Message::from_json(agentkeep::Json::of(value).unwrap()).unwrap()
}

/// A session in which something can be found.
fn talk(home: &Home) {
    filled(home, &[("default", 0)]);
    let messages = [
        json!({ "id": "a", "subtype": "user", "content": "Where is my ORDER?", "timestamp": 1_769_990_400_000_u64 }),
        json!({ "id": "b", "subtype": "tool-call", "timestamp": 1_769_990_400_000_u64,
                "toolCall": { "id": "t", "name": "look", "input": { "id": 7 } } }),
        json!({ "id": "c", "subtype": "tool-result", "timestamp": 1_769_990_400_000_u64, "toolCallId": "t",
                "toolResult": { "output": { "type": "text", "value": format!("{}Order 7 {}", "x".repeat(80), "\u{1b}[31m") } } }),
        json!({ "id": "d", "subtype": "assistant", "content": "On its way.", "timestamp": 1_769_990_400_000_u64 }),
        json!({ "id": "e", "subtype": "user", "content": "Danke schön", "timestamp": 1_769_990_400_000_u64 }),
    ];
    beside(home, async |store| {
        store.messages("s").add_many(messages.iter().map(message).collect()).await.unwrap();
    });
}

#[test]
fn a_text_is_found_in_any_case_also_in_what_is_folded() {
    let home = Home::new();
    talk(&home);
    let shown = home.ok(&["sessions", "show", "s", "--grep", "order", "--long"]);
    let expected = format!(
        "s

user  2026-02-02T00:00:00.000Z
  Where is my ORDER?

tool-call  2026-02-02T00:00:00.000Z
  [tool] look({{\"id\":7}}) -> {}Order 7 \\u{{1b}}[31m

... 3 messages ...
",
        "x".repeat(80)
    );
    assert_eq!(shown, expected);
    let near = home.ok(&["sessions", "show", "s", "--grep", "WAY", "-C", "1", "--long"]);
    let told = "... 2 messages ...\n\nassistant  2026-02-02T00:00:00.000Z\n  On its way.\n\nuser  ";
    assert!(near.contains(told) && near.ends_with("schön\n"), "{near}");
    let found = home.json(&["sessions", "show", "s", "--grep", "SCHÖN"]);
    assert_eq!(found["messages"][0]["id"], "e");
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
    let ran = home.run(&["sessions", "show", "s", "--grep", "user"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("none of these"), "roles are not searched: {}", ran.stderr);
    assert_eq!(
        home.json(&["sessions", "show", "s", "--grep", "x", "--last", "1"])["messages"],
        json!([])
    );
}

#[test]
fn searching_needs_a_text_and_context_a_search() {
    let home = Home::new();
    talk(&home);
    for args in [["--grep", ""], ["--context", "1"], ["--last", "-1"]] {
        let ran = home.run(&[&["sessions", "show", "s"], args.as_slice()].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
    }
}

#[test]
fn long_sessions_are_shown_whole_and_in_order() {
    let home = Home::new();
    filled(&home, &[("default", 2_500)]);
    let shown = home.ok(&["sessions", "show", "s"]);
    let texts: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("  text ")).collect();
    assert_eq!(texts, (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>());
    let json = home.json(&["sessions", "show", "s"]);
    assert_eq!(json["messages"].as_array().unwrap().len(), 2_500);
    let last = home.ok(&["sessions", "show", "s", "--last", "2"]);
    assert!(last.contains("2498 messages before these") && last.contains("text 2499"), "{last}");
}

/// A result on the next page stands with its call all the same.
#[test]
fn calls_find_their_results_across_pages() {
    let home = Home::new();
    filled(&home, &[("default", 999)]);
    beside(&home, async |store| {
        let call =
            json!({ "id": "b", "subtype": "tool-call", "toolCall": { "id": "t", "name": "look" } });
        let result = json!({ "id": "c", "subtype": "tool-result", "toolCallId": "t", "toolResult": { "output": "seen" } });
        store.messages("s").add_many(vec![message(&call), message(&result)]).await.unwrap();
    });
    let shown = home.ok(&["sessions", "show", "s"]);
    assert!(shown.contains("[tool] look() -> seen") && !shown.contains("result of"), "{shown}");
}

struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn begin(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(&[&["sessions", "show", "s", "--follow"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// The lines up to one that holds this.
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = vec![self.line()];
        while !lines.last().unwrap().contains(text) {
            lines.push(self.line());
        }
        lines
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn new_messages_of_another_process_come_as_lines_for_programs() {
    let home = Home::new();
    filled(&home, &[("default", 3)]);
    let mut following = Following::begin(&home, &["--json", "--last", "2"]);
    let id = |line: String| serde_json::from_str::<Value>(&line).unwrap()["id"].clone();
    assert_eq!([id(following.line()), id(following.line())], ["m1", "m2"]);
    beside(&home, async |store| {
        let chat = store.messages("s");
        for n in 0..5 {
            chat.add(said(&format!("new{n}"), "x")).await.unwrap();
            assert_eq!(id(following.line()), format!("new{n}"));
        }
        chat.add_many((0..2_500).map(|n| said(&format!("many{n}"), "x")).collect()).await.unwrap();
        for n in 0..2_500 {
            assert_eq!(id(following.line()), format!("many{n}"));
        }
        // Messages of other sessions wake it, and are not shown.
        store.sessions().fork("s", agentkeep::At::End, "other").await.unwrap();
        store.messages("other").add(said("else", "x")).await.unwrap();
        // What has been taken away is not shown again, and what follows is.
        chat.truncate_after("new4").await.unwrap();
        chat.add(said("after", "x")).await.unwrap();
        assert_eq!(id(following.line()), "after");
    });
}

/// The past may be changed while nobody looks: what follows the change is shown, all of it.
#[test]
fn what_was_changed_while_it_slept_is_shown() {
    let home = Home::new();
    filled(&home, &[("default", 2_500)]);
    let mut following = Following::begin(&home, &["--json", "--last", "2"]);
    let id = |line: String| serde_json::from_str::<Value>(&line).unwrap()["id"].clone();
    assert_eq!([id(following.line()), id(following.line())], ["m2498", "m2499"]);
    beside(&home, async |store| {
        let chat = store.messages("s");
        for n in 0..4 {
            chat.add(said(&format!("a{n}"), "x")).await.unwrap();
            assert_eq!(id(following.line()), format!("a{n}"));
        }
        following.signal("STOP");
        chat.truncate_after("a1").await.unwrap();
        for n in 0..3 {
            chat.add(said(&format!("b{n}"), "x")).await.unwrap();
        }
        following.signal("CONT");
        for n in 0..3 {
            assert_eq!(id(following.line()), format!("b{n}"), "longer than before");
        }
        following.signal("STOP");
        chat.edit("b2", said("b2", "y")).await.unwrap();
        following.signal("CONT");
        let edited: Value = serde_json::from_str(&following.line()).unwrap();
        assert_eq!((&edited["id"], &edited["content"]), (&json!("b2"), &json!("y")));
        following.signal("STOP");
        chat.clear().await.unwrap();
        chat.add(said("c", "x")).await.unwrap();
        following.signal("CONT");
        assert_eq!(id(following.line()), "c", "shorter than before");
    });
}

#[test]
fn new_messages_come_as_chat_for_people() {
    let home = Home::new();
    filled(&home, &[("default", 0)]);
    let mut following = Following::begin(&home, &[]);
    beside(&home, async |store| {
        store.messages("s").add(said("a", "hello")).await.unwrap();
        assert_eq!(following.until("hello")[0], "s");
        store.messages("s").add(said("b", "again\u{1b}[2J")).await.unwrap();
        let lines = following.until("again");
        assert!(lines[1].starts_with("user  "), "{lines:?}");
        assert_eq!(lines[2], "  again\\u{1b}[2J");
    });
}

#[test]
fn what_is_followed_can_be_searched() {
    let home = Home::new();
    filled(&home, &[("default", 20)]);
    let mut following = Following::begin(&home, &["--grep", "needle", "--json"]);
    beside(&home, async |store| {
        store.messages("s").add_many(vec![said("x", "hay"), said("y", "a NEEDLE")]).await.unwrap();
    });
    assert!(following.line().contains("\"y\""));
}
