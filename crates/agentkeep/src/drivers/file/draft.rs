//! What a group of commits would change, on top of what has been committed: nothing of it is seen by
//! anybody before it is in the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::{Place, StreamValue};
use super::reading;
use super::space::Space;
use super::store::Store;
use crate::driver::{Blob, Committed, Entry, Hash, Head};
use crate::drivers::kernel::{
    BlobState, Ground, Map, Operations, Rows, Stored, StreamKey, floor_of, is_names,
};
use crate::error::Result;
use crate::schema::{
    EntryId, Index, Key, Log, Namespace, OperationId, Table, Value, index_entries,
};

/// The changes of a group in one namespace; `None` is something removed.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) records: Map<Key, Option<Arc<Stored>>>,
    pub(super) streams: Map<StreamKey, Option<StreamDraft>>,
    pub(super) blobs: Map<Hash, Option<BlobState>>,
    pub(super) bytes: Map<Hash, Blob>,
    pub(super) floors: [u64; 4],
    pub(super) operations: Operations,
    pub(super) remembered: Vec<(OperationId, [u8; 32], Committed)>,
}

/// A stream with changes.
#[derive(Debug, Clone)]
pub(super) struct StreamDraft {
    /// The head as it would be, and where the lines are that are on the disk.
    pub(super) value: StreamValue,
    /// True when the group made it.
    pub(super) born: bool,
    /// Entries below this are gone.
    pub(super) kept_from: u64,
    pub(super) fresh: Vec<Arc<Entry>>,
    ids: Map<EntryId, usize>,
    pub(super) rewritten: BTreeMap<u64, Arc<Entry>>,
}

/// A commit at work in a draft.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) store: &'a Store,
    pub(super) namespace: &'a Namespace,
    pub(super) names: &'a Rows,
    /// The records of namespaces that the group changed, whichever commit did.
    pub(super) changed_names: &'a mut Map<Key, Option<Arc<Stored>>>,
    pub(super) space: &'a Space,
    pub(super) draft: &'a mut Draft,
    pub(super) undo: Vec<Undo>,
}

/// What the draft had in a place: nothing, something, or that it is removed.
#[allow(clippy::option_option, reason = "the outer one is the draft's, the inner one the store's")]
type Before<T> = Option<Option<T>>;

/// How to take one step back: mostly what the draft had there before.
#[derive(Debug)]
pub(super) enum Undo {
    Record(Key, Before<Arc<Stored>>),
    Floor(usize, u64),
    Blob(Hash, Before<BlobState>),
    Bytes(Hash),
    Stream(StreamKey, Before<StreamDraft>),
    Head(StreamKey, StreamValue),
    Pushed(StreamKey),
    Trimmed(StreamKey, u64, Place),
    Rewritten(StreamKey, u64, Option<Arc<Entry>>),
}

impl Draft {
    pub(super) fn new(space: &Space) -> Self {
        Self {
            records: Map::default(),
            streams: Map::default(),
            blobs: Map::default(),
            bytes: Map::default(),
            floors: space.floors,
            operations: Operations::default(),
            remembered: Vec::new(),
        }
    }

    /// True when the group changed nothing here.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.streams.is_empty()
            && self.blobs.is_empty()
            && self.remembered.is_empty()
    }
}

impl StreamDraft {
    fn over(value: StreamValue, born: bool) -> Self {
        let kept_from = value.first;
        Self {
            value,
            born,
            kept_from,
            fresh: Vec::new(),
            ids: Map::default(),
            rewritten: BTreeMap::new(),
        }
    }

    /// The entry as it would be, if the draft has it.
    fn drafted(&self, number: u64) -> Option<&Arc<Entry>> {
        self.rewritten.get(&number).or_else(|| {
            let place = self.fresh.partition_point(|entry| entry.number < number);
            self.fresh.get(place).filter(|entry| entry.number == number)
        })
    }

    /// What the draft adds, as it would be.
    pub(super) fn added(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let kept = self.fresh.iter().filter(|entry| entry.number >= self.kept_from);
        kept.map(|entry| self.rewritten.get(&entry.number).unwrap_or(entry))
    }
}

