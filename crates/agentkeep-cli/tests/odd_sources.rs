//! What AgentX allows and a store does not: taken all the same where that can be, and told.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Home, kv};

/// The same keys and values in each keyed form.
fn forms(home: &Home, rows: &[(&str, &str)]) -> Vec<PathBuf> {
    let file = home.file("source.db");
    kv(&file, rows);
    let folder = home.file("tree");
    for (key, value) in rows {
        let path = folder.join(key.replace(':', "/"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    let dump = home.file("dump.json");
    std::fs::write(&dump, redis("agentx:", rows)).unwrap();
    vec![file, folder, dump]
}

fn redis(base: &str, rows: &[(&str, &str)]) -> String {
    let entries: Vec<Value> = rows
        .iter()
        .map(|(key, value)| {
            json!({ "key": format!("{base}{key}"), "type": "string", "ttl": -1, "value": value })
        })
        .collect();
    Value::from(entries).to_string()
}

fn imported(source: &Path) -> (Home, Value) {
    let home = Home::new();
    let report = home.import(source);
    assert_eq!(home.json(&["check"])["damage"], json!([]));
    (home, report)
}

fn new(report: &Value) -> [u64; 6] {
    ["containers", "images", "sessions", "messages", "prototypes", "llmProviders"]
        .map(|kind| report[kind]["new"].as_u64().unwrap())
}

fn places(notes: &Value) -> Vec<&str> {
    notes.as_array().unwrap().iter().map(|note| note["place"].as_str().unwrap()).collect()
}

fn hash(id: &str) -> String {
    blake3::hash(id.as_bytes()).to_hex()[..16].to_owned()
}

#[test]
fn ids_that_are_refused_come_in_under_others_and_references_follow() {
    let long = "x".repeat(300);
    let container = json!({ "containerId": "c\u{7}", "n": 1 }).to_string();
    let image =
        json!({ "imageId": long, "containerId": "c\u{7}", "parentImageId": "" }).to_string();
    let session =
        json!({ "sessionId": "a\nb", "imageId": long, "containerId": "c\u{7}" }).to_string();
    let empty = json!({ "sessionId": "", "imageId": long, "containerId": "c\u{7}" }).to_string();
    let sources = Home::new();
    let file = sources.file("source.db");
    kv(
        &file,
        &[
            ("containers:c\u{7}", &container),
            (&format!("images:{long}"), &image),
            ("sessions:a\nb", &session),
            ("sessions", &empty),
            ("messages:a\nb", r#"[{"id":"m"}]"#),
            ("messages", r#"[{"id":"n"}]"#),
        ],
    );
    let backup = sources.file("backup.json");
    let text = format!(
        r#"{{"containers":[{container}],"images":[{image}],"sessions":[{session},{empty}],
            "messages":{{"a\nb":[{{"id":"m"}}],"":[{{"id":"n"}}]}}}}"#
    );
    std::fs::write(&backup, text).unwrap();
    let own = format!("a%0Ab~{}", hash("a\nb"));
    let image_id = format!("{}~{}", "x".repeat(200), hash(&long));
    let container_id = format!("c%07~{}", hash("c\u{7}"));
    for source in [file, backup] {
        let (home, report) = imported(&source);
        assert_eq!(new(&report), [1, 1, 2, 2, 0, 0], "{report}");
        assert_eq!((&report["missingParents"], &report["orphans"]), (&json!([]), &json!([])));
        // Own ids and references: 1 + 2 + 3 + 3.
        assert_eq!(report["escapedIds"].as_array().unwrap().len(), 9, "{report}");
        let shown = home.json(&["sessions", "show", &own]);
        assert_eq!(shown["session"]["imageId"], image_id.as_str());
        assert_eq!(shown["session"]["_origin"]["id"], "a\nb");
        assert_eq!(shown["session"]["_origin"]["imageId"], long.as_str());
        assert_eq!(shown["messages"], json!([{ "id": "m" }]));
        let shown = home.json(&["sessions", "show", &format!("~{}", hash(""))]);
        assert_eq!(shown["messages"], json!([{ "id": "n" }]));
        let images = home.json(&["images", "list", "--container", &container_id]);
        assert_eq!(images[0]["imageId"], image_id.as_str());
        assert_eq!(images[0]["parentImageId"], "");
        assert_eq!(home.import(&source)["nothingNew"], true);
    }
}

#[test]
fn newer_forms_come_in_with_all_their_fields_and_without_keys() {
    let image = r#"{"imageId":"i","containerId":"c","roleId":"r","osId":"o","model":"m","thinking":{"budget":1.50},"providerOptions":{"x":[]},"prototypeId":"p","customData":{"k":null},"metadata":{"driverSessionId":"d"}}"#;
    let prototype = r#"{"prototypeId":"p","containerId":"c","name":"Proto","systemPrompt":"é","mcpServers":{},"n":1.0}"#;
    let provider = r#"{"id":"l","containerId":"c","vendor":"v","apiKey":"sk-very-secret","baseUrl":"https://x","isDefault":true}"#;
    let session =
        r#"{"sessionId":"s","imageId":"i","containerId":"c","metadata":{"driverSessionId":"d"}}"#;
    let message = r#"{"id":"m","subtype":"assistant","content":[{"type":"tool-call","id":"t","input":{"a":1.0}}],"parentId":"q","usage":{"in":1}}"#;
    let rows = [
        ("containers:c", r#"{"containerId":"c"}"#),
        ("images:i", image),
        ("idx:prototypes:container:c:p", "p"),
        ("prototypes:p", prototype),
        ("llm-providers:l", provider),
        ("idx:llm-providers:container:c:l", "l"),
        ("sessions:s", session),
        ("messages:s", &format!("[{message}]")),
    ];
    let sources = Home::new();
    let mut sources_of = forms(&sources, &rows);
    let backup = sources.file("backup.json");
    let text = format!(
        r#"{{"containers":[{{"containerId":"c"}}],"images":[{image}],"sessions":[{session}],
            "messages":{{"s":[{message}]}},"prototypes":[{prototype}],"llmProviders":[{provider}]}}"#
    );
    std::fs::write(&backup, text).unwrap();
    sources_of.push(backup);
    for source in sources_of {
        let (home, report) = imported(&source);
        assert_eq!(new(&report), [1, 1, 1, 1, 1, 1], "{report}");
        let told = &report["leftBehind"];
        assert_eq!(
            (told.as_array().unwrap().len(), &told[0]["reason"]),
            (1, &json!("its apiKey was not taken"))
        );
        assert!(home.ok(&["images", "list", "--json"]).contains(image));
        assert!(home.ok(&["sessions", "list", "--json"]).contains(session));
        assert!(home.ok(&["sessions", "show", "s", "--json"]).contains(message));
        let store = rusqlite::Connection::open(home.store()).unwrap();
        let body = |kind: &str| -> String {
            let sql = "SELECT body FROM definitions WHERE kind = ?1";
            store.query_row(sql, [kind], |row| row.get(0)).unwrap()
        };
        assert_eq!(body("prototype"), prototype);
        assert_eq!(body("llm-provider"), provider.replace(r#""apiKey":"sk-very-secret","#, ""));
        drop(store);
        assert!(!report.to_string().contains("very-secret"));
        for name in support::names(&home.file("data")) {
            let bytes = std::fs::read(home.file("data").join(name)).unwrap();
            assert!(!bytes.windows(11).any(|some| some == b"very-secret"));
        }
        let shown = home.ok(&["import", "agentx", source.to_str().unwrap()]);
        assert!(shown.contains("Left behind: secrets: 1") && shown.contains("apiKey"), "{shown}");
    }
}

#[test]
fn every_keyed_form_tells_the_same_of_the_same_damage() {
    let rows = [
        ("containers:c", r#"{"containerId":"c"}"#),
        ("containers:list", "[1]"),
        ("containers:torn", r#"{"containerId":"torn""#),
        ("images:i", r#"{"imageId":"i","containerId":"nowhere"}"#),
        ("images:wrong", r#"{"imageId":"wrong","containerId":"c","name":5}"#),
        ("images:time", r#"{"imageId":"time","containerId":"c","createdAt":"soon"}"#),
        ("sessions:s", r#"{"sessionId":"s","imageId":"i","containerId":"c","title":"\udc00"}"#),
        ("sessions:t", r#"{"sessionId":"t","imageId":"i","containerId":"c"}"#),
        ("messages:s", r#"[{"id":"m","content":"a\ud83d"},"text",{"n":1},{"id":"m"},{"id":7}]"#),
        ("messages:t", r#"[{"id":"m"},{"id":"n"}"#),
        ("messages:gone", r#"[{"id":"m"}]"#),
        ("messages:object", r#"{"id":"m"}"#),
        ("idx:images:container:c:old", "old"),
    ];
    let sources = Home::new();
    for source in forms(&sources, &rows) {
        let (home, report) = imported(&source);
        assert_eq!(new(&report), [1, 1, 2, 4, 0, 0], "{report}");
        let mut not_taken = places(&report["notTaken"]);
        not_taken.sort_unstable();
        let wanted = [
            "containers:list",
            "containers:torn",
            "images:time",
            "images:wrong",
            "messages:object",
            "messages:s[1]",
            "messages:t",
        ];
        assert_eq!(not_taken, wanted);
        assert_eq!(places(&report["orphans"]), ["messages:gone"]);
        assert_eq!(places(&report["altered"]), ["sessions:s", "messages:s[0]"]);
        let without = [2, 3, 4].map(|i| format!("messages:s[{i}]"));
        assert_eq!(places(&report["withoutEntryId"]), without);
        assert_eq!(places(&report["missingParents"]), ["images:i"]);
        assert_eq!(home.json(&["sessions", "show", "t"])["messages"], json!([]));
        assert_eq!(home.import(&source)["nothingNew"], true);
    }
}

#[test]
fn a_redis_dump_may_have_another_base_and_other_things_beside() {
    let home = Home::new();
    let rows = [("containers:c", r#"{"containerId":"c"}"#), ("messages:s", "[]")];
    let text = redis("my:own:", &rows);
    let more = r#",{"key":"my:own:images:i","type":"hash","value":{"a":"b"}},
        {"key":"other:sessions:x","type":"string","value":"{}"},{"type":"string","value":"x"},
        {"key":"my:own:images:n","type":"string","value":null},
        {"value":"{\"containerId\":\"\\ud83d\\ude00\u00e9\"}","key":"my:own:containers:😀é"},7]"#;
    let dump = home.file("dump.json");
    std::fs::write(&dump, format!("\u{feff} {}{more}", text.strip_suffix(']').unwrap())).unwrap();
    let (home, report) = imported(&dump);
    assert_eq!(new(&report), [2, 0, 0, 0, 0, 0], "{report}");
    let wanted = ["my:own:images:i", "other:sessions:x", "[4]", "my:own:images:n", "[7]"];
    assert_eq!(places(&report["notTaken"]), wanted);
    assert_eq!(places(&report["orphans"]), ["messages:s"]);
    assert!(home.ok(&["containers", "list", "--json"]).contains("😀é"));
}

#[cfg(unix)]
#[test]
fn a_tree_gives_its_files_and_nothing_beyond() {
    use std::os::unix::ffi::OsStrExt as _;
    let sources = Home::new();
    let outside = sources.file("outside");
    std::fs::write(&outside, r#"{"containerId":"outside"}"#).unwrap();
    let rows = [("containers:c", r#"{"containerId":"c"}"#)];
    let tree = forms(&sources, &rows).swap_remove(1);
    std::os::unix::fs::symlink(&outside, tree.join("containers/link")).unwrap();
    std::os::unix::fs::symlink(sources.path(), tree.join("sessions")).unwrap();
    let bad = std::ffi::OsStr::from_bytes(b"containers/\xff");
    std::fs::write(tree.join(bad), r#"{"containerId":"bad"}"#).unwrap();
    std::fs::create_dir_all(tree.join("node_modules/x")).unwrap();
    std::fs::write(tree.join("node_modules/x/y"), "{}").unwrap();
    std::fs::write(tree.join("notes"), "x").unwrap();
    std::fs::write(tree.join("containers/empty"), "").unwrap();
    let (_home, report) = imported(&tree);
    assert_eq!(new(&report), [1, 0, 0, 0, 0, 0], "{report}");
    let not_taken = places(&report["notTaken"]);
    for wanted in ["containers:link", "sessions", "node_modules", "notes", "containers:empty"] {
        assert!(not_taken.contains(&wanted), "{wanted}: {not_taken:?}");
    }
    assert_eq!(not_taken.len(), 6);
    // A folder with something else in folders of these names is no such tree.
    let pictures = sources.file("pictures");
    std::fs::create_dir_all(pictures.join("images")).unwrap();
    std::fs::write(pictures.join("images/a.png"), b"\x89PNG").unwrap();
    let said = sources.fails(&["import", "agentx", pictures.to_str().unwrap()]);
    assert!(said.contains("a folder without AgentX's folders of JSON"), "{said}");
    std::fs::copy(support::fixture("agentx.db"), pictures.join("agentx.db")).unwrap();
    let said = sources.fails(&["import", "agentx", pictures.to_str().unwrap()]);
    assert!(said.contains("name that file"), "{said}");
}

#[test]
fn an_sqlite_file_in_utf_16_is_read_as_well() {
    let sources = Home::new();
    let path = sources.file("wide.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.pragma_update(None, "encoding", "UTF-16le").unwrap();
    drop(file);
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "PRAGMA encoding = 'UTF-16le';
         CREATE TABLE kv_storage(key TEXT PRIMARY KEY, value TEXT NOT NULL);
         INSERT INTO kv_storage VALUES ('containers:é', '{\"containerId\":\"é\"}');
         INSERT INTO kv_storage VALUES ('messages:gone', '[1]');",
    )
    .unwrap();
    let encoding: String = file.pragma_query_value(None, "encoding", |row| row.get(0)).unwrap();
    assert_eq!(encoding, "UTF-16le");
    drop(file);
    let (_home, report) = imported(&path);
    assert_eq!(new(&report), [1, 0, 0, 0, 0, 0], "{report}");
    assert_eq!(report["orphans"][0]["reason"], "1 message of no session");
}
