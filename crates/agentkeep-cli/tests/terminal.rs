//! The command on a terminal: colours, the pager, bars, questions, Ctrl-C.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::terminal::Terminal;
use support::{Home, beside, filled, fixture, said};

const SESSION: &str = "session_1769990400000_s0";

/// Ctrl-C, as the keyboard sends it.
const INTERRUPT: &str = "\u{3}";

fn imported() -> Home {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    home
}

#[test]
fn colours_come_on_a_terminal_unless_refused() {
    let home = imported();
    let show = ["sessions", "show", SESSION, "--last", "2"];
    let (code, shown) = Terminal::run(&home, &show, &[("PAGER", "cat")]).end();
    assert_eq!(code, 0);
    assert!(shown.contains("\u{1b}[1m"), "{shown:?}");
    let env = [("PAGER", "cat"), ("NO_COLOR", "1")];
    let (_, shown) = Terminal::run(&home, &show, &env).end();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let env = [("PAGER", "sed s/^/paged:/"), ("NO_COLOR", "1")];
    let (_, shown) = Terminal::run(&home, &show, &env).end();
    assert!(!shown.contains('\u{1b}') && shown.contains("paged:"), "{shown:?}");
}

#[test]
fn long_views_go_through_the_pager() {
    let home = imported();
    let env = [("PAGER", "sed s/^/paged:/")];
    for args in
        [vec!["sessions", "list"], vec!["sessions", "show", SESSION], vec!["schema", "print"]]
    {
        let (code, shown) = Terminal::run(&home, &args, &env).end();
        assert_eq!(code, 0);
        assert!(shown.lines().all(|line| line.starts_with("paged:")), "{args:?}: {shown:?}");
    }
    // Documents and small answers do not.
    for args in [vec!["sessions", "list", "--json"], vec!["stats"]] {
        let (_, shown) = Terminal::run(&home, &args, &env).end();
        assert!(!shown.contains("paged:"), "{args:?}: {shown:?}");
    }
    // A pager that has enough, one that fails, and one that is not there.
    let (code, shown) =
        Terminal::run(&home, &["sessions", "show", SESSION], &[("PAGER", "head -1")]).end();
    assert_eq!((code, shown.lines().count()), (0, 1), "{shown:?}");
    let (code, shown) = Terminal::run(&home, &["stats"], &[("PAGER", "/nowhere/pager")]).end();
    assert_eq!(code, 0, "{shown:?}");
    let (code, shown) =
        Terminal::run(&home, &["sessions", "list"], &[("PAGER", "/nowhere/pager")]).end();
    assert!(code == 1 && shown.contains("PAGER"), "{shown:?}");
}

/// More than a pipe holds: writing it finds nobody there.
#[test]
fn a_pager_that_never_ran_is_told_of_however_long_the_view_is() {
    let home = Home::new();
    filled(&home, &[("default", 5_000)]);
    let show = ["sessions", "show", "s"];
    let (code, shown) = Terminal::run(&home, &show, &[("PAGER", "/nowhere/pager")]).end();
    assert!(code == 1 && shown.contains("the pager cannot be run"), "{shown:?}");
    let (code, shown) = Terminal::run(&home, &show, &[("PAGER", "head -1")]).end();
    assert_eq!((code, shown.lines().count()), (0, 1), "{shown:?}");
}

#[test]
fn nothing_stored_reaches_the_terminal_as_a_command() {
    let home = Home::new();
    filled(&home, &[("default", 0)]);
    let evil = "\u{1b}]0;evil\u{7}\u{9b}31m\u{202e}\r\u{8}";
    beside(&home, async |store| {
        let session = agentkeep::Session::new("s", "i", "c").unwrap().with("title", evil).unwrap();
        store.sessions().save(session).await.unwrap();
        let mut messages = vec![said("a", evil)];
        for text in [
            json!({ "id": "b", "subtype": evil, "content": [{ "type": "text", "text": evil }] }),
            json!({ "id": "c", "subtype": "tool-call", "toolCall": { "id": "t", "name": evil, "input": { evil: evil } } }),
            json!({ "id": "d", "subtype": "tool-result", "toolCallId": "u", "toolResult": { "output": evil } }),
            json!({ "id": "e", "subtype": "assistant", "content": [{ "type": "file", "filename": evil, "mediaType": evil }, { evil: 1 }] }),
        ] {
            messages
                .push(agentkeep::Message::from_json(agentkeep::Json::of(&text).unwrap()).unwrap());
        }
        store.messages("s").add_many(messages).await.unwrap();
        let image = agentkeep::Image::new("j", "c", evil).unwrap().with("tags", &[evil]).unwrap();
        store.images().save(image).await.unwrap();
    });
    let env = [("PAGER", "cat")];
    for args in [
        vec!["sessions", "show", "s"],
        vec!["sessions", "show", "s", "--long"],
        vec!["sessions", "show", "s", "--grep", "evil"],
        vec!["sessions", "list", "--long"],
        vec!["images", "list", "--long"],
        vec!["sessions", "show", evil],
        vec!["--namespace", "a\u{202e}b", "stats"],
        vec!["namespaces", "show", evil],
    ] {
        let (_, shown) = Terminal::run(&home, &args, &env).end();
        // Our own styles are `ESC [ ... m`.
        let plain = anstream::adapter::strip_str(&shown).to_string();
        let styles = shown.matches('\u{1b}').count();
        let own = shown.matches("\u{1b}[").count();
        assert_eq!(styles, own, "{args:?}: {shown:?}");
        let bad =
            |c: char| (c.is_control() && c != '\n' && c != '\r') || "\u{9b}\u{202e}".contains(c);
        assert!(!plain.contains(bad), "{args:?}: {plain:?}");
        assert!(!plain.replace("\r\n", "\n").contains('\r'), "{args:?}: {plain:?}");
    }
}

