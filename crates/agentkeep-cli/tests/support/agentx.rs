//! What the bundled data of AgentX must be after an import.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{Home, expected};

pub(crate) fn tally(new: u64, unchanged: u64) -> Value {
    json!({ "new": new, "unchanged": unchanged, "differing": 0 })
}

pub(crate) fn by_id(records: &Value, id: &str) -> BTreeMap<String, Value> {
    let records = records.as_array().unwrap().iter();
    records.map(|record| (record[id].as_str().unwrap().to_owned(), record.clone())).collect()
}

pub(crate) const LISTS: [(&str, &str); 3] =
    [("containers", "containerId"), ("images", "imageId"), ("sessions", "sessionId")];

/// Imports a source that has the bundled data, and compares everything with what AgentX reads.
pub(crate) fn gives_what_agentx_reads(home: &Home, source: &Path) {
    let (expected, form) = (expected(), source.display());
    {
        let report = home.import(source);
        for (kind, count) in [("containers", 3), ("images", 8), ("sessions", 12), ("messages", 604)]
        {
            assert_eq!(report[kind], tally(count, 0), "{form} {kind}");
            assert_eq!(expected["counts"][kind], count);
        }
        for list in LISTS_OF_NOTES {
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
        queries(home, &expected["queries"]);
    }
}

pub(crate) const LISTS_OF_NOTES: [&str; 9] = [
    "notTaken",
    "orphans",
    "kept",
    "altered",
    "escapedIds",
    "leftBehind",
    "withoutEntryId",
    "missingParents",
    "collisions",
];

/// What the original answers to its queries. `sessionByImage` pins a defect of it: ours answers
/// the newest first.
fn queries(home: &Home, expected: &Value) {
    let asked = [
        ("imagesByName", "images", "--name", "imageId"),
        ("imagesByContainer", "images", "--container", "imageId"),
        ("sessionsByContainer", "sessions", "--container", "sessionId"),
    ];
    for (query, kind, option, id) in asked {
        for (value, wanted) in expected[query].as_object().unwrap() {
            let found = home.json(&[kind, "list", option, value]);
            let found: Vec<&Value> = found.as_array().unwrap().iter().map(|r| &r[id]).collect();
            let wanted: Vec<&Value> = wanted.as_array().unwrap().iter().collect();
            assert_eq!(found, wanted, "{query} {value}");
        }
    }
    for (image, session) in expected["sessionByImage"].as_object().unwrap() {
        let found = home.json(&["sessions", "list", "--image", image]);
        let found = found.as_array().unwrap();
        assert!(found.iter().any(|record| record["sessionId"] == *session));
        let times: Vec<i64> =
            found.iter().map(|record| record["createdAt"].as_i64().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{image}: {times:?}");
    }
}

/// All keys and texts that AgentX's SQLite file holds.
pub(crate) fn kept(file: &Path) -> Vec<(String, String)> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = rusqlite::Connection::open_with_flags(file, flags).unwrap();
    let mut rows = file.prepare("SELECT key, value FROM kv_storage").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}
