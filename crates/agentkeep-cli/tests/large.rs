//! A source of 1 GiB in each form, and the memory that it takes to import it. By hand:
//!
//! `cargo test --release -p agentkeep-cli --test large -- --ignored --nocapture`
//!
//! `AGENTKEEP_LARGE_MIB` sets the size, `AGENTKEEP_LARGE_SESSIONS` how many sessions share it,
//! `AGENTKEEP_LARGE_FORM` one form.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::Home;

/// What an import may take at most.
const LIMIT_KIB: u64 = 100 * 1024;

struct Size {
    bytes: u64,
    sessions: u64,
    messages: u64,
}

impl Size {
    fn wanted() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let bytes = number("AGENTKEEP_LARGE_MIB", 1024) << 20;
        let sessions = number("AGENTKEEP_LARGE_SESSIONS", 2_000);
        Self { bytes, sessions, messages: bytes / 500 / sessions }
    }

    fn session(number: u64) -> String {
        format!(
            r#"{{"sessionId":"s{number}","imageId":"i","containerId":"c","createdAt":{number}}}"#
        )
    }

    /// The messages of a session, about 500 bytes each.
    fn messages(&self, number: u64, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(b"[")?;
        for i in 0..self.messages {
            let comma = if i == 0 { "" } else { "," };
            let text = format!("{number}-{i} \\\"é\\\" ").repeat(36);
            let text = text.get(..420).unwrap_or(&text).trim_end_matches('\\');
            write!(
                out,
                r#"{comma}{{"id":"m{i}","subtype":"user","content":"{text}","timestamp":{i}}}"#
            )?;
        }
        out.write_all(b"]")
    }
}

const CONTAINER: &str = r#"{"containerId":"c"}"#;
const IMAGE: &str = r#"{"imageId":"i","containerId":"c"}"#;

fn backup(size: &Size, path: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write!(out, "{{\"containers\":[{CONTAINER}],\"images\":[{IMAGE}],\"sessions\":[")?;
    for number in 0..size.sessions {
        write!(out, "{}{}", if number == 0 { "" } else { "," }, Size::session(number))?;
    }
    out.write_all(b"],\"messages\":{")?;
    for number in 0..size.sessions {
        write!(out, "{}\"s{number}\":", if number == 0 { "" } else { "," })?;
        size.messages(number, &mut out)?;
    }
    out.write_all(b"}}")?;
    out.flush()
}

/// All keys and values, one after the other.
fn each(size: &Size, mut with: impl FnMut(&str, &[u8])) {
    with("containers:c", CONTAINER.as_bytes());
    with("images:i", IMAGE.as_bytes());
    for number in 0..size.sessions {
        with(&format!("sessions:s{number}"), Size::session(number).as_bytes());
        let mut value = Vec::new();
        size.messages(number, &mut value).unwrap();
        with(&format!("messages:s{number}"), &value);
    }
}

fn sqlite(size: &Size, path: &Path) {
    support::kv(path, &[]);
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    each(size, |key, value| {
        let text = std::str::from_utf8(value).unwrap();
        file.execute("INSERT INTO kv_storage VALUES (?1, ?2, 0, 0)", [key, text]).unwrap();
    });
    file.execute_batch("COMMIT").unwrap();
}

fn folder(size: &Size, path: &Path) {
    each(size, |key, value| {
        let file = path.join(key.replace(':', "/"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, value).unwrap();
    });
}

fn redis(size: &Size, path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let mut before = "[";
    each(size, |key, value| {
        let value = serde_json::to_string(std::str::from_utf8(value).unwrap()).unwrap();
        write!(out, r#"{before}{{"key":"agentx:{key}","type":"string","ttl":-1,"value":{value}}}"#)
            .unwrap();
        before = ",\n";
    });
    out.write_all(b"]").unwrap();
    out.flush().unwrap();
}

/// The most memory that the process has held so far, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn measured(home: &Home, form: &str, source: &Path, limit: u64, what: &str) {
    let before = Instant::now();
    let source = source.to_str().unwrap();
    let mut command = home.command(&["import", "agentx", source, "--json"]);
    let output = File::create(home.file("report.json")).unwrap();
    let mut child = command.stdout(output).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = peak(child.id()).unwrap_or(0).max(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success(), "{form}");
    println!(
        "{form}, {what}: {:.1} s, VmHWM {} MiB",
        before.elapsed().as_secs_f64(),
        most.div_ceil(1024)
    );
    assert!(most < limit, "{form}: {most} KiB");
}

#[test]
#[ignore = "writes several GiB; run it by hand"]
fn a_large_source_takes_little_memory() {
    let size = Size::wanted();
    println!("{} MiB, {} sessions of {} messages", size.bytes >> 20, size.sessions, size.messages);
    let only = std::env::var("AGENTKEEP_LARGE_FORM").ok();
    for form in ["backup", "sqlite", "folder", "redis"] {
        if only.as_deref().is_some_and(|only| only != form) {
            continue;
        }
        let home = Home::new();
        let source = home.file("source");
        match form {
            "backup" => backup(&size, &source).unwrap(),
            "sqlite" => sqlite(&size, &source),
            "folder" => folder(&size, &source),
            _ => redis(&size, &source),
        }
        measured(&home, form, &source, LIMIT_KIB, "into an empty namespace");
        let stats = home.json(&["stats"]);
        assert_eq!(stats["messages"], size.sessions * size.messages);
        measured(&home, form, &source, LIMIT_KIB, "again, nothing new");
    }
}

/// Nothing shows of an import that is killed at any of its progress lines, and the next run goes
/// on where it stood.
#[test]
#[ignore = "writes much; run it by hand"]
fn an_import_killed_at_each_progress_line_is_finished_by_the_next() {
    let size = Size::wanted();
    let sources = Home::new();
    let source = sources.file("source");
    backup(&size, &source).unwrap();
    let home = Home::new();
    for line in 1_usize.. {
        let mut command = home.command(&["import", "agentx", source.to_str().unwrap(), "--json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.nth(line - 1);
        child.kill().unwrap();
        let ended = child.wait().unwrap().success();
        println!("{}", said.as_deref().unwrap_or("it was over"));
        let stats = home.store().exists().then(|| home.json(&["stats"]));
        let shown = stats.map_or(0, |stats| stats["messages"].as_u64().unwrap());
        let all = size.sessions * size.messages;
        assert!(shown == all || shown == 0 && !ended, "{shown}");
        if shown == all {
            break;
        }
    }
    assert_eq!(home.json(&["check"])["due"], serde_json::json!([]));
}
