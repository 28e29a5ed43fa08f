//! `export`, and back with `import`.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Home, beside, filled, fixture, said};

/// Everything that a home's store says of its records and messages.
fn all(home: &Home) -> Vec<String> {
    let lists = [["containers", "list"], ["images", "list"], ["sessions", "list"]];
    let mut all: Vec<String> =
        lists.iter().map(|list| home.ok(&[list.as_slice(), &["--json"]].concat())).collect();
    let sessions = home.json(&["sessions", "list"]);
    for session in sessions.as_array().unwrap() {
        all.push(home.ok(&["sessions", "show", session["sessionId"].as_str().unwrap(), "--json"]));
    }
    all
}

#[test]
fn what_is_exported_comes_back_equal() {
    for source in ["agentx.db", "backup.json"] {
        let home = Home::new();
        home.import(&fixture(source));
        let file = home.file("out.json");
        let file = file.to_str().unwrap();
        let written = home.json(&["export", file]);
        let counts = ["containers", "images", "sessions", "messages", "attachments_left_out"];
        assert_eq!(counts.map(|name| written[name].as_u64().unwrap()), [3, 8, 12, 604, 0]);
        let other = Home::new();
        other.import(std::path::Path::new(file));
        assert_eq!(all(&other), all(&home));
        assert_eq!(other.ok(&["export"]), std::fs::read_to_string(file).unwrap());
    }
}

/// As a document it is what AgentX itself wrote.
#[test]
fn the_form_is_the_original_s() {
    let home = Home::new();
    home.import(&fixture("backup.json"));
    let ours: Value = serde_json::from_str(&home.ok(&["export"])).unwrap();
    let text = std::fs::read_to_string(fixture("backup.json")).unwrap();
    let theirs: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ours["messages"], theirs["messages"]);
    for (list, id) in
        [("containers", "containerId"), ("images", "imageId"), ("sessions", "sessionId")]
    {
        let sorted = |document: &Value| {
            let mut records = document[list].as_array().unwrap().clone();
            records.sort_by_key(|record| record[id].to_string());
            records
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{list}");
    }
    assert_eq!(ours.as_object().unwrap().len(), 4);
}

#[test]
fn a_file_is_replaced_only_when_told() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let file = home.file("out.json");
    std::fs::write(&file, "mine").unwrap();
    let path = file.to_str().unwrap();
    assert!(home.fails(&["export", path]).contains("already"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    home.ok(&["export", path, "--yes"]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("{\"containers\":["));
    let nowhere = home.file("no folder/out.json");
    assert!(home.fails(&["export", nowhere.to_str().unwrap()]).contains("no folder"));
    assert_eq!(support::names(home.path()), ["data", "out.json"]);
    home.ok(&["namespaces", "create", "empty"]);
    let empty = home.json(&["--namespace", "empty", "export"]);
    assert_eq!(empty, json!({ "containers": [], "images": [], "sessions": [], "messages": {} }));
}

#[test]
fn attachments_that_stay_behind_are_told() {
    let home = Home::new();
    filled(&home, &[("default", 1)]);
    beside(&home, async |store| {
        let attachment = store.attachments().put(b"bytes").await.unwrap();
        store.messages("s").add(said("a", "x").attach(&attachment).unwrap()).await.unwrap();
    });
    let ran = home.run(&["export"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("1 attachment stay"), "{}", ran.stderr);
}

/// `agentkeep export | head -c 100`.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::new();
    filled(&home, &[("default", 5_000)]);
    let mut command = home.command(&["export"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
}
