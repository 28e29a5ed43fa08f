//! Reading and checking a namespace at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::space::{Space, StreamState};
use super::table::Rows;
use crate::driver::{
    CheckReport, Entries, Entry, Find, Found, FoundBlob, Hash, Read, Reader, Record, Usage, Want,
    Which,
};
use crate::error::Result;
use crate::schema::{Key, Log, NAMESPACES, Namespace, Schema, Table};

/// A namespace at one moment, for a snapshot: commits make their own copy as long as it is held.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) space: Arc<Space>,
    pub(super) names: Rows,
}

impl Frozen {
    fn view(&self) -> View<'_> {
        View { space: &self.space, names: &self.names }
    }
}

/// A namespace at one moment, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) space: &'a Space,
    pub(super) names: &'a Rows,
}

impl View<'_> {
    fn rows(&self, name: &str) -> Result<&Rows> {
        let rows =
            if name == NAMESPACES.name { Some(self.names) } else { self.space.tables.get(name) };
        rows.ok_or_else(|| super::unknown("table", name))
    }

    pub(super) fn get_now(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        keys.iter().map(|key| Ok(self.rows(key.table().name)?.record(key))).collect()
    }

    pub(super) fn find_now(&self, find: &Find) -> Result<Found> {
        Ok(self.rows(find.table.name)?.find(find))
    }

    pub(super) fn blobs_now(&self, hashes: &[Hash], want: Want) -> Vec<Option<FoundBlob>> {
        let found = |hash: &Hash| {
            self.space.blobs.get(hash).map(|state| match want {
                Want::Presence => FoundBlob::Present,
                Want::Bytes => FoundBlob::Bytes(state.blob.clone()),
            })
        };
        hashes.iter().map(found).collect()
    }

    pub(super) fn read_now(&self, read: &Read) -> Entries {
        let stream =
            |name: &crate::schema::Stream| self.space.streams.get(&(read.log.name, name.clone()));
        let mut heads = Vec::new();
        let mut entries: Vec<&Arc<Entry>> = Vec::new();
        let wanted = read.limit + 1;
        match &read.which {
            Which::Stretches(stretches) => {
                heads.extend(stretches.iter().map(|s| stream(&s.stream).map(|s| s.head.clone())));
                let mut add = |stretch: &crate::driver::Stretch| {
                    let Some(state) = stream(&stretch.stream) else { return };
                    let left = wanted - entries.len();
                    entries.extend(stretch_of(state, stretch.from, stretch.to, read.reverse, left));
                };
                if read.reverse {
                    stretches.iter().rev().for_each(&mut add);
                } else {
                    stretches.iter().for_each(&mut add);
                }
            }
            Which::Ids(ids) => {
                let found = ids.iter().filter_map(|(name, id)| {
                    let state = stream(name)?;
                    state.entry(*state.ids.get(id)?)
                });
                entries = found.collect();
                if read.reverse {
                    entries.reverse();
                }
            }
            Which::Turn(turn) => {
                let places = self.space.turns.get(&(read.log.name, turn.clone()));
                let found = places.into_iter().flatten();
                entries = found.filter_map(|(name, number)| stream(name)?.entry(*number)).collect();
                if read.reverse {
                    entries.reverse();
                }
            }
        }
        let more = entries.len() > read.limit;
        entries.truncate(read.limit);
        Entries {
            entries: entries.into_iter().map(|entry| (**entry).clone()).collect(),
            heads,
            more,
        }
    }
}

fn stretch_of(
    state: &StreamState,
    from: u64,
    to: u64,
    reverse: bool,
    limit: usize,
) -> Vec<&Arc<Entry>> {
    let start = state.place(from);
    let end = if to == u64::MAX { state.entries.len() } else { state.place(to + 1) };
    if start >= end {
        return Vec::new();
    }
    let range = state.entries.range(start..end);
    if reverse { range.rev().take(limit).collect() } else { range.take(limit).collect() }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, _: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.view().get_now(keys)
    }

    async fn find(&self, _: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        self.view().find_now(find)
    }

    async fn read(&self, _: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        Ok(self.view().read_now(read))
    }

    async fn blobs(
        &self,
        _: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        Ok(self.view().blobs_now(hashes, want))
    }
}

/// Recomputes what can be recomputed.
pub(super) fn check(namespace: &Namespace, space: &Space, report: &mut CheckReport) {
    let place = |what: &str| format!("{namespace:?} {what}");
    let mut references: HashMap<Hash, u64> = HashMap::new();
    for (name, rows) in &space.tables {
        for fault in rows.faults() {
            report.damaged(place(name), fault);
        }
        for stored in rows.all() {
            stored.refs.iter().for_each(|hash| *references.entry(*hash).or_default() += 1);
        }
        if !name.starts_with('_') {
            report.records += rows.len() as u64;
        }
    }
    for ((log, name), state) in &space.streams {
        let (head, entries) = (&state.head, &state.entries);
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        let first = entries.front().map_or(head.last + 1, |entry| entry.number);
        let fits = head.count == entries.len() as u64
            && head.bytes == bytes as u64
            && (head.first == first || entries.is_empty())
            && entries.back().is_none_or(|entry| entry.number == head.last);
        if !fits {
            report.damaged(place(&format!("{log} {name:?}")), "its head does not fit its entries");
        }
        for entry in entries {
            entry.refs.iter().for_each(|hash| *references.entry(*hash).or_default() += 1);
        }
        report.streams += 1;
        report.entries += entries.len() as u64;
    }
    for (hash, state) in &space.blobs {
        if references.get(hash).copied().unwrap_or(0) != state.references {
            report.damaged(place(&format!("blob {hash}")), "its references are counted wrong");
        }
        if Hash::of(state.blob.bytes()) != *hash {
            report.damaged(place(&format!("blob {hash}")), "its bytes are damaged");
        }
        if state.unreferenced_since.is_some() {
            report.due(place(&format!("blob {hash}")), "nothing refers to it");
        }
        report.blobs += 1;
    }
}

/// How much a namespace holds.
pub(super) fn usage(schema: &Schema, space: &Space) -> Usage {
    let records = |table: &&Table| {
        (table.name.to_owned(), space.tables.get(table.name).map_or(0, Rows::len) as u64)
    };
    let log = |log: &&Log| {
        let streams: Vec<_> =
            space.streams.iter().filter(|((name, _), _)| *name == log.name).collect();
        let entries = streams.iter().map(|(_, stream)| stream.head.count).sum();
        let bytes = streams.iter().map(|(_, stream)| stream.head.bytes).sum();
        (log.name.to_owned(), streams.len() as u64, entries, bytes)
    };
    Usage {
        records: schema.tables.iter().map(records).collect(),
        logs: schema.logs.iter().map(log).collect(),
        blobs: space.blobs.len() as u64,
        blob_bytes: space.blobs.values().map(|state| state.blob.bytes().len() as u64).sum(),
    }
}