impl Work<'_> {
    fn value(&self, key: &StreamKey) -> Option<&StreamValue> {
        match self.draft.streams.get(key) {
            Some(draft) => draft.as_ref().map(|draft| &draft.value),
            None => self.space.streams.get(key),
        }
    }

    /// The stream, for changing it; `None` when it is not there.
    fn stream(&mut self, key: &StreamKey) -> Option<&mut StreamDraft> {
        if !self.draft.streams.contains_key(key) {
            let value = self.space.streams.get(key)?.clone();
            self.draft.streams.insert(key.clone(), Some(StreamDraft::over(value, false)));
        }
        self.draft.streams.get_mut(key)?.as_mut()
    }

    /// The stream as the disk has it; `None` when the group made it.
    fn on_disk(&self, key: &StreamKey) -> Option<&StreamValue> {
        let born = matches!(self.draft.streams.get(key), Some(Some(draft)) if draft.born);
        if born { None } else { self.space.streams.get(key) }
    }

    /// The smallest number there may be.
    fn kept_from(&self, key: &StreamKey) -> u64 {
        match self.draft.streams.get(key) {
            Some(Some(draft)) => draft.kept_from,
            _ => 0,
        }
    }

    fn slot(&mut self, key: &Key) -> &mut Map<Key, Option<Arc<Stored>>> {
        if is_names(key.table()) { self.changed_names } else { &mut self.draft.records }
    }

    fn rows(&self, table: &Table) -> Result<&Rows> {
        if is_names(table) { Ok(self.names) } else { self.space.rows(table) }
    }

    /// Entries of the disk that are still there, below a number.
    fn below(&self, key: &StreamKey, before: u64) -> Result<Vec<Entry>> {
        let (Some(value), kept) = (self.on_disk(key), self.kept_from(key)) else {
            return Ok(Vec::new());
        };
        let Some(to) = before.checked_sub(1) else { return Ok(Vec::new()) };
        reading::stretch(self.store, self.namespace, key, value, kept..=to)
    }

    /// Gives the entries below a number that are still there.
    fn tell_below(
        &self,
        key: &StreamKey,
        before: u64,
        removed: &mut dyn FnMut(&Entry),
    ) -> Result<()> {
        let draft = self.draft.streams.get(key).and_then(Option::as_ref);
        for entry in self.below(key, before)? {
            let drafted = draft.and_then(|draft| draft.rewritten.get(&entry.number));
            removed(drafted.map_or(&entry, |entry| entry));
        }
        if let Some(draft) = draft {
            draft.added().filter(|entry| entry.number < before).for_each(|entry| removed(entry));
        }
        Ok(())
    }

    fn take_one_back(&mut self, step: Undo) {
        let streams = &mut self.draft.streams;
        match step {
            Undo::Record(key, old) => {
                let slot = self.slot(&key);
                match old {
                    Some(old) => drop(slot.insert(key, old)),
                    None => drop(slot.remove(&key)),
                }
            }
            Undo::Floor(which, floor) => self.draft.floors[which] = floor,
            Undo::Blob(hash, Some(old)) => drop(self.draft.blobs.insert(hash, old)),
            Undo::Blob(hash, None) => drop(self.draft.blobs.remove(&hash)),
            Undo::Bytes(hash) => drop(self.draft.bytes.remove(&hash)),
            Undo::Stream(key, Some(old)) => drop(streams.insert(key, old)),
            Undo::Stream(key, None) => drop(streams.remove(&key)),
            Undo::Head(key, value) => {
                if let Some(Some(draft)) = streams.get_mut(&key) {
                    draft.value = value;
                }
            }
            Undo::Pushed(key) => {
                let Some(Some(draft)) = streams.get_mut(&key) else { return };
                if let Some(id) = draft.fresh.pop().and_then(|entry| entry.id.clone()) {
                    draft.ids.remove(&id);
                }
            }
            Undo::Trimmed(key, kept_from, place) => {
                if let Some(Some(draft)) = streams.get_mut(&key) {
                    draft.kept_from = kept_from;
                    draft.value.place = place;
                }
            }
            Undo::Rewritten(key, number, old) => {
                let Some(Some(draft)) = streams.get_mut(&key) else { return };
                match old {
                    Some(old) => drop(draft.rewritten.insert(number, old)),
                    None => drop(draft.rewritten.remove(&number)),
                }
            }
        }
    }
}

