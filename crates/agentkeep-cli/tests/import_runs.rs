//! Importing the bundled file of runs, and what may be wrong with such files.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use support::{Home, formats, json_of, names};

fn source() -> PathBuf {
    formats().join("runs/runs.db")
}

fn imported(home: &Home, path: &Path, more: &[&str]) -> Value {
    home.json(&[&["import", "runs", path.to_str().unwrap()], more].concat())
}

/// What `expected.json` says, with what cannot be kept replaced: `serde_json` refuses lone
/// surrogates, too.
fn expected() -> Value {
    let text = std::fs::read_to_string(formats().join("runs/expected.json")).unwrap();
    let replaced = text.replace("\\ud83d... [truncated", "\\ufffd... [truncated");
    assert_eq!(text.matches("\\ud83d... [truncated").count(), 2);
    serde_json::from_str(&replaced).unwrap()
}

#[test]
fn the_bundled_runs_are_as_the_original_reads_them() {
    let home = Home::new();
    let report = imported(&home, &source(), &[]);
    assert_eq!(report["runs"], json!({ "new": 20, "unchanged": 0, "differing": 0 }));
    assert_eq!(report["notTaken"], json!([]));
    let altered = report["altered"].as_array().unwrap();
    assert_eq!(altered.len(), 1, "{report}");
    assert_eq!(altered[0]["place"], "run \"051a04e7-5dcd-4bd6-a5d1-5539af2d37db\"");
    assert_eq!(altered[0]["reason"], "its trace: 2 lone surrogates replaced by U+FFFD");
    let expected = expected();
    for (id, run) in expected["runs"].as_object().unwrap() {
        let shown = home.json(&["runs", "show", id]);
        assert_eq!(shown["run"], *run, "{id}");
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&shown["run"]), names(run), "{id}: in the order of the original");
    }
    for (status, count) in expected["counts"].as_object().unwrap() {
        let args: &[&str] = if status == "total" { &[] } else { &["--status", status] };
        let listed = home.json(&[&["runs", "list"], args].concat());
        assert_eq!(listed.as_array().unwrap().len() as u64, count.as_u64().unwrap(), "{status}");
    }
    assert_eq!(home.json(&["check"])["damage"], json!([]));
}

/// The JSON columns come out text for text, but for white space and surrogates.
#[test]
fn texts_are_kept() {
    let home = Home::new();
    imported(&home, &source(), &[]);
    // In place, SQLite would make files beside it.
    let copy = home.file("copy.db");
    std::fs::copy(source(), &copy).unwrap();
    let file = Connection::open(copy).unwrap();
    let mut rows = file.prepare("SELECT run_id, trace, usage FROM agent_runs").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut compared = 0;
    for row in rows {
        let (id, trace, usage): (String, String, String) = row.unwrap();
        let shown = home.ok(&["runs", "show", &id, "--json"]);
        assert!(shown.contains(&format!("\"usage\":{usage}")), "{id}");
        if !trace.contains("\\ud") {
            assert!(shown.contains(&format!("\"trace\":{trace}")), "{id}: {shown}\n{trace}");
            compared += 1;
        }
    }
    assert_eq!(compared, 19);
}

#[test]
fn again_nothing_changes_and_it_can_be_taken_back() {
    let home = Home::new();
    let before = std::fs::read(source()).unwrap();
    let dry = imported(&home, &source(), &["--dry-run"]);
    assert_eq!((&dry["dryRun"], &dry["runs"]["new"]), (&json!(true), &json!(20)));
    assert!(names(home.path()).is_empty());
    let report = imported(&home, &source(), &[]);
    let again = imported(&home, &source(), &[]);
    assert_eq!(again["nothingNew"], true);
    assert_eq!(again["runs"], json!({ "new": 0, "unchanged": 20, "differing": 0 }));
    // One is gone on with: undoing leaves it.
    let id = "477906c2-d4ef-4329-92ee-9f6a6ce7d7c4";
    home.json(&["runs", "claim", id, "--owner", "w"]);
    assert_eq!(imported(&home, &source(), &[])["runs"]["unchanged"], 20);
    let undone = home.json(&["import", "--undo", report["importId"].as_str().unwrap()]);
    assert_eq!(undone["runs"], 19);
    let left = home.json(&["runs", "list"]);
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["runId"], id);
    assert_eq!(home.json(&["runs", "show", id])["run"]["trace"].as_array().unwrap().len(), 2);
    assert_eq!(home.json(&["check"])["due"], json!([]));
    assert_eq!(std::fs::read(source()).unwrap(), before);
    assert_eq!(names(&formats().join("runs")), ["expected.json", "runs.db"]);
}

/// A file of runs, made as the original makes it.
struct Made {
    path: PathBuf,
    file: Connection,
}

impl Made {
    fn new(path: PathBuf) -> Self {
        let file = Connection::open(&path).unwrap();
        file.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE agent_runs (run_id TEXT PRIMARY KEY, status TEXT NOT NULL,
               started_at INTEGER NOT NULL, completed_at INTEGER, input TEXT NOT NULL,
               history TEXT, plan TEXT, trace TEXT NOT NULL, usage TEXT NOT NULL,
               step_index INTEGER NOT NULL, iterations INTEGER NOT NULL,
               revisions INTEGER NOT NULL, result_text TEXT, error TEXT);",
        )
        .unwrap();
        Self { path, file }
    }

    fn row(&self, id: &str, status: &str, input: &[u8], trace: &str) {
        self.file
            .execute(
                "INSERT INTO agent_runs VALUES (?1, ?2, 1000, NULL, CAST(?3 AS TEXT), NULL, \
                 '{\"thought\":\"t\",\"steps\":[{\"id\":\"s\"}]}', ?4, '{}', 0, 0, 0, NULL, NULL)",
                params![id, status, input, trace],
            )
            .unwrap();
    }
}

