//! `namespaces ...`: looked at, made, copied, renamed, deleted; also when killed in the middle.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use serde_json::{Value, json};
use support::{Home, filled, fixture};

fn names(home: &Home) -> Vec<String> {
    let list = home.json(&["namespaces", "list"]);
    let names = list.as_array().unwrap().iter();
    names.map(|record| record["namespace"].as_str().unwrap().to_owned()).collect()
}

fn export(home: &Home, namespace: &str) -> String {
    home.ok(&["--namespace", namespace, "export"])
}

#[test]
fn are_made_and_told_of() {
    let home = Home::new();
    let made =
        home.json(&["namespaces", "create", "acme", "--title", "Acme \u{1b}[31m", "--tag", "x"]);
    assert_eq!((&made["namespace"], &made["tags"]), (&json!("acme"), &json!(["x"])));
    assert!(home.fails(&["namespaces", "create", "acme"]).contains("already"));
    home.ok(&[
        "namespaces",
        "tag",
        "acme",
        "paying",
        "--remove",
        "x",
        "--set",
        "plan=\"pro\"",
        "--set",
        "seats=3",
    ]);
    home.ok(&["namespaces", "tag", "acme", "--set", "note=two words"]);
    let shown = home.json(&["namespaces", "show", "acme"]);
    assert_eq!(shown["tags"], json!(["paying"]));
    assert_eq!(shown["metadata"], json!({ "plan": "pro", "seats": 3, "note": "two words" }));
    assert_eq!(shown["usage"]["sessions"], 0);
    let table = home.ok(&["namespaces", "list"]);
    let expected = "NAMESPACE  TITLE            TAGS    CREATED\nacme       Acme \\u{1b}[31m  paying  just now\n";
    assert_eq!(table, expected);
    let shown = home.ok(&["namespaces", "show", "acme"]);
    assert!(
        shown.contains("title        Acme \\u{1b}[31m\n") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    for args in [
        vec!["namespaces", "show", "nobody"],
        vec!["namespaces", "tag", "nobody", "x"],
        vec!["namespaces", "delete", "nobody", "--yes"],
        vec!["namespaces", "fork", "nobody", "other"],
        vec!["namespaces", "rename", "nobody", "other"],
    ] {
        assert!(home.fails(&args).contains("no such namespace"), "{args:?}");
    }
    home.fails(&["namespaces", "tag", "acme"]);
    home.fails(&["namespaces", "tag", "acme", "--set", "novalue"]);
    assert_eq!(names(&home), ["acme"]);
}

#[test]
fn copies_and_renamed_ones_are_equal() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let before = export(&home, "default");
    let done = home.json(&["namespaces", "fork", "default", "copy"]);
    assert_eq!(done["copied"]["messages"], 604);
    assert_eq!(export(&home, "copy"), before);
    home.ok(&["namespaces", "rename", "default", "new"]);
    assert_eq!(names(&home), ["copy", "new"]);
    assert_eq!(export(&home, "new"), before);
    assert!(home.fails(&["namespaces", "fork", "new", "copy"]).contains("another name"));
    let check = home.json(&["check"]);
    assert_eq!((&check["damage"], &check["due"]), (&json!([]), &json!([])));
}

