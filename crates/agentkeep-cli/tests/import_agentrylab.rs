//! Importing the bundled folder of Agentry Lab, and what may be wrong with such folders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

mod support;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Home, bytes_below, copy_all, formats, json_of, names};

fn source() -> PathBuf {
    formats().join("agentrylab")
}

fn imported(home: &Home, path: &Path, more: &[&str]) -> Value {
    home.json(&[&["import", "agentrylab", path.to_str().unwrap()], more].concat())
}

fn notes(report: &Value, list: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let notes = report[list].as_array().unwrap().iter();
    notes.map(|note| format!("{}: {}", text(&note["place"]), text(&note["reason"]))).collect()
}

/// What JSON does not have stands in the expectation as `{"__float__": ...}`, and is kept as text.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.contains_key("__float__") => {
            match members["__float__"].as_str().unwrap() {
                "nan" => json!("NaN"),
                "inf" => json!("Infinity"),
                other => panic!("{other}"),
            }
        }
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn entries(home: &Home, thread: &str) -> Vec<Value> {
    let shown = home.json(&["transcripts", "show", thread]);
    assert_eq!(shown["thread"], thread);
    shown["entries"].as_array().unwrap().clone()
}

#[test]
fn the_bundled_threads_are_as_agentry_lab_reads_them() {
    let home = Home::new();
    let report = imported(&home, &source(), &[]);
    let expected = json_of(&source().join("expected.json"));
    let mut count = 0;
    for (thread, wanted) in expected["threads"].as_object().unwrap() {
        let found = entries(&home, thread);
        assert_eq!(Value::from(found.clone()), plain(&wanted["transcript"]), "{thread}");
        assert_eq!(found.len() as u64, wanted["count"].as_u64().unwrap());
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for (found, wanted) in found.iter().zip(wanted["transcript"].as_array().unwrap()) {
            assert_eq!(names(found), names(wanted), "in the order of the original");
        }
        let last = home.json(&["transcripts", "show", thread, "--last", "5"]);
        let last: Vec<&Value> =
            last["entries"].as_array().unwrap().iter().map(|entry| &entry["t"]).collect();
        // Theirs counts bad lines among the five; ours does not.
        let theirs = wanted["read_limit_5_t"].as_array().unwrap();
        assert_eq!(last.len(), 5.min(found.len()));
        assert!(last.ends_with(&theirs.iter().collect::<Vec<_>>()), "{thread}");
        count += found.len();
    }
    let tally = |new: usize| json!({ "new": new, "unchanged": 0, "differing": 0 });
    assert_eq!((&report["threads"], &report["entries"]), (&tally(6), &tally(count)));
    assert_eq!(home.json(&["transcripts", "list"]).as_array().unwrap().len(), 6);
    let not_taken = notes(&report, "notTaken");
    for (place, reason) in [
        ("user_42_chat_room.jsonl:6", "not JSON"),
        ("user_42_chat_room.jsonl:10", "no JSON object"),
        ("user_42_chat_room.jsonl:31", "torn, without a line end"),
        ("user_42_chat_room.jsonl", "2 lines without anything"),
        ("checkpoints.db", "6 checkpoints not taken"),
    ] {
        let found =
            |note: &&String| note.starts_with(&format!("{place}: ")) && note.contains(reason);
        assert_eq!(not_taken.iter().filter(found).count(), 1, "{place}: {not_taken:?}");
    }
    assert_eq!(not_taken.len(), 5);
    let altered = notes(&report, "altered");
    assert!(
        altered.len() == 2 && altered[0].contains("jsonl:13: what was no UTF-8"),
        "{altered:?}"
    );
    assert!(altered[1].contains("jsonl:14: 2 numbers that JSON does not have"), "{altered:?}");
    let collisions = notes(&report, "collisions");
    assert!(collisions.len() == 1 && collisions[0].contains(r#"["team x", "team/x"]"#));
    assert_eq!(home.json(&["check"])["damage"], json!([]));
}

/// A thread written out is what Agentry Lab would read: the same lines, in its own form of JSON.
#[test]
fn what_is_exported_reads_as_before() {
    let home = Home::new();
    imported(&home, &source(), &[]);
    let out = home.file("out");
    std::fs::create_dir(&out).unwrap();
    let file = out.join("standup-01.jsonl");
    home.ok(&["transcripts", "export", "standup-01", file.to_str().unwrap()]);
    let parsed = |path: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        text.trim_end_matches('\n').split('\n').map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    assert_eq!(parsed(&file), parsed(&source().join("transcripts/standup-01.jsonl")));
    let piped = home.ok(&["transcripts", "export", "standup-01"]);
    assert_eq!(piped, std::fs::read_to_string(&file).unwrap());
    let said = home.fails(&["transcripts", "export", "standup-01", file.to_str().unwrap()]);
    assert!(said.contains("--yes"), "{said}");
    // And back in: nothing is new.
    let back = imported(&home, &out, &[]);
    assert_eq!((&back["nothingNew"], &back["entries"]["unchanged"]), (&json!(true), &json!(41)));
}

#[test]
fn again_takes_what_was_added_and_undoing_leaves_what_others_need() {
    let home = Home::new();
    let copy = home.file("outputs");
    copy_all(&source(), &copy);
    let dry = imported(&home, &copy, &["--dry-run"]);
    assert_eq!((&dry["dryRun"], &dry["entries"]["new"]), (&json!(true), &json!(149)));
    assert_eq!(names(home.path()), ["outputs"]);
    let before = bytes_below(&copy);
    let first = imported(&home, &copy, &[]);
    assert_eq!(imported(&home, &copy, &[])["nothingNew"], true);
    assert_eq!(bytes_below(&copy), before, "the source is as it was");

    let path = copy.join("transcripts/standup-01.jsonl");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    for n in 0..3 {
        let line = json!({ "t": n, "iter": 99, "agent_id": "a", "role": "agent", "content": n });
        writeln!(file, "{line}").unwrap();
    }
    let second = imported(&home, &copy, &[]);
    assert_eq!(second["entries"], json!({ "new": 3, "unchanged": 149, "differing": 0 }));
    assert_eq!(entries(&home, "standup-01").len(), 44);

    let undone = home.json(&["import", "--undo", second["importId"].as_str().unwrap()]);
    assert_eq!((&undone["entries"], &undone["kept"]), (&json!(3), &json!([])), "{undone}");
    assert_eq!(entries(&home, "standup-01").len(), 41);
    let third = imported(&home, &copy, &[]);
    assert_eq!(third["entries"], json!({ "new": 3, "unchanged": 149, "differing": 0 }));
    let undone = home.json(&["import", "--undo", first["importId"].as_str().unwrap()]);
    assert_eq!((&undone["threads"], &undone["entries"]), (&json!(5), &json!(108)), "{undone}");
    let kept = "threads \"standup-01\": somebody else has added to it";
    assert_eq!(undone["kept"], json!([kept]));
    let left = home.json(&["transcripts", "list"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["entries"]), (1, &json!(44)));
    let report = home.json(&["check"]);
    assert_eq!((&report["damage"], &report["due"]), (&json!([]), &json!([])));
}

#[test]
fn a_thread_that_went_on_otherwise_is_a_conflict() {
    let home = Home::new();
    let copy = home.file("outputs");
    copy_all(&source(), &copy);
    imported(&home, &copy, &[]);
    let path = copy.join("transcripts/run.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("Answer 89", "Answer 88", 1)).unwrap();
    let said = home.fails(&["import", "agentrylab", copy.to_str().unwrap()]);
    assert!(said.contains("thread") && said.contains("...") && said.contains("--keep"), "{said}");
    let kept = imported(&home, &copy, &["--keep"]);
    assert_eq!(kept["entries"], json!({ "new": 0, "unchanged": 148, "differing": 1 }));
}

/// Torn and glued lines, other line ends, odd names: nothing is left out without a word.
#[test]
fn odd_files_are_taken_as_far_as_they_can_be() {
    let home = Home::new();
    let folder = home.file("lab/transcripts");
    std::fs::create_dir_all(&folder).unwrap();
    let line =
        |n: u64| format!(r#"{{"t": {n}.5, "iter": {n}, "agent_id": "a", "content": "c{n}"}}"#);
    let torn = r#"{"t": 9.0, "iter": 9, "agent_id": "a", "content": "never e"#;
    let mut odd = b"\xef\xbb\xbf".to_vec();
    odd.extend(format!("{}\r\n{torn}{}\n", line(0), line(1)).bytes());
    odd.extend(b"\0\0\0\0\n");
    odd.extend(
        r#"{"iter": 2, "agent_id": 7, "role": null, "content": "sep\u2028 \ud800"}"#.bytes(),
    );
    odd.push(b'\n');
    odd.extend(format!("{}{}", line(3), line(4)).bytes());
    std::fs::write(folder.join("odd.jsonl"), odd).unwrap();
    let deep =
        format!("{{\"iter\":0,\"agent_id\":\"a\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    std::fs::write(folder.join("deep.jsonl"), format!("{}\n{deep}\n", line(0))).unwrap();
    std::fs::write(folder.join("foreign.jsonl"), "{\"type\":\"user\",\"uuid\":\"x\"}\n").unwrap();
    std::fs::write(folder.join("empty.jsonl"), "").unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.join("odd.jsonl"), folder.join("link.jsonl")).unwrap();
    let report = imported(&home, &home.file("lab"), &[]);
    let contents: Vec<Value> =
        entries(&home, "odd").iter().map(|entry| entry["content"].clone()).collect();
    let odd = json!(["c0", "c1", "sep\u{2028} \u{fffd}", "c3", "c4"]);
    assert_eq!(Value::from(contents), odd, "{report}");
    assert_eq!(entries(&home, "deep").len(), 1);
    let not_taken = notes(&report, "notTaken");
    for start in [
        "odd.jsonl:2: torn: ",
        "odd.jsonl:3: ",
        "odd.jsonl:5: torn: ",
        "deep.jsonl:2: ",
        "foreign.jsonl: no line of it",
        "notes.txt: ",
        "sub: ",
        "link.jsonl: no ordinary file",
    ] {
        assert!(not_taken.iter().any(|note| note.starts_with(start)), "{start}: {not_taken:?}");
    }
    assert_eq!(not_taken.len(), 8, "{not_taken:?}");
    assert_eq!(imported(&home, &home.file("lab"), &[])["nothingNew"], true);
}

/// Names of threads that no file could have, and ids against our rule.
#[test]
fn threads_have_the_names_that_the_checkpoints_tell() {
    let home = Home::new();
    let folder = home.file("lab");
    std::fs::create_dir_all(folder.join("transcripts")).unwrap();
    let file = rusqlite::Connection::open(folder.join("checkpoints.db")).unwrap();
    file.execute_batch(
        "CREATE TABLE checkpoints (thread_id TEXT PRIMARY KEY, payload BLOB, updated_at REAL);
         INSERT INTO checkpoints VALUES ('a\nb', x'80', 1.0), ('../etc/passwd', x'80', 1.0),
           (NULL, x'80', 1.0);",
    )
    .unwrap();
    for name in ["a_b", "etc_passwd"] {
        let line = r#"{"t": 1.0, "iter": 0, "agent_id": "a", "content": "x"}"#;
        std::fs::write(folder.join(format!("transcripts/{name}.jsonl")), line).unwrap();
    }
    let report = imported(&home, &folder, &[]);
    assert_eq!(entries(&home, "../etc/passwd").len(), 1);
    let escaped = notes(&report, "escapedIds");
    assert!(escaped.len() == 1 && escaped[0].contains("a%0Ab~"), "{escaped:?}");
    assert_eq!(report["notTaken"].as_array().unwrap().len(), 2, "{report}");
}

/// What is pickled there is never run: a checkpoint that would make a file does not.
#[test]
fn nothing_of_a_pickle_is_executed() {
    let home = Home::new();
    let copy = home.file("outputs");
    copy_all(&source(), &copy);
    let canary = home.file("canary");
    let pickle = format!("cos\nsystem\n(S'touch {}'\ntR.", canary.display());
    let file = rusqlite::Connection::open(copy.join("checkpoints.db")).unwrap();
    file.execute("UPDATE checkpoints SET payload = ?1", [pickle.as_bytes()]).unwrap();
    drop(file);
    assert_eq!(imported(&home, &copy, &[])["entries"]["new"], 149);
    assert!(!canary.exists());
}

#[test]
fn folders_of_another_kind_are_refused_and_no_store_is_made() {
    let home = Home::new();
    let folder = |name: &str, files: &[(&str, &[u8])]| {
        std::fs::create_dir(home.file(name)).unwrap();
        for (file, bytes) in files {
            std::fs::write(home.file(name).join(file), bytes).unwrap();
        }
        home.file(name)
    };
    let runs = std::fs::read(formats().join("runs/runs.db")).unwrap();
    for (path, says) in [
        (folder("empty", &[]), "a folder without transcripts"),
        (folder("other", &[("a.jsonl", b"{\"type\":\"x\"}\n[1]\n")]), "hold no transcript"),
        (folder("binary", &[("a.jsonl", &runs)]), "hold no transcript"),
        (folder("runs", &[("checkpoints.db", &runs)]), "no table checkpoints"),
        (folder("short", &[("checkpoints.db", &runs[..5_000])]), "the source"),
        (source().join("transcripts/run.jsonl"), "no folder"),
        (home.file("nowhere"), "cannot be read"),
    ] {
        let said = home.fails(&["import", "agentrylab", path.to_str().unwrap()]);
        assert!(said.contains(says), "{path:?}: {said}");
    }
    assert!(!home.store().exists());
}
