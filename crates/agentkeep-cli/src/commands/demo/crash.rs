//! Killing a process in the middle of a write, and looking at what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use agentkeep::{Error, Kind, Message, Result, Store};
use serde::Serialize;

use super::broken;
use super::messages::{fingerprint, is_whole};
use crate::args::Global;
use crate::output::io_error;

/// How many add at the same time.
const WRITERS: usize = 8;
/// Acknowledged messages before the kill.
const ENOUGH: usize = 50;

/// What the second process had said when it was gone.
#[derive(Debug)]
pub(super) struct Crash {
    /// Acknowledged messages: id and fingerprint.
    pub(super) kept: BTreeMap<String, String>,
    /// Messages handed to the store and not acknowledged.
    pub(super) in_flight: BTreeSet<String>,
}

/// What became of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Survived {
    pub(super) session: String,
    /// Messages from before the crash, all as they were.
    pub(super) from_before: u64,
    /// Acknowledged by the killed process, all there and exact.
    pub(super) acknowledged: u64,
    /// Writes under way at the kill.
    pub(super) in_flight: u64,
    /// Those of them that are there, whole.
    pub(super) in_flight_kept: u64,
    /// Half-written messages: none, or the demo fails.
    pub(super) torn: u64,
}

/// Ends the process when the demo ends early.
pub(super) struct Victim(pub(super) Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the second process and kills it with a write under way.
pub(super) fn run(global: &Global, session: &str) -> Result<Crash> {
    let cannot = |error| io_error("the demo's second process cannot be run", error);
    let mut victim = Victim(spawn(global, session).map_err(cannot)?);
    let Some(output) = victim.0.stdout.take() else {
        return Err(Error::new(Kind::Unavailable, "the demo's second process has no output"));
    };
    let mut output = BufReader::new(output);
    let mut crash = Crash { kept: BTreeMap::new(), in_flight: BTreeSet::new() };
    let mut line = String::new();
    let mut killed = false;
    loop {
        line.clear();
        // After the kill, what is in the pipe was acknowledged before it.
        if output.read_line(&mut line).map_err(cannot)? == 0 {
            break;
        }
        crash.note(&line);
        if !killed && crash.kept.len() >= ENOUGH && crash.in_flight.len() > WRITERS / 2 {
            victim.0.kill().map_err(cannot)?;
            killed = true;
        }
    }
    let status = victim.0.wait().map_err(cannot)?;
    if killed && was_killed(status) {
        return Ok(crash);
    }
    Err(Error::new(Kind::Unavailable, format!("the demo's second process ended itself: {status}"))
        .during("demo"))
}

fn spawn(global: &Global, session: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--store", &global.store, "--namespace", &global.namespace])
        .args(["demo-writer", session, &WRITERS.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

#[cfg(unix)]
pub(super) fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[cfg(not(unix))]
pub(super) fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

impl Crash {
    fn note(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("begin"), Some(id), None) => {
                self.in_flight.insert(id.to_owned());
            }
            (Some("kept"), Some(id), Some(fingerprint)) => {
                self.in_flight.remove(id);
                self.kept.insert(id.to_owned(), fingerprint.to_owned());
            }
            _ => {}
        }
    }
}

/// Holds the reopened store against what was acknowledged.
pub(super) async fn verify(
    store: &Store,
    session: &str,
    before: &[Message],
    crash: &Crash,
) -> Result<Survived> {
    let stored = store.messages(session).all().await?;
    let messages: Vec<&Message> = stored.iter().map(|stored| &stored.message).collect();
    let (old, new) = messages.split_at(before.len().min(messages.len()));
    if old != before.iter().collect::<Vec<_>>() {
        return Err(broken("messages from before the crash have changed"));
    }
    let mut by_id = BTreeMap::new();
    for message in new {
        let id = message.id().unwrap_or_default();
        if !is_whole(message) {
            return Err(broken(format!("the message {id:?} is torn")));
        }
        if !crash.kept.contains_key(id) && !crash.in_flight.contains(id) {
            return Err(broken(format!("nobody added the message {id:?}")));
        }
        if by_id.insert(id, fingerprint(message.json())).is_some() {
            return Err(broken(format!("the message {id:?} is there twice")));
        }
    }
    for (id, fingerprint) in &crash.kept {
        match by_id.get(id.as_str()) {
            Some(found) if found == fingerprint => {}
            Some(_) => return Err(broken(format!("the acknowledged message {id:?} is changed"))),
            None => return Err(broken(format!("the acknowledged message {id:?} is lost"))),
        }
    }
    Ok(Survived {
        session: session.to_owned(),
        from_before: before.len() as u64,
        acknowledged: crash.kept.len() as u64,
        in_flight: crash.in_flight.len() as u64,
        in_flight_kept: (by_id.len() - crash.kept.len()) as u64,
        torn: 0,
    })
}
