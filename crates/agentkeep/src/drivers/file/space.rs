//! What a process holds in memory of a namespace: records with their indexes, the heads of streams,
//! what is known of blobs. Entries and the bytes of blobs stay on the disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::{BlobChange, RecordChange, SpaceChange, StreamValue};
use super::document;
use super::tables::Tables;
use crate::driver::{Committed, Hash, Head, Record};
use crate::drivers::kernel::built_in::{blob_record, stream_record};
use crate::drivers::kernel::{BlobState, Operations, Rows, Stored, StreamKey, is_names};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{Key, Log, Namespace, OperationId, Schema, Stream, Table, Turn, checksum};

/// A namespace, and what is known of repeated commits.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) space: Arc<Space>,
    pub(super) operations: Operations,
}

/// One namespace. A snapshot is a clone; what a later commit changes, it copies part by part.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) schema: &'static Schema,
    pub(super) tables: Tables,
    pub(super) streams: Arc<BTreeMap<StreamKey, StreamValue>>,
    pub(super) blobs: Arc<BTreeMap<Hash, BlobState>>,
    pub(super) floors: [u64; 4],
    /// For each table, the sum of its records' checksums: what was once there is missed.
    pub(super) sums: BTreeMap<&'static str, u64>,
    /// Tables whose files are damaged: what they hold is not known, so nothing of them is answered.
    pub(super) damage: BTreeMap<&'static str, String>,
}

/// A record written, or removed.
pub(super) type Written = (Key, Option<Arc<Stored>>);

/// What a group changed in one namespace, ready for memory.
#[derive(Debug, Default)]
pub(super) struct Install {
    pub(super) records: Vec<Written>,
    pub(super) streams: Vec<(StreamKey, Option<StreamValue>)>,
    pub(super) blobs: Vec<(Hash, Option<BlobState>)>,
    pub(super) floors: [u64; 4],
    pub(super) operations: Vec<(OperationId, [u8; 32], Committed)>,
}

impl Home {
    pub(super) fn new(schema: &'static Schema) -> Self {
        Self { space: Arc::new(Space::new(schema)), operations: Operations::default() }
    }

    /// Brings a group's changes into memory; the names of namespaces are not part of it.
    pub(super) fn install(&mut self, install: Install) {
        for (operation, digest, committed) in install.operations {
            self.operations.remember(operation, digest, committed);
        }
        let space = Arc::make_mut(&mut self.space);
        space.floors = install.floors;
        for (key, stored) in install.records {
            space.set_record(&key, stored);
        }
        if !install.streams.is_empty() {
            let streams = Arc::make_mut(&mut space.streams);
            for (key, value) in install.streams {
                match value {
                    Some(value) => drop(streams.insert(key, value)),
                    None => drop(streams.remove(&key)),
                }
            }
        }
        if !install.blobs.is_empty() {
            let blobs = Arc::make_mut(&mut space.blobs);
            for (hash, state) in install.blobs {
                match state {
                    Some(state) => drop(blobs.insert(hash, state)),
                    None => drop(blobs.remove(&hash)),
                }
            }
        }
    }
}

impl Space {
    pub(super) fn new(schema: &'static Schema) -> Self {
        Self {
            schema,
            tables: Tables::new(schema),
            streams: Arc::default(),
            blobs: Arc::default(),
            floors: [0; 4],
            sums: BTreeMap::new(),
            damage: BTreeMap::new(),
        }
    }

    pub(super) fn rows(&self, table: &Table) -> Result<&Rows> {
        self.sound(table.name)?;
        self.tables.get(table).map(|rows| &**rows).ok_or_else(|| {
            Error::new(Kind::InvalidInput, format!("the schema has no table {}", table.name))
        })
    }

    /// Refuses to answer from a table whose files are damaged.
    pub(super) fn sound(&self, table: &str) -> Result<()> {
        match self.damage.get(table) {
            None => Ok(()),
            Some(what) => Err(Error::new(Kind::Corrupt, what.clone())
                .at(table.to_owned())
                .advice("run check, and restore the files from a backup")),
        }
    }

    /// The name of a log that the schema has.
    pub(super) fn known_log(&self, log: &Log) -> Result<&'static str> {
        // Mostly it is known by its address; a copy of its declaration has the same name.
        if self.schema.logs.iter().any(|known| std::ptr::eq(*known, log)) {
            return Ok(log.name);
        }
        self.schema.log(log.name).map(|log| log.name).ok_or_else(|| {
            Error::new(Kind::InvalidInput, format!("the schema has no log {}", log.name))
        })
    }

    pub(super) fn set_record(&mut self, key: &Key, new: Option<Arc<Stored>>) {
        let name = key.table().name;
        let Some(rows) = self.tables.get_mut(key.table()) else { return };
        let added = new.as_deref().map_or(0, fingerprint);
        let old = Arc::make_mut(rows).set(key, new);
        let sum = self.sums.entry(name).or_default();
        *sum = sum.wrapping_add(added).wrapping_sub(old.as_deref().map_or(0, fingerprint));
    }
}

