//! One namespace: its tables, streams and blobs, changed by steps that can be taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::table::{Rows, Stored};
use crate::driver::{Blob, Committed, Entry, Hash, Head};
use crate::schema::{BLOBS, EntryId, Key, OperationId, STREAMS, Schema, Stream, Turn};

/// A stream is named by its log and its name.
pub(super) type StreamKey = (&'static str, Stream);

/// A stream with its entries.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    pub(super) head: Head,
    pub(super) entries: VecDeque<Arc<Entry>>,
    pub(super) ids: HashMap<EntryId, u64>,
}

/// A blob and how often it is referred to.
#[derive(Debug, Clone)]
pub(super) struct BlobState {
    pub(super) blob: Blob,
    pub(super) references: u64,
    pub(super) unreferenced_since: Option<i64>,
}

/// What a commit under an operation id answered.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) digest: [u8; 32],
    pub(super) committed: Committed,
}

/// One namespace.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) tables: HashMap<&'static str, Rows>,
    pub(super) streams: BTreeMap<StreamKey, StreamState>,
    /// Entries by the turn that wrote them.
    pub(super) turns: HashMap<(&'static str, Turn), BTreeSet<(Stream, u64)>>,
    pub(super) blobs: HashMap<Hash, BlobState>,
    pub(super) operations: HashMap<OperationId, Known>,
    /// The operations in the order of their commits, for forgetting the oldest.
    pub(super) order: VecDeque<(i64, OperationId)>,
    /// The largest version that a deleted record had.
    pub(super) floor: u64,
}

/// How to take a step back.
#[derive(Debug)]
pub(super) enum Undo {
    Record(Key, Option<Arc<Stored>>),
    Blob(Hash, Option<BlobState>),
    Head(StreamKey, Head),
    Pushed(StreamKey),
    Trimmed(StreamKey, Arc<Entry>),
    Rewritten(StreamKey, Arc<Entry>),
    Made(StreamKey),
    Dropped(StreamKey, Box<StreamState>),
    Floor(u64),
}

impl StreamState {
    /// The place of number `number` among the entries, or where it would be.
    pub(super) fn place(&self, number: u64) -> usize {
        self.entries.partition_point(|entry| entry.number < number)
    }

    pub(super) fn entry(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries.get(self.place(number)).filter(|entry| entry.number == number)
    }
}

impl Space {
    pub(super) fn new(schema: &'static Schema) -> Self {
        let tables = [&STREAMS, &BLOBS].into_iter().chain(schema.tables.iter().copied());
        Self {
            tables: tables.map(|table| (table.name, Rows::new(table))).collect(),
            streams: BTreeMap::new(),
            turns: HashMap::new(),
            blobs: HashMap::new(),
            operations: HashMap::new(),
            order: VecDeque::new(),
            floor: 0,
        }
    }

