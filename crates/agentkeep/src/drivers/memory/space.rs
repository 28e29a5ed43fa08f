//! What one namespace holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::driver::{Blob, Entry, Hash, Head};
use crate::drivers::kernel::{BlobState, Rows, StreamKey};
use crate::error::{Error, Kind, Result};
use crate::schema::{BLOBS, EntryId, Log, STREAMS, Schema, Stream, Table, Turn};

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
    pub(super) blobs: Arc<BTreeMap<Hash, Kept>>,
    /// The largest version that a deleted record had.
    pub(super) floors: [u64; 4],
}

/// A stream with its entries.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    pub(super) head: Head,
    /// By number; imports may leave gaps.
    pub(super) entries: VecDeque<Arc<Entry>>,
    pub(super) ids: HashMap<EntryId, u64, RandomState>,
}

/// A blob with its bytes.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) blob: Blob,
    pub(super) state: BlobState,
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

    /// Refuses a log that the schema does not have.
    pub(super) fn known_log(&self, log: &Log) -> Result<&'static str> {
        self.schema.log(log.name).map(|log| log.name).ok_or_else(|| {
            Error::new(Kind::InvalidInput, format!("the schema has no log {}", log.name))
        })
    }
}

impl StreamState {
    pub(super) fn new(head: Head) -> Self {
        Self { head, entries: VecDeque::new(), ids: HashMap::default() }
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