/// What a record adds to the sum of its table.
pub(super) fn fingerprint(stored: &Stored) -> u64 {
    let record = &stored.record;
    let version = record.version.to_le_bytes();
    let body = stored.body().as_str();
    let parts = [record.key.encoded().as_bytes(), &version, body.as_bytes()];
    // Twice, with different beginnings: 64 bits are enough that nothing passes by chance.
    let low = checksum(parts);
    let high = checksum([[1].as_slice()].into_iter().chain(parts));
    u64::from(high) << 32 | u64::from(low)
}

impl StreamValue {
    pub(super) fn head(&self) -> Head {
        let Self { birth, first, last, count, bytes, updated, .. } = *self;
        Head { birth, first, last, count, bytes, updated }
    }

    pub(super) fn set_head(&mut self, head: &Head) {
        let Head { birth, first, last, count, bytes, updated } = *head;
        *self = Self { birth, first, last, count, bytes, updated, ..self.clone() };
    }

    /// The record of the built-in table.
    pub(super) fn record(&self, key: &StreamKey) -> Result<Stored> {
        Ok(Stored::of_stream(stream_record(key)?, self.version, self.head()))
    }
}

impl BlobChange {
    pub(super) fn state(&self) -> BlobState {
        let Self { size, references, unreferenced_since, .. } = *self;
        BlobState { size, references, unreferenced_since }
    }

    /// The record of the built-in table.
    pub(super) fn record(&self, hash: Hash) -> Result<Stored> {
        document::stored(Record {
            key: blob_record(hash)?,
            body: self.state().told(hash),
            version: self.version,
            turn: None,
            refs: Vec::new(),
        })
    }
}

impl<'a> RecordChange<'a> {
    pub(super) fn of(key: &'a Key, stored: Option<&'a Stored>) -> Self {
        let value = stored.map(|stored| super::changes::RecordValue {
            version: stored.record.version,
            turn: stored.record.turn.as_ref().map(|turn| turn.as_str().into()),
            refs: stored.record.refs.iter().map(|hash| *hash.as_bytes()).collect(),
            body: stored.body().as_str().into(),
        });
        Self { table: key.table().name.into(), key: key.encoded().into(), value }
    }

    /// The key, and the record if it was not removed.
    pub(super) fn decode(&self, schema: &Schema) -> Result<(Key, Option<Arc<Stored>>)> {
        let table = schema.table(&self.table).ok_or_else(|| unknown(&self.table))?;
        let key = Key::decode(table, &self.key)?;
        let Some(value) = &self.value else { return Ok((key, None)) };
        let record = Record {
            key: key.clone(),
            // The journal's checksum has said that this is what was committed.
            body: Json::assembled(value.body.clone().into_owned()),
            version: value.version,
            turn: value.turn.as_deref().map(Turn::new).transpose()?,
            refs: value.refs.iter().map(|hash| Hash::from_bytes(*hash)).collect(),
        };
        Ok((key, Some(Arc::new(document::stored(record)?))))
    }
}

impl SpaceChange<'_> {
    /// For memory: the namespace's part, and its own record if that changed.
    pub(super) fn decode(
        &self,
        schema: &'static Schema,
    ) -> Result<(Namespace, Install, Option<Written>)> {
        let namespace = Namespace::new(&self.namespace)?;
        let mut install = Install { floors: self.floors, ..Install::default() };
        let mut name = None;
        for change in &self.records {
            let (key, stored) = change.decode(schema)?;
            if is_names(key.table()) {
                name = Some((key, stored));
            } else {
                install.records.push((key, stored));
            }
        }
        for change in &self.streams {
            let key = stream_key(schema, &change.log, &change.stream)?;
            let stored = change.value.as_ref().map(|value| value.record(&key)).transpose()?;
            install.records.push((stream_record(&key)?, stored.map(Arc::new)));
            install.streams.push((key, change.value.clone()));
        }
        for (hash, change) in &self.blobs {
            let hash = Hash::from_bytes(*hash);
            let stored = change.as_ref().map(|change| change.record(hash)).transpose()?;
            install.records.push((blob_record(hash)?, stored.map(Arc::new)));
            install.blobs.push((hash, change.as_ref().map(BlobChange::state)));
        }
        for change in &self.operations {
            let outcomes = serde_json::from_str(&change.outcomes).map_err(|error| {
                Error::new(Kind::Corrupt, "a stored result is damaged").caused_by(error)
            })?;
            let committed = Committed { time: change.time, replayed: change.replayed, outcomes };
            let operation = OperationId::new(&change.operation)?;
            install.operations.push((operation, change.digest, committed));
        }
        Ok((namespace, install, name))
    }
}

pub(super) fn stream_key(schema: &Schema, log: &str, stream: &str) -> Result<StreamKey> {
    let log = schema.log(log).ok_or_else(|| unknown(log))?;
    Ok((log.name, Stream::new(stream)?))
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the store tells of {name:?}, which the schema has not"))
}

/// Text that is borrowed, to be kept beside what it was borrowed from.
pub(super) fn owned<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(text.to_owned())
}
