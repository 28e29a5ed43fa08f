//! The steps that change a namespace. Each one can be taken back, so that a commit refused in the
//! middle leaves everything exactly as it was.

use std::sync::Arc;

use super::space::{Kept, Names, Space, StreamState};
use crate::driver::{Blob, Entry, Hash, Head};
use crate::drivers::kernel::{BlobState, Ground, Rows, Stored, StreamKey, floor_of, is_names};
use crate::error::Result;
use crate::schema::{EntryId, Index, Key, Log, Table, Value};

/// A namespace being changed.
pub(super) struct Steps<'a> {
    space: &'a mut Space,
    names: &'a mut Names,
    undo: Vec<Undo>,
}

/// How to take one step back.
enum Undo {
    Record(Key, Option<Arc<Stored>>),
    Floor(usize, u64),
    Blob(Hash, Option<Kept>),
    Made(StreamKey),
    Dropped(StreamKey, Arc<StreamState>),
    Head(StreamKey, Head),
    Pushed(StreamKey),
    Trimmed(StreamKey, Arc<Entry>),
    Rewritten(StreamKey, Arc<Entry>),
}

impl<'a> Steps<'a> {
    pub(super) fn new(space: &'a mut Space, names: &'a mut Names) -> Self {
        Self { space, names, undo: Vec::new() }
    }

    fn rows(&self, table: &Table) -> Result<&Rows> {
        if is_names(table) { Ok(&self.names.rows) } else { self.space.rows(table) }
    }

    fn stream(&self, key: &StreamKey) -> Option<&StreamState> {
        self.space.streams.get(key).map(|stream| &**stream)
    }

    fn swap_record(&mut self, key: &Key, new: Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        let rows = if is_names(key.table()) {
            &mut self.names.rows
        } else {
            self.space.tables.get_mut(key.table().name)?
        };
        Arc::make_mut(rows).set(key, new)
    }

    fn swap_blob(&mut self, hash: Hash, new: Option<Kept>) -> Option<Kept> {
        let blobs = Arc::make_mut(&mut self.space.blobs);
        match new {
            Some(kept) => blobs.insert(hash, kept),
            None => blobs.remove(&hash),
        }
    }

    fn stream_mut(&mut self, key: &StreamKey) -> Option<&mut StreamState> {
        Arc::make_mut(&mut self.space.streams).get_mut(key).map(Arc::make_mut)
    }

    /// Takes the first entry away, if its number is below `before`.
    fn trim_one(&mut self, key: &StreamKey, before: u64) -> Option<Arc<Entry>> {
        let stream = self.stream_mut(key)?;
        let entry = stream.entries.pop_front_if(|entry| entry.number < before)?;
        forget_id(stream, &entry);
        self.unindex_turn(key.0, &entry);
        self.undo.push(Undo::Trimmed(key.clone(), Arc::clone(&entry)));
        Some(entry)
    }

    fn swap_entry(&mut self, key: &StreamKey, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let stream = self.stream_mut(key)?;
        let place = stream.place(entry.number);
        Some(std::mem::replace(stream.entries.get_mut(place)?, entry))
    }

    fn take_one_back(&mut self, step: Undo) {
        match step {
            Undo::Record(key, old) => drop(self.swap_record(&key, old)),
            Undo::Floor(which, floor) => self.space.floors[which] = floor,
            Undo::Blob(hash, old) => drop(self.swap_blob(hash, old)),
            Undo::Made(key) => drop(Arc::make_mut(&mut self.space.streams).remove(&key)),
            Undo::Dropped(key, stream) => {
                for entry in &stream.entries {
                    self.index_turn(key.0, entry);
                }
                Arc::make_mut(&mut self.space.streams).insert(key, stream);
            }
            Undo::Head(key, head) => {
                if let Some(stream) = self.stream_mut(&key) {
                    stream.head = head;
                }
            }
            Undo::Pushed(key) => {
                let Some(stream) = self.stream_mut(&key) else { return };
                let Some(entry) = stream.entries.pop_back() else { return };
                forget_id(stream, &entry);
                self.unindex_turn(key.0, &entry);
            }
            Undo::Trimmed(key, entry) => {
                self.index_turn(key.0, &entry);
                let Some(stream) = self.stream_mut(&key) else { return };
                stream.ids.extend(entry.id.clone().map(|id| (id, entry.number)));
                stream.entries.push_front(entry);
            }
            Undo::Rewritten(key, old) => drop(self.swap_entry(&key, old)),
        }
    }

    fn index_turn(&mut self, log: &'static str, entry: &Entry) {
        if let Some(turn) = &entry.turn {
            let turns = Arc::make_mut(&mut self.space.turns);
            let entries = turns.entry((log, turn.clone())).or_default();
            entries.insert((entry.stream.clone(), entry.number));
        }
    }

    fn unindex_turn(&mut self, log: &'static str, entry: &Entry) {
        let Some(turn) = &entry.turn else { return };
        let place = (log, turn.clone());
        let turns = Arc::make_mut(&mut self.space.turns);
        if let Some(entries) = turns.get_mut(&place) {
            entries.remove(&(entry.stream.clone(), entry.number));
            if entries.is_empty() {
                turns.remove(&place);
            }
        }
    }
}