    /// True when it holds no record, stream or blob.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.blobs.is_empty()
            && self.tables.values().all(|rows| rows.len() == 0)
    }

    pub(super) fn set_record(&mut self, key: &Key, new: Option<Arc<Stored>>, undo: &mut Vec<Undo>) {
        if let Some(rows) = self.tables.get_mut(key.table().name) {
            undo.push(Undo::Record(key.clone(), rows.set(key, new)));
        }
    }

    pub(super) fn set_blob(&mut self, hash: Hash, new: Option<BlobState>, undo: &mut Vec<Undo>) {
        let old = match new {
            Some(state) => self.blobs.insert(hash, state),
            None => self.blobs.remove(&hash),
        };
        undo.push(Undo::Blob(hash, old));
    }

    pub(super) fn set_floor(&mut self, floor: u64, undo: &mut Vec<Undo>) {
        undo.push(Undo::Floor(self.floor));
        self.floor = floor;
    }

    /// The stream, made if it is missing.
    pub(super) fn make_stream(&mut self, key: &StreamKey, time: i64, undo: &mut Vec<Undo>) {
        if self.streams.contains_key(key) {
            return;
        }
        let birth = uuid::Uuid::new_v4().as_u64_pair().0;
        let head = Head { birth, first: 1, last: 0, count: 0, bytes: 0, updated: time };
        let (entries, ids) = (VecDeque::new(), HashMap::new());
        self.streams.insert(key.clone(), StreamState { head, entries, ids });
        undo.push(Undo::Made(key.clone()));
    }

    pub(super) fn set_head(&mut self, key: &StreamKey, head: Head, undo: &mut Vec<Undo>) {
        if let Some(stream) = self.streams.get_mut(key) {
            let old = std::mem::replace(&mut stream.head, head);
            undo.push(Undo::Head(key.clone(), old));
        }
    }

    pub(super) fn push(&mut self, key: &StreamKey, entry: Arc<Entry>, undo: &mut Vec<Undo>) {
        self.index_entry(key.0, &entry);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.entries.push_back(entry);
            undo.push(Undo::Pushed(key.clone()));
        }
    }

    /// Takes the first entry off the front.
    pub(super) fn pop_front(
        &mut self,
        key: &StreamKey,
        undo: &mut Vec<Undo>,
    ) -> Option<Arc<Entry>> {
        let entry = self.streams.get_mut(key)?.entries.pop_front()?;
        self.unindex_entry(key, &entry);
        undo.push(Undo::Trimmed(key.clone(), Arc::clone(&entry)));
        Some(entry)
    }

    /// Puts an entry in the place of the one with its number.
    pub(super) fn rewrite(&mut self, key: &StreamKey, entry: Arc<Entry>, undo: &mut Vec<Undo>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let place = stream.place(entry.number);
        if let Some(old) = stream.entries.get_mut(place) {
            undo.push(Undo::Rewritten(key.clone(), std::mem::replace(old, entry)));
        }
    }

    pub(super) fn drop_stream(&mut self, key: &StreamKey, undo: &mut Vec<Undo>) {
        if let Some(stream) = self.streams.remove(key) {
            for entry in &stream.entries {
                self.unindex_turn(key.0, entry);
            }
            undo.push(Undo::Dropped(key.clone(), Box::new(stream)));
        }
    }

    /// Takes all steps back, the last one first.
    pub(super) fn undo(&mut self, steps: Vec<Undo>) {
        for step in steps.into_iter().rev() {
            self.undo_step(step);
        }
    }

    fn undo_step(&mut self, step: Undo) {
        match step {
            Undo::Record(key, old) => {
                if let Some(rows) = self.tables.get_mut(key.table().name) {
                    rows.set(&key, old);
                }
            }
            Undo::Blob(hash, Some(old)) => drop(self.blobs.insert(hash, old)),
            Undo::Blob(hash, None) => drop(self.blobs.remove(&hash)),
            Undo::Head(key, head) => {
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.head = head;
                }
            }
            Undo::Pushed(key) => {
                let last = self.streams.get_mut(&key).and_then(|stream| stream.entries.pop_back());
                if let Some(entry) = last {
                    self.unindex_entry(&key, &entry);
                }
            }
            Undo::Trimmed(key, entry) => {
                self.index_entry(key.0, &entry);
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.entries.push_front(entry);
                }
            }
            Undo::Rewritten(key, entry) => self.rewrite(&key, entry, &mut Vec::new()),
            Undo::Made(key) => drop(self.streams.remove(&key)),
            Undo::Dropped(key, stream) => {
                for entry in &stream.entries {
                    self.index_turn(key.0, entry);
                }
                self.streams.insert(key, *stream);
            }
            Undo::Floor(floor) => self.floor = floor,
        }
    }

    fn index_entry(&mut self, log: &'static str, entry: &Entry) {
        self.index_turn(log, entry);
        if let (Some(id), Some(stream)) =
            (&entry.id, self.streams.get_mut(&(log, entry.stream.clone())))
        {
            stream.ids.insert(id.clone(), entry.number);
        }
    }

    fn unindex_entry(&mut self, key: &StreamKey, entry: &Entry) {
        self.unindex_turn(key.0, entry);
        if let (Some(id), Some(stream)) = (&entry.id, self.streams.get_mut(key)) {
            stream.ids.remove(id);
        }
    }

    fn index_turn(&mut self, log: &'static str, entry: &Entry) {
        if let Some(turn) = &entry.turn {
            let entries = self.turns.entry((log, turn.clone())).or_default();
            entries.insert((entry.stream.clone(), entry.number));
        }
    }

    fn unindex_turn(&mut self, log: &'static str, entry: &Entry) {
        let Some(turn) = &entry.turn else { return };
        let place = (log, turn.clone());
        if let Some(entries) = self.turns.get_mut(&place) {
            entries.remove(&(entry.stream.clone(), entry.number));
            if entries.is_empty() {
                self.turns.remove(&place);
            }
        }
    }
}
