//! Records with their indexes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::driver::{Find, Found, Hash, Record};
use crate::json::Json;
use crate::schema::{
    BY_KEY, BY_TURN, FieldValue, Index, Key, Order, Table, Turn, Value, index_entries,
};

/// A record as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) body: Json,
    pub(super) fields: Vec<FieldValue>,
    pub(super) version: u64,
    pub(super) turn: Option<Turn>,
    pub(super) refs: Vec<Hash>,
}

/// One table: records by key, and for each index its places in order.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    table: &'static Table,
    records: HashMap<Key, Arc<Stored>>,
    indexes: Vec<(&'static Index, Places)>,
}

/// The places of an index, in order.
type Places = BTreeMap<Vec<u8>, Arc<Stored>>;

impl Stored {
    fn record(&self) -> Record {
        Record {
            key: self.key.clone(),
            body: self.body.clone(),
            version: self.version,
            turn: self.turn.clone(),
            refs: self.refs.clone(),
        }
    }

    /// The record's places in an index: the index's order, then the key.
    fn places(&self, index: &Index) -> Vec<Vec<u8>> {
        let mut places = index_entries(self.key.table(), index, &self.fields, self.turn.as_ref());
        for place in &mut places {
            place.extend(self.key.encoded().as_bytes());
        }
        places
    }

    /// The values of all the index's fields, at the place that a query looks at.
    fn values(&self, find: &Find) -> Vec<Value> {
        if find.index.name == BY_TURN.name {
            return self.turn.iter().map(|turn| Value::text(turn.as_str())).collect();
        }
        let value = |(i, (name, _)): (usize, &(&str, Order))| {
            let place = self.key.table().field(name)?;
            match self.fields.get(place)? {
                FieldValue::One(value) => Some(value.clone()),
                // A list field comes first, and a query says which of its values it means.
                FieldValue::Many(_) => find.equal.get(i).cloned(),
            }
        };
        find.index.fields.iter().enumerate().filter_map(value).collect()
    }
}

impl Rows {
    pub(super) fn new(table: &'static Table) -> Self {
        let indexes = [&BY_KEY, &BY_TURN].into_iter().chain(table.indexes);
        let indexes = indexes.map(|index| (index, BTreeMap::new())).collect();
        Self { table, records: HashMap::new(), indexes }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.records.get(key)
    }

    pub(super) fn record(&self, key: &Key) -> Option<Record> {
        self.get(key).map(|stored| stored.record())
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.records.values()
    }

    /// Puts a record in the place of the old one, which it answers; `None` takes it away.
    pub(super) fn set(&mut self, key: &Key, new: Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        let old = self.records.remove(key);
        for (index, places) in &mut self.indexes {
            for place in old.iter().flat_map(|old| old.places(index)) {
                places.remove(&place);
            }
            if let Some(stored) = &new {
                for place in stored.places(index) {
                    places.insert(place, Arc::clone(stored));
                }
            }
        }
        if let Some(stored) = new {
            self.records.insert(key.clone(), stored);
        }
        old
    }

    /// True when a record has this value as the first field of the index.
    pub(super) fn has(&self, index: &Index, value: &Value) -> bool {
        let descending = index.fields.first().is_some_and(|(_, o)| *o == Order::Descending);
        let mut prefix = Vec::new();
        value.encode(descending, &mut prefix);
        let places = self.indexes.iter().find(|(known, _)| known.name == index.name);
        places.is_some_and(|(_, places)| {
            let mut from = places.range(prefix.clone()..);
            from.next().is_some_and(|(place, _)| place.starts_with(&prefix))
        })
    }

    pub(super) fn find(&self, find: &Find) -> Found {
        let Some((_, places)) = self.indexes.iter().find(|(i, _)| std::ptr::eq(*i, find.index))
        else {
            return Found { records: Vec::new(), next: None };
        };
        let (start, end) = bounds(find);
        if crossed(&start, &end) {
            return Found { records: Vec::new(), next: None };
        }
        let range = places.range((start, end));
        let mut stored: Vec<&Arc<Stored>> = if find.reverse {
            range.rev().map(|(_, stored)| stored).take(find.limit + 1).collect()
        } else {
            range.map(|(_, stored)| stored).take(find.limit + 1).collect()
        };
        let more = stored.len() > find.limit;
        stored.truncate(find.limit);
        let last = stored.last().filter(|_| more);
        let next = last.map(|last| find.continuation(last.values(find), &last.key));
        Found { records: stored.into_iter().map(|stored| stored.record()).collect(), next }
    }

    /// What does not fit between the records and the indexes.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for stored in self.records.values() {
            match self.table.extract(&stored.body) {
                Ok(fields) if fields == stored.fields => {}
                _ => faults.push(format!("{}: indexed fields do not fit the body", stored.key)),
            }
        }
        for (index, places) in &self.indexes {
            let expected: usize = self.records.values().map(|s| s.places(index).len()).sum();
            if expected != places.len() {
                faults
                    .push(format!("{} {}: another number of places", self.table.name, index.name));
            }
        }
        faults
    }
}

type Place = Bound<Vec<u8>>;

/// The stretch of an index's places that a query asks for.
fn bounds(find: &Find) -> (Place, Place) {
    let mut prefix = Vec::new();
    for (value, (_, order)) in find.equal.iter().zip(find.index.fields) {
        value.encode(*order == Order::Descending, &mut prefix);
    }
    let next = find.index.fields.get(find.equal.len());
    let descending = next.is_some_and(|(_, order)| *order == Order::Descending);
    let at = |value: &Value| {
        let mut place = prefix.clone();
        value.encode(descending, &mut place);
        place
    };
    let (low, high) =
        if descending { (&find.range.1, &find.range.0) } else { (&find.range.0, &find.range.1) };
    let mut start = match low {
        Bound::Unbounded => Bound::Included(prefix.clone()),
        Bound::Included(value) => Bound::Included(at(value)),
        Bound::Excluded(value) => after_all(at(value)),
    };
    let mut end = match high {
        Bound::Unbounded => after_all(prefix.clone()),
        Bound::Included(value) => after_all(at(value)),
        Bound::Excluded(value) => Bound::Excluded(at(value)),
    };
    if let Bound::Included(place) = end {
        end = Bound::Excluded(place);
    }
    if let Some(after) = &find.after {
        let mut place = Vec::new();
        for (value, (_, order)) in after.values().iter().zip(find.index.fields) {
            value.encode(*order == Order::Descending, &mut place);
        }
        place.extend(after.key().as_bytes());
        if find.reverse {
            end = Bound::Excluded(place);
        } else {
            start = Bound::Excluded(place);
        }
    }
    (start, end)
}

/// The first place behind all that begin with `prefix`.
fn after_all(mut prefix: Vec<u8>) -> Place {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Bound::Included(prefix);
        }
    }
    Bound::Unbounded
}

/// True for bounds that `BTreeMap::range` refuses, which hold nothing.
fn crossed(start: &Place, end: &Place) -> bool {
    match (start, end) {
        (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start > end,
        _ => false,
    }
}
