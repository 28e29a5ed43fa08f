//! What reads ask for, and what they answer.

use std::ops::Bound;

use super::Hash;
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{EntryId, Index, Key, Log, Order, Stream, Table, Turn, Value};

/// Most records or entries that one call answers.
pub const MAX_LIMIT: usize = 10_000;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// Its body.
    pub body: Json,
    /// +1 at each write; a record made anew after a delete starts above the deleted one's.
    pub version: u64,
    /// The turn of the last write.
    pub turn: Option<Turn>,
    /// The blobs that it refers to.
    pub refs: Vec<Hash>,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its stream.
    pub stream: Stream,
    /// Its number in the stream.
    pub number: u64,
    /// Its id.
    pub id: Option<EntryId>,
    /// Its body.
    pub body: Json,
    /// The store's time of the commit that added it, milliseconds since 1970.
    pub time: i64,
    /// The turn of that commit.
    pub turn: Option<Turn>,
    /// The time of the last rewrite, if there was one.
    pub rewritten: Option<i64>,
    /// The blobs that it refers to.
    pub refs: Vec<Hash>,
}

/// The head of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Random, so that a stream dropped and made again is told from the old one.
    pub birth: u64,
    /// The smallest number still there; `last` + 1 when there is none.
    pub first: u64,
    /// The largest number ever given; 0 before the first.
    pub last: u64,
    /// How many entries are there.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The store's time of the last change.
    pub updated: i64,
}

/// Asks for records by an index.
#[derive(Debug, Clone)]
pub struct Find {
    /// The table.
    pub table: &'static Table,
    /// An index of it, [`BY_KEY`](crate::schema::BY_KEY) or [`BY_TURN`](crate::schema::BY_TURN).
    pub index: &'static Index,
    /// Values that the leading fields must have.
    pub equal: Vec<Value>,
    /// The range of the field after those.
    pub range: (Bound<Value>, Bound<Value>),
    /// False: in the index's order, ties by key ascending. True: exactly backwards.
    pub reverse: bool,
    /// Most records to answer, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Continuation>,
}

