//! What a group of commits would change, on top of what has been committed: nothing of it is seen by
//! anybody before it is in the journal.

use std::sync::Arc;

use super::changes::{Place, StreamValue};
use super::reading;
use super::space::Space;
use super::store::Store;
use super::streams::{Slot, StreamDraft, Streams};
use crate::driver::{Blob, Committed, Entry, Hash, Head};
use crate::drivers::kernel::built_in::name_key;
use crate::drivers::kernel::{
    BlobState, Ground, Map, Operations, Rows, Stored, StreamKey, floor_of, is_names, is_streams,
};
use crate::error::Result;
use crate::schema::{
    BLOBS, EntryId, Index, Key, Log, Namespace, OperationId, STREAMS, Table, Value, index_entries,
};

/// The changes of a group in one namespace; `None` is something removed.
#[derive(Debug)]
pub(super) struct Draft {
    /// True when the namespace had its own record before the group.
    named: bool,
    /// But those of streams, which their drafts tell of.
    pub(super) records: Map<Key, Option<Arc<Stored>>>,
    pub(super) streams: Streams,
    pub(super) blobs: Map<Hash, Option<BlobState>>,
    pub(super) bytes: Map<Hash, Blob>,
    pub(super) floors: [u64; 4],
    pub(super) operations: Operations,
    pub(super) remembered: Vec<(OperationId, [u8; 32], Committed)>,
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
    /// Empty when the commit begins.
    pub(super) undo: &'a mut Vec<Undo>,
}

/// What the draft had in a place: nothing, something, or that it is removed.
#[allow(clippy::option_option, reason = "the outer one is the draft's, the inner one the store's")]
pub(super) type Before<T> = Option<Option<T>>;

/// How to take one step back: mostly what the draft had there before.
#[derive(Debug)]
pub(super) enum Undo {
    Record(Key, Before<Arc<Stored>>),
    Floor(usize, u64),
    Blob(Hash, Before<BlobState>),
    Bytes(Hash),
    // Streams by their places.
    Stream(usize, Box<Before<StreamDraft>>),
    Head(usize, Head),
    Told(usize, u64),
    /// With what [`StreamDraft::push`] answered.
    Pushed(usize, Option<usize>),
    Trimmed(usize, u64, Place),
    Rewritten(usize, u64, Option<Arc<Entry>>),
}

