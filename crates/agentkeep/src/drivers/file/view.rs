//! Reading what is in memory of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{self, BLOBS};
use super::space::Space;
use super::store::{State, Store};
use crate::driver::{Blob, Find, Found, FoundBlob, Hash, Record, Usage, Want};
use crate::drivers::io_error;
use crate::drivers::kernel::{Rows, is_names, page};
use crate::error::{Error, Kind, Result};
use crate::schema::{BLOBS as BLOBS_TABLE, Key, Namespace, STREAMS, Table};

/// A namespace at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) space: &'a Space,
    pub(super) names: &'a Rows,
}

impl<'a> View<'a> {
    pub(super) fn of(state: &'a State, namespace: &Namespace) -> Result<Self> {
        Ok(Self { space: &state.home(namespace)?.space, names: &state.names })
    }

    fn rows(&self, table: &Table) -> Result<&'a Rows> {
        if is_names(table) { Ok(self.names) } else { self.space.rows(table) }
    }

    pub(super) fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let record = |key: &Key| {
            let stored = self.rows(key.table())?.get(key);
            Ok(stored.map(|stored| stored.told()))
        };
        keys.iter().map(record).collect()
    }

    pub(super) fn find(&self, find: &Find) -> Result<Found> {
        let places = self.rows(find.table)?.places(find.index);
        let places = places.ok_or_else(|| Error::new(Kind::InvalidInput, "no such index"))?;
        page(places, find)
    }

    pub(super) fn usage(self) -> Result<Usage> {
        self.space.sound(STREAMS.name)?;
        self.space.sound(BLOBS_TABLE.name)?;
        let mut logs: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
        for ((log, _), value) in self.space.streams.iter() {
            let (streams, entries, bytes) = logs.entry(log).or_default();
            *streams += 1;
            *entries += value.count;
            *bytes += value.bytes;
        }
        let schema = self.space.schema;
        let records = schema
            .tables
            .iter()
            .map(|table| Ok((table.name.to_owned(), self.space.rows(table)?.len() as u64)));
        let log = |name: &str| {
            let (streams, entries, bytes) = logs.get(name).copied().unwrap_or_default();
            (name.to_owned(), streams, entries, bytes)
        };
        Ok(Usage {
            records: records.collect::<Result<_>>()?,
            logs: schema.logs.iter().map(|known| log(known.name)).collect(),
            blobs: self.space.blobs.len() as u64,
            blob_bytes: self.space.blobs.values().map(|state| state.size).sum(),
        })
    }
}

/// Blobs as of what this process knows.
pub(super) fn blobs(
    store: &Store,
    namespace: &Namespace,
    hashes: &[Hash],
    want: Want,
) -> Result<Vec<Option<FoundBlob>>> {
    store.refresh(namespace)?;
    let there = present(&store.state().home(namespace)?.space, hashes)?;
    match fetch(store, namespace, hashes, &there, want) {
        Err(error) if error.kind() == Kind::Corrupt => {}
        done => return done,
    }
    // A later commit may have dropped it meanwhile.
    store.undisturbed(|| {
        store.bring_in(namespace)?;
        let there = present(&store.state().home(namespace)?.space, hashes)?;
        fetch(store, namespace, hashes, &there, want)
    })
}

pub(super) fn present(space: &Space, hashes: &[Hash]) -> Result<Vec<bool>> {
    space.sound(BLOBS_TABLE.name)?;
    Ok(hashes.iter().map(|hash| space.blobs.contains_key(hash)).collect())
}

/// The blobs that are there.
pub(super) fn fetch(
    store: &Store,
    namespace: &Namespace,
    hashes: &[Hash],
    there: &[bool],
    want: Want,
) -> Result<Vec<Option<FoundBlob>>> {
    let found = hashes.iter().zip(there).map(|(hash, there)| match (there, want) {
        (false, _) => Ok(None),
        (true, Want::Presence) => Ok(Some(FoundBlob::Present)),
        (true, Want::Bytes) => bytes(store, namespace, *hash).map(|b| Some(FoundBlob::Bytes(b))),
    });
    found.collect()
}

/// The bytes of a blob that is there.
pub(super) fn bytes(store: &Store, namespace: &Namespace, hash: Hash) -> Result<Blob> {
    let place = layout::place(&store.base, namespace, &[BLOBS]).join(layout::blob(hash));
    let read = layout::folder(&store.base, namespace, &[BLOBS])
        .and_then(|folder| folder.map_or(Ok(None), |folder| folder.read(&layout::blob(hash))));
    let bytes = read.map_err(|error| io_error(&error, "a blob cannot be read", &place))?;
    let bytes = bytes.ok_or_else(|| {
        Error::new(Kind::Corrupt, "a blob is missing").at(place.display().to_string())
    })?;
    Blob::from_stored(hash, Arc::<[u8]>::from(bytes))
        .map_err(|error| error.at(place.display().to_string()))
}
