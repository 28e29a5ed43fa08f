//! Failures: one line that says what to do, and the right exit code.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use support::{Home, fixture};

#[test]
fn each_failure_is_one_line_that_helps() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let foreign = home.file("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    let text = home.file("notes.txt");
    std::fs::write(&text, "a text").unwrap();
    let at = |path: &std::path::Path| format!("sqlite:{}", path.display());
    let (foreign, below_a_file) = (at(&foreign), at(&text.join("keep.db")));
    let (text, folder) = (at(&text), at(home.path()));
    let (long, control) = ("n".repeat(300), "a\u{7}b");
    for (args, words) in [
        (vec!["--store", "sqlit:./x.db", "stats"], vec!["sqlit", "sqlite:"]),
        (vec!["--store", "x.db", "stats"], vec!["scheme", "sqlite:"]),
        (vec!["--store", "mysql://localhost", "stats"], vec!["mysql", "sqlite:"]),
        (vec!["--store", "sqlite:x.db?durable=1", "stats"], vec!["durable", "durability"]),
        (vec!["--store", &foreign, "stats"], vec!["another program", "foreign.db"]),
        (vec!["--store", &text, "stats"], vec!["not an agentkeep store", "notes.txt"]),
        (vec!["--store", &folder, "stats"], vec!["folder"]),
        (vec!["--store", &below_a_file, "import", "agentx", "FIXTURE"], vec!["notes.txt"]),
        (
            vec!["--store", "sqlite:/nowhere/keep.db", "check"],
            vec!["there is no store", "/nowhere/keep.db"],
        ),
        (vec!["--namespace", &long, "stats"], vec!["namespace", "300 bytes", "255"]),
        (vec!["--namespace", "", "stats"], vec!["namespace", "empty"]),
        (vec!["--namespace", control, "stats"], vec!["U+0007"]),
        (vec!["sessions", "show", "nobody"], vec!["no such session", "nobody", "sessions list"]),
        (vec!["sessions", "show", &long], vec!["300 bytes", "255"]),
        (vec!["sessions", "show", ""], vec!["empty"]),
        (vec!["sessions", "show", "a\u{202e}\nb"], vec!["control character"]),
    ] {
        let source = fixture("agentx.db");
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "FIXTURE" { source.to_str().unwrap() } else { arg })
            .collect();
        let said = home.fails(&args);
        for word in words {
            assert!(said.contains(word), "{args:?}: {said}");
        }
    }
}

/// A program reads the kind and what to do, not a sentence.
#[test]
fn programs_are_told_of_failures_by_a_document() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    for args in [["sessions", "show", "nobody"], ["--namespace", "typo", "stats"]] {
        let ran = home.run(&[&args[..], &["--json", "-v"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
        let said: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        let error = &said["error"];
        assert_eq!((&error["kind"], &error["retryable"]), (&"NotFound".into(), &false.into()));
        assert!(error["place"].as_str().unwrap().contains(args[2]) || args[2] == "stats", "{said}");
        assert!(error["advice"].as_str().unwrap().contains("agentkeep"), "{said}");
        assert_eq!(error["causes"], serde_json::json!([]));
    }
}

/// It must not look like one that holds nothing.
#[test]
fn a_namespace_that_is_not_there_is_told() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    for args in [
        &["stats"][..],
        &["sessions", "list"],
        &["containers", "list"],
        &["events", "topics"],
        &["events", "tail", "a"],
        &["runs", "list"],
        &["transcripts", "list"],
        &["capabilities", "agents"],
        &["export"],
    ] {
        let said = home.fails(&[&["--namespace", "typo"], args].concat());
        assert!(said.contains("no such namespace") && said.contains("typo"), "{args:?}: {said}");
        assert!(said.contains("namespaces list"), "{args:?}: {said}");
    }
    // The one that nobody has to name is there from the beginning.
    let empty = Home::new();
    empty.ok(&["init"]);
    assert_eq!(empty.json(&["stats"])["messages"], 0);
}

#[test]
fn paths_that_may_not_be_written_are_told() {
    let home = Home::new();
    let source = fixture("agentx.db");
    let source = source.to_str().unwrap();
    // Nobody, not even root, makes files there.
    let said =
        home.fails(&["--store", "sqlite:/proc/agentkeep/keep.db", "import", "agentx", source]);
    assert!(said.contains("/proc/agentkeep") && said.contains("may read and write"), "{said}");
}

#[test]
fn a_newer_format_is_told() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let file = rusqlite::Connection::open(home.store()).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let said = home.fails(&["sessions", "list"]);
    assert!(said.contains("99") && said.contains("newer"), "{said}");
}

