//! What is kept: every table, index and log, declared once and read by repositories and drivers.
//!
//! A new kind of thing to keep is a few lines in [`AGENTKEEP`] and a repository.

mod extract;
mod id;
mod tables;
mod value;

pub use id::{EntryId, Key, MAX_ID, Namespace, OperationId, Stream, Turn, check_id};
pub use tables::*;
pub use value::{Number, Value};

/// Longest text in an index, in bytes.
pub const MAX_INDEXED_TEXT: usize = 1024;

/// Everything that a store keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name, kept in the store: a driver refuses a store that holds another schema.
    pub name: &'static str,
    /// The format version: a newer one is refused, an older one upgraded at open.
    pub version: u32,
    /// Tables of records.
    pub tables: &'static [&'static Table],
    /// Append-only logs.
    pub logs: &'static [&'static Log],
    /// Views for analysts.
    pub views: &'static [LineageView],
}

/// A table of records.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, as SQL shows it.
    pub name: &'static str,
    /// The format that brought it: an upgrade from an older one makes it.
    pub since: u32,
    /// Names of the key's parts, 1 to 4.
    pub key: &'static [&'static str],
    /// The indexed fields, extracted from the body when an operation is made.
    pub fields: &'static [Field],
    /// The indexes. Every table also has [`BY_KEY`] and [`BY_TURN`].
    pub indexes: &'static [Index],
}

/// An indexed field of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// The path of members that leads to it in the body.
    pub path: &'static [&'static str],
    /// True when the field is a list whose every element is indexed.
    pub many: bool,
    /// The format that brought it, where that is later than the table's. Not for lists.
    pub since: u32,
}

/// An index of a table. Ties are ordered by key, always ascending.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique within the table.
    pub name: &'static str,
    /// Names of fields; a list field can only come first.
    pub fields: &'static [(&'static str, Order)],
    /// A field, no list, that keeps a record out of this index by being there, whatever it says.
    pub unless: Option<&'static str>,
    /// The format that made it as it is, where that is later than the table's: in an SQL database an
    /// upgrade from an older one makes it anew; elsewhere records are in it as they were when they
    /// were written. Not for lists.
    pub since: u32,
}

/// The direction in which an index holds a field; a query goes along it or exactly against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// The index of every table over its key alone.
pub static BY_KEY: Index = Index::over("key", &[]);

/// The index of every table over the turn of the last write; records without one are not in it.
pub static BY_TURN: Index = Index::over("turn", &[("turn", Order::Ascending)]);

/// A log: many streams of numbered entries.
#[derive(Debug, PartialEq, Eq)]
pub struct Log {
    /// Its name, as SQL shows it.
    pub name: &'static str,
    /// The format that brought it.
    pub since: u32,
}

/// A view that unrolls lineages (a list of `[stream, from, to]` in a record) into log entries.
#[derive(Debug, PartialEq, Eq)]
pub struct LineageView {
    /// The view's name.
    pub name: &'static str,
    /// The format that brought it.
    pub since: u32,
    /// The table whose records hold the list.
    pub table: &'static Table,
    /// The member that holds it.
    pub member: &'static str,
    /// The log that the streams are of.
    pub log: &'static Log,
}

/// The value or, for a list field, values that one record has in a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Of a plain field.
    One(Value),
    /// Of a list field: distinct, ascending.
    Many(Vec<Value>),
}

impl Schema {
    /// The table of this name, the built-in ones included.
    pub fn table(&self, name: &str) -> Option<&'static Table> {
        BUILT_IN.iter().chain(self.tables).find(|table| table.name == name).copied()
    }

    /// The log of this name.
    pub fn log(&self, name: &str) -> Option<&'static Log> {
        self.logs.iter().find(|log| log.name == name).copied()
    }
}

impl Table {
    /// The index of this name, [`BY_KEY`] and [`BY_TURN`] included.
    pub fn index(&self, name: &str) -> Option<&'static Index> {
        [&BY_KEY, &BY_TURN].into_iter().chain(self.indexes_static()).find(|i| i.name == name)
    }

    fn indexes_static(&self) -> std::slice::Iter<'static, Index> {
        self.indexes.iter()
    }

    /// The place of a field among [`fields`](Self::fields).
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

