//! What an import did, and what it could not do.

use std::fmt::Write as _;

use agentkeep::{Result, Tally};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::scratch::Scratch;
use crate::output::table::Columns;
use crate::output::text;

/// Most lines of one list that people are shown; programs get all.
const SHOWN: u64 = 20;

/// Something at one place of the source, and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Note {
    /// Where it stands in the source.
    pub(crate) place: String,
    /// What is the matter.
    pub(crate) reason: String,
}

/// What can be remarkable about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Damaged, or against the rules.
    NotTaken,
    /// Message lists of no session: not taken either.
    Orphans,
    /// In the store with other content.
    Kept,
    /// Taken with a change to the text.
    Altered,
    /// Ids against our rule, taken under others.
    EscapedIds,
    /// Secrets, which do not come in.
    LeftBehind,
    /// Messages taken without an entry id of their own.
    WithoutEntryId,
    /// Taken; the container or image that they name is nowhere.
    MissingParents,
    /// Records that share a key of the source with others.
    Collisions,
}

const LISTS: [(List, &str, &str); 9] = [
    (List::NotTaken, "notTaken", "Not taken"),
    (List::Orphans, "orphans", "Messages of no session, not taken"),
    (List::Kept, "kept", "In the store with other content"),
    (List::Altered, "altered", "Taken with a change"),
    (List::EscapedIds, "escapedIds", "Taken under another id"),
    (List::LeftBehind, "leftBehind", "Left behind: secrets"),
    (List::WithoutEntryId, "withoutEntryId", "Messages taken without an entry id"),
    (List::MissingParents, "missingParents", "Taken, but what they belong to is missing"),
    (List::Collisions, "collisions", "Shared keys in the source"),
];

/// The source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Origin {
    /// What it was recognised as.
    pub(crate) form: &'static str,
    /// Where it is.
    pub(crate) path: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was to be written.
    DryRun,
    /// All of it was there already.
    NothingNew,
    /// It is there now.
    Imported,
}

/// The whole account.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) source: Origin,
    /// By which it can be taken back; events cannot.
    pub(crate) import_id: Option<String>,
    pub(crate) outcome: Outcome,
    /// True when an interrupted run was taken up.
    pub(crate) resumed: bool,
    /// How many of each kind.
    pub(crate) kinds: Vec<(&'static str, Tally)>,
    pub(crate) notes: Scratch,
}

impl Report {
    /// True when nothing was remarkable.
    pub(crate) fn is_plain(&self) -> Result<bool> {
        for (list, ..) in LISTS {
            if self.notes.noted(list)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The account for people.
    pub(crate) fn shown(&self) -> Result<String> {
        let said = match self.outcome {
            Outcome::DryRun => "Would import",
            Outcome::Imported => "Imported",
            Outcome::NothingNew => "Nothing new in",
        };
        let path = text::one_line(&self.source.path);
        let mut out = format!("{said} {} {path}\n", self.source.form);
        if self.resumed {
            out.push_str("An interrupted import of the same data was taken up.\n");
        }
        out.push('\n');
        out.push_str(&self.tallies());
        for (list, _, heading) in LISTS {
            self.push_list(&mut out, list, heading)?;
        }
        if let (Outcome::Imported, Some(import)) = (self.outcome, &self.import_id) {
            let _ = writeln!(out, "\nTo take it back: agentkeep import --undo {import}");
        }
        Ok(out)
    }

    fn tallies(&self) -> String {
        let mut columns = Columns::new(&["", "new", "unchanged", "differing"], false);
        for place in 1..=3 {
            columns = columns.right(place);
        }
        for (place, (name, tally)) in self.kinds.iter().enumerate() {
            if place >= 4 && *tally == Tally::default() {
                continue;
            }
            let numbers = [tally.new, tally.unchanged, tally.differing].map(|n| n.to_string());
            let [new, unchanged, differing] = numbers;
            columns.row([(*name).to_owned(), new, unchanged, differing]);
        }
        columns.finish()
    }

    /// How many of one kind.
    pub(crate) fn tally(&self, kind: &str) -> Tally {
        self.kinds
            .iter()
            .find(|(name, _)| *name == kind)
            .map(|(_, tally)| *tally)
            .unwrap_or_default()
    }

    fn push_list(&self, out: &mut String, list: List, heading: &str) -> Result<()> {
        let count = self.notes.noted(list)?;
        if count == 0 {
            return Ok(());
        }
        let _ = writeln!(out, "\n{heading}: {count}");
        self.notes.notes(list, SHOWN, |note| {
            let line = format!("{}: {}", note.place, note.reason);
            let _ = writeln!(out, "  {}", text::one_line(&line));
            Ok(())
        })?;
        if count > SHOWN {
            let _ = writeln!(out, "  and {} more: --json lists them all", count - SHOWN);
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("source", &self.source)?;
        if let Some(import) = &self.import_id {
            map.serialize_entry("importId", import)?;
        }
        map.serialize_entry("dryRun", &(self.outcome == Outcome::DryRun))?;
        map.serialize_entry("nothingNew", &(self.outcome == Outcome::NothingNew))?;
        map.serialize_entry("resumed", &self.resumed)?;
        for (name, tally) in &self.kinds {
            map.serialize_entry(name, tally)?;
        }
        for (list, name, _) in LISTS {
            map.serialize_entry(name, &Listed { notes: &self.notes, list })?;
        }
        map.end()
    }
}

/// One list, written note by note.
struct Listed<'a> {
    notes: &'a Scratch,
    list: List,
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut failed = None;
        let told = self.notes.notes(self.list, u64::MAX, |note| {
            if failed.is_none() {
                failed = list.serialize_element(&note).err();
            }
            Ok(())
        });
        match (failed, told) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(error)),
            (None, Ok(())) => list.end(),
        }
    }
}