impl Ground for Work<'_> {
    fn log(&self, log: &Log) -> Result<&'static str> {
        self.space.sound(crate::schema::STREAMS.name)?;
        self.space.known_log(log)
    }

    fn is_empty(&self) -> bool {
        let records = |table: &Table| {
            let there = self.space.tables.get(table.name).map_or(0, |rows| rows.len());
            let mut count = there;
            for (key, stored) in &self.draft.records {
                if key.table().name == table.name {
                    let was =
                        self.space.tables.get(table.name).is_some_and(|r| r.get(key).is_some());
                    count = count + usize::from(stored.is_some()) - usize::from(was);
                }
            }
            count
        };
        let tables = self.space.schema.tables.iter();
        tables.map(|table| records(table)).sum::<usize>() == 0
            && records(&crate::schema::STREAMS) == 0
            && records(&crate::schema::BLOBS) == 0
            // What this commit made the built-in tables have not been told of yet.
            && self.draft.streams.values().all(Option::is_none)
            && self.draft.blobs.values().all(Option::is_none)
    }

    fn stored(&self, key: &Key) -> Result<Option<Arc<Stored>>> {
        let changed =
            if is_names(key.table()) { &*self.changed_names } else { &self.draft.records };
        match changed.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.rows(key.table())?.get(key).cloned()),
        }
    }

    fn has(&self, table: &Table, index: &Index, value: &Value) -> Result<Option<bool>> {
        let rows = self.rows(table)?;
        let Some(there) = rows.with(index, value) else { return Ok(None) };
        let mut prefix = Vec::new();
        let descending = index
            .fields
            .first()
            .is_some_and(|(_, order)| *order == crate::schema::Order::Descending);
        value.encode(descending, &mut prefix);
        let changed = if is_names(table) { &*self.changed_names } else { &self.draft.records };
        let of_table = |key: &Key| key.table().name == table.name;
        let added = changed.iter().filter(|(key, _)| of_table(key)).any(|(key, stored)| {
            stored.as_ref().is_some_and(|stored| {
                let turn = stored.record.turn.as_ref();
                let places = index_entries(key.table(), index, &stored.fields, turn);
                places.iter().any(|place| place.starts_with(&prefix))
            })
        });
        Ok(Some(added || there.iter().any(|stored| !changed.contains_key(&stored.record.key))))
    }

    fn set_record(&mut self, key: &Key, new: Option<Arc<Stored>>) {
        let old = self.slot(key).insert(key.clone(), new);
        self.undo.push(Undo::Record(key.clone(), old));
    }

    fn floor(&self, table: &Table) -> u64 {
        self.draft.floors[floor_of(table)]
    }

    fn raise_floor(&mut self, table: &Table, version: u64) {
        let floor = &mut self.draft.floors[floor_of(table)];
        self.undo.push(Undo::Floor(floor_of(table), *floor));
        *floor = (*floor).max(version);
    }

    fn blob(&self, hash: Hash) -> Option<BlobState> {
        match self.draft.blobs.get(&hash) {
            Some(state) => state.clone(),
            None => self.space.blobs.get(&hash).cloned(),
        }
    }

    fn keep_blob(&mut self, blob: &Blob) {
        if self.draft.bytes.insert(blob.hash(), blob.clone()).is_none() {
            self.undo.push(Undo::Bytes(blob.hash()));
        }
    }

    fn set_blob(&mut self, hash: Hash, new: Option<BlobState>) {
        let old = self.draft.blobs.insert(hash, new);
        self.undo.push(Undo::Blob(hash, old));
    }

    fn head(&self, key: &StreamKey) -> Option<Head> {
        self.value(key).map(StreamValue::head)
    }

    fn entry(&self, key: &StreamKey, number: u64) -> Result<Option<Arc<Entry>>> {
        let draft = match self.draft.streams.get(key) {
            Some(Some(draft)) if number < draft.kept_from => return Ok(None),
            Some(Some(draft)) => draft.drafted(number),
            Some(None) => return Ok(None),
            None => None,
        };
        if let Some(drafted) = draft {
            return Ok(Some(Arc::clone(drafted)));
        }
        let Some(value) = self.on_disk(key) else { return Ok(None) };
        let found = reading::stretch(self.store, self.namespace, key, value, number..=number)?;
        Ok(found.into_iter().next().map(Arc::new))
    }

    fn by_id(&self, key: &StreamKey, id: &EntryId) -> Result<Option<Arc<Entry>>> {
        let number = match self.draft.streams.get(key) {
            Some(Some(draft)) => draft.ids.get(id).and_then(|place| draft.fresh.get(*place)),
            Some(None) => return Ok(None),
            None => None,
        };
        let number = match (number, self.on_disk(key)) {
            (Some(fresh), _) => Some(fresh.number),
            (None, Some(value)) => reading::number_of(self.store, self.namespace, key, value, id)?,
            (None, None) => None,
        };
        number.map_or(Ok(None), |number| self.entry(key, number))
    }

    fn make_stream(&mut self, key: &StreamKey, head: Head) {
        let Head { birth, first, last, count, bytes, updated } = head;
        let place = Place::default();
        let value = StreamValue { birth, first, last, count, bytes, updated, version: 0, place };
        let draft = StreamDraft::over(value, true);
        let old = self.draft.streams.insert(key.clone(), Some(draft));
        self.undo.push(Undo::Stream(key.clone(), old));
    }

    fn set_head(&mut self, key: &StreamKey, head: Head) {
        if let Some(draft) = self.stream(key) {
            let old = draft.value.clone();
            draft.value.set_head(&head);
            self.undo.push(Undo::Head(key.clone(), old));
        }
    }

    fn push(&mut self, key: &StreamKey, entry: Arc<Entry>) {
        if let Some(draft) = self.stream(key) {
            draft.ids.extend(entry.id.clone().map(|id| (id, draft.fresh.len())));
            draft.fresh.push(entry);
            self.undo.push(Undo::Pushed(key.clone()));
        }
    }

    fn trim(
        &mut self,
        key: &StreamKey,
        before: u64,
        removed: &mut dyn FnMut(&Entry),
    ) -> Result<Option<u64>> {
        self.tell_below(key, before, removed)?;
        let on_disk = self.on_disk(key).cloned();
        let (first, start) = match &on_disk {
            Some(value) => reading::from(self.store, self.namespace, key, value, before)?,
            None => (None, 0),
        };
        let Some(draft) = self.stream(key) else { return Ok(None) };
        let undo = Undo::Trimmed(key.clone(), draft.kept_from, draft.value.place);
        // Beyond the end it empties the stream; what the same group adds afterwards stays.
        let last = draft.fresh.last().map_or(0, |entry| entry.number).max(draft.value.last);
        draft.kept_from = draft.kept_from.max(before.min(last.saturating_add(1)));
        if on_disk.is_some() {
            draft.value.place.start = draft.value.place.start.max(start);
        }
        let first = first.or_else(|| draft.added().next().map(|entry| entry.number));
        self.undo.push(undo);
        Ok(first)
    }

    fn rewrite(&mut self, key: &StreamKey, entry: Arc<Entry>) {
        let number = entry.number;
        if let Some(draft) = self.stream(key) {
            let old = draft.rewritten.insert(number, entry);
            self.undo.push(Undo::Rewritten(key.clone(), number, old));
        }
    }

    fn drop_stream(&mut self, key: &StreamKey, removed: &mut dyn FnMut(&Entry)) -> Result<bool> {
        if self.value(key).is_none() {
            return Ok(false);
        }
        // Only references matter of what goes, and without blobs there are none.
        if !self.space.blobs.is_empty() || !self.draft.blobs.is_empty() {
            self.tell_below(key, u64::MAX, removed)?;
        }
        let old = self.draft.streams.insert(key.clone(), None);
        self.undo.push(Undo::Stream(key.clone(), old));
        Ok(true)
    }

    fn take_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            self.take_one_back(step);
        }
    }
}
