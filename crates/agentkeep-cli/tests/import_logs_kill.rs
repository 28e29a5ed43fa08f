//! Imports of runs and transcripts killed at any instant: nothing of them shows, or all, and the
//! next run finishes them.
//!
//! `AGENTKEEP_TEST_KILLS` sets how many instants there are; the seed is printed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Home, bytes_below};

/// A source: how it is imported, and what it shows when all of it is there.
struct Source {
    home: Home,
    origin: &'static str,
    all: [u64; 3],
}

impl Source {
    fn path(&self) -> PathBuf {
        self.home.file("source")
    }

    fn args(&self) -> Vec<String> {
        let path = self.path().to_str().unwrap().to_owned();
        vec!["import".to_owned(), self.origin.to_owned(), path]
    }

    fn import(&self, home: &Home) -> Value {
        let args = self.args();
        home.json(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// So many runs of ten steps.
fn runs(count: u64) -> Source {
    let home = Home::new();
    let file = rusqlite::Connection::open(home.file("source")).unwrap();
    file.execute_batch(
        "CREATE TABLE agent_runs (run_id TEXT PRIMARY KEY, status TEXT, started_at INTEGER,
           completed_at INTEGER, input TEXT, history TEXT, plan TEXT, trace TEXT, usage TEXT,
           step_index INTEGER, iterations INTEGER, revisions INTEGER, result_text TEXT,
           error TEXT); BEGIN;",
    )
    .unwrap();
    for n in 0..count {
        let trace: Vec<Value> = (0..10).map(|step| json!({ "step": step, "run": n })).collect();
        let (id, trace) = (format!("r{n}"), Value::from(trace).to_string());
        let sql = "INSERT INTO agent_runs VALUES (?1, 'executing', ?2, NULL, ?3, NULL, NULL, ?4, \
                   '{}', 9, 10, 0, NULL, NULL)";
        file.execute(sql, rusqlite::params![id, n.cast_signed(), "x".repeat(2_000), trace])
            .unwrap();
    }
    file.execute_batch("COMMIT").unwrap();
    Source { home, origin: "runs", all: [count, 0, 0] }
}

/// Eight threads with so many entries each.
fn lab(count: u64) -> Source {
    let home = Home::new();
    std::fs::create_dir(home.file("source")).unwrap();
    for thread in 0..8 {
        let line = |n| {
            json!({ "t": n, "iter": n, "agent_id": "a", "role": "agent",
                "content": "y".repeat(200) })
            .to_string()
                + "\n"
        };
        let lines: String = (0..count).map(line).collect();
        std::fs::write(home.file(&format!("source/t{thread}.jsonl")), lines).unwrap();
    }
    Source { home, origin: "agentrylab", all: [0, 8, 8 * count] }
}

/// How many runs, threads and entries show.
fn shows(home: &Home) -> [u64; 3] {
    if !home.store().exists() {
        return [0; 3];
    }
    assert_eq!(home.json(&["check"])["damage"], json!([]));
    let runs = home.json(&["runs", "list"]).as_array().unwrap().len() as u64;
    let threads = home.json(&["transcripts", "list"]);
    let threads = threads.as_array().unwrap();
    let entries = threads.iter().map(|thread| thread["entries"].as_u64().unwrap()).sum();
    [runs, threads.len() as u64, entries]
}

/// Every run and every line is there, text for text.
fn is_whole(home: &Home, source: &Source) {
    assert_eq!(shows(home), source.all);
    let again = source.import(home);
    assert_eq!(again["nothingNew"], true, "{again}");
    assert_eq!(home.json(&["check"])["due"], json!([]));
    if source.origin == "agentrylab" {
        for (path, bytes) in bytes_below(&source.path()) {
            let thread = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let exported = home.ok(&["transcripts", "export", &thread]);
            assert!(exported.as_bytes() == bytes, "{thread}");
        }
    }
}

#[test]
fn an_import_killed_at_any_instant_is_there_wholly_or_not_at_all() {
    let seed = RandomState::new().build_hasher().finish();
    println!("seed {seed}");
    let wanted = std::env::var("AGENTKEEP_TEST_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: u64 = wanted.unwrap_or(24_u64).div_ceil(4);
    let mut interrupted = 0;
    // Each as one commit, and staged.
    for source in [runs(20), runs(2_500), lab(20), lab(1_500)] {
        let begun = Instant::now();
        source.import(&Home::new());
        let whole = begun.elapsed();
        let mut home = Home::new();
        for kill in 0..kills {
            let part = (seed ^ (kill + source.all[0] * 3 + source.all[2] * 7))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 44;
            let after = whole.mul_f64(f64::from(u32::try_from(part).unwrap()) / f64::from(1 << 20));
            let args = source.args();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = home.command(&args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(after);
            let over = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            let shown = shows(&home);
            assert!(shown == [0; 3] || shown == source.all, "after {after:?}: {shown:?}");
            assert!(!over || shown == source.all);
            if shown == source.all {
                is_whole(&home, &source);
                home = Home::new();
            } else {
                interrupted += 1;
            }
        }
        source.import(&home);
        is_whole(&home, &source);
    }
    assert!(interrupted > 0, "no import was interrupted");
}

/// Beside other data it is added in many commits; the next run finishes it, and undoing gives back
/// what was there before.
#[test]
fn an_import_killed_beside_other_data_is_finished_by_the_next_run() {
    for source in [runs(2_500), lab(1_500)] {
        let begun = Instant::now();
        source.import(&Home::new());
        let whole = begun.elapsed();
        let home = Home::new();
        let mine = Home::new();
        std::fs::create_dir(mine.file("lab")).unwrap();
        let line = "{\"iter\":0,\"agent_id\":\"a\"}\n";
        std::fs::write(mine.file("lab/mine.jsonl"), line).unwrap();
        home.json(&["import", "agentrylab", mine.file("lab").to_str().unwrap()]);
        for quarter in 1..4 {
            let args = source.args();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = home.command(&args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::max(whole * quarter / 4, Duration::from_millis(1)));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(shows(&home)[1] >= 1);
        }
        let report = source.import(&home);
        let all = [source.all[0], source.all[1] + 1, source.all[2] + 1];
        assert_eq!(shows(&home), all);
        home.json(&["import", "--undo", report["importId"].as_str().unwrap()]);
        assert_eq!(shows(&home), [0, 1, 1]);
        assert_eq!(home.json(&["check"])["due"], json!([]));
    }
}
