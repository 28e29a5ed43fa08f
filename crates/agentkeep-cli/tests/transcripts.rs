//! `transcripts ...`: lists, threads as they stand and as they grow.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use agentkeep::{Json, TranscriptEntry};
use serde_json::{Value, json};
use support::{Home, beside, formats};

fn imported() -> Home {
    let home = Home::new();
    home.json(&["import", "agentrylab", formats().join("agentrylab").to_str().unwrap()]);
    home
}

fn entry(n: usize) -> TranscriptEntry {
    let entry = json!({ "t": 1_769_990_400.25, "iter": n, "agent_id": "pro", "role": "agent",
        "content": format!("said {n}") });
    TranscriptEntry::from_json(Json::of(&entry).unwrap()).unwrap()
}

#[test]
fn a_thread_is_shown() {
    let home = imported();
    let shown = home.ok(&["transcripts", "show", "...", "--last", "2", "--long"]);
    let expected = "\
...
5 entries before these

6 pro  agent, iteration 4, 2026-11-21T";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("  Answer 92: größe データ 🚀 emoji\n  [metadata] {"), "{shown}");
    let all = home.ok(&["transcripts", "show", "standup-01"]);
    assert!(all.contains("1 user  iteration 0, "), "{all}");
    assert!(all.contains("  Frage: „was nun?“ 🚀 \"q\"\n  zeile2\n"), "{all}");
    assert!(all.contains("\n  [actions] {\"type\":\"CONTINUE\""), "{all}");
    assert!(all.contains("nul\\u{0}b") && !all.contains('\u{0}'), "{all}");
    let listed = home.ok(&["transcripts", "list", "--limit", "2"]);
    assert!(listed.starts_with("THREAD") && listed.lines().count() == 3, "{listed}");
    for command in ["show", "export"] {
        let said = home.fails(&["transcripts", command, "nothing"]);
        assert!(said.contains("no such thread"), "{said}");
    }
}

#[test]
fn a_long_thread_comes_page_by_page() {
    let home = Home::new();
    beside(&home, async |store| {
        let entries = (0..2_500).map(entry).collect();
        store.transcripts().append_many("t", entries).await.unwrap();
    });
    let iters = |args: &[&str]| -> Vec<u64> {
        let shown = home.json(&[&["transcripts", "show", "t"], args].concat());
        let entries = shown["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["iter"].as_u64().unwrap()).collect()
    };
    assert!(iters(&[]).into_iter().eq(0..2_500));
    assert!(iters(&["--last", "1001"]).into_iter().eq(1_499..2_500));
    assert!(iters(&["--last", "9999"]).into_iter().eq(0..2_500));
    assert!(iters(&["--last", "0"]).is_empty());
    let lines = home.ok(&["transcripts", "export", "t"]);
    assert_eq!(lines.lines().count(), 2_500);
}

/// One line for each entry, also of another process, for as long as somebody listens.
#[test]
fn following_goes_on_with_what_comes() {
    let home = Home::new();
    beside(&home, async |store| {
        store.transcripts().append_many("t", (0..3).map(entry).collect()).await.unwrap();
    });
    let args = ["transcripts", "show", "t", "--last", "2", "--follow", "--json"];
    let mut following = home.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!((&next()["iter"], &next()["iter"]), (&json!(1), &json!(2)));
    beside(&home, async |store| {
        store.transcripts().append("t", entry(3)).await.unwrap();
        store.transcripts().append("other", entry(9)).await.unwrap();
        store.transcripts().append("t", entry(4)).await.unwrap();
    });
    assert_eq!((&next()["iter"], &next()["iter"]), (&json!(3), &json!(4)));
    following.kill().unwrap();
    following.wait().unwrap();
}
