//! Finding records by an index: which stretch of its places a query asks for.

use std::ops::Bound;

use super::rows::{Places, Stored};
use crate::driver::{Continuation, Find, Found};
use crate::error::{Error, Kind, Result};
use crate::schema::{BY_TURN, FieldValue, Order, Value};

/// A stretch of places: from `start`, up to but without `end`.
pub(in crate::drivers) struct Stretch {
    pub(in crate::drivers) start: Vec<u8>,
    /// `None`: to the end of the index.
    pub(in crate::drivers) end: Option<Vec<u8>>,
}

/// The place of a record: its encoded values, and its key in some form.
type Place = fn(Vec<u8>, &str) -> Vec<u8>;

/// One page of the records that `places`, the query's index, has.
pub(in crate::drivers) fn page(places: &Places, find: &Find) -> Result<Found> {
    let mut found = Found { records: Vec::new(), next: None };
    let place = |mut values: Vec<u8>, key: &str| {
        values.extend(key.as_bytes());
        values
    };
    let Some(stretch) = Stretch::of(find, place)? else { return Ok(found) };
    let end = stretch.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let range = places.range::<[u8], _>((Bound::Included(stretch.start.as_slice()), end));
    let stored = range.map(|(_, stored)| &**stored);
    // One more than asked for tells whether there is another page.
    let mut stored: Vec<&Stored> = if find.reverse {
        stored.rev().take(find.limit + 1).collect()
    } else {
        stored.take(find.limit + 1).collect()
    };
    if stored.len() > find.limit {
        stored.truncate(find.limit);
        let end = |last: &&Stored| find.continuation(values(last, find), &last.record.key);
        found.next = stored.last().map(end);
    }
    found.records = stored.into_iter().map(Stored::told).collect();
    Ok(found)
}

/// The values of all the index's fields at the place where the query met the record.
fn values(stored: &Stored, find: &Find) -> Vec<Value> {
    let record = &stored.record;
    if find.index.name == BY_TURN.name {
        return record.turn.iter().map(|turn| Value::text(turn.as_str())).collect();
    }
    let value = |(i, (name, _)): (usize, &(&str, Order))| {
        match stored.fields.get(record.key.table().field(name)?)? {
            FieldValue::One(value) => Some(value.clone()),
            // A list field comes first, and every query says which of its values it means.
            FieldValue::Many(_) => find.equal.get(i).cloned(),
        }
    };
    find.index.fields.iter().enumerate().filter_map(value).collect()
}

impl Stretch {
    /// What a query asks for; `None` when no place can be in it.
    pub(in crate::drivers) fn of(find: &Find, place: Place) -> Result<Option<Self>> {
        let prefix = encoded(find, &find.equal);
        let next = find.index.fields.get(find.equal.len());
        let descending = next.is_some_and(|(_, order)| *order == Order::Descending);
        let at = |value: &Value| {
            let mut place = prefix.clone();
            value.encode(descending, &mut place);
            place
        };
        let (low, high) = match &find.range {
            (low, high) if descending => (high, low),
            (low, high) => (low, high),
        };
        let start = match low {
            Bound::Unbounded => Some(prefix.clone()),
            Bound::Included(value) => Some(at(value)),
            Bound::Excluded(value) => Self::behind(at(value)),
        };
        let end = match high {
            Bound::Unbounded => Self::behind(prefix.clone()),
            Bound::Included(value) => Self::behind(at(value)),
            Bound::Excluded(value) => Some(at(value)),
        };
        let Some(start) = start else { return Ok(None) };
        let mut stretch = Self { start, end };
        if let Some(after) = &find.after {
            stretch.go_on(find, after, place)?;
        }
        // `BTreeMap::range` panics when the ends are crossed.
        let empty = stretch.end.as_ref().is_some_and(|end| *end <= stretch.start);
        Ok((!empty).then_some(stretch))
    }

    /// Leaves out what the pages before gave. A continuation only ever narrows: one that was
    /// tampered with shows nothing that the query does not ask for.
    fn go_on(&mut self, find: &Find, after: &Continuation, place: Place) -> Result<()> {
        if after.values().len() != find.index.fields.len() {
            return Err(Error::new(Kind::InvalidInput, "the continuation is damaged")
                .advice("pass on what the page before gave, or start again"));
        }
        let mut last = place(encoded(find, after.values()), after.key());
        if find.reverse {
            self.end = Some(self.end.take().map_or(last.clone(), |end| end.min(last)));
        } else {
            // Nothing lies between a place and the same with a zero byte behind it.
            last.push(0);
            self.start = std::mem::take(&mut self.start).max(last);
        }
        Ok(())
    }

    /// The first place behind all that begin with `prefix`; `None` when nothing can be.
    pub(in crate::drivers) fn behind(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
        while let Some(last) = prefix.pop() {
            if last < 0xff {
                prefix.push(last + 1);
                return Some(prefix);
            }
        }
        None
    }
}

/// The values of the leading fields as places begin with them.
fn encoded(find: &Find, values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, (_, order)) in values.iter().zip(find.index.fields) {
        value.encode(*order == Order::Descending, &mut out);
    }
    out
}
