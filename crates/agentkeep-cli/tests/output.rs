//! What goes to stdout: tables, JSON documents, and no more than the reader wants.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::json;
use support::{Home, fixture, formats, kv, texts};

fn filled() -> Home {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    home
}

fn tagged() -> Home {
    let home = Home::new();
    let path = home.file("source.db");
    let session = |id: &str, tags: &str, at: u64| {
        format!(
            r#"{{"sessionId":"{id}","imageId":"i","containerId":"c","title":"T\u001b[31m {id}","tags":{tags},"createdAt":{at}}}"#
        )
    };
    kv(
        &path,
        &[
            ("containers:c", r#"{"containerId":"c","createdAt":1769990400000,"n":1.50}"#),
            (
                "images:i",
                r#"{"imageId":"i","containerId":"c","name":"研究 🔬","tags":["x","y"],"createdAt":1769990400000}"#,
            ),
            ("images:j", r#"{"imageId":"j","containerId":"d","name":"研究 🔬"}"#),
            ("sessions:a", &session("a", r#"["x"]"#, 1_769_990_400_000)),
            ("sessions:b", &session("b", r#"["x","y"]"#, 1_769_990_401_000)),
            ("sessions:c", &session("c", "[]", 1_769_990_402_000)),
            (
                "messages:a",
                r#"[{"id":"m","subtype":"user","content":"hi\u001b]0;x\u0007","timestamp":1769990400000}]"#,
            ),
        ],
    );
    home.import(&path);
    home
}

#[test]
fn tables_are_aligned_and_safe() {
    let home = tagged();
    let sessions = "\
SESSION  TITLE          IMAGE  CONTAINER  MESSAGES  TAGS  UPDATED
c        T\\u{1b}[31m c  i      c                 0  -     2026-02-02T00:00:02.000Z
b        T\\u{1b}[31m b  i      c                 0  x, y  2026-02-02T00:00:01.000Z
a        T\\u{1b}[31m a  i      c                 1  x     2026-02-02T00:00:00.000Z
";
    assert_eq!(home.ok(&["sessions", "list", "--long"]), sessions);
    let images = "\
IMAGE  NAME     CONTAINER  SESSION  TAGS  UPDATED
i      研究 🔬  c          -        x, y  2026-02-02T00:00:00.000Z
j      研究 🔬  d          -        -     -
";
    assert_eq!(home.ok(&["images", "list", "--long"]), images);
    let containers = "\
CONTAINER  CREATED                   UPDATED
c          2026-02-02T00:00:00.000Z  -
";
    assert_eq!(home.ok(&["containers", "list", "--long"]), containers);
    assert!(home.ok(&["containers", "list"]).contains(" ago"));
}

#[test]
fn filters_narrow_and_limits_cut() {
    let home = tagged();
    let ids = |args: &[&str], id: &str| -> Vec<String> {
        let records = home.json(args);
        let records = records.as_array().unwrap().iter();
        records.map(|record| record[id].as_str().unwrap().to_owned()).collect()
    };
    let sessions =
        |args: &[&str]| ids(&[&["sessions", "list"], args].concat(), "sessionId").concat();
    assert_eq!(sessions(&[]), "cba");
    assert_eq!(sessions(&["--tag", "x"]), "ba");
    assert_eq!(sessions(&["--tag", "x", "--image", "i", "--container", "c"]), "ba");
    assert_eq!(sessions(&["--tag", "x", "--image", "j"]), "");
    assert_eq!(sessions(&["--container", "c", "--limit", "2"]), "cb");
    assert_eq!(sessions(&["--container", "C"]), "");
    assert_eq!(sessions(&["--image", "i", "--tag", "y", "--limit", "1"]), "b");
    let images = |args: &[&str]| ids(&[&["images", "list"], args].concat(), "imageId").concat();
    assert_eq!(images(&["--name", "研究 🔬"]), "ij");
    assert_eq!(images(&["--name", "研究 🔬", "--container", "d"]), "j");
    assert_eq!(images(&["--name", "研究"]), "");
    assert_eq!(images(&["--tag", "y"]), "i");
}

#[test]
fn records_are_printed_as_they_are_stored() {
    let home = tagged();
    let printed = home.ok(&["containers", "list", "--json"]);
    assert_eq!(texts(&printed), [r#"{"containerId":"c","createdAt":1769990400000,"n":1.50}"#]);
    let shown = home.json(&["sessions", "show", "a"]);
    assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), ["messages", "session"]);
    assert_eq!(shown["messages"][0]["content"], "hi\u{1b}]0;x\u{7}");
}

#[test]
fn nothing_is_an_empty_list_and_a_word_on_stderr() {
    let home = tagged();
    home.ok(&["namespaces", "create", "other"]);
    let ran = home.run(&["--namespace", "other", "sessions", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr, "No sessions.\n");
    assert_eq!(home.ok(&["--namespace", "other", "sessions", "list", "--json"]), "[]\n");
    assert_eq!(home.ok(&["--namespace", "other", "images", "list", "--json"]), "[]\n");
    assert_eq!(home.json(&["sessions", "show", "b"])["messages"], json!([]));
}

#[test]
fn the_chat_shows_no_control_characters() {
    let home = tagged();
    let shown = home.ok(&["sessions", "show", "a", "--long"]);
    let expected = "\
T\\u{1b}[31m a (a)

user  2026-02-02T00:00:00.000Z
  hi\\u{1b}]0;x\\u{7}
";
    assert_eq!(shown, expected);
    let home = filled();
    let control = |c: char| c.is_control() && c != '\n';
    let all = home.ok(&["sessions", "show", "session_1769990400000_s0"]);
    assert!(!all.contains(control) && all.contains("[tool] ") && all.contains("[image] "));
    let last = home.ok(&["sessions", "show", "session_1769990400000_s0", "--last", "1"]);
    assert!(last.contains("119 messages before these"), "{last}");
    let none = home.run(&["sessions", "show", "session_1769990400000_s0", "--last", "0"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
}

#[test]
fn colours_are_for_terminals_only() {
    let home = filled();
    assert!(!home.ok(&["check"]).contains('\u{1b}'));
    let mut forced = home.command(&["check"]);
    let forced = forced.env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8(forced.stdout).unwrap().contains('\u{1b}'));
    let mut never = home.command(&["check"]);
    let never = never.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!String::from_utf8(never.stdout).unwrap().contains('\u{1b}'));
}

#[test]
fn stats_count_what_is_there() {
    let home = filled();
    let stats = home.json(&["stats"]);
    let counts = ["containers", "images", "sessions", "messages", "attachments"];
    assert_eq!(counts.map(|name| stats[name].as_u64().unwrap()), [3, 8, 12, 604, 0]);
    assert_eq!(stats["store"]["durability"], "power");
    assert_eq!(stats["store"]["format"], agentkeep::schema::AGENTKEEP.version);
    let location = stats["store"]["location"].as_str().unwrap();
    assert!(location.ends_with("data/keep.db"), "{location}");
    assert!(stats["messageBytes"].as_u64().unwrap() > 100_000);
    let check = home.json(&["check"]);
    assert_eq!((&check["damage"], &check["entries"]), (&json!([]), &json!(604)));
    home.json(&["import", "runs", formats().join("runs/runs.db").to_str().unwrap()]);
    let threads = formats().join("agentrylab/transcripts");
    let import = home.json(&["import", "agentrylab", threads.to_str().unwrap()]);
    let stats = home.json(&["stats"]);
    let came = |of: &str| import[of]["new"].as_u64().unwrap();
    assert_eq!(stats["runs"], 20);
    assert!(came("threads") > 0 && stats["threads"] == came("threads"), "{stats}");
    assert!(came("entries") > 0 && stats["entries"] == came("entries"), "{stats}");
    assert!(stats["entryBytes"].as_u64().unwrap() > stats["entries"].as_u64().unwrap());
    for text in ["a", "bb"] {
        home.ok(&["events", "publish", "news", &format!("\"{text}\"")]);
    }
    let stats = home.json(&["stats"]);
    let counts = ["topics", "events", "eventBytes", "agents", "links"];
    assert_eq!(counts.map(|name| stats[name].as_u64().unwrap()), [1, 2, 7, 0, 0]);
    let shown = home.ok(&["stats"]);
    assert!(shown.contains("topics       1 with 2 events (7 B)\n"), "{shown}");
    assert!(shown.contains("agents       0 with 0 links\n"), "{shown}");
    assert!(shown.contains("runs         20\n") && shown.contains("entries ("), "{shown}");
    assert!(shown.contains("messages     604 (") && shown.contains("keep.db"), "{shown}");
}

#[test]
fn the_store_may_come_from_the_environment() {
    let home = filled();
    let url = format!("sqlite:{}", home.file("other.db").display());
    let mut command = home.command(&["import", "agentx", fixture("backup.json").to_str().unwrap()]);
    assert!(command.env("AGENTKEEP_STORE", &url).output().unwrap().status.success());
    assert!(home.file("other.db").exists());
    assert_eq!(home.json(&["--store", &url, "stats"])["messages"], 604);
}

/// `agentkeep ... | head -1`.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::new();
    let path = home.file("large.json");
    let containers: Vec<String> =
        (0..3000).map(|i| format!(r#"{{"containerId":"{i}-{}"}}"#, "x".repeat(100))).collect();
    let text = format!(
        r#"{{"containers":[{}],"images":[],"sessions":[],"messages":{{}}}}"#,
        containers.join(",")
    );
    std::fs::write(&path, text).unwrap();
    home.import(&path);
    for args in [vec!["containers", "list"], vec!["containers", "list", "--json"]] {
        let mut command = home.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
    assert_eq!(home.json(&["containers", "list"]).as_array().unwrap().len(), 3000);
}
