//! `runs ...`: lists, the timeline, and who may go on.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::time::Duration;

use agentkeep::{Json, RunSnapshot};
use serde_json::json;
use support::{Home, beside, formats};

fn imported() -> Home {
    let home = Home::new();
    home.json(&["import", "runs", formats().join("runs/runs.db").to_str().unwrap()]);
    home
}

const DONE: &str = "b2c44b42-e9e5-4ba5-8dc8-8f978735278d";
const KILLED: &str = "477906c2-d4ef-4329-92ee-9f6a6ce7d7c4";
const BLOCKED: &str = "9e5683e8-cb12-4161-9d3d-27079d0e6929";

#[test]
fn a_run_is_shown_as_a_timeline() {
    let home = imported();
    let done = "\
Request 3 — 👩‍👩‍👧‍👦 größe \"q\" back\\slash
b2c44b42-e9e5-4ba5-8dc8-8f978735278d  complete, 73 ms, started 2026-11-21T03:16:37.681Z, 2 steps, 3 tool calls (1 failed), 105 tokens (70 in, 35 out)
plan: Plan 👩‍👩‍👧‍👦 größe \"q\" back\\slash 👩‍👩‍👧‍👦

     21 ms  |██████████              |  x s1  Step 1 👩‍👩‍👧‍👦 größe \"q\"
                                          [tool] files__boom({}) -> failed: kaboom
                                          Done new\\nline naïve nul\\u{0} データ new\\nline naïve
     26 ms  |          ██████████████|  + s2  Step 2 new\\nline naïve nul\\u{0}
";
    let shown = home.ok(&["runs", "show", DONE, "--long"]);
    assert!(shown.starts_with(done), "{shown}");
    assert!(shown.contains("[tool] files__echo({\"text\":"), "{shown}");
    assert!(shown.lines().last().unwrap().starts_with("answer: "), "{shown}");

    let killed = home.ok(&["runs", "show", KILLED]);
    let planned: Vec<&str> =
        killed.lines().filter(|line| line.trim_start().starts_with("planned")).collect();
    assert_eq!(planned.len(), 3, "{killed}");
    assert!(killed.contains("executing, started ") && killed.contains("nobody holds it"));

    let blocked = home.ok(&["runs", "show", BLOCKED]);
    assert!(blocked.contains("  ! s1  Step 1"), "{blocked}");
    assert!(blocked.contains("\nfailed: Failed after 3 attempts."), "{blocked}");
    let said = home.fails(&["runs", "show", "nobody"]);
    assert!(said.contains("no such run"), "{said}");
}

#[test]
fn lists_narrow() {
    let home = imported();
    let ids = |args: &[&str]| -> Vec<String> {
        let listed = home.json(&[&["runs", "list"], args].concat());
        let listed = listed.as_array().unwrap().iter();
        listed.map(|run| run["runId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]).len(), 20);
    assert_eq!(ids(&["--limit", "3"]), ids(&[])[..3]);
    assert_eq!(ids(&["--status", "failed"]).len(), 4);
    assert_eq!(ids(&["--error", "ECONNREFUSED"]).len(), 4);
    assert_eq!(ids(&["--error", "41909"]).len(), 0);
    assert_eq!(ids(&["--abandoned"]).len(), 5);
    let early = ids(&["--before", "2026-11-21T03:16:38Z"]);
    let late = ids(&["--since", "2026-11-21T03:16:38Z"]);
    assert!(!early.is_empty() && early.len() + late.len() == 20, "{early:?}");
    let table = home.ok(&["runs", "list", "--long", "--status", "complete", "--limit", "1"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("RUN") && lines[0].ends_with("ERROR"), "{table}");
    assert!(lines[1].contains("complete") && lines.len() == 2, "{table}");
    assert_eq!(home.run(&["runs", "list", "--status", "done"]).code, 2);
    home.ok(&["namespaces", "create", "other"]);
    let ran = home.run(&["runs", "list", "--namespace", "other"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
}

#[test]
fn one_claims_and_goes_on() {
    let home = imported();
    let told = home.ok(&["runs", "resume-info", KILLED]);
    assert!(told.contains("can be resumed: 2 steps in its trace"), "{told}");
    assert!(told.contains("goes on at step 3 of 5"), "{told}");
    assert_eq!(home.json(&["runs", "resume-info", KILLED])["resumable"], true);
    let lease = home.json(&["runs", "claim", KILLED, "--owner", "a", "--ttl", "1h"]);
    assert_eq!((&lease["fence"], &lease["owner"]), (&json!(1), &json!("a")));
    let said = home.fails(&["runs", "claim", KILLED, "--owner", "b"]);
    assert!(said.contains("\"a\" holds the run"), "{said}");
    let told = home.ok(&["runs", "resume-info", KILLED]);
    assert!(told.contains("cannot be resumed: somebody holds it: a, until "), "{told}");
    assert!(home.ok(&["runs", "show", KILLED]).contains("held by a until "));
    // Who writes without the number does not.
    beside(&home, async |store| {
        let nothing = || Json::parse("{}").unwrap();
        let error = store.runs().step(KILLED, nothing(), nothing()).await.unwrap_err();
        assert_eq!(error.kind(), agentkeep::Kind::LeaseLost);
        store.runs().under(1).step(KILLED, nothing(), nothing()).await.unwrap();
        store.runs().under(1).release(KILLED).await.unwrap();
    });
    let text = home.ok(&["runs", "claim", KILLED, "--owner", "b"]);
    assert!(text.contains("is b's until ") && text.contains("under number 2."), "{text}");
    for (id, why) in [
        (DONE, "it is complete"),
        ("fe946936-6806-4c8b-88f8-61fc6e87fa83", "it has no plan"),
        ("no body", "no run can have this id"),
        ("nobody", "there is no such run"),
    ] {
        let told = home.ok(&["runs", "resume-info", id]);
        assert!(told.contains("cannot be resumed") && told.contains(why), "{id}: {told}");
        assert_eq!(home.json(&["runs", "resume-info", id])["resumable"], false);
        if why != "it has no plan" {
            home.fails(&["runs", "claim", id, "--owner", "x"]);
        }
    }
}

/// Nothing that is stored moves the cursor.
#[test]
fn the_timeline_is_safe_to_look_at() {
    let home = Home::new();
    let evil = "\u{1b}]0;evil\u{7}\u{9b}31m\u{202e}\r\u{8}";
    beside(&home, async |store| {
        let run = json!({ "runId": "r", "status": "executing", "startedAt": 1, "input": evil,
            "plan": { "thought": evil, "steps": [{ "id": evil, "description": evil }] },
            "trace": [{ "step": { "id": evil, "description": evil }, "summary": evil,
                "durationMs": -5, "toolCalls": [{ "name": evil, "input": evil, "output": evil }] },
                evil, null, []],
            "usage": { "totalTokens": 1e300 }, "text": evil });
        let run = RunSnapshot::from_json(Json::of(&run).unwrap()).unwrap();
        store.runs().start_as(run, "w\u{202e}", Duration::from_hours(1)).await.unwrap();
    });
    for args in [&["runs", "show", "r"][..], &["runs", "show", "r", "--long"], &["runs", "list"]] {
        let shown = home.ok(args);
        let bad = |c: char| (c.is_control() && c != '\n') || "\u{9b}\u{202e}".contains(c);
        assert!(!shown.contains(bad), "{args:?}: {shown:?}");
    }
}
