//! What a commit stands on.

use std::sync::Arc;

use super::built_in::{blob_body, stream_record};
use super::rows::Stored;
use crate::driver::{Blob, Entry, Hash, Head};
use crate::error::Result;
use crate::json::Json;
use crate::schema::{
    BLOBS, EntryId, Index, Key, Log, NAMESPACES, Namespace, STREAMS, Stream, Table, Value,
};

/// A stream is named by its log and its name.
pub(in crate::drivers) type StreamKey = (&'static str, Stream);

/// How much a blob holds and how many records and entries refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::drivers) struct BlobState {
    pub(in crate::drivers) size: u64,
    pub(in crate::drivers) references: u64,
    /// Since when there is no reference.
    pub(in crate::drivers) unreferenced_since: Option<i64>,
}

/// One namespace while a commit changes it, step by step. Every step can be taken back, so that a
/// commit refused in the middle leaves everything exactly as it was.
pub(in crate::drivers) trait Ground {
    /// The log's name; `InvalidInput` for one that the schema does not have.
    fn log(&self, log: &Log) -> Result<&'static str>;
    /// True when the namespace holds no record, stream or blob.
    fn is_empty(&self) -> bool;

    /// The key of the stream's record.
    fn stream_record(&mut self, key: &StreamKey) -> Result<Key> {
        stream_record(key)
    }
    /// The key of the namespace's own record.
    fn name_record(&mut self, namespace: &Namespace) -> Result<Key> {
        Key::new(&NAMESPACES, [namespace.as_str()])
    }

    /// A record; also of the store-wide table.
    fn stored(&self, key: &Key) -> Result<Option<Arc<Stored>>>;
    /// True when a record has this value as the first field of the index; `None` when the table
    /// has no such index, or one without fields.
    fn has(&self, table: &Table, index: &Index, value: &Value) -> Result<Option<bool>>;
    /// Writes a record; `None` takes it away.
    fn set_record(&mut self, key: &Key, new: Option<Arc<Stored>>);
    /// The largest version that a deleted record had.
    fn floor(&self, table: &Table) -> u64;
    /// A record of this version was deleted.
    fn raise_floor(&mut self, table: &Table, version: u64);

    /// What is known of a blob.
    fn blob(&self, hash: Hash) -> Option<BlobState>;
    /// Takes the bytes of a blob that is not there yet.
    fn keep_blob(&mut self, blob: &Blob);
    /// Writes a blob's state; `None` takes the blob away.
    fn set_blob(&mut self, hash: Hash, new: Option<BlobState>);

    /// The head of a stream.
    fn head(&self, key: &StreamKey) -> Option<Head>;
    /// The entry with this number.
    fn entry(&self, key: &StreamKey, number: u64) -> Result<Option<Arc<Entry>>>;
    /// The entry with this id.
    fn by_id(&mut self, key: &StreamKey, id: &EntryId) -> Result<Option<Arc<Entry>>>;
    /// True when the stream has an entry with this id that the commit added; one that was there
    /// before may count, too.
    fn adds(&self, key: &StreamKey, id: &EntryId) -> bool;
    /// Makes an empty stream.
    fn make_stream(&mut self, key: &StreamKey, head: &Head);
    /// Changes the head of a stream.
    fn set_head(&mut self, key: &StreamKey, head: Head);
    /// Adds an entry to the end.
    fn push(&mut self, key: &StreamKey, entry: Arc<Entry>);
    /// Takes the entries below a number away, and gives each to `removed`; answers the smallest
    /// number still there.
    fn trim(
        &mut self,
        key: &StreamKey,
        before: u64,
        removed: &mut dyn FnMut(&Entry),
    ) -> Result<Option<u64>>;
    /// Puts an entry in the place of the one with its number; id and turn must be the same.
    fn rewrite(&mut self, key: &StreamKey, entry: Arc<Entry>);
    /// Takes a stream away, and gives each entry to `removed`; answers whether there was one.
    fn drop_stream(&mut self, key: &StreamKey, removed: &mut dyn FnMut(&Entry)) -> Result<bool>;

    /// Takes all steps back, the last one first.
    fn take_back(&mut self);
}

impl BlobState {
    /// One that nothing refers to yet.
    pub(in crate::drivers) fn new(blob: &Blob, time: i64) -> Self {
        Self { size: blob.bytes().len() as u64, references: 0, unreferenced_since: Some(time) }
    }

    /// What the built-in table says of it.
    pub(in crate::drivers) fn told(&self, hash: Hash) -> Json {
        blob_body(hash, self.size, self.references, self.unreferenced_since)
    }
}

/// The place of a stream, for errors and reports.
pub(in crate::drivers) fn stream_place(key: &StreamKey) -> String {
    format!("{} {:?}", key.0, key.1)
}

/// True for the store-wide table.
pub(in crate::drivers) fn is_names(table: &Table) -> bool {
    table.name == NAMESPACES.name
}

/// Which of a namespace's four floors counts for a table: each built-in one has its own.
pub(in crate::drivers) fn floor_of(table: &Table) -> usize {
    [STREAMS.name, BLOBS.name, NAMESPACES.name]
        .iter()
        .position(|name| *name == table.name)
        .map_or(0, |i| i + 1)
}