#[test]
fn what_can_be_kept_is_kept_and_the_rest_is_listed() {
    let home = Home::new();
    let made = Made::new(home.file("odd.db"));
    made.row("good", "executing", b"before\0after", "[]");
    made.row("bytes", "failed", b"bad \xff\xfe end", "[{\"a\": 1.50, \"b\": \"\\ud800\"}]");
    made.row("a/b ü", "executing", b"x", "[]");
    made.row("torn", "executing", b"x", "[{\"step\":{\"id\"");
    made.row("list", "executing", b"x", "{}");
    made.row("state", "paused", b"x", "[]");
    let huge = format!("[\"{}\"]", "x".repeat((8 << 20) + 10));
    made.row("huge", "executing", b"x", &huge);
    made.file.execute("ALTER TABLE agent_runs ADD COLUMN colour TEXT", []).unwrap();
    // The rows stand in the write-ahead log alone: the file is open.
    assert!(home.file("odd.db-wal").exists());
    let report = imported(&home, &made.path, &[]);
    assert_eq!(report["runs"], json!({ "new": 3, "unchanged": 0, "differing": 0 }));
    let places = |list: &str| -> Vec<String> {
        let notes = report[list].as_array().unwrap().iter();
        notes.map(|note| format!("{}: {}", note["place"], note["reason"])).collect()
    };
    let not_taken = places("notTaken");
    for (what, why) in [
        ("column colour", "not one of the columns"),
        ("torn", "its trace: not JSON"),
        ("list", "trace of the run has the wrong type"),
        ("state", "status of the run"),
        ("huge", "more than 8388608"),
    ] {
        let found = not_taken.iter().any(|note| note.contains(what) && note.contains(why));
        assert!(found, "{what}: {not_taken:?}");
    }
    assert_eq!((not_taken.len(), places("altered").len()), (5, 2), "{report}");
    let escaped = places("escapedIds");
    assert!(escaped.len() == 1 && escaped[0].contains("a/b ü"), "{escaped:?}");
    assert_eq!(home.json(&["runs", "show", "good"])["run"]["input"], "before\0after");
    let bytes = home.json(&["runs", "show", "bytes"])["run"].clone();
    assert_eq!(bytes["input"], "bad \u{fffd}\u{fffd} end");
    assert_eq!(bytes["trace"][0]["b"], "\u{fffd}");
    let listed = home.json(&["runs", "list"]);
    let odd = listed.as_array().unwrap().iter().find_map(|run| {
        run["runId"].as_str().filter(|id| id.starts_with("a_b_")).map(str::to_owned)
    });
    let odd = home.json(&["runs", "show", &odd.unwrap()]);
    assert_eq!(odd["run"]["_origin"], json!({ "id": "a/b ü" }));
    assert_eq!(imported(&home, &made.path, &[])["nothingNew"], true);
}

#[test]
fn what_differs_is_a_conflict_told_before_anything_is_changed() {
    let home = Home::new();
    let made = Made::new(home.file("runs.db"));
    made.row("a", "executing", b"x", "[1]");
    imported(&home, &made.path, &[]);
    made.file.execute("UPDATE agent_runs SET trace = '[1,2]'", []).unwrap();
    made.row("b", "executing", b"x", "[]");
    let path = made.path.to_str().unwrap();
    let said = home.fails(&["import", "runs", path]);
    assert!(said.contains("run \\\"a\\\"") || said.contains("run \"a\""), "{said}");
    assert_eq!(home.json(&["runs", "list"]).as_array().unwrap().len(), 1);
    let kept = imported(&home, &made.path, &["--keep"]);
    assert_eq!(kept["runs"], json!({ "new": 1, "unchanged": 0, "differing": 1 }));
    assert_eq!(kept["kept"][0]["place"], "run \"a\"");
    assert_eq!(home.json(&["runs", "show", "a"])["run"]["trace"], json!([1]));
}

#[test]
fn files_of_another_kind_are_refused_and_no_store_is_made() {
    let home = Home::new();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(home.file(name), bytes).unwrap();
        home.file(name)
    };
    let whole = std::fs::read(source()).unwrap();
    let mut damaged = whole.clone();
    for at in (9_000..whole.len()).step_by(97) {
        damaged[at] ^= 0x55;
    }
    let lab = formats().join("agentrylab/checkpoints.db");
    let other = Made::new(home.file("columns.db"));
    other.file.execute("ALTER TABLE agent_runs DROP COLUMN trace", []).unwrap();
    for (path, says) in [
        (file("empty", b""), "an empty file"),
        (file("text", b"{\"runId\":1}"), "no SQLite file"),
        (home.path().to_owned(), "no ordinary file"),
        (home.file("nowhere"), "cannot be read"),
        (lab, "without the table agent_runs"),
        (other.path.clone(), "no column trace"),
        (file("short", &whole[..20_000]), "the source"),
        (file("damaged", &damaged), "the source"),
    ] {
        for more in [&["--dry-run"][..], &[]] {
            let args = [&["import", "runs", path.to_str().unwrap()], more].concat();
            let said = home.fails(&args);
            assert!(said.contains(says), "{path:?}: {said}");
        }
    }
    assert!(!home.store().exists());
    // And the other way round.
    let said = home.fails(&["import", "agentx", source().to_str().unwrap()]);
    assert!(said.contains("not AgentX data"), "{said}");
    let _ = json_of(&formats().join("agentrylab/expected.json"));
}