impl Ground for Steps<'_> {
    fn log(&self, log: &Log) -> Result<&'static str> {
        self.space.known_log(log)
    }

    fn is_empty(&self) -> bool {
        self.space.is_empty()
    }

    fn stored(&self, key: &Key) -> Result<Option<Arc<Stored>>> {
        Ok(self.rows(key.table())?.get(key).cloned())
    }

    fn has(&self, table: &Table, index: &Index, value: &Value) -> Result<Option<bool>> {
        Ok(self.rows(table)?.has(index, value))
    }

    fn set_record(&mut self, key: &Key, new: Option<Arc<Stored>>) {
        let old = self.swap_record(key, new);
        self.undo.push(Undo::Record(key.clone(), old));
    }

    fn floor(&self, table: &Table) -> u64 {
        self.space.floors[floor_of(table)]
    }

    fn raise_floor(&mut self, table: &Table, version: u64) {
        let floor = &mut self.space.floors[floor_of(table)];
        self.undo.push(Undo::Floor(floor_of(table), *floor));
        *floor = (*floor).max(version);
    }

    fn blob(&self, hash: Hash) -> Option<BlobState> {
        self.space.blobs.get(&hash).map(|kept| kept.state.clone())
    }

    fn keep_blob(&mut self, blob: &Blob) {
        let kept = Kept { blob: blob.clone(), state: BlobState::new(blob, 0) };
        let old = self.swap_blob(blob.hash(), Some(kept));
        self.undo.push(Undo::Blob(blob.hash(), old));
    }

    fn set_blob(&mut self, hash: Hash, new: Option<BlobState>) {
        let Some(kept) = self.space.blobs.get(&hash) else { return };
        let blob = kept.blob.clone();
        let old = self.swap_blob(hash, new.map(|state| Kept { blob, state }));
        self.undo.push(Undo::Blob(hash, old));
    }

    fn head(&self, key: &StreamKey) -> Option<Head> {
        self.stream(key).map(|stream| stream.head.clone())
    }

    fn entry(&self, key: &StreamKey, number: u64) -> Result<Option<Arc<Entry>>> {
        Ok(self.stream(key).and_then(|stream| stream.entry(number)).cloned())
    }

    fn by_id(&mut self, key: &StreamKey, id: &EntryId) -> Result<Option<Arc<Entry>>> {
        Ok(self.stream(key).and_then(|stream| stream.by_id(id)).cloned())
    }

    fn adds(&self, key: &StreamKey, id: &EntryId) -> bool {
        // Steps are taken at once: what was not there before the commit is the commit's.
        self.stream(key).is_some_and(|stream| stream.by_id(id).is_some())
    }

    fn make_stream(&mut self, key: &StreamKey, head: &Head) {
        let state = Arc::new(StreamState::new(head.clone()));
        Arc::make_mut(&mut self.space.streams).insert(key.clone(), state);
        self.undo.push(Undo::Made(key.clone()));
    }

    fn set_head(&mut self, key: &StreamKey, head: Head) {
        if let Some(stream) = self.stream_mut(key) {
            let old = std::mem::replace(&mut stream.head, head);
            self.undo.push(Undo::Head(key.clone(), old));
        }
    }

    fn push(&mut self, key: &StreamKey, entry: Arc<Entry>) {
        self.index_turn(key.0, &entry);
        if let Some(stream) = self.stream_mut(key) {
            stream.ids.extend(entry.id.clone().map(|id| (id, entry.number)));
            stream.entries.push_back(entry);
            self.undo.push(Undo::Pushed(key.clone()));
        }
    }

    fn trim(
        &mut self,
        key: &StreamKey,
        before: u64,
        removed: &mut dyn FnMut(&Entry),
    ) -> Result<Option<u64>> {
        while let Some(entry) = self.trim_one(key, before) {
            removed(&entry);
        }
        Ok(self.stream(key).and_then(|stream| stream.entries.front()).map(|entry| entry.number))
    }

    fn rewrite(&mut self, key: &StreamKey, entry: Arc<Entry>) {
        if let Some(old) = self.swap_entry(key, entry) {
            self.undo.push(Undo::Rewritten(key.clone(), old));
        }
    }

    fn drop_stream(&mut self, key: &StreamKey, removed: &mut dyn FnMut(&Entry)) -> Result<bool> {
        let Some(stream) = Arc::make_mut(&mut self.space.streams).remove(key) else {
            return Ok(false);
        };
        for entry in &stream.entries {
            self.unindex_turn(key.0, entry);
            removed(entry);
        }
        self.undo.push(Undo::Dropped(key.clone(), stream));
        Ok(true)
    }

    fn take_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            self.take_one_back(step);
        }
    }
}

fn forget_id(stream: &mut StreamState, entry: &Entry) {
    if let Some(id) = &entry.id {
        stream.ids.remove(id);
    }
}
