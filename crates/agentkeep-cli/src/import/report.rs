//! What an import did, and what it could not do.

use std::fmt::Write as _;

use agentkeep::{Loaded, Tally};
use serde::Serialize;

use crate::output::table::Columns;
use crate::output::text;

/// Most lines of one list that people are shown; programs get all.
const SHOWN: usize = 20;

/// Something at one place of the source, and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// Where it stands in the source.
    pub(crate) place: String,
    /// What is the matter.
    pub(crate) reason: String,
}

impl Note {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

/// What was remarkable about the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notes {
    /// Damaged, or against the rules.
    pub(crate) not_taken: Vec<Note>,
    /// Message lists of no session: not taken either.
    pub(crate) orphans: Vec<Note>,
    /// In the store with other content, and left as it was there.
    pub(crate) kept: Vec<Note>,
    /// Taken with a change to the text.
    pub(crate) altered: Vec<Note>,
    /// Messages taken without an entry id of their own.
    pub(crate) without_entry_id: Vec<Note>,
    /// Taken; the container or image that they name is nowhere.
    pub(crate) missing_parents: Vec<Note>,
    /// Records that share a key of the source with others.
    pub(crate) collisions: Vec<Note>,
}

impl Notes {
    /// True when there was nothing remarkable.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Origin {
    /// What it was recognised as.
    pub(crate) form: &'static str,
    /// Where it is.
    pub(crate) path: String,
}

/// The whole account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) source: Origin,
    /// True when nothing was written.
    pub(crate) dry_run: bool,
    pub(crate) containers: Tally,
    pub(crate) images: Tally,
    pub(crate) sessions: Tally,
    pub(crate) messages: Tally,
    #[serde(flatten)]
    pub(crate) notes: Notes,
}

impl Report {
    /// The account of a load.
    pub(crate) fn new(source: Origin, dry_run: bool, loaded: Loaded, mut notes: Notes) -> Self {
        let Loaded { containers, images, sessions, messages, kept } = loaded;
        let reason = "the store has it with other content and keeps that";
        notes.kept = kept.into_iter().map(|place| Note::new(place, reason)).collect();
        Self { source, dry_run, containers, images, sessions, messages, notes }
    }

    /// The account for people.
    pub(crate) fn shown(&self) -> String {
        let tense = if self.dry_run { "Would import" } else { "Imported" };
        let mut out =
            format!("{tense} {} {}\n\n", self.source.form, text::one_line(&self.source.path));
        out.push_str(&self.tallies());
        let notes = &self.notes;
        for (heading, list) in [
            ("Not taken", &notes.not_taken),
            ("Messages of no session, not taken", &notes.orphans),
            ("Left as it is in the store", &notes.kept),
            ("Taken with a change", &notes.altered),
            ("Messages taken without an entry id", &notes.without_entry_id),
            ("Taken, but what they belong to is missing", &notes.missing_parents),
            ("Shared keys in the source", &notes.collisions),
        ] {
            push_list(&mut out, heading, list);
        }
        out
    }

    fn tallies(&self) -> String {
        let mut columns = Columns::new(&["", "new", "unchanged", "differing"], false);
        for place in 1..=3 {
            columns = columns.right(place);
        }
        for (name, tally) in self.by_kind() {
            let numbers = [tally.new, tally.unchanged, tally.differing].map(|n| n.to_string());
            let [new, unchanged, differing] = numbers;
            columns.row([name.to_owned(), new, unchanged, differing]);
        }
        columns.finish()
    }

    fn by_kind(&self) -> [(&'static str, &Tally); 4] {
        [
            ("containers", &self.containers),
            ("images", &self.images),
            ("sessions", &self.sessions),
            ("messages", &self.messages),
        ]
    }
}

fn push_list(out: &mut String, heading: &str, list: &[Note]) {
    if list.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{heading}: {}", list.len());
    for note in list.iter().take(SHOWN) {
        let line = format!("{}: {}", note.place, note.reason);
        let _ = writeln!(out, "  {}", text::one_line(&line));
    }
    if list.len() > SHOWN {
        let _ = writeln!(out, "  and {} more: --json lists them all", list.len() - SHOWN);
    }
}
