//! The streams that a group of commits changes or looks at, as the group would leave them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::StreamValue;
use super::draft::Before;
use super::space::Space;
use super::store::SharedIndex;
use super::writer::GROUP;
use crate::driver::{Entry, Head};
use crate::drivers::kernel::{Map, Stored, StreamKey, is_streams};
use crate::schema::{EntryId, Key};

/// All of them. Each has a place of its own for as long as the group is drafted, so that what is
/// done to it need look for it only once.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Slot>,
    places: Map<StreamKey, usize>,
    /// The place last asked for: mostly the next one, too.
    last: Cell<usize>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: StreamKey,
    /// As it was before the group.
    pub(super) base: Option<StreamValue>,
    /// What the group made of it: the inner one is `None` when it was dropped.
    pub(super) draft: Before<StreamDraft>,
    /// Of the lines that are on the disk, once somebody has asked it.
    pub(super) index: Option<SharedIndex>,
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

impl Streams {
    /// The place of a stream that has been asked for.
    fn place(&self, key: &StreamKey) -> Option<usize> {
        let last = self.last.get();
        if self.all.get(last).is_some_and(|slot| slot.key == *key) {
            return Some(last);
        }
        let place = *self.places.get(key)?;
        self.last.set(place);
        Some(place)
    }

    /// The place of a stream, from now on.
    pub(super) fn place_of(&mut self, key: &StreamKey, space: &Space) -> usize {
        self.place(key).unwrap_or_else(|| {
            let (place, base) = (self.all.len(), space.streams.get(key).cloned());
            let key = key.clone();
            self.places.insert(key.clone(), place);
            self.all.push(Slot { key, base, draft: None, index: None });
            self.last.set(place);
            place
        })
    }

    pub(super) fn get(&self, key: &StreamKey) -> Option<&Slot> {
        self.all.get(self.place(key)?)
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Slot> {
        self.all.get_mut(place)
    }

    /// What was changed of the stream at a place.
    pub(super) fn changed_at(&mut self, place: usize) -> Option<&mut StreamDraft> {
        self.at(place)?.draft.as_mut()?.as_mut()
    }

    pub(super) fn all(&self) -> &[Slot] {
        &self.all
    }

    /// Those that the group changed, in the order of their keys.
    pub(super) fn changed(&mut self) -> Vec<&mut Slot> {
        let changed = self.all.iter_mut().filter(|slot| slot.draft.is_some());
        let mut changed: Vec<&mut Slot> = changed.collect();
        changed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        changed
    }

    pub(super) fn into_all(self) -> Vec<Slot> {
        self.all
    }

    /// The record of a stream that the group changed, as it would be: the inner one is `None` when
    /// there is none.
    pub(super) fn told(&self, record: &Key) -> Before<Stored> {
        if self.all.is_empty() || !is_streams(record.table()) {
            return None;
        }
        let is_of = |slot: &&Slot| [slot.key.0, slot.key.1.as_str()].into_iter().eq(record.parts());
        let slot = self.all.iter().filter(|slot| slot.draft.is_some()).find(is_of)?;
        Some(slot.told(record.clone()))
    }

    /// True when the group has changed none.
    pub(super) fn is_empty(&self) -> bool {
        self.all.iter().all(|slot| slot.draft.is_none())
    }
}

impl Slot {
    /// The stream as it would be.
    pub(super) fn value(&self) -> Option<&StreamValue> {
        match &self.draft {
            Some(draft) => draft.as_ref().map(|draft| &draft.value),
            None => self.base.as_ref(),
        }
    }

    /// The stream as the disk has it; `None` when the group made it.
    pub(super) fn on_disk(&self) -> Option<&StreamValue> {
        let born = matches!(&self.draft, Some(Some(draft)) if draft.born);
        if born { None } else { self.base.as_ref() }
    }

    /// The stream with its changes; `None` when it was dropped.
    pub(super) fn drafted(&self) -> Option<&StreamDraft> {
        self.draft.as_ref()?.as_ref()
    }

    /// The stream, for changing it; `None` when it is not there.
    pub(super) fn change(&mut self) -> Option<&mut StreamDraft> {
        if self.draft.is_none() {
            let value = self.base.clone()?;
            self.draft = Some(Some(StreamDraft::over(value, false)));
        }
        self.draft.as_mut()?.as_mut()
    }

    /// The stream's record, as far as the group has told of it; `None` when it has none.
    pub(super) fn told(&self, record: Key) -> Option<Stored> {
        let value = self.value().filter(|value| value.version > 0)?;
        Some(Stored::of_stream(record, value.version, value.head()))
    }
}

impl StreamDraft {
    pub(super) fn over(value: StreamValue, born: bool) -> Self {
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

    pub(super) fn made(head: &Head) -> Self {
        let mut value = StreamValue::default();
        value.set_head(head);
        Self::over(value, true)
    }

    /// The entry as it would be, if the draft has it.
    pub(super) fn entry(&self, number: u64) -> Option<&Arc<Entry>> {
        self.rewritten.get(&number).or_else(|| {
            let place = self.fresh.partition_point(|entry| entry.number < number);
            self.fresh.get(place).filter(|entry| entry.number == number)
        })
    }

    /// The number of the entry with this id that the draft added last, trimmed or not.
    pub(super) fn number_of(&self, id: &EntryId) -> Option<u64> {
        self.fresh.get(*self.ids.get(id)?).map(|entry| entry.number)
    }

    /// Adds an entry; answers the place of an earlier one, trimmed by now, that had its id.
    pub(super) fn push(&mut self, entry: Arc<Entry>) -> Option<usize> {
        if self.fresh.len() == 1 {
            // Where a second one comes, more do.
            self.fresh.reserve(GROUP);
            self.ids.reserve(GROUP);
        }
        let id = entry.id.clone();
        let before = id.and_then(|id| self.ids.insert(id, self.fresh.len()));
        self.fresh.push(entry);
        before
    }

    /// Takes the last entry away again; `before` is what [`push`](Self::push) answered.
    pub(super) fn pop(&mut self, before: Option<usize>) {
        let Some(id) = self.fresh.pop().and_then(|entry| entry.id.clone()) else { return };
        match before {
            Some(before) => drop(self.ids.insert(id, before)),
            None => drop(self.ids.remove(&id)),
        }
    }

    /// What the draft adds, as it would be.
    pub(super) fn added(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let kept = self.fresh.iter().filter(|entry| entry.number >= self.kept_from);
        kept.map(|entry| self.rewritten.get(&entry.number).unwrap_or(entry))
    }
}
