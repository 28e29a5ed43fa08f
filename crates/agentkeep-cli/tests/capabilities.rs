//! `capabilities ...` and `why`.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::Home;
use support::capable::{filled, from_the_future};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Khora's runs of its own command: the same words, the same outcome, but for those that the list of
/// differences names.
#[test]
fn diff_answers_as_khora_does() {
    let text = std::fs::read_to_string(root().join("fixtures/vectors/diff-cli.json")).unwrap();
    let list = std::fs::read_to_string(root().join("docs/coming-from/khora.md")).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut count = 0;
    for vector in vectors.iter().filter(|vector| vector["op"] == "capability-diff") {
        let (home, name) = (Home::new(), vector["name"].as_str().unwrap());
        for (file, text) in vector["input"]["files"].as_object().unwrap() {
            std::fs::write(home.file(file), text.as_str().unwrap()).unwrap();
        }
        let given = vector["input"]["argv"].as_array().unwrap();
        let mut args = vec!["capabilities", "diff"];
        args.extend(given.iter().map(|arg| arg.as_str().unwrap()));
        let ran = home.command(&args).current_dir(home.path()).output().unwrap();
        let (expected, code) = (&vector["expected"], ran.status.code().unwrap());
        let same = i64::from(code) == expected["exitCode"].as_i64().unwrap()
            && String::from_utf8(ran.stdout).unwrap() == expected["stdout"].as_str().unwrap()
            && ran.stderr.is_empty() == expected["stderr"].as_str().is_some_and(str::is_empty);
        let listed = list.contains(&format!("| `diff-cli` | `{name}` |"));
        assert_eq!(same, !listed, "{name}: {code}");
        assert!(same || code == 2, "{name}");
        count += 1;
    }
    assert!(count > 5);
}

#[test]
fn what_is_kept_is_shown() {
    let home = Home::new();
    filled(&home);
    let agents = home.ok(&["capabilities", "agents"]);
    assert!(agents.contains("helper") && !agents.contains('\u{1b}'), "{agents}");
    let links = home.json(&["capabilities", "links", "helper"]);
    let ids: Vec<&Value> = links.as_array().unwrap().iter().map(|link| &link["linkId"]).collect();
    assert_eq!(ids, ["l1", "l2"]);
    let one = home.json(&["capabilities", "links", "helper", "--limit", "1"]);
    assert_eq!(one.as_array().unwrap().len(), 1);
    let lineage = home.ok(&["capabilities", "lineage", "chat"]);
    assert!(lineage.contains("\u{25cf}  l1") && lineage.contains("    + export"), "{lineage}");
    let lineage = home.json(&["capabilities", "lineage", "chat"]);
    assert_eq!(lineage["transitions"][0]["row"]["fromLinkId"], "l1");
    let shown = home.json(&["capabilities", "show", "l2"]);
    assert_eq!(shown["turn"], "turn-l2");
    let used = home.json(&["capabilities", "show", &"export".repeat(20)]);
    assert_eq!((&used[0]["kind"], &used[0]["first"]), (&json!("tool"), &json!("l2")));
    assert!(home.fails(&["capabilities", "show", "nothing"]).contains("no such"));
    let diff = home.ok(&["capabilities", "diff", "l1", "l2"]);
    assert!(diff.contains("(l1 vs l2)") && diff.contains("  Added export"), "{diff}");
    assert_eq!(home.run(&["capabilities", "diff", "l1", "l2", "--fail"]).code, 1);
    assert_eq!(home.run(&["capabilities", "diff", "l1", "l1", "--fail"]).code, 0);
    let why = home.json(&["why", "chat", "l2"]);
    assert_eq!((&why["ownLink"], &why["link"]["row"]["linkId"]), (&json!(true), &json!("l2")));
    let why = home.ok(&["why", "chat", "l2"]);
    assert!(why.contains("could use    search, export"), "{why}");
    assert!(why.contains("called       search {\"query\":1.50} (call-l2)"), "{why}");
    assert!(why.contains("answered     {\"type\":\"text\",\"value\":\"seen\"} (call-l2)"), "{why}");
    assert!(home.fails(&["why", "chat", "nothing"]).contains("no such message"));
}

/// It is shown as it was given, and everybody who would read it is told.
#[test]
fn an_envelope_of_an_unknown_version_is_kept_and_said() {
    let home = Home::new();
    filled(&home);
    let given = from_the_future(&home);
    for extra in [&[][..], &["--json"]] {
        let mut args = vec!["capabilities", "show", "e9"];
        args.extend(extra);
        let shown = home.run(&args);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert!(shown.stdout.contains("[1.00,"), "{}", shown.stdout);
        let kept: Value = serde_json::from_str(&shown.stdout).unwrap();
        let given: Value = serde_json::from_str(&given).unwrap();
        assert_eq!(kept["row"]["envelope"], given);
        assert!(shown.stderr.contains("is not known"), "{}", shown.stderr);
        assert!(!shown.stderr.contains('\u{1b}'), "{}", shown.stderr);
    }
    let why = home.ok(&["why", "chat", "m9"]);
    assert!(why.contains("e9 (its version") && why.contains("is not known"), "{why}");
    assert!(!why.contains('\u{1b}'), "{why}");
    let file = home.file("future.json");
    std::fs::write(&file, &given).unwrap();
    for side in ["e9", file.to_str().unwrap()] {
        let refused = home.fails(&["capabilities", "diff", "l1", side]);
        assert!(refused.contains("Unsupported schemaVersion"), "{refused}");
        assert!(!refused.contains('\u{1b}'), "{refused}");
    }
    // The store is whole with it.
    home.ok(&["check"]);
}
