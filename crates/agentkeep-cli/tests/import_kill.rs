//! Imports killed at any instant: nothing of them shows, or all, and the next run finishes them.
//!
//! `AGENTKEEP_TEST_KILLS` sets how many instants there are; the seed is printed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Home, kv};

const SESSIONS: u64 = 12;

/// So many messages in each of the sessions.
fn source(home: &Home, messages: u64) -> PathBuf {
    let mut rows = vec![
        ("containers:c".to_owned(), r#"{"containerId":"c"}"#.to_owned()),
        ("images:i".to_owned(), r#"{"imageId":"i","containerId":"c"}"#.to_owned()),
    ];
    for number in 0..SESSIONS {
        let session =
            json!({ "sessionId": format!("s{number}"), "imageId": "i", "containerId": "c" });
        rows.push((format!("sessions:s{number}"), session.to_string()));
        let list: Vec<Value> = (0..messages)
            .map(|i| json!({ "id": format!("m{i}"), "content": "x".repeat(200) }))
            .collect();
        rows.push((format!("messages:s{number}"), Value::from(list).to_string()));
    }
    let rows: Vec<(&str, &str)> =
        rows.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let path = home.file("source.db");
    kv(&path, &rows);
    path
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Starts an import and kills it after a while; true when it was over before.
fn killed(home: &Home, source: &Path, after: Duration) -> bool {
    let mut command = home.command(&["import", "agentx", source.to_str().unwrap(), "--json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let over = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    over
}

/// How many containers, images, sessions and messages show.
fn shows(home: &Home) -> [u64; 4] {
    if !home.store().exists() {
        return [0; 4];
    }
    let damage = home.json(&["check"])["damage"].clone();
    assert_eq!(damage, json!([]));
    let stats = home.json(&["stats"]);
    let counts =
        ["containers", "images", "sessions", "messages"].map(|kind| stats[kind].as_u64().unwrap());
    let listed = ["containers", "images", "sessions"]
        .map(|kind| home.json(&[kind, "list"]).as_array().unwrap().len() as u64);
    assert_eq!(listed, counts[..3]);
    counts
}

fn is_whole(home: &Home, messages: u64) {
    for number in 0..SESSIONS {
        let shown = home.json(&["sessions", "show", &format!("s{number}")]);
        let ids: Vec<&str> = shown["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap())
            .collect();
        let wanted: Vec<String> = (0..messages).map(|i| format!("m{i}")).collect();
        assert_eq!(ids, wanted, "s{number}");
    }
    assert_eq!(home.json(&["check"])["due"], json!([]));
}

/// Six instants, most of them within one import.
const KILLS: u64 = 6;

#[test]
fn an_import_killed_at_any_instant_is_there_wholly_or_not_at_all() {
    let seed = random();
    println!("seed {seed}");
    let wanted = std::env::var("AGENTKEEP_TEST_KILLS").ok().and_then(|text| text.parse().ok());
    let rounds: u64 = wanted.unwrap_or(24_u64).div_ceil(KILLS);
    for messages in [20, 900] {
        // One commit; and a staged import.
        let sources = Home::new();
        let source = source(&sources, messages);
        let begun = Instant::now();
        Home::new().import(&source);
        let whole = begun.elapsed();
        let all = [1, 1, SESSIONS, SESSIONS * messages];
        for round in 0..rounds.div_ceil(2) {
            let home = Home::new();
            for kill in 0..KILLS {
                let part = (seed ^ (round * KILLS + kill + messages))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    >> 44;
                let after =
                    whole.mul_f64(f64::from(u32::try_from(part).unwrap()) / f64::from(1 << 20));
                let over = killed(&home, &source, after);
                let shown = shows(&home);
                assert!(shown == [0; 4] || shown == all, "after {after:?}: {shown:?}");
                assert!(!over || shown == all);
            }
            home.import(&source);
            assert_eq!(shows(&home), all);
            is_whole(&home, messages);
        }
    }
}

/// What was there before stays as it is, whatever came in of the import, and undoing gives it
/// back.
#[test]
fn an_import_killed_beside_other_data_is_finished_by_the_next_run() {
    let sources = Home::new();
    let source = source(&sources, 900);
    let mine = sources.file("mine.json");
    let text = r#"{"containers":[{"containerId":"mine"}],"images":[],"sessions":[],"messages":{}}"#;
    std::fs::write(&mine, text).unwrap();
    let begun = Instant::now();
    Home::new().import(&source);
    let whole = begun.elapsed();
    let home = Home::new();
    home.import(&mine);
    for eighth in 1..8 {
        killed(&home, &source, whole * eighth / 8);
        assert!(shows(&home)[0] >= 1);
    }
    let report = home.import(&source);
    assert_eq!(shows(&home), [2, 1, SESSIONS, SESSIONS * 900]);
    is_whole(&home, 900);
    home.json(&["import", "--undo", report["importId"].as_str().unwrap()]);
    assert_eq!(shows(&home), [1, 0, 0, 0]);
    assert_eq!(home.json(&["check"])["due"], json!([]));
}

/// An interrupted import says how to go on, and going on finishes it.
#[test]
fn ctrl_c_leaves_nothing_half_done_and_says_how_to_go_on() {
    let mut messages = 4_000;
    loop {
        let home = Home::new();
        let source = source(&home, messages);
        let mut command = home.command(&["import", "agentx", source.to_str().unwrap(), "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        // A line comes after each second: a machine may be too fast for so little.
        if lines.by_ref().any(|line| line.starts_with("writing: ")) {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
            let (said, ended) = (lines.last(), child.wait().unwrap());
            if ended.success() {
                // It was over by then.
                messages *= 2;
                continue;
            }
            let said = said.unwrap();
            assert_eq!(ended.code(), Some(1));
            assert!(said.contains("interrupted"), "{said}");
            if said.contains("all has been taken in, or nothing") {
                // It came before the first commit or at the last: nothing is left to go on with.
                let all = [1, 1, SESSIONS, SESSIONS * messages];
                assert!([[0; 4], all].contains(&shows(&home)), "{said}");
                messages *= 2;
                continue;
            }
            assert!(said.contains("again to go on"), "{said}");
            assert!(said.contains("--undo agentx-"), "{said}");
            assert_eq!(shows(&home), [0; 4]);
            let report = home.import(&source);
            assert_eq!(report["resumed"], true);
            assert_eq!(report["messages"]["new"], SESSIONS * messages);
            assert_eq!(shows(&home), [1, 1, SESSIONS, SESSIONS * messages]);
            return;
        }
        assert!(child.wait().unwrap().success());
        messages *= 2;
    }
}
