//! Importing the bundled AgentX data, in both forms.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Home, expected, fixture, messages_of, names, texts};

const FORMS: [&str; 2] = ["agentx.db", "backup.json"];

/// A copy of a fixture in a folder of its own.
fn copied(home: &Home, name: &str) -> PathBuf {
    std::fs::create_dir(home.file("source")).unwrap();
    let copy = home.file("source").join(name);
    std::fs::write(&copy, std::fs::read(fixture(name)).unwrap()).unwrap();
    copy
}

fn tally(new: u64, unchanged: u64) -> Value {
    json!({ "new": new, "unchanged": unchanged, "differing": 0 })
}

fn by_id(records: &Value, id: &str) -> BTreeMap<String, Value> {
    let records = records.as_array().unwrap().iter();
    records.map(|record| (record[id].as_str().unwrap().to_owned(), record.clone())).collect()
}

const LISTS: [(&str, &str); 3] =
    [("containers", "containerId"), ("images", "imageId"), ("sessions", "sessionId")];

#[test]
fn both_forms_give_what_agentx_reads() {
    let expected = expected();
    for form in FORMS {
        let home = Home::new();
        let report = home.import(&fixture(form));
        for (kind, count) in [("containers", 3), ("images", 8), ("sessions", 12), ("messages", 604)]
        {
            assert_eq!(report[kind], tally(count, 0), "{form} {kind}");
            assert_eq!(expected["counts"][kind], count);
        }
        for list in ["notTaken", "orphans", "altered", "withoutEntryId", "collisions", "kept"] {
            assert_eq!(report[list], json!([]), "{form} {list}");
        }
        for (kind, id) in LISTS {
            let stored = home.json(&[kind, "list"]);
            assert_eq!(by_id(&stored, id), by_id(&expected[kind], id), "{form}");
        }
        for (session, messages) in expected["messages"].as_object().unwrap() {
            let shown = home.json(&["sessions", "show", session]);
            assert_eq!(shown["messages"], *messages, "{form} {session}");
            assert_eq!(shown["session"]["sessionId"], session.as_str());
        }
        assert_eq!(home.ok(&["check"]).lines().count(), 1);
    }
}