#[test]
fn nothing_is_deleted_without_yes() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    home.ok(&["namespaces", "fork", "default", "copy"]);
    for verb in ["delete", "erase"] {
        let said = home.fails(&["namespaces", verb, "copy"]);
        assert!(said.contains("12 sessions, 604 messages") && said.contains("--yes"), "{said}");
        assert_eq!(names(&home), ["copy", "default"]);
    }
    let done = home.json(&["namespaces", "delete", "copy", "--yes"]);
    assert_eq!((&done["namespace"], &done["deleted"]["messages"]), (&json!("copy"), &json!(604)));
    assert_eq!(names(&home), ["default"]);
    let ran = home.run(&["namespaces", "erase", "default", "--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("Erased"), "{}", ran.stderr);
    let check = home.json(&["check"]);
    assert_eq!((&check["entries"], &check["due"]), (&json!(0), &json!([])));
}

#[test]
fn erased_content_is_not_in_the_files() {
    let home = Home::new();
    filled(&home, &[("a", 3_000), ("b", 10)]);
    home.ok(&["namespaces", "erase", "a", "--yes"]);
    for name in support::names(&home.file("data")) {
        let bytes = std::fs::read(home.file("data").join(&name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("text 2999") && !text.contains("text 1234"), "{name}");
    }
}

/// Whether the mark of a copy is in the store's file.
fn is_marked(home: &Home, mark: &str) -> bool {
    let file = rusqlite::Connection::open(home.store()).unwrap();
    let sql = "SELECT count(*) FROM _namespaces WHERE instr(body, ?1) > 0";
    file.query_row(sql, [mark], |row| row.get::<_, i64>(0)).unwrap() > 0
}

/// Kills the command while the mark is there; false if it was faster.
fn killed_while(home: &Home, args: &[&str], mark: &str) -> bool {
    let mut child = home.command(args).spawn().unwrap();
    while child.try_wait().unwrap().is_none() && !is_marked(home, mark) {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_copy_that_was_killed_is_hidden_and_goes_on() {
    let mut messages = 30_000;
    while !a_killed_copy_goes_on(messages) {
        messages *= 2;
    }
}

/// False where so many messages are too few for this machine.
fn a_killed_copy_goes_on(messages: u64) -> bool {
    let home = Home::new();
    filled(&home, &[("a", messages)]);
    let before = export(&home, "a");
    for (verb, listed) in [("fork", vec!["a", "b"]), ("rename", vec!["b", "c"])] {
        let (from, to) = if verb == "fork" { ("a", "b") } else { ("a", "c") };
        let args = ["namespaces", verb, from, to];
        if !killed_while(&home, &args, "$copying") {
            return false;
        }
        assert!(!names(&home).contains(&to.to_owned()));
        assert!(home.fails(&["--namespace", to, "sessions", "list"]).contains("no such namespace"));
        assert_eq!(export(&home, from), before);
        let check = home.json(&["check"]);
        assert_eq!(check["damage"], json!([]));
        assert!(check["due"].to_string().contains("copy"), "{check}");
        home.ok(&args);
        assert_eq!(names(&home), listed);
        assert_eq!(export(&home, to), before);
    }
    let args = ["namespaces", "delete", "b", "--yes"];
    if !killed_while(&home, &args, "$deleting") {
        return false;
    }
    assert_eq!(names(&home), ["c"]);
    assert!(home.fails(&["--namespace", "b", "sessions", "list"]).contains("no such namespace"));
    let check = home.json(&["check"]);
    assert!(check["due"].to_string().contains("deletion"), "{check}");
    home.ok(&args);
    let check: Value = home.json(&["check"]);
    assert_eq!((&check["due"], &check["damage"]), (&json!([]), &json!([])));
    assert_eq!(export(&home, "c"), before);
    true
}

#[test]
fn a_store_is_copied_into_another() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    home.ok(&["namespaces", "create", "acme", "--tag", "x"]);
    let there = format!("file:{}", home.file("there").display());
    let copied = home.json(&["copy", &there, "default"]);
    assert_eq!(copied["namespaces"][0]["namespace"], "default");
    assert_eq!(copied["namespaces"][0]["blobs"], 0);
    assert!(home.fails(&["copy", &there]).contains("nothing was changed"));
    let copied = home.json(&["copy", &there, "--keep"]);
    assert_eq!(
        (&copied["namespaces"][0]["namespace"], &copied["kept"]),
        (&json!("acme"), &json!(["default"]))
    );
    for command in [
        &["export"][..],
        &["namespaces", "show", "acme", "--json"],
        &["sessions", "list", "--json"],
    ] {
        let at_target = home.ok(&[command, &["--store", &there]].concat());
        assert_eq!(at_target, home.ok(command), "{command:?}");
    }
    assert_eq!(home.ok(&["check", "--store", &there]).lines().count(), 1);
    let same = format!("sqlite:{}", home.store().display());
    assert!(home.fails(&["copy", &same]).contains("the same store"));
    let nowhere = format!("file:{}", home.file("nowhere").display());
    assert!(home.fails(&["copy", &nowhere, "nobody"]).contains("nobody"));
    assert!(!home.file("nowhere").exists());
}
