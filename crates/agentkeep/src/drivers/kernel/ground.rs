//! What a commit stands on.

use std::sync::Arc;

use super::built_in::{blob_body, name_key, stream_record};
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

    /// A record; also of the store-wide table.
    fn stored(&self, key: &Key) -> Result<Option<Arc<Stored>>>;
    /// The version of a record; 0 when it is not there.
    fn version(&self, key: &Key) -> Result<u64> {
        Ok(self.stored(key)?.map_or(0, |stored| stored.record.version))
    }
    /// True when the namespace has its own record.
    fn is_named(&mut self, namespace: &Namespace) -> Result<bool> {
        Ok(self.version(&name_key(namespace)?)? > 0)
    }
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

    /// Brings the record of a stream up to date, which nothing refers from: once for each commit
    /// that changed its head.
    fn tell_stream(&mut self, key: &StreamKey) -> Result<()> {
        let Some(head) = self.head(key) else { return Ok(()) };
        let record = stream_record(key)?;
        let before = match self.stored(&record)? {
            Some(old) => old.record.version,
            None => self.floor(&STREAMS),
        };
        let stored = Stored::of_stream(record.clone(), before + 1, head);
        self.set_record(&record, Some(Arc::new(stored)));
        Ok(())
    }
    /// Removes the record of a stream that was dropped: at once, so that a stream made again in the
    /// same commit has a record made anew.
    fn tell_dropped_stream(&mut self, key: &StreamKey) -> Result<()> {
        let record = stream_record(key)?;
        if let Some(old) = self.stored(&record)? {
            self.raise_floor(&STREAMS, old.record.version);
            self.set_record(&record, None);
        }
        Ok(())
    }

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

/// True for the table of streams.
pub(in crate::drivers) fn is_streams(table: &Table) -> bool {
    std::ptr::eq(table, &raw const STREAMS) || table.name == STREAMS.name
}

/// Which of a namespace's four floors counts for a table: each built-in one has its own.
pub(in crate::drivers) fn floor_of(table: &Table) -> usize {
    [STREAMS.name, BLOBS.name, NAMESPACES.name]
        .iter()
        .position(|name| *name == table.name)
        .map_or(0, |i| i + 1)
}