impl Draft {
    pub(super) fn new(space: &Space) -> Self {
        Self {
            named: false,
            records: Map::default(),
            streams: Streams::default(),
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

impl Work<'_> {
    /// The stream as it would be, whether or not anything of the group has asked for it.
    fn value(&self, key: &StreamKey) -> Option<&StreamValue> {
        match self.draft.streams.get(key) {
            Some(slot) => slot.value(),
            None => self.space.streams.get(key),
        }
    }

    /// The stream, for asking its file or changing it, and its place.
    fn stream(&mut self, key: &StreamKey) -> Option<(usize, &mut Slot)> {
        let place = self.draft.streams.place_of(key, self.space);
        Some((place, self.draft.streams.at(place)?))
    }

    /// The stream, for changing it, and its place; `None` when it is not there.
    fn change(&mut self, key: &StreamKey) -> Option<(usize, &mut StreamDraft)> {
        let (place, slot) = self.stream(key)?;
        Some((place, slot.change()?))
    }

    /// The stream as the disk has it; `None` when the group made it.
    fn on_disk(&self, key: &StreamKey) -> Option<&StreamValue> {
        match self.draft.streams.get(key) {
            Some(slot) => slot.on_disk(),
            None => self.space.streams.get(key),
        }
    }

    /// The stream with its changes.
    fn drafted(&self, key: &StreamKey) -> Option<&StreamDraft> {
        self.draft.streams.get(key)?.drafted()
    }

    fn changed(&self, table: &Table) -> &Map<Key, Option<Arc<Stored>>> {
        if is_names(table) { self.changed_names } else { &self.draft.records }
    }

    fn slot(&mut self, key: &Key) -> &mut Map<Key, Option<Arc<Stored>>> {
        if is_names(key.table()) { self.changed_names } else { &mut self.draft.records }
    }

    fn rows(&self, table: &Table) -> Result<&Rows> {
        if is_names(table) { Ok(self.names) } else { self.space.rows(table) }
    }

    /// Entries of the disk that are still there, below a number.
    fn below(&self, key: &StreamKey, before: u64) -> Result<Vec<Entry>> {
        let Some(value) = self.on_disk(key) else { return Ok(Vec::new()) };
        let kept = self.drafted(key).map_or(0, |draft| draft.kept_from);
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
        let draft = self.drafted(key);
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
            Undo::Stream(place, old) => {
                if let Some(slot) = self.draft.streams.at(place) {
                    slot.draft = *old;
                }
            }
            Undo::Head(place, head) => {
                if let Some(draft) = self.draft.streams.changed_at(place) {
                    draft.value.set_head(&head);
                }
            }
            Undo::Told(place, version) => {
                if let Some(draft) = self.draft.streams.changed_at(place) {
                    draft.value.version = version;
                }
            }
            Undo::Pushed(place, before) => {
                if let Some(draft) = self.draft.streams.changed_at(place) {
                    draft.pop(before);
                }
            }
            Undo::Trimmed(place, kept_from, lines) => {
                if let Some(draft) = self.draft.streams.changed_at(place) {
                    draft.kept_from = kept_from;
                    draft.value.place = lines;
                }
            }
            Undo::Rewritten(place, number, old) => {
                let Some(draft) = self.draft.streams.changed_at(place) else { return };
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
        self.space.sound(STREAMS.name)?;
        self.space.known_log(log)
    }

    fn is_empty(&self) -> bool {
        let records = |table: &Table| {
            let there = self.space.tables.get(table).map_or(0, |rows| rows.len());
            let mut count = there;
            for (key, stored) in &self.draft.records {
                if key.table().name == table.name {
                    let was = self.space.tables.get(table).is_some_and(|r| r.get(key).is_some());
                    count = count + usize::from(stored.is_some()) - usize::from(was);
                }
            }
            count
        };
        let tables = self.space.schema.tables.iter();
        let streams = self.draft.streams.all();
        let dropped =
            |slot: &&Slot| slot.base.is_some() && slot.drafted().is_none() && slot.draft.is_some();
        tables.map(|table| records(table)).sum::<usize>() == 0
            && streams.iter().all(|slot| slot.drafted().is_none())
            && streams.iter().filter(dropped).count() == self.space.streams.len()
            && records(&BLOBS) == 0
            && self.draft.blobs.values().all(Option::is_none)
    }

    fn stored(&self, key: &Key) -> Result<Option<Arc<Stored>>> {
        if let Some(told) = self.draft.streams.told(key) {
            return Ok(told.map(Arc::new));
        }
        match self.changed(key.table()).get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.rows(key.table())?.get(key).cloned()),
        }
    }

    fn version(&self, key: &Key) -> Result<u64> {
        if is_streams(key.table()) || !self.changed(key.table()).is_empty() {
            return Ok(self.stored(key)?.map_or(0, |stored| stored.record.version));
        }
        Ok(self.rows(key.table())?.get(key).map_or(0, |stored| stored.record.version))
    }

    fn is_named(&mut self, namespace: &Namespace) -> Result<bool> {
        if !self.changed_names.is_empty() {
            return Ok(self.version(&name_key(namespace)?)? > 0);
        }
        if !self.draft.named {
            self.draft.named = self.names.get(&name_key(namespace)?).is_some();
        }
        Ok(self.draft.named)
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
        let changed = self.changed(table);
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
        let draft = match self.draft.streams.get(key).map(|slot| &slot.draft) {
            Some(Some(Some(draft))) if number < draft.kept_from => return Ok(None),
            Some(Some(Some(draft))) => draft.entry(number),
            Some(Some(None)) => return Ok(None),
            Some(None) | None => None,
        };
        if let Some(drafted) = draft {
            return Ok(Some(Arc::clone(drafted)));
        }
        let Some(value) = self.on_disk(key) else { return Ok(None) };
        let found = reading::stretch(self.store, self.namespace, key, value, number..=number)?;
        Ok(found.into_iter().next().map(Arc::new))
    }

    fn by_id(&mut self, key: &StreamKey, id: &EntryId) -> Result<Option<Arc<Entry>>> {
        let (store, namespace) = (self.store, self.namespace);
        let Some((_, slot)) = self.stream(key) else { return Ok(None) };
        if matches!(slot.draft, Some(None)) {
            return Ok(None);
        }
        let fresh = slot.drafted().and_then(|draft| draft.number_of(id));
        let number = match (fresh, slot.on_disk().is_some(), &slot.base) {
            (None, true, Some(value)) => {
                let index = slot.index.get_or_insert_with(|| store.index(namespace, key, value));
                reading::number_of(store, namespace, key, value, index, id)?
            }
            (fresh, ..) => fresh,
        };
        number.map_or(Ok(None), |number| self.entry(key, number))
    }

    fn adds(&self, key: &StreamKey, id: &EntryId) -> bool {
        let kept = |draft: &StreamDraft| draft.number_of(id).is_some_and(|n| n >= draft.kept_from);
        self.drafted(key).is_some_and(kept)
    }

    fn make_stream(&mut self, key: &StreamKey, head: &Head) {
        let Some((place, slot)) = self.stream(key) else { return };
        let old = slot.draft.replace(Some(StreamDraft::made(head)));
        self.undo.push(Undo::Stream(place, Box::new(old)));
    }

    fn set_head(&mut self, key: &StreamKey, head: Head) {
        let Some((place, draft)) = self.change(key) else { return };
        let old = draft.value.head();
        draft.value.set_head(&head);
        self.undo.push(Undo::Head(place, old));
    }

    /// Its draft has the version; the record is made once for the whole group.
    fn tell_stream(&mut self, key: &StreamKey) -> Result<()> {
        let floor = self.floor(&STREAMS);
        let Some((place, draft)) = self.change(key) else { return Ok(()) };
        let before = draft.value.version;
        draft.value.version = if before == 0 { floor } else { before } + 1;
        self.undo.push(Undo::Told(place, before));
        Ok(())
    }

    fn tell_dropped_stream(&mut self, _: &StreamKey) -> Result<()> {
        // Its draft knows.
        Ok(())
    }

    fn push(&mut self, key: &StreamKey, entry: Arc<Entry>) {
        let Some((place, draft)) = self.change(key) else { return };
        let before = draft.push(entry);
        self.undo.push(Undo::Pushed(place, before));
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
        let Some((place, draft)) = self.change(key) else { return Ok(None) };
        let undo = Undo::Trimmed(place, draft.kept_from, draft.value.place);
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
        let Some((place, draft)) = self.change(key) else { return };
        let old = draft.rewritten.insert(number, entry);
        self.undo.push(Undo::Rewritten(place, number, old));
    }

    fn drop_stream(&mut self, key: &StreamKey, removed: &mut dyn FnMut(&Entry)) -> Result<bool> {
        if self.value(key).is_none() {
            return Ok(false);
        }
        // Only references matter of what goes, and without blobs there are none.
        if !self.space.blobs.is_empty() || !self.draft.blobs.is_empty() {
            self.tell_below(key, u64::MAX, removed)?;
        }
        let Some((place, slot)) = self.stream(key) else { return Ok(false) };
        let version = slot.value().map_or(0, |value| value.version);
        let old = slot.draft.replace(None);
        self.undo.push(Undo::Stream(place, Box::new(old)));
        self.raise_floor(&STREAMS, version);
        Ok(true)
    }

    fn take_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            self.take_one_back(step);
        }
    }
}
