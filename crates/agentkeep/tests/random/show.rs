//! Answers as text, without what two equal stores need not share: times, birth tokens, and the
//! versions of built-in records.

use std::collections::BTreeMap;

use agentkeep::driver::{Committed, Entries, Entry, Found, FoundBlob, Head, Record};
use agentkeep::{Json, ObjectEditor, Result};

/// Birth tokens by the order in which they were met: equal stores meet new ones alike.
#[derive(Debug, Default)]
pub(crate) struct Births(BTreeMap<u64, usize>);

impl Births {
    fn birth(&mut self, birth: u64) -> String {
        let next = self.0.len();
        format!("birth {}", self.0.entry(birth).or_insert(next))
    }

    fn head(&mut self, head: &Head) -> String {
        let Head { birth, first, last, count, bytes, .. } = head;
        format!("{} {first}..{last} {count} {bytes}", self.birth(*birth))
    }

    fn record(&mut self, record: &Record) -> String {
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
        // How often a driver writes the records that it keeps itself is its own affair.
        let built_in = ["_streams", "_blobs"].contains(&key.table().name);
        let version = if built_in { 0 } else { *version };
        format!("{key} v{version} {turn:?} {refs:?} {shown}")
    }

    pub(crate) fn records(&mut self, records: &[Option<Record>]) -> String {
        let show = |record: &Option<Record>| match record {
            Some(record) => self.record(record),
            None => "none".to_owned(),
        };
        records.iter().map(show).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn found(&mut self, found: &Found) -> String {
        let records: Vec<String> = found.records.iter().map(|r| self.record(r)).collect();
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

pub(crate) fn committed(committed: &Committed) -> String {
    format!("replayed: {} {:?}", committed.replayed, committed.outcomes)
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