impl Field {
    /// A field with one value.
    pub const fn one(name: &'static str, path: &'static [&'static str]) -> Self {
        Self { name, path, many: false, since: 0 }
    }

    /// A field that is a list.
    pub const fn list(name: &'static str, path: &'static [&'static str]) -> Self {
        Self { name, path, many: true, since: 0 }
    }

    /// The same, brought by a format later than the table's.
    #[must_use]
    pub const fn since(mut self, format: u32) -> Self {
        self.since = format;
        self
    }
}

impl Index {
    /// An index that every record is in.
    pub const fn over(name: &'static str, fields: &'static [(&'static str, Order)]) -> Self {
        Self { name, fields, unless: None, since: 0 }
    }

    /// The same without the records that have this field.
    #[must_use]
    pub const fn unless(mut self, field: &'static str) -> Self {
        self.unless = Some(field);
        self
    }

    /// The same, as it is since a format later than the table's.
    #[must_use]
    pub const fn since(mut self, format: u32) -> Self {
        self.since = format;
        self
    }
}

/// The places of one record in `index`: for each, bytes whose order is the index's order, without
/// the key. Empty when the record is not in the index.
pub fn index_entries(
    table: &Table,
    index: &Index,
    fields: &[FieldValue],
    turn: Option<&Turn>,
) -> Vec<Vec<u8>> {
    if index.name == BY_TURN.name {
        let encode = |turn: &Turn| {
            let mut out = Vec::new();
            Value::text(turn.as_str()).encode(false, &mut out);
            out
        };
        return turn.map(encode).into_iter().collect();
    }
    let value = |name: &str| table.field(name).and_then(|place| fields.get(place));
    let is_there =
        |name| value(name).is_some_and(|field| *field != FieldValue::One(Value::Missing));
    if index.unless.is_some_and(is_there) {
        return Vec::new();
    }
    let mut entries = vec![Vec::new()];
    for (name, order) in index.fields {
        let descending = *order == Order::Descending;
        match value(name) {
            Some(FieldValue::One(value)) => {
                for entry in &mut entries {
                    value.encode(descending, entry);
                }
            }
            Some(FieldValue::Many(values)) => {
                entries = entries
                    .iter()
                    .flat_map(|entry| {
                        values.iter().map(|value| {
                            let mut entry = entry.clone();
                            value.encode(descending, &mut entry);
                            entry
                        })
                    })
                    .collect();
            }
            None => return Vec::new(),
        }
    }
    entries
}

/// The checksum that drivers keep beside a record or entry, over its parts in order.
pub fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    // Most parts are short: they are gathered, for the hasher is quick with long pieces only.
    let (mut gathered, mut len) = ([0; GATHERED], 0);
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        if part.len() + 8 > GATHERED - len {
            hasher.update(&gathered[..len]);
            len = 0;
        }
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        gathered[len..len + 8].copy_from_slice(&(part.len() as u64).to_le_bytes());
        len += 8;
        if part.len() <= GATHERED - len {
            gathered[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        } else {
            hasher.update(&gathered[..len]);
            hasher.update(part);
            len = 0;
        }
    }
    hasher.update(&gathered[..len]);
    hasher.finalize()
}

/// So many bytes of a checksum's parts are gathered.
const GATHERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_rely_on_in_a_declaration_holds() {
        for table in BUILT_IN.iter().chain(AGENTKEEP.tables) {
            for field in table.fields {
                assert!(!field.many || field.since == 0, "{} {}", table.name, field.name);
                assert!(field.since == 0 || field.since > table.since, "{}", field.name);
            }
            for index in table.indexes {
                let of_list = index.fields.first().and_then(|(name, _)| table.field(name));
                let of_list = of_list.is_some_and(|place| table.fields[place].many);
                assert!(!of_list || (index.unless.is_none() && index.since == 0), "{}", index.name);
                let unless = index.unless.map(|name| table.fields[table.field(name).unwrap()].many);
                assert_ne!(unless, Some(true), "{} {}", table.name, index.name);
            }
        }
    }

    #[test]
    fn the_checksum_is_over_length_and_bytes_of_each_part() {
        let bytes: Vec<u8> = (0..4_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let around = |place: usize| place - 20..place + 20;
        for first in (0..20).chain(around(GATHERED)).chain([500]) {
            for second in (0..10).chain(around(GATHERED)).chain(around(GATHERED - 500)) {
                let parts = [&bytes[..first], &bytes[first..first + second], &bytes[..3]];
                let mut plain = crc32fast::Hasher::new();
                for part in parts {
                    plain.update(&(part.len() as u64).to_le_bytes());
                    plain.update(part);
                }
                assert_eq!(checksum(parts), plain.finalize(), "{first} {second}");
            }
        }
    }
}