#[test]
fn damage_is_exit_code_1_and_data() {
    let home = Home::new();
    home.import(&fixture("agentx.db"));
    let file = rusqlite::Connection::open(home.store()).unwrap();
    let sql = "UPDATE messages SET body = replace(body, 'a', 'b') WHERE seq = 2";
    assert!(file.execute(sql, []).unwrap() > 0);
    drop(file);
    let ran = home.run(&["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert!(ran.stdout.contains("damaged") && ran.stdout.contains("NOT sound"), "{}", ran.stdout);
    let ran = home.run(&["check", "--json"]);
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(!report["damage"].as_array().unwrap().is_empty());
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = Home::new();
    for args in [
        vec!["sesions", "list"],
        vec!["sessions"],
        vec!["sessions", "list", "--colour"],
        vec!["sessions", "list", "--limit", "0"],
        vec!["sessions", "show"],
        vec!["import", "agentx"],
        vec![],
    ] {
        let ran = home.run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
    assert!(!home.store().exists());
}

#[test]
fn verbose_tells_the_causes() {
    let home = Home::new();
    let args = ["--store", "sqlite:%ff", "stats"];
    assert!(home.fails(&args).contains("not UTF-8"));
    let ran = home.run(&[&["-v"], args.as_slice()].concat());
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 2), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines[1].starts_with("  because: "));
}

#[test]
fn a_failure_leaves_no_store_behind() {
    let home = Home::new();
    home.fails(&["stats"]);
    home.fails(&["sessions", "show", "x"]);
    home.fails(&["--namespace", "", "import", "agentx", fixture("agentx.db").to_str().unwrap()]);
    assert_eq!(support::names(home.path()), Vec::<String>::new());
}

/// What only looks, or needs what is there.
const LOOKING: [&[&str]; 10] = [
    &["stats"],
    &["check"],
    &["sessions", "list"],
    &["sessions", "show", "s"],
    &["namespaces", "list"],
    &["namespaces", "fork", "a", "b"],
    &["namespaces", "delete", "a", "--yes"],
    &["export"],
    &["import", "--undo", "x"],
    &["schema", "upgrade"],
];

/// On a server a mistyped name makes no store either.
#[test]
fn what_only_looks_makes_no_store_on_a_server() {
    let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let unique = format!("{}_{}", std::process::id(), unique.as_nanos());
    for (variable, option) in [("POSTGRES", "schema"), ("REDIS", "base")] {
        let server = std::env::var(format!("AGENTKEEP_TEST_{variable}")).unwrap_or_default();
        let required = std::env::var_os("AGENTKEEP_TEST_SERVERS").is_some();
        assert!(!server.is_empty() || !required, "there is no {variable}, and it was required");
        if server.is_empty() {
            eprintln!("SKIPPED what_only_looks_makes_no_store_on_a_server: no {variable}");
            continue;
        }
        let (home, url) = (Home::new(), format!("{server}?{option}=typo_{unique}"));
        let ran = |args: &[&str]| {
            let mut command = home.command(&[&["--store", &url], args].concat());
            support::Ran::of(command.output().unwrap())
        };
        for args in LOOKING {
            let ran = ran(args);
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{url} {args:?}");
            let told = ["there is no store", "--store"];
            assert!(told.iter().all(|words| ran.stderr.contains(words)), "{url}: {}", ran.stderr);
        }
        for words in ["Made the store", "is there already"] {
            let ran = ran(&["init"]);
            assert!(ran.stdout.contains(words) || ran.stderr.contains(words), "{}", ran.stderr);
        }
        assert_eq!(ran(&["check"]).code, 0);
    }
}

/// A mistyped name makes no store, whatever the driver.
#[test]
fn what_only_looks_makes_no_store() {
    let home = Home::new();
    for url in ["sqlite:create=.db", "file:create=", "file:keep?durability=process"] {
        for args in LOOKING {
            let mut command = home.command(&[&["--store", url], args].concat());
            let ran = support::Ran::of(command.current_dir(home.path()).output().unwrap());
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{url} {args:?}");
            let told = ["there is no store", "--store"];
            assert!(told.iter().all(|words| ran.stderr.contains(words)), "{url}: {}", ran.stderr);
            assert_eq!(support::names(home.path()), [""; 0], "{url} {args:?}");
        }
        let mut command = home.command(&["--store", url, "init"]);
        assert!(command.current_dir(home.path()).status().unwrap().success(), "{url}");
        let mut command = home.command(&["--store", url, "check"]);
        assert!(command.current_dir(home.path()).status().unwrap().success(), "{url}");
        for name in support::names(home.path()) {
            let path = home.file(&name);
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
            removed.unwrap();
        }
    }
}
