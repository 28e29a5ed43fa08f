//! Sources that are damaged, odd or no AgentX data at all.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use serde_json::{Value, json};
use support::{Home, fixture, kv};

const CONTAINER: (&str, &str) = ("containers:c", r#"{"containerId":"c"}"#);
const IMAGE: (&str, &str) = ("images:i", r#"{"imageId":"i","containerId":"c"}"#);

fn session(id: &str) -> String {
    json!({ "sessionId": id, "imageId": "i", "containerId": "c" }).to_string()
}

/// Imports these rows besides a container and an image.
fn imported(home: &Home, rows: &[(&str, &str)]) -> Value {
    let path = home.file("source.db");
    let _ = std::fs::remove_file(&path);
    kv(&path, &[&[CONTAINER, IMAGE], rows].concat());
    home.import(&path)
}

fn places(notes: &Value) -> Vec<&str> {
    notes.as_array().unwrap().iter().map(|note| note["place"].as_str().unwrap()).collect()
}

fn reason(notes: &Value) -> &str {
    assert_eq!(notes.as_array().unwrap().len(), 1, "{notes}");
    notes[0]["reason"].as_str().unwrap()
}

#[test]
fn arrays_of_no_session_are_orphans() {
    let home = Home::new();
    let report = imported(&home, &[("messages:gone", r#"[{"id":"m"},{"id":"n"}]"#)]);
    assert_eq!(places(&report["orphans"]), ["messages:gone"]);
    assert_eq!(reason(&report["orphans"]), "2 messages of no session");
    assert_eq!(report["messages"]["new"], 0);
}

#[test]
fn damaged_values_are_listed_and_not_taken() {
    let home = Home::new();
    let s = session("s");
    let twice = session("twice");
    let report = imported(
        &home,
        &[
            ("containers:torn", r#"{"containerId":"torn""#),
            ("containers:list", "[1]"),
            ("containers:none", r#"{"createdAt":1}"#),
            ("images:number", r#"{"imageId":7,"containerId":"c"}"#),
            (
                "images:text",
                &json!({"imageId":"t","containerId":"c","name":"n".repeat(2000)}).to_string(),
            ),
            (
                "sessions:keys",
                r#"{"sessionId":"k","sessionId":"k","imageId":"i","containerId":"c"}"#,
            ),
            ("sessions:s", &s),
            ("messages:s", "not json"),
            ("sessions:twice", &twice),
            ("messages:twice", r#"[{"id":"a","x":1,"x":2},"text",{"id":"b"}]"#),
            ("users:p", r#"{"apiKey":"secret"}"#),
            ("llm-providers:p", r#"{"apiKey":"secret"}"#),
        ],
    );
    let mut found = places(&report["notTaken"]);
    found.sort_unstable();
    let mut wanted = [
        "containers:torn",
        "containers:list",
        "containers:none",
        "images:number",
        "images:text",
        "sessions:keys",
        "messages:s",
        "messages:twice[0]",
        "messages:twice[1]",
        "users:p",
        "llm-providers:p",
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert!(!report.to_string().contains("secret"));
    let counts = ["containers", "images", "sessions", "messages"].map(|k| report[k]["new"].clone());
    assert_eq!(counts, [json!(1), json!(1), json!(2), json!(1)]);
    assert_eq!(home.json(&["check"])["damage"], json!([]));
}

#[test]
fn values_of_another_type_are_listed() {
    let home = Home::new();
    let path = home.file("source.db");
    kv(&path, &[CONTAINER]);
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "INSERT INTO kv_storage VALUES ('containers:bytes', x'ff00', 0, 0);
         INSERT INTO kv_storage VALUES (x'ffff', 'x', 0, 0);",
    )
    .unwrap();
    let report = home.import(&path);
    assert_eq!(report["notTaken"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["containers"]["new"], 1);
}

#[test]
fn lone_surrogates_are_replaced_and_told() {
    let home = Home::new();
    let s = session("s");
    let messages =
        r#"[{"id":"m","content":"a\ud83d... \udc00"},{"id":"n","content":"ok \ud83d\ude00"}]"#;
    let report = imported(&home, &[("sessions:s", &s), ("messages:s", messages)]);
    assert_eq!(places(&report["altered"]), ["messages:s[0]"]);
    assert_eq!(reason(&report["altered"]), "2 lone surrogates replaced by U+FFFD");
    let shown = home.json(&["sessions", "show", "s"]);
    assert_eq!(shown["messages"][0]["content"], "a\u{fffd}... \u{fffd}");
    assert_eq!(shown["messages"][1]["content"], "ok 😀");
}

#[test]
fn messages_without_an_id_of_their_own_are_all_kept() {
    let home = Home::new();
    let s = session("s");
    let messages = r#"[{"id":"m","n":1},{"id":"m","n":2},{"n":3},{"id":7,"n":4},{"id":"","n":5},{"id":"m","n":1}]"#;
    let rows = [("sessions:s", s.as_str()), ("messages:s", messages)];
    let report = imported(&home, &rows);
    let places = places(&report["withoutEntryId"]);
    assert_eq!(places, [1, 2, 3, 4, 5].map(|i| format!("messages:s[{i}]")));
    let stored = home.ok(&["sessions", "show", "s", "--json"]);
    assert_eq!(support::messages_of(&stored), support::texts(messages));
    let again = imported(&home, &rows);
    assert_eq!(again["messages"], json!({ "new": 0, "unchanged": 6, "differing": 0 }));
}

#[test]
fn records_without_parents_are_taken_and_listed() {
    let home = Home::new();
    let path = home.file("source.db");
    kv(
        &path,
        &[
            ("images:i", r#"{"imageId":"i","containerId":"nowhere"}"#),
            ("sessions:s", &session("s")),
        ],
    );
    let report = home.import(&path);
    assert_eq!(places(&report["missingParents"]), ["images:i", "sessions:s"]);
    assert_eq!((&report["images"]["new"], &report["sessions"]["new"]), (&json!(1), &json!(1)));
    assert_eq!(home.json(&["check"])["damage"], json!([]));
    // The parent may be in the store already.
    let home = Home::new();
    imported(&home, &[]);
    let path = home.file("more.db");
    kv(&path, &[("sessions:s", &session("s"))]);
    assert_eq!(home.import(&path)["missingParents"], json!([]));
}

#[test]
fn keys_that_collide_are_listed() {
    let home = Home::new();
    let (one, two) = (session("q?one"), session("q?two"));
    let report = imported(
        &home,
        &[("sessions:q", &two), ("sessions:q?one", &one), ("messages:q", r#"[{"id":"m"}]"#)],
    );
    assert_eq!(report["sessions"]["new"], 2);
    let collisions = places(&report["collisions"]);
    assert!(collisions.contains(&"sessions:q") && collisions.contains(&"sessions:q?one"));
    // The messages belong to the record that AgentX finds under their key.
    assert_eq!(home.json(&["sessions", "show", "q?two"])["messages"], json!([{ "id": "m" }]));
    assert_eq!(home.json(&["sessions", "show", "q?one"])["messages"], json!([]));
}

#[test]
fn odd_ids_find_their_messages() {
    let home = Home::new();
    let ids = ["a/b\\c", "x::y", "/lead", "trail:", "cut?here", "plain", "?"];
    let records: Vec<String> = ids.iter().map(|id| session(id)).collect();
    let keys = [":a:b:c", ":x:y", ":lead", ":trail", ":cut", ":plain", ""];
    let session_keys = keys.map(|key| format!("sessions{key}"));
    let message_keys = keys.map(|key| format!("messages{key}"));
    let messages = keys.map(|key| format!(r#"[{{"id":"m{key}"}}]"#));
    let mut rows = Vec::new();
    for i in 0..ids.len() {
        rows.push((session_keys[i].as_str(), records[i].as_str()));
        rows.push((message_keys[i].as_str(), messages[i].as_str()));
    }
    let report = imported(&home, &rows);
    assert_eq!((&report["orphans"], &report["notTaken"]), (&json!([]), &json!([])));
    for (id, key) in ids.iter().zip(keys) {
        assert_eq!(
            home.json(&["sessions", "show", id])["messages"],
            json!([{ "id": format!("m{key}") }])
        );
    }
}

#[test]
fn one_id_under_two_keys_is_taken_once() {
    let home = Home::new();
    let (old, new) = (r#"{"containerId":"d","v":1}"#, r#"{"containerId":"d","v":2}"#);
    let report = imported(&home, &[("containers:a", old), ("containers:d", new)]);
    assert_eq!(places(&report["notTaken"]), ["containers:a"]);
    assert!(home.ok(&["containers", "list", "--json"]).contains(new));
}

#[test]
fn what_is_no_agentx_data_is_refused() {
    let home = Home::new();
    let foreign = home.file("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    let queue = home.file("queue.db");
    rusqlite::Connection::open(&queue)
        .unwrap()
        .execute_batch("CREATE TABLE queue_entries(id INTEGER PRIMARY KEY)")
        .unwrap();
    let other_shape = home.file("shape.db");
    rusqlite::Connection::open(&other_shape)
        .unwrap()
        .execute_batch("CREATE TABLE kv_storage(k, v)")
        .unwrap();
    let backup = std::fs::read_to_string(fixture("backup.json")).unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = home.file(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let sources = [
        (foreign, "without the table kv_storage"),
        (other_shape, "no key and value"),
        (write("empty", b""), "an empty file"),
        (write("truncated.json", &backup.as_bytes()[..100_000]), "no whole JSON"),
        (write("list.json", b"[1,2]"), "without any of AgentX's keys"),
        (write("other.json", b"{\"a\":1}"), "without the member \"containers\""),
        (write("bytes", &[0xff, 0xfe, 0]), "a text in UTF-16"),
        (write("latin", b"caf\xe9 x"), "no text in UTF-8"),
        (write("prose", b"hello"), "neither an SQLite file nor JSON"),
        (write("dump.rdb", b"REDIS0011\xfa"), "RDB"),
        (queue, "an AgentX event queue"),
        (home.path().to_owned(), "a folder"),
    ];
    for (source, wanted) in sources {
        let said = home.fails(&["import", "agentx", source.to_str().unwrap()]);
        assert!(said.contains(wanted) && said.contains("kv_storage, a folder with"), "{said}");
    }
    let said = home.fails(&["import", "agentx", "nowhere.db"]);
    assert!(said.contains("nowhere.db"), "{said}");
    assert!(!home.store().exists(), "a refused import made a store");
}

#[test]
fn a_damaged_sqlite_file_is_refused_whole() {
    let home = Home::new();
    let path = home.file("damaged.db");
    let mut bytes = std::fs::read(fixture("agentx.db")).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 8192].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let said = home.fails(&["import", "agentx", path.to_str().unwrap()]);
    assert!(said.contains("damaged"), "{said}");
    bytes.truncate(8192);
    std::fs::write(&path, &bytes).unwrap();
    home.fails(&["import", "agentx", path.to_str().unwrap()]);
    assert!(!home.store().exists());
}

#[test]
fn a_backup_with_oddities_loses_only_those() {
    let home = Home::new();
    let path = home.file("backup.json");
    let text = r#"{"containers":[{"containerId":"c"},{"containerId":"c"},5],
        "images":[{"imageId":"i","containerId":"c","big":12345678901234567890.00}],
        "sessions":[{"sessionId":"s?1","imageId":"i","containerId":"c"}],
        "messages":{"s?1":[{"id":"m","content":"\ud800"},{"a":1,"a":2}],"s":[{"id":"x"}],
                    "d":[],"d":[]},
        "prototypes":[],"users":[]}"#;
    std::fs::write(&path, text).unwrap();
    let report = home.import(&path);
    assert_eq!(places(&report["orphans"]), ["messages[\"s\"]"]);
    let mut not_taken = places(&report["notTaken"]);
    not_taken.sort_unstable();
    let wanted =
        ["containers[1]", "containers[2]", "messages[\"d\"]", "messages[\"s?1\"][1]", "users"];
    assert_eq!(not_taken, wanted);
    assert_eq!(places(&report["altered"]), ["messages[\"s?1\"][0]"]);
    assert!(home.ok(&["images", "list", "--json"]).contains("\"big\":12345678901234567890.00"));
}