/// The texts of all values in the source, by key.
fn source_texts() -> BTreeMap<String, String> {
    let file = rusqlite::Connection::open_with_flags(
        fixture("agentx.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let mut rows = file.prepare("SELECT key, value FROM kv_storage").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn both_forms_keep_every_text() {
    let source = source_texts();
    for form in FORMS {
        let home = Home::new();
        home.import(&fixture(form));
        for (kind, _) in LISTS {
            let mut stored = texts(&home.ok(&[kind, "list", "--json"]));
            let prefix = format!("{kind}:");
            let of_kind = source.iter().filter(|(key, _)| key.starts_with(&prefix));
            let mut original: Vec<String> = of_kind.map(|(_, text)| text.clone()).collect();
            stored.sort();
            original.sort();
            assert_eq!(stored, original, "{form} {kind}");
        }
        let mut compared = 0;
        for (session, _) in by_id(&home.json(&["sessions", "list"]), "sessionId") {
            let shown = home.ok(&["sessions", "show", &session, "--json"]);
            let key = format!("messages:{}", session.replace('/', ":"));
            let original = source.get(&key).map_or("[]", String::as_str);
            assert_eq!(messages_of(&shown), texts(original), "{form} {session}");
            compared += texts(original).len();
        }
        assert_eq!(compared, 604);
    }
}

#[test]
fn again_nothing_changes() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let before = home.ok(&["sessions", "list", "--json"]);
    for form in FORMS {
        let report = home.import(&fixture(form));
        for (kind, count) in [("containers", 3), ("images", 8), ("sessions", 12), ("messages", 604)]
        {
            assert_eq!(report[kind], tally(0, count), "{form} {kind}");
        }
    }
    assert_eq!(home.ok(&["sessions", "list", "--json"]), before);
    assert_eq!(home.json(&["stats"])["messages"], 604);
}

#[test]
fn a_dry_run_tells_the_same_and_writes_nothing() {
    for form in FORMS {
        let home = Home::new();
        let source = fixture(form);
        let report = home.json(&["import", "agentx", source.to_str().unwrap(), "--dry-run"]);
        assert_eq!(report["dryRun"], true);
        assert_eq!(report["messages"], tally(604, 0));
        assert!(names(home.path()).is_empty(), "a dry run made {:?}", names(home.path()));

        let empty = home.file("empty.json");
        std::fs::write(&empty, r#"{"containers":[],"images":[],"sessions":[],"messages":{}}"#)
            .unwrap();
        home.import(&empty);
        home.json(&["import", "agentx", source.to_str().unwrap(), "--dry-run"]);
        let stats = home.json(&["stats"]);
        assert_eq!((&stats["sessions"], &stats["messages"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn what_differs_stays_as_it_is() {
    let home = Home::new();
    home.import(&fixture("backup.json"));
    let text = std::fs::read_to_string(fixture("backup.json")).unwrap();
    let changed = home.file("changed.json");
    let text =
        text.replacen("\"containerId\": \"default\",", "\"containerId\": \"default\",\"x\":1,", 1);
    std::fs::write(&changed, text).unwrap();
    let report = home.import(&changed);
    assert_eq!(report["containers"], json!({ "new": 0, "unchanged": 2, "differing": 1 }));
    assert_eq!(report["kept"][0]["place"], "container \"default\"");
    assert!(!home.ok(&["containers", "list", "--json"]).contains("\"x\":1"));
}

#[test]
fn the_source_is_not_touched() {
    for form in FORMS {
        let home = Home::new();
        let source = copied(&home, form);
        let before = state(&source);
        home.import(&source);
        assert_eq!(state(&source), before, "{form}");
        assert_eq!(names(source.parent().unwrap()), [form]);
    }
}

fn state(path: &Path) -> (Vec<u8>, std::time::SystemTime) {
    (std::fs::read(path).unwrap(), std::fs::metadata(path).unwrap().modified().unwrap())
}

/// Rows that stand only in the write-ahead log count, and the log stays as it is.
#[test]
fn a_hot_write_ahead_log_is_honoured() {
    let home = Home::new();
    let source = copied(&home, "agentx.db");
    let writer = rusqlite::Connection::open(&source).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let row = r#"{"containerId":"late","createdAt":1}"#;
    writer.execute("INSERT INTO kv_storage VALUES ('containers:late', ?1, 0, 0)", [row]).unwrap();
    let wal = source.with_file_name("agentx.db-wal");
    let before = (state(&source), state(&wal), names(&home.file("source")));
    let report = home.import(&source);
    assert_eq!(report["containers"], tally(4, 0));
    assert_eq!((state(&source), state(&wal), names(&home.file("source"))), before);
}

/// A journal that a crash left is rolled back in a copy only.
#[test]
fn a_hot_journal_is_rolled_back_elsewhere() {
    let home = Home::new();
    let source = copied(&home, "agentx.db");
    let writer = rusqlite::Connection::open(&source).unwrap();
    // Too small a cache makes SQLite write to the file before the commit.
    writer.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN;").unwrap();
    writer.execute("UPDATE kv_storage SET value = hex(zeroblob(40000))", []).unwrap();
    let torn = home.file("torn");
    std::fs::create_dir(&torn).unwrap();
    for name in ["agentx.db", "agentx.db-journal"] {
        std::fs::copy(source.with_file_name(name), torn.join(name)).unwrap();
    }
    drop(writer);
    let source = torn.join("agentx.db");
    assert_ne!(std::fs::read(&source).unwrap(), std::fs::read(fixture("agentx.db")).unwrap());
    let before = (state(&source), names(&torn));
    assert_eq!(home.import(&source)["messages"], tally(604, 0));
    assert_eq!((state(&source), names(&torn)), before);
}

#[test]
fn people_get_a_table() {
    let home = Home::new();
    let source = fixture("agentx.db");
    let shown = home.ok(&["import", "agentx", source.to_str().unwrap()]);
    let table = "            NEW  UNCHANGED  DIFFERING
containers    3          0          0
images        8          0          0
sessions     12          0          0
messages    604          0          0
";
    assert_eq!(shown, format!("Imported AgentX SQLite file {}\n\n{table}", source.display()));
}
