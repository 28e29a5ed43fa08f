//! The demo, end to end.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use support::{Home, names};

#[test]
fn the_demo_keeps_its_promises() {
    let home = Home::new();
    let folder = home.file("demo folder?");
    let account = home.json(&["demo", "--dir", folder.to_str().unwrap()]);
    assert_eq!(account["imported"]["messages"]["new"], 604);
    let survived = &account["survived"];
    assert_eq!(survived["fromBefore"], 120);
    assert_eq!(survived["torn"], 0);
    let acknowledged = survived["acknowledged"].as_u64().unwrap();
    assert!(acknowledged >= 20, "{survived}");
    assert_eq!(account["check"]["damage"], serde_json::json!([]));
    let fork = &account["fork"];
    let all = acknowledged + survived["inFlightKept"].as_u64().unwrap();
    assert_eq!(fork["messages"], 120 + all);
    assert_eq!(fork["storedBefore"], fork["storedAfter"]);

    let resumed = &account["resumed"];
    let kept = resumed["keptBefore"].as_u64().unwrap();
    assert!(kept >= 8 && resumed["wentOnAt"].as_u64().unwrap() > kept, "{resumed}");
    assert_eq!((&resumed["steps"], &resumed["repeated"]), (&24.into(), &0.into()));
    assert_eq!(resumed["fences"], serde_json::json!([1, 2]));

    let store = account["store"].as_str().unwrap();
    let stats = home.json(&["--store", store, "stats"]);
    assert_eq!((&stats["sessions"], &stats["messages"]), (&13.into(), &(604 + all).into()));
    let said = home.fails(&["demo", "--dir", folder.to_str().unwrap()]);
    assert!(said.contains("already"), "{said}");
    assert_eq!(names(home.path()), ["demo folder?"]);
}

#[test]
fn the_demo_tells_people_what_to_do_next() {
    let home = Home::new();
    let folder = home.file("demo");
    let shown = home.ok(&["demo", "--dir", folder.to_str().unwrap()]);
    assert!(shown.contains("All promises kept."), "{shown}");
    let next = shown.lines().filter_map(|line| line.strip_prefix("  agentkeep "));
    let commands: Vec<Vec<&str>> = next.map(|line| line.split(' ').collect()).collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        assert!(!home.ok(&command).is_empty(), "{command:?}");
    }
}
