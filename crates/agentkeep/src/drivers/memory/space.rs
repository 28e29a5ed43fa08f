//! What one namespace holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::driver::{Blob, Entry, Hash, Head};
use crate::drivers::rows::Rows;
use crate::drivers::rows::built_in::blob_body;
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{BLOBS, EntryId, Log, STREAMS, Schema, Stream, Table, Turn};

/// A stream is named by its log and its name.
pub(super) type StreamKey = (&'static str, Stream);

/// For a log and a turn, the entries that the turn wrote.
pub(super) type Turns = BTreeMap<(&'static str, Turn), BTreeSet<(Stream, u64)>>;

/// One namespace. A snapshot is a clone; what a later commit changes, it copies part by part, and
/// each part only once.
#[derive(Debug, Clone)]
pub(super) struct Space {
    schema: &'static Schema,
    /// All but the store-wide one.
    pub(super) tables: BTreeMap<&'static str, Arc<Rows>>,
    pub(super) streams: Arc<BTreeMap<StreamKey, Arc<StreamState>>>,
    pub(super) turns: Arc<Turns>,
    pub(super) blobs: Arc<BTreeMap<Hash, BlobState>>,
    /// The largest version that a deleted record had.
    pub(super) floors: [u64; 4],
}

/// A stream with its entries.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    pub(super) head: Head,
    /// By number; imports may leave gaps.
    pub(super) entries: VecDeque<Arc<Entry>>,
    pub(super) ids: HashMap<EntryId, u64>,
}

/// A blob and how many records and entries refer to it.
#[derive(Debug, Clone)]
pub(super) struct BlobState {
    pub(super) blob: Blob,
    pub(super) references: u64,
    /// Since when there is no reference.
    pub(super) unreferenced_since: Option<i64>,
}

/// The store-wide table `_namespaces`.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) rows: Arc<Rows>,
}

impl Space {
    pub(super) fn new(schema: &'static Schema) -> Self {
        let tables = [&STREAMS, &BLOBS].into_iter().chain(schema.tables.iter().copied());
        Self {
            schema,
            tables: tables.map(|table| (table.name, Arc::new(Rows::new(table)))).collect(),
            streams: Arc::default(),
            turns: Arc::default(),
            blobs: Arc::default(),
            floors: [0; 4],
        }
    }

    /// True when it holds no record, stream or blob.
    pub(super) fn is_empty(&self) -> bool {
        let mut tables = self.schema.tables.iter().filter_map(|table| self.tables.get(table.name));
        self.streams.is_empty() && self.blobs.is_empty() && tables.all(|rows| rows.len() == 0)
    }

    pub(super) fn rows(&self, table: &Table) -> Result<&Rows> {
        self.tables.get(table.name).map(|rows| &**rows).ok_or_else(|| {
            Error::new(Kind::InvalidInput, format!("the schema has no table {}", table.name))
        })
    }

    /// The stream's place in the log.
    pub(super) fn key(&self, log: &Log, stream: &Stream) -> Result<StreamKey> {
        self.known_log(log).map(|name| (name, stream.clone()))
    }

    /// Refuses a log that the schema does not have.
    pub(super) fn known_log(&self, log: &Log) -> Result<&'static str> {
        self.schema.log(log.name).map(|log| log.name).ok_or_else(|| {
            Error::new(Kind::InvalidInput, format!("the schema has no log {}", log.name))
        })
    }
}

impl StreamState {
    pub(super) fn new(time: i64) -> Self {
        let birth = uuid::Uuid::new_v4().as_u64_pair().0;
        let head = Head { birth, first: 1, last: 0, count: 0, bytes: 0, updated: time };
        Self { head, entries: VecDeque::new(), ids: HashMap::new() }
    }

    /// The place of a number among the entries, or where it would be.
    pub(super) fn place(&self, number: u64) -> usize {
        self.entries.partition_point(|entry| entry.number < number)
    }

    pub(super) fn entry(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries.get(self.place(number)).filter(|entry| entry.number == number)
    }

    pub(super) fn by_id(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.entry(*self.ids.get(id)?)
    }

    /// The smallest number still there.
    pub(super) fn first(&self) -> u64 {
        self.entries.front().map_or(self.head.last + 1, |entry| entry.number)
    }
}

impl BlobState {
    /// What the built-in table says of it.
    pub(super) fn told(&self, hash: Hash) -> Json {
        blob_body(hash, self.blob.bytes().len() as u64, self.references, self.unreferenced_since)
    }

    pub(super) fn new(blob: Blob, time: i64) -> Self {
        Self { blob, references: 0, unreferenced_since: Some(time) }
    }
}

/// The place of a stream, for errors and reports.
pub(super) fn stream_place(key: &StreamKey) -> String {
    format!("{} {:?}", key.0, key.1)
}
