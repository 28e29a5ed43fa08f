//! Recomputing what can be recomputed, and counting.

use std::collections::{BTreeMap, HashMap};

use super::space::{Kept, Names, Space, StreamState, Turns};
use crate::driver::{CheckReport, Hash, Usage};
use crate::drivers::kernel::built_in::{blob_record, stream_body, stream_record};
use crate::drivers::kernel::{StreamKey, stream_place};
use crate::json::Json;
use crate::schema::{BLOBS, Key, NAMESPACES, Namespace, STREAMS, Schema, Table};

/// Looks at the store-wide table.
pub(super) fn names(names: &Names, report: &mut CheckReport) {
    names.rows.check("", report);
}

/// Looks at one namespace.
pub(super) fn namespace(
    namespace: &Namespace,
    space: &Space,
    names: &Names,
    report: &mut CheckReport,
) {
    let prefix = format!("{namespace:?} ");
    let mut check = Check { prefix, space, references: HashMap::new(), report };
    check.records(namespace, names);
    check.streams();
    check.blobs();
}

struct Check<'a> {
    /// What places begin with.
    prefix: String,
    space: &'a Space,
    /// References counted anew.
    references: HashMap<Hash, u64>,
    report: &'a mut CheckReport,
}

impl Check<'_> {
    fn damaged(&mut self, place: &str, what: &str) {
        self.report.damaged(format!("{}{place}", self.prefix), what);
    }

    fn refer(&mut self, refs: &[Hash]) {
        for hash in refs {
            *self.references.entry(*hash).or_default() += 1;
        }
    }

    fn records(&mut self, namespace: &Namespace, names: &Names) {
        for (name, rows) in &self.space.tables {
            rows.check(&self.prefix, self.report);
            rows.all().for_each(|record| self.refer(&record.refs));
            if !name.starts_with('_') {
                self.report.records += rows.len() as u64;
            }
        }
        let name = Key::new(&NAMESPACES, [namespace.as_str()]).ok();
        match name.and_then(|name| names.rows.get(&name)) {
            Some(stored) => self.refer(&stored.record.refs),
            None if self.space.is_empty() => {}
            None => self.damaged("_namespaces", "the namespace has no record"),
        }
    }

    fn streams(&mut self) {
        let mut turns = Turns::new();
        for (key, state) in self.space.streams.iter() {
            self.stream(key, state);
            for entry in &state.entries {
                self.refer(&entry.refs);
                if let Some(turn) = &entry.turn {
                    let entries = turns.entry((key.0, turn.clone())).or_default();
                    entries.insert((key.1.clone(), entry.number));
                }
            }
            self.report.streams += 1;
            self.report.entries += state.entries.len() as u64;
        }
        if turns != *self.space.turns {
            self.damaged("turns", "the index of turns does not fit the entries");
        }
        if self.space.tables.get(STREAMS.name).map_or(0, |rows| rows.len())
            != self.space.streams.len()
        {
            self.damaged(STREAMS.name, "there are records of no stream");
        }
    }

    fn stream(&mut self, key: &StreamKey, state: &StreamState) {
        let (head, entries) = (&state.head, &state.entries);
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        let fits = head.count == entries.len() as u64
            && head.bytes == bytes as u64
            && head.first == state.first()
            && entries.back().is_none_or(|entry| entry.number <= head.last);
        if !fits {
            self.damaged(&stream_place(key), "its head does not fit its entries");
        }
        if !entries.iter().is_sorted_by(|a, b| a.number < b.number) {
            self.damaged(&stream_place(key), "its entries are not in order");
        }
        let ids = entries.iter().filter_map(|entry| Some((entry.id.clone()?, entry.number)));
        if state.ids != ids.collect() {
            self.damaged(&stream_place(key), "the index of ids does not fit the entries");
        }
        let record = stream_record(key).ok();
        let body = record.as_ref().map_or_else(Json::null, |record| stream_body(record, head));
        self.told(&STREAMS, record, &body);
    }

    fn blobs(&mut self) {
        for (hash, kept) in self.space.blobs.iter() {
            self.blob(*hash, kept);
        }
        for hash in std::mem::take(&mut self.references).into_keys() {
            self.damaged(&format!("blob {hash}"), "it is referred to and is not there");
        }
        if self.space.tables.get(BLOBS.name).map_or(0, |rows| rows.len()) != self.space.blobs.len()
        {
            self.damaged(BLOBS.name, "there are records of no blob");
        }
    }

    fn blob(&mut self, hash: Hash, Kept { blob, state }: &Kept) {
        let place = format!("blob {hash}");
        let references = self.references.remove(&hash).unwrap_or(0);
        if references != state.references {
            self.damaged(&place, "its references are counted wrong");
        }
        if state.unreferenced_since.is_some() != (references == 0) {
            self.damaged(&place, "it is told wrongly whether something refers to it");
        }
        if blob.hash() != hash
            || Hash::of(blob.bytes()) != hash
            || state.size != blob.bytes().len() as u64
        {
            self.damaged(&place, "its bytes are damaged");
        }
        if references == 0 {
            self.report.due(format!("{}{place}", self.prefix), "nothing refers to it");
        }
        self.told(&BLOBS, blob_record(hash).ok(), &state.told(hash));
        self.report.blobs += 1;
    }

    /// The record of a built-in table must say what is.
    fn told(&mut self, table: &Table, key: Option<Key>, body: &Json) {
        let rows = self.space.tables.get(table.name);
        let stored = key.as_ref().and_then(|key| rows?.get(key));
        if stored.is_none_or(|stored| stored.body() != body) {
            let place = key.map_or_else(|| table.name.to_owned(), |key| key.to_string());
            self.damaged(&place, "the record does not tell what is");
        }
    }
}

/// How much a namespace holds.
pub(super) fn usage(schema: &Schema, space: &Space) -> Usage {
    let mut logs: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for ((log, _), state) in space.streams.iter() {
        let (streams, entries, bytes) = logs.entry(log).or_default();
        *streams += 1;
        *entries += state.head.count;
        *bytes += state.head.bytes;
    }
    let count = |table: &&Table| {
        (table.name.to_owned(), space.tables.get(table.name).map_or(0, |rows| rows.len() as u64))
    };
    let log = |name: &str| {
        let (streams, entries, bytes) = logs.get(name).copied().unwrap_or_default();
        (name.to_owned(), streams, entries, bytes)
    };
    Usage {
        records: schema.tables.iter().map(count).collect(),
        logs: schema.logs.iter().map(|known| log(known.name)).collect(),
        blobs: space.blobs.len() as u64,
        blob_bytes: space.blobs.values().map(|kept| kept.state.size).sum(),
    }
}