/// One page of records.
#[derive(Debug, Clone)]
pub struct Found {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` when this is the last one.
    pub next: Option<Continuation>,
}

impl Find {
    /// All records of `index`, from the start.
    pub fn new(table: &'static Table, index: &'static Index) -> Self {
        Self {
            table,
            index,
            equal: Vec::new(),
            range: (Bound::Unbounded, Bound::Unbounded),
            reverse: false,
            limit: MAX_LIMIT,
            after: None,
        }
    }

    /// The index of this name.
    ///
    /// # Errors
    /// `InvalidInput` when the table does not have it.
    pub fn by(table: &'static Table, index: &str) -> Result<Self> {
        let index = table.index(index).ok_or_else(|| {
            let names: Vec<&str> = table.indexes.iter().map(|index| index.name).collect();
            Error::new(Kind::InvalidInput, format!("{} has no index {index}", table.name))
                .advice(format!("it has key, turn, {}", names.join(", ")))
        })?;
        Ok(Self::new(table, index))
    }

    /// The next leading field must have this value.
    #[must_use]
    pub fn equal(mut self, value: Value) -> Self {
        self.equal.push(value);
        self
    }

    /// Answers at most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Continues a page.
    #[must_use]
    pub fn after(mut self, after: Option<Continuation>) -> Self {
        self.after = after;
        self
    }

    /// Checks the query against its index, before any driver is called.
    ///
    /// # Errors
    /// `InvalidInput` when the index is not the table's, too many values are given, the limit is
    /// out of range or the continuation belongs to another query.
    pub fn validate(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(Kind::InvalidInput, message));
        let known = self.table.index(self.index.name);
        if !known.is_some_and(|known| std::ptr::eq(known, self.index)) {
            return invalid(format!("{} is no index of {}", self.index.name, self.table.name));
        }
        let ranged = self.range != (Bound::Unbounded, Bound::Unbounded);
        if self.equal.len() + usize::from(ranged) > self.index.fields.len() {
            return invalid(format!("{} has fewer fields than values given", self.index.name));
        }
        let many = |name: &str| self.table.field(name).is_some_and(|i| self.table.fields[i].many);
        if self.equal.is_empty() && self.index.fields.first().is_some_and(|(name, _)| many(name)) {
            return invalid(format!("{} is over a list: say which value", self.index.name));
        }
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return invalid(format!("the limit is {}, not 1 to {MAX_LIMIT}", self.limit));
        }
        match &self.after {
            Some(after) if after.query != self.fingerprint() => {
                Err(Error::new(Kind::InvalidInput, "the continuation belongs to another query")
                    .advice("continue with the same filter and order, or start again"))
            }
            // A token comes from outside, and anybody can compute a fingerprint.
            Some(after) if !after.fits(self) => {
                Err(Error::new(Kind::InvalidInput, "the continuation is damaged")
                    .advice("pass on what the page before gave, or start again"))
            }
            _ => Ok(()),
        }
    }

    /// The directions of all the index's fields, as this query walks them.
    pub fn walk(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.index
            .fields
            .iter()
            .map(|(name, order)| (*name, (*order == Order::Descending) != self.reverse))
    }

    /// What must be the same for a continuation to fit.
    fn fingerprint(&self) -> u32 {
        let text = format!(
            "{} {} {:?} {:?} {}",
            self.table.name, self.index.name, self.equal, self.range, self.reverse
        );
        crc32fast::hash(text.as_bytes())
    }

    /// The continuation after a record with these index values (all fields) and this key.
    pub fn continuation(&self, values: Vec<Value>, key: &Key) -> Continuation {
        Continuation { query: self.fingerprint(), values, key: key.encoded().to_owned() }
    }
}

/// Where a page ended: opaque to callers, made and read by drivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    query: u32,
    values: Vec<Value>,
    key: String,
}

impl Continuation {
    /// The values of all the index's fields at the last record.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The encoded key of the last record.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// True when it names a place in the query's index.
    fn fits(&self, find: &Find) -> bool {
        self.values.len() == find.index.fields.len()
            && find.equal.iter().zip(&self.values).all(|(equal, value)| equal == value)
            && Key::decode(find.table, &self.key).is_ok()
    }

    /// As text for callers.
    pub fn token(&self) -> String {
        let values: Vec<Json> = self.values.iter().map(Value::to_json).collect();
        let parts =
            [Json::integer(i64::from(self.query)), Json::array(&values), Json::string(&self.key)];
        data_encoding::BASE64URL_NOPAD.encode(Json::array(&parts).as_str().as_bytes())
    }

    /// From the text that [`token`](Self::token) gave.
    ///
    /// # Errors
    /// `InvalidInput` for any other text.
    pub fn from_token(token: &str) -> Result<Self> {
        Self::parse(token).ok_or_else(|| {
            Error::new(Kind::InvalidInput, "the continuation is damaged")
                .advice("pass on what the page before gave, or start again")
        })
    }

    fn parse(token: &str) -> Option<Self> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let json = Json::parse(std::str::from_utf8(&bytes).ok()?).ok()?;
        let parts: Vec<Json> = json.elements().collect();
        let [query, values, key] = parts.as_slice() else { return None };
        Some(Self {
            query: u32::try_from(query.to_i64()?).ok()?,
            values: values.elements().map(|json| Value::of_json(json.as_str())).collect(),
            key: key.to_text()?,
        })
    }
}

/// Asks for entries of one log.
#[derive(Debug, Clone)]
pub struct Read {
    /// The log.
    pub log: &'static Log,
    /// Which of them.
    pub which: Which,
    /// True: the last one first (the last stretch first, too).
    pub reverse: bool,
    /// Most entries to answer, 1 to [`MAX_LIMIT`].
    pub limit: usize,
}

/// Which entries to read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Which {
    /// Stretches of one or several streams, one after the other.
    Stretches(Vec<Stretch>),
    /// The entries with these ids, in the order asked for; ids that are not there are left out.
    Ids(Vec<(Stream, EntryId)>),
    /// All entries that one turn wrote, by stream and number.
    Turn(Turn),
}

/// A stretch of a stream; both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The stream.
    pub stream: Stream,
    /// The first number.
    pub from: u64,
    /// The last number; `u64::MAX` for the end, whatever it is.
    pub to: u64,
}

/// What a read answers, all of it from one moment.
#[derive(Debug, Clone)]
pub struct Entries {
    /// The entries.
    pub entries: Vec<Entry>,
    /// For [`Which::Stretches`]: the head of each stretch's stream, `None` for a missing one.
    pub heads: Vec<Option<Head>>,
    /// True when the limit cut the answer.
    pub more: bool,
}

impl Read {
    /// Checks the limit, before any driver is called.
    ///
    /// # Errors
    /// `InvalidInput` when it is not 1 to [`MAX_LIMIT`].
    pub fn validate(&self) -> Result<()> {
        if (1..=MAX_LIMIT).contains(&self.limit) {
            return Ok(());
        }
        let message = format!("the limit is {}, not 1 to {MAX_LIMIT}", self.limit);
        Err(Error::new(Kind::InvalidInput, message))
    }
}
