//! Importing the bundled AgentX data, in all its forms.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::agentx::{LISTS, by_id, gives_what_agentx_reads, kept, tally};
use support::{Home, fixture, messages_of, names, texts};

const FORMS: [&str; 4] = ["agentx.db", "agentx-fs", "backup.json", "redis-keys.json"];

/// A copy of a fixture in a folder of its own.
fn copied(home: &Home, name: &str) -> PathBuf {
    std::fs::create_dir(home.file("source")).unwrap();
    let copy = home.file("source").join(name);
    copy_all(&fixture(name), &copy);
    copy
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for name in names(from) {
            copy_all(&from.join(&name), &to.join(&name));
        }
    } else {
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    }
}

#[test]
fn all_forms_give_what_agentx_reads() {
    for form in FORMS {
        let home = Home::new();
        gives_what_agentx_reads(&home, &fixture(form));
    }
}

#[test]
fn all_forms_keep_every_text() {
    let source: BTreeMap<String, String> = kept(&fixture("agentx.db")).into_iter().collect();
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
        assert_eq!(report["nothingNew"], true);
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
fn what_differs_is_a_conflict_told_before_anything_is_changed() {
    let home = Home::new();
    home.import(&fixture("backup.json"));
    let text = std::fs::read_to_string(fixture("backup.json")).unwrap();
    let changed = home.file("changed.json");
    let text =
        text.replacen("\"containerId\": \"default\",", "\"containerId\": \"default\",\"x\":1,", 1);
    let text = text.replacen("\"containers\": [", "\"containers\": [{\"containerId\":\"new\"},", 1);
    std::fs::write(&changed, text).unwrap();
    let source = changed.to_str().unwrap();
    let report = home.json(&["import", "agentx", source, "--dry-run"]);
    assert_eq!(report["containers"], json!({ "new": 1, "unchanged": 2, "differing": 1 }));
    assert_eq!(report["kept"][0]["place"], "container \"default\"");
    let said = home.fails(&["import", "agentx", source]);
    assert!(said.contains("container \"default\"") && said.contains("--keep"), "{said}");
    assert_eq!(home.json(&["containers", "list"]).as_array().unwrap().len(), 3);
    let report = home.json(&["import", "agentx", source, "--keep"]);
    assert_eq!(report["containers"], json!({ "new": 1, "unchanged": 2, "differing": 1 }));
    let listed = home.ok(&["containers", "list", "--json"]);
    assert!(listed.contains("\"new\"") && !listed.contains("\"x\":1"), "{listed}");
}

/// Takes the import back by the id that its report told.
#[test]
fn an_import_can_be_taken_back() {
    let home = Home::new();
    let elsewhere = home.file("mine.json");
    std::fs::write(
        &elsewhere,
        r#"{"containers":[{"containerId":"mine"}],"images":[],"sessions":[],"messages":{}}"#,
    )
    .unwrap();
    let first = home.import(&elsewhere);
    let second = home.import(&fixture("agentx-fs"));
    let id = second["importId"].as_str().unwrap();
    assert_ne!(first["importId"], second["importId"]);
    assert!(
        home.ok(&["import", "agentx", fixture("agentx-fs").to_str().unwrap()])
            .contains("Nothing new")
    );
    let undone = home.json(&["import", "--undo", id]);
    let counts = ["containers", "images", "sessions", "messages"].map(|kind| undone[kind].clone());
    assert_eq!(counts, [json!(3), json!(8), json!(12), json!(604)]);
    assert_eq!(undone["kept"], json!([]));
    let stats = home.json(&["stats"]);
    assert_eq!((&stats["containers"], &stats["messages"]), (&json!(1), &json!(0)));
    let said = home.fails(&["import", "--undo", id]);
    assert!(said.contains(id), "{said}");
    assert_eq!(home.json(&["check"])["due"], json!([]));
    let shown = home.ok(&["import", "agentx", fixture("agentx-fs").to_str().unwrap()]);
    let told = shown.lines().last().unwrap().split(' ').next_back().unwrap();
    assert!(home.ok(&["import", "--undo", told]).starts_with("Took back"));
}

#[test]
fn the_source_is_not_touched() {
    for form in FORMS {
        let home = Home::new();
        let source = copied(&home, form);
        let before = state(&source);
        home.import(&source);
        home.json(&["import", "agentx", source.to_str().unwrap(), "--dry-run"]);
        assert_eq!(state(&source), before, "{form}");
        assert_eq!(names(source.parent().unwrap()), [form]);
    }
}

/// The names, times and bytes of a file, or of all that is in a folder.
fn state(path: &Path) -> Vec<(PathBuf, std::time::SystemTime, Vec<u8>)> {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    if path.is_dir() {
        let inside = names(path).into_iter().flat_map(|name| state(&path.join(name)));
        return std::iter::once((path.to_owned(), modified, Vec::new())).chain(inside).collect();
    }
    vec![(path.to_owned(), modified, std::fs::read(path).unwrap())]
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
    let head = format!("Imported AgentX SQLite file {}\n\n{table}", source.display());
    let rest = shown.strip_prefix(&head).unwrap();
    assert!(rest.starts_with("\nTo take it back: agentkeep import --undo agentx-"), "{rest}");
}
