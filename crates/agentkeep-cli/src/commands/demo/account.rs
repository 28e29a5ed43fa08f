//! What the demo says.

use std::path::Path;

use agentkeep::driver::CheckReport;
use serde::Serialize;

use super::crash::{Crash, Survived};
use super::resume::{RUN, Resumed};
use super::{FORK, Held};
use crate::args::Global;
use crate::import::report::Report;
use crate::output::text;

const OK: &str = "\x1b[32mok\x1b[0m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// The fork of the conversation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Forked {
    pub(super) session: &'static str,
    /// Messages that can be read through it, and their bytes.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Bytes of all messages in the store before and after.
    pub(super) stored_before: u64,
    pub(super) stored_after: u64,
}

/// The whole, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    folder: String,
    store: String,
    namespace: String,
    imported: Report,
    survived: Survived,
    check: CheckReport,
    fork: Forked,
    resumed: Resumed,
    holds: Held,
    next: Vec<String>,
}

impl Account {
    #[allow(clippy::too_many_arguments, reason = "one for each act of the demo")]
    pub(super) fn new(
        folder: &Path,
        global: &Global,
        imported: Report,
        survived: Survived,
        check: CheckReport,
        fork: Forked,
        resumed: Resumed,
        holds: Held,
    ) -> Self {
        let (store, namespace) = (global.store.clone(), global.namespace.clone());
        let mut options = format!("--store {}", quoted(&store));
        if namespace != "default" {
            options = format!("{options} --namespace {}", quoted(&namespace));
        }
        let next = vec![
            format!("agentkeep {options} sessions list"),
            format!("agentkeep {options} sessions show {FORK} --last 10"),
            format!("agentkeep {options} runs show {RUN}"),
            format!("agentkeep {options} check"),
        ];
        let folder = folder.display().to_string();
        Self { folder, store, namespace, imported, survived, check, fork, resumed, holds, next }
    }

    /// What is there now, and what to do next.
    pub(super) fn closing(&self) -> String {
        let counts = [
            text::counted(self.holds.containers, "container"),
            text::counted(self.holds.images, "image"),
            text::counted(self.holds.sessions, "session"),
            text::counted(self.holds.messages, "message"),
        ];
        let bytes = text::bytes(self.fork.stored_after);
        let next: Vec<String> = self.next.iter().map(|command| format!("  {command}\n")).collect();
        format!(
            "{BOLD}All promises kept.{RESET} The store holds {} ({bytes}).\n\nLook at the data:\n{}",
            counts.join(", "),
            next.concat()
        )
    }
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-=+,@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

pub(super) fn opening(store: &str) -> String {
    format!("A fresh store at {}\n\n", text::one_line(store))
}

pub(super) fn imported(report: &Report) -> String {
    let counts = [
        text::counted(report.tally("containers").new, "container"),
        text::counted(report.tally("images").new, "image"),
        text::counted(report.tally("sessions").new, "session"),
        text::counted(report.tally("messages").new, "message"),
    ];
    format!("{BOLD}1. Import an AgentX store{RESET}\n   {OK}  {}\n\n", counts.join(", "))
}

pub(super) fn killed(crash: &Crash) -> String {
    format!(
        "{BOLD}2. Go on with a conversation in a second process, and kill -9 it{RESET}\n   \
         killed after {} acknowledged messages, with {} under way\n\n",
        crash.kept.len(),
        text::counted(crash.in_flight.len() as u64, "write")
    )
}

pub(super) fn survived(survived: &Survived, check: &CheckReport) -> String {
    format!(
        "{BOLD}3. Reopen the store{RESET}\n   \
         {OK}  {} of {} acknowledged messages are there, text for text\n   \
         {OK}  no message is torn; of the {} under way {} came in whole, the rest not at all\n   \
         {OK}  the {} messages from before are as they were\n   \
         {OK}  check finds no damage ({} records, {} entries)\n\n",
        survived.acknowledged,
        survived.acknowledged,
        survived.in_flight,
        survived.in_flight_kept,
        survived.from_before,
        check.records,
        check.entries
    )
}

pub(super) fn forked(forked: &Forked) -> String {
    format!(
        "{BOLD}4. Fork the conversation{RESET}\n   \
         {OK}  the fork reads {} messages ({}); messages stored before {}, after {}\n\n",
        forked.messages,
        text::bytes(forked.bytes),
        text::bytes(forked.stored_before),
        text::bytes(forked.stored_after)
    )
}

pub(super) fn resumed(resumed: &Resumed) -> String {
    format!(
        "{BOLD}5. Kill an agent in the middle of its run, and resume the run in another process{RESET}\n   \
         {OK}  {} of {} steps were acknowledged; the second process went on at step {}\n   \
         {OK}  every step is there once; no finished one was done again\n   \
         {OK}  what the killed one might still write, under number {}, is refused: the run is at {}\n\n",
        resumed.kept_before,
        resumed.steps,
        resumed.went_on_at,
        resumed.fences[0],
        resumed.fences[1]
    )
}
