//! Reading a namespace as it is at one moment.

use std::sync::Arc;

use super::space::{Space, StreamState};
use crate::driver::{
    Entries, Entry, Find, Found, FoundBlob, Hash, Head, Read, Record, Stretch, Want, Which,
};
use crate::drivers::kernel::{Rows, page};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, NAMESPACES, Stream, Table};

/// A namespace at one moment.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    space: &'a Space,
    names: &'a Rows,
}

impl<'a> View<'a> {
    pub(super) fn of(space: &'a Space, names: &'a Rows) -> Self {
        Self { space, names }
    }

    fn rows(&self, table: &Table) -> Result<&'a Rows> {
        if table.name == NAMESPACES.name { Ok(self.names) } else { self.space.rows(table) }
    }

    pub(super) fn get(self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let record = |key: &Key| {
            let stored = self.rows(key.table())?.get(key);
            Ok(stored.map(|stored| stored.told()))
        };
        keys.iter().map(record).collect()
    }

    pub(super) fn find(self, find: &Find) -> Result<Found> {
        find.validate()?;
        let places = self.rows(find.table)?.places(find.index);
        let places = places.ok_or_else(|| Error::new(Kind::InvalidInput, "no such index"))?;
        page(places, find)
    }

    pub(super) fn blobs(self, hashes: &[Hash], want: Want) -> Vec<Option<FoundBlob>> {
        let found = |hash: &Hash| {
            self.space.blobs.get(hash).map(|kept| match want {
                Want::Presence => FoundBlob::Present,
                Want::Bytes => FoundBlob::Bytes(kept.blob.clone()),
            })
        };
        hashes.iter().map(found).collect()
    }

    pub(super) fn read(self, read: &Read) -> Result<Entries> {
        read.validate()?;
        let log = self.space.known_log(read.log)?;
        let stream = |name: &Stream| self.space.streams.get(&(log, name.clone()));
        // One more than asked for tells whether the limit cuts.
        let wanted = read.limit + 1;
        let mut found: Vec<&Arc<Entry>> = match &read.which {
            Which::Stretches(stretches) => {
                let all = stretches.iter().flat_map(|stretch| {
                    stream(&stretch.stream).into_iter().flat_map(|state| within(state, stretch))
                });
                take(all, read.reverse, wanted)
            }
            Which::Ids(ids) => {
                let all = ids.iter().filter_map(|(name, id)| stream(name)?.by_id(id));
                take(all, read.reverse, wanted)
            }
            Which::Turn(turn) => {
                let places = self.space.turns.get(&(log, turn.clone())).into_iter().flatten();
                let all = places.filter_map(|(name, number)| stream(name)?.entry(*number));
                take(all, read.reverse, wanted)
            }
        };
        let heads = match &read.which {
            Which::Stretches(stretches) => {
                let head = |stretch: &Stretch| -> Option<Head> {
                    stream(&stretch.stream).map(|state| state.head.clone())
                };
                stretches.iter().map(head).collect()
            }
            _ => Vec::new(),
        };
        let more = found.len() > read.limit;
        found.truncate(read.limit);
        let entries = found.into_iter().map(|entry| (**entry).clone()).collect();
        Ok(Entries { entries, heads, more })
    }
}

fn take<T>(all: impl DoubleEndedIterator<Item = T>, reverse: bool, count: usize) -> Vec<T> {
    if reverse { all.rev().take(count).collect() } else { all.take(count).collect() }
}

/// The entries of a stretch.
fn within<'a>(
    state: &'a StreamState,
    stretch: &Stretch,
) -> impl DoubleEndedIterator<Item = &'a Arc<Entry>> + use<'a> {
    let start = state.place(stretch.from);
    let end = stretch.to.checked_add(1).map_or(state.entries.len(), |to| state.place(to));
    state.entries.range(start..end.max(start))
}
