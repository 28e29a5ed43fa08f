//! Records of one table with their indexes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, LazyLock, OnceLock};

use super::built_in::stream_body;
use crate::driver::{CheckReport, Head, Record};
use crate::json::Json;
use crate::schema::{BY_KEY, BY_TURN, FieldValue, Index, Key, Order, Table, Value, index_entries};

/// A record with its indexed fields.
#[derive(Debug)]
pub(in crate::drivers) struct Stored {
    /// All of it but the body, which [`body`](Self::body) tells.
    pub(in crate::drivers) record: Record,
    pub(in crate::drivers) fields: Vec<FieldValue>,
    /// Of a stream's record: what the body is made from when somebody asks for it. Every append
    /// writes one, and hardly any is read.
    head: Option<(Head, OnceLock<Json>)>,
}

/// One table. A clone, made when a snapshot holds the other one, shares all records and places.
#[derive(Debug, Clone)]
pub(in crate::drivers) struct Rows {
    table: &'static Table,
    records: BTreeMap<Key, Arc<Stored>>,
    indexes: Vec<(&'static Index, Places)>,
}

/// An index: the encoded values, then the encoded key, so that byte order is the index's order
/// with ties by key.
pub(in crate::drivers) type Places = BTreeMap<Arc<[u8]>, Arc<Stored>>;

impl Stored {
    pub(in crate::drivers) fn new(record: Record, fields: Vec<FieldValue>) -> Self {
        Self { record, fields, head: None }
    }

    /// The record of a stream.
    pub(in crate::drivers) fn of_stream(key: Key, version: u64, head: Head) -> Self {
        static NONE: LazyLock<Json> = LazyLock::new(Json::null);
        let record = Record { key, body: NONE.clone(), version, turn: None, refs: Vec::new() };
        Self { record, fields: Vec::new(), head: Some((head, OnceLock::new())) }
    }

    pub(in crate::drivers) fn body(&self) -> &Json {
        match &self.head {
            None => &self.record.body,
            Some((head, body)) => body.get_or_init(|| stream_body(&self.record.key, head)),
        }
    }

    /// The record as readers get it.
    pub(in crate::drivers) fn told(&self) -> Record {
        Record { body: self.body().clone(), ..self.record.clone() }
    }

    fn places(&self, index: &Index) -> impl Iterator<Item = Arc<[u8]>> {
        let key = &self.record.key;
        let turn = self.record.turn.as_ref();
        index_entries(key.table(), index, &self.fields, turn).into_iter().map(|mut place| {
            place.extend(key.encoded().as_bytes());
            place.into()
        })
    }
}

impl Rows {
    pub(in crate::drivers) fn new(table: &'static Table) -> Self {
        let indexes = [&BY_KEY, &BY_TURN].into_iter().chain(table.indexes);
        let indexes = indexes.map(|index| (index, Places::new())).collect();
        Self { table, records: BTreeMap::new(), indexes }
    }

    pub(in crate::drivers) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.records.get(key)
    }

    pub(in crate::drivers) fn len(&self) -> usize {
        self.records.len()
    }

    /// All records, without their bodies.
    pub(in crate::drivers) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|stored| &stored.record)
    }

    pub(in crate::drivers) fn places(&self, index: &Index) -> Option<&Places> {
        self.indexes.iter().find(|(known, _)| known.name == index.name).map(|(_, places)| places)
    }

    /// Puts a record in the place of the old one, which it answers; `None` takes it away.
    pub(in crate::drivers) fn set(
        &mut self,
        key: &Key,
        new: Option<Arc<Stored>>,
    ) -> Option<Arc<Stored>> {
        let old = match (&new, self.records.get_mut(key)) {
            (Some(new), there) => there.map(|there| std::mem::replace(there, Arc::clone(new))),
            (None, _) => self.records.remove(key),
        };
        for (index, places) in &mut self.indexes {
            // Over the key alone: what was there stays in its place.
            if index.name == BY_KEY.name
                && old.is_some()
                && let Some(new) = &new
            {
                if let Some(place) = places.get_mut(key.encoded().as_bytes()) {
                    *place = Arc::clone(new);
                }
                continue;
            }
            for place in old.iter().flat_map(|old| old.places(index)) {
                places.remove(&place);
            }
            if let Some(new) = &new {
                places.extend(new.places(index).map(|place| (place, Arc::clone(new))));
            }
        }
        if old.is_none() {
            self.records.extend(new.map(|new| (key.clone(), new)));
        }
        old
    }

    /// True when a record has this value as the first field of the index; `None` when the table
    /// has no such index, or one without fields.
    pub(in crate::drivers) fn has(&self, index: &Index, value: &Value) -> Option<bool> {
        self.places_with(index, value).map(|mut found| found.next().is_some())
    }

    /// The records that have this value as the first field of the index; `None` as for
    /// [`has`](Self::has).
    pub(in crate::drivers) fn with(
        &self,
        index: &Index,
        value: &Value,
    ) -> Option<Vec<&Arc<Stored>>> {
        self.places_with(index, value).map(Iterator::collect)
    }

    fn places_with(
        &self,
        index: &Index,
        value: &Value,
    ) -> Option<impl Iterator<Item = &Arc<Stored>> + use<'_>> {
        let (_, order) = index.fields.first()?;
        let mut prefix = Vec::new();
        value.encode(*order == Order::Descending, &mut prefix);
        let places = self.places(index)?;
        let from = (Bound::Included(prefix.as_slice()), Bound::Unbounded);
        let found = places.range::<[u8], _>(from);
        Some(
            found
                .take_while(move |(place, _)| place.starts_with(&prefix))
                .map(|(_, stored)| stored),
        )
    }

    /// Recomputes fields and places from the bodies.
    pub(in crate::drivers) fn check(&self, namespace: &str, report: &mut CheckReport) {
        for stored in self.records.values() {
            if !self.table.extract(stored.body()).is_ok_and(|found| found == stored.fields) {
                let place = format!("{namespace}{}", stored.record.key);
                report.damaged(place, "its indexed fields are not those of its body");
            }
        }
        for (index, places) in &self.indexes {
            let mut sound = 0;
            for stored in self.records.values() {
                for place in stored.places(index) {
                    if places.get(&place).is_some_and(|found| Arc::ptr_eq(found, stored)) {
                        sound += 1;
                    } else {
                        let place = format!("{namespace}{}", stored.record.key);
                        report.damaged(place, format!("the index {} lacks it", index.name));
                    }
                }
            }
            if sound != places.len() {
                let place = format!("{namespace}{} {}", self.table.name, index.name);
                report.damaged(place, "the index has places of no record");
            }
        }
    }
}
