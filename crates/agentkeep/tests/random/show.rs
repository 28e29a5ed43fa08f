//! Answers as text, without what two equal stores need not share: times, birth tokens, and the
//! versions at which records start.

use std::collections::BTreeMap;

use agentkeep::driver::{
    Batch, Committed, Entries, Entry, Found, FoundBlob, Head, Operation, Outcome, Record,
};
use agentkeep::schema::{Key, Namespace};
use agentkeep::{Json, ObjectEditor, Result};

/// Birth tokens and each record's versions by the order in which they were met: equal stores meet
/// new ones alike.
#[derive(Debug, Default)]
pub(crate) struct Names {
    births: BTreeMap<u64, usize>,
    versions: BTreeMap<(Namespace, Key), BTreeMap<u64, usize>>,
}

impl Names {
    fn birth(&mut self, birth: u64) -> String {
        let next = self.births.len();
        format!("birth {}", self.births.entry(birth).or_insert(next))
    }

    fn version(&mut self, space: &Namespace, key: &Key, version: u64) -> String {
        let name = key.table().name;
        // How often a driver writes the records that it keeps itself is its own affair.
        if name == "_streams" || name == "_blobs" {
            return String::new();
        }
        // Records of namespaces are alike from everywhere.
        let space = if name == "_namespaces" { Namespace::default() } else { space.clone() };
        let versions = self.versions.entry((space, key.clone())).or_default();
        let next = versions.len();
        format!("version {}", versions.entry(version).or_insert(next))
    }

    pub(crate) fn committed(&mut self, batch: &Batch, committed: &Committed) -> String {
        let outcomes = batch.operations.iter().zip(&committed.outcomes);
        let outcomes = outcomes.map(|(operation, outcome)| match (operation, outcome) {
            (Operation::Put(put), Outcome::Put { version }) => {
                self.version(&batch.namespace, &put.key, *version)
            }
            (_, outcome) => format!("{outcome:?}"),
        });
        let outcomes: Vec<String> = outcomes.collect();
        let count = committed.outcomes.len();
        format!("replayed: {} {count} outcomes: {outcomes:?}", committed.replayed)
    }

    fn head(&mut self, head: &Head) -> String {
        let Head { birth, first, last, count, bytes, .. } = head;
        format!("{} {first}..{last} {count} {bytes}", self.birth(*birth))
    }

    fn record(&mut self, space: &Namespace, record: &Record) -> String {
        let mut body = ObjectEditor::of(&record.body);
        let shown = match record.key.table().name {
            "_streams" => {
                let hex = record.body.member("birth").and_then(|birth| birth.to_text());
                let birth = hex.and_then(|hex| u64::from_str_radix(&hex, 16).ok());
                let birth = birth.map_or("no birth".to_owned(), |birth| self.birth(birth));
                body.set("birth", &Json::string(&birth)).set("updated", &Json::null());
                body.finish()
            }
            "_blobs" if record.body.member("unreferencedSince").is_some() => {
                body.set("unreferencedSince", &Json::null());
                body.finish()
            }
            _ => record.body.clone(),
        };
        let Record { key, version, turn, refs, .. } = record;
        let version = self.version(space, key, *version);
        format!("{key} {version} {turn:?} {refs:?} {shown}")
    }

    pub(crate) fn records(&mut self, space: &Namespace, records: &[Option<Record>]) -> String {
        let show = |record: &Option<Record>| match record {
            Some(record) => self.record(space, record),
            None => "none".to_owned(),
        };
        records.iter().map(show).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn found(&mut self, space: &Namespace, found: &Found) -> String {
        let records: Vec<String> = found.records.iter().map(|r| self.record(space, r)).collect();
        format!("{}\nmore: {}", records.join("\n"), found.next.is_some())
    }

    pub(crate) fn entries(&mut self, entries: &Entries) -> String {
        let show = |head: &Option<Head>| head.as_ref().map(|head| self.head(head));
        let heads: Vec<_> = entries.heads.iter().map(show).collect();
        let shown: Vec<String> = entries.entries.iter().map(entry).collect();
        format!("{}\nheads: {heads:?} more: {}", shown.join("\n"), entries.more)
    }
}

fn entry(entry: &Entry) -> String {
    let Entry { stream, number, id, body, turn, rewritten, refs, .. } = entry;
    format!("{stream:?} {number} {id:?} {turn:?} {} {refs:?} {body}", rewritten.is_some())
}

pub(crate) fn blobs(blobs: &[Option<FoundBlob>]) -> String {
    format!("{blobs:?}")
}

/// What was answered, or with which kind and expectation it was refused.
pub(crate) fn answer<T>(result: &Result<T>, show: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(error) => format!("refused: {:?} of {:?}", error.kind(), error.expectation()),
    }
}