#[test]
fn deleting_asks_on_a_terminal() {
    let home = imported();
    home.ok(&["namespaces", "fork", "default", "copy"]);
    let delete = ["namespaces", "delete", "copy"];
    let mut refused = Terminal::run(&home, &delete, &[]);
    assert!(refused.wait_for("[y/N]").contains("604 messages"));
    refused.press("n\r");
    let (code, shown) = refused.end();
    assert!(code == 1 && shown.contains("nothing was done"), "{shown:?}");
    let mut asked = Terminal::run(&home, &delete, &[]);
    asked.wait_for("[y/N]");
    asked.press("y\r");
    assert_eq!(asked.end().0, 0);
    assert_eq!(home.json(&["namespaces", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn following_ends_with_ctrl_c() {
    let home = Home::new();
    filled(&home, &[("default", 1)]);
    let mut following = Terminal::run(&home, &["sessions", "show", "s", "--follow"], &[]);
    following.wait_for("text 0");
    beside(&home, async |store| {
        store.messages("s").add(said("new", "from elsewhere")).await.unwrap();
    });
    following.wait_for("from elsewhere");
    following.press(INTERRUPT);
    let (code, shown) = following.end();
    assert_eq!(code, 0, "{shown:?}");
    assert!(!shown.contains("interrupted"), "{shown:?}");
}

/// A copy that takes over a second shows its bar, and Ctrl-C leaves it to be gone on with.
#[test]
fn bars_and_ctrl_c() {
    let home = Home::new();
    filled(&home, &[("a", 60_000)]);
    let before = home.ok(&["--namespace", "a", "export"]);
    let fork =
        ["--store", &format!("sqlite:{}", home.store().display()), "namespaces", "fork", "a", "b"];
    let mut copying = Terminal::run(&home, &fork, &[]);
    let begun = rusqlite::Connection::open(home.store()).unwrap();
    let namespaces = || begun.query_row("SELECT count(*) FROM _namespaces", [], |row| row.get(0));
    while namespaces().unwrap_or(0) < 2 {
        std::thread::yield_now();
    }
    // However fast it is, it has taken over a second then.
    copying.signal("STOP");
    std::thread::sleep(Duration::from_millis(1_100));
    copying.signal("CONT");
    let bar = copying.wait_for("left").to_owned();
    assert!(bar.contains("Copying") && bar.contains("/60,000") && bar.contains("/s"), "{bar:?}");
    copying.press(INTERRUPT);
    let (code, shown) = copying.end();
    assert_eq!(code, 1, "{shown:?}");
    assert!(shown.contains("interrupted: ask again to go on"), "{shown:?}");
    let names = || home.json(&["namespaces", "list"]).as_array().unwrap().len();
    assert_eq!(names(), 1);
    assert_eq!(home.json(&["check"])["damage"], json!([]));
    home.ok(&fork);
    assert_eq!((names(), home.ok(&["--namespace", "b", "export"])), (2, before));
}

#[test]
fn an_export_that_is_interrupted_leaves_no_file() {
    let mut messages = 60_000;
    loop {
        let home = Home::new();
        filled(&home, &[("default", messages)]);
        let file = home.file("out.json");
        let mut export = Terminal::run(&home, &["export", file.to_str().unwrap()], &[]);
        // The part is there from the beginning.
        let part = |name: &String| name.starts_with(".agentkeep-export-");
        while !file.exists() && !support::names(home.path()).iter().any(part) {
            std::thread::yield_now();
        }
        export.press(INTERRUPT);
        let (code, shown) = export.end();
        if code == 0 {
            // It was over by then.
            messages *= 2;
            continue;
        }
        assert!(code == 1 && shown.contains("no file was written"), "{shown:?}");
        assert_eq!(support::names(home.path()), ["data"]);
        return;
    }
}
