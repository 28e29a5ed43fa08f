//! How the command is used: help, examples as written, completions, the manual page, wrong usage.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use support::{Home, copy_all, fixture, formats};

/// Every command that its help names, from the top.
fn commands(home: &Home, above: &[String], found: &mut Vec<Vec<String>>) {
    found.push(above.to_vec());
    let help = help(home, above);
    let Some((_, list)) = help.split_once("Commands:\n") else { return };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        if name != "help" {
            commands(home, &[above, &[name.to_owned()]].concat(), found);
        }
    }
}

fn help(home: &Home, command: &[String]) -> String {
    let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    home.ok(&args)
}

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    let mut all = Vec::new();
    commands(&home, &[], &mut all);
    assert!(all.len() > 25, "{all:?}");
    for command in all {
        let help = help(&home, &command);
        assert!(help.contains("Example:\n  agentkeep "), "{command:?}: {help}");
        assert!(!help.contains("demo-writer"));
    }
}

/// In a folder that has what they name.
#[test]
fn every_example_runs_as_it_is_written() {
    let home = Home::new();
    let mut all = Vec::new();
    commands(&home, &[], &mut all);
    for command in all {
        let help = help(&home, &command);
        let (_, examples) = help.split_once("Example:\n").unwrap();
        for example in examples.lines().filter_map(|line| line.strip_prefix("  ")) {
            let ran = as_written(example);
            assert!(ran.status.success(), "{example}: {}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}

/// The lines of README.md and docs/ that run the command.
#[test]
fn every_example_of_the_documents_runs_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md"), root.join("docs")];
    let mut count = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for example in text.lines().filter_map(|line| line.strip_prefix("    ")) {
            if example.starts_with("agentkeep ") {
                let ran = as_written(example);
                let said = String::from_utf8_lossy(&ran.stderr);
                assert!(ran.status.success(), "{}: {example}: {said}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 10, "{count}");
}

fn as_written(example: &str) -> std::process::Output {
    let home = Home::new();
    let imported = home.import(&fixture("agentx.db"));
    home.ok(&["namespaces", "create", "acme", "--tag", "trial"]);
    home.ok(&["namespaces", "create", "acme-test"]);
    if example.contains(" fork ") || example.contains(" create ") {
        let name = if example.contains(" fork ") { "acme-test" } else { "acme" };
        home.ok(&["namespaces", "delete", name, "--yes"]);
    }
    let work = home.file("work");
    for folder in [
        "data",
        ".agentx/data",
        ".local/share/bash-completion/completions",
        ".zfunc",
        ".config/fish/completions",
    ] {
        std::fs::create_dir_all(work.join(folder)).unwrap();
    }
    for folder in ["data", ".agentx/data"] {
        std::fs::copy(fixture("agentx.db"), work.join(folder).join("agentx.db")).unwrap();
    }
    std::fs::copy(fixture("queue.db"), work.join("data/queue.db")).unwrap();
    std::fs::copy(fixture("queue.db"), work.join(".agentx/data/queue.db")).unwrap();
    let cursor = home.ok(&["events", "publish", "chat/17", "{}"]);
    home.ok(&["events", "seek", "laptop", "chat/17", "beginning"]);
    home.ok(&["import", "runs", formats().join("runs/runs.db").to_str().unwrap()]);
    home.ok(&["import", "agentrylab", formats().join("agentrylab").to_str().unwrap()]);
    if example.contains("import runs") {
        copy_all(&formats().join("runs/runs.db"), &work.join("runs.db"));
    }
    if example.contains("import agentrylab") {
        copy_all(&formats().join("agentrylab"), &work.join("outputs"));
    }
    if example.contains("./backup.json") {
        std::fs::copy(fixture("backup.json"), work.join("backup.json")).unwrap();
    }
    let mut example = example.to_owned();
    if example.contains(" capabilities ") || example.contains(" why ") {
        support::capable::filled(&home);
        for (name, hash) in [("before", "a"), ("after", "b")] {
            let link = serde_json::json!({ "agentId": "helper", "agentName": "Helper",
                "staticHash": "s".repeat(64), "runtimeHash": hash.repeat(64), "toolRefs": [] });
            std::fs::write(work.join(format!("{name}.json")), link.to_string()).unwrap();
        }
        for (word, id) in [(" SESSION", " chat"), (" MESSAGE", " l2"), (" AGENT", " helper")] {
            example = example.replace(word, id);
        }
        example = example.replace(" LINK", " l1");
        example = example.replace(" HASH", &format!(" {}", "export".repeat(20)));
    }
    let written = example
        .replace(" IMPORT", &format!(" {}", imported["importId"].as_str().unwrap()))
        .replace(" CURSOR", &format!(" {}", cursor.trim_end()))
        .replace(" ID", " SESSION")
        .replace(" RUN", " 477906c2-d4ef-4329-92ee-9f6a6ce7d7c4")
        .replace(" THREAD", " standup-01")
        .replace(" SESSION", " session_1769990400000_s0")
        .replace(" IMAGE", " img_1769990406000_t5r4e3");
    let folder = Path::new(env!("CARGO_BIN_EXE_agentkeep")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &written]).current_dir(&work).env("PATH", path).env("HOME", &work);
    shell.env("AGENTKEEP_DIR", home.path()).env_remove("AGENTKEEP_STORE");
    shell.stdin(Stdio::null());
    if !example.contains("--follow") {
        return shell.output().unwrap();
    }
    // It has no end of its own: ended as the keyboard does, once it has shown something.
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {written}")]).current_dir(&work);
    command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    following.stdout.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    let process = following.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &process]).status().unwrap().success());
    following.wait_with_output().unwrap()
}

#[test]
fn wrong_usage_is_2_and_suggests_the_near_one() {
    let home = Home::new();
    for (args, near) in [
        (vec!["sesions"], "sessions"),
        (vec!["namespaces", "renam", "a", "b"], "rename"),
        (vec!["sessions", "show", "x", "--folow"], "--follow"),
        (vec!["export", "--jsn"], "--json"),
    ] {
        let ran = home.run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.contains(near), "{args:?}: {}", ran.stderr);
    }
    for args in
        [vec![], vec!["namespaces"], vec!["namespaces", "fork", "a"], vec!["sessions", "show"]]
    {
        assert_eq!(home.run(&args).code, 2, "{args:?}");
    }
    assert!(!home.store().exists());
}

#[test]
fn completions_know_the_commands() {
    let home = Home::new();
    for (shell, words) in [
        ("bash", ["_agentkeep", "namespaces", "--follow"]),
        ("zsh", ["#compdef agentkeep", "namespaces", "--follow"]),
        ("fish", ["complete -c agentkeep", "namespaces", "follow"]),
    ] {
        let text = home.ok(&["completions", shell]);
        assert!(words.iter().all(|word| text.contains(word)), "{shell}");
    }
    let script = home.ok(&["completions", "bash"]);
    let file = home.file("completions.bash");
    std::fs::write(&file, script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_manual_page_has_every_command() {
    let home = Home::new();
    let page = home.ok(&["man"]);
    assert!(page.contains(".TH agentkeep 1"), "{page}");
    for name in ["NAMESPACES RENAME", "SESSIONS SHOW", "EXPORT", "RUNS CLAIM", "IMPORT AGENTX"] {
        assert!(page.contains(&format!(".SH \"AGENTKEEP {name}\"")), "{name}");
    }
    assert!(page.contains("follow") && !page.contains("demo\\-writer"));
}

#[test]
fn init_makes_a_store_once() {
    let home = Home::new();
    let made = home.json(&["init"]);
    assert_eq!((&made["made"], &made["store"]["durability"]), (&json!(true), &json!("power")));
    assert!(home.store().exists());
    let again = home.json(&["init"]);
    assert_eq!((&again["made"], &again["store"]), (&json!(false), &made["store"]));
    let ran = home.run(&["init"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("already"));
    assert_eq!(home.json(&["namespaces", "list"]), json!([]));
}

#[test]
fn the_schema_can_be_seen_and_upgraded() {
    let home = Home::new();
    let schema = home.json(&["schema", "print"]);
    let version = agentkeep::schema::AGENTKEEP.version;
    assert_eq!((&schema["schema"], &schema["version"]), (&json!("agentkeep"), &json!(version)));
    let tables = schema["tables"].as_array().unwrap();
    let sessions = tables.iter().find(|table| table["name"] == "sessions").unwrap();
    assert_eq!(sessions["key"], json!(["session_id"]));
    assert_eq!(sessions["indexes"][1]["fields"], json!(["image_id", "created_at desc"]));
    let text = home.ok(&["schema", "print"]);
    assert!(
        text.contains("table images (key: image_id)\n") && text.contains("field tags  from tags[]")
    );
    assert!(!home.store().exists(), "printing the schema needs no store");
    assert!(home.fails(&["schema", "upgrade"]).contains("there is no store"));
    home.ok(&["init"]);
    assert_eq!(home.json(&["schema", "upgrade"]), json!({ "before": version, "format": version }));
    // A format that this version does not know is refused, not touched.
    let file = rusqlite::Connection::open(home.store()).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let said = home.fails(&["schema", "upgrade"]);
    assert!(said.contains("99") || said.contains("newer"), "{said}");
}
