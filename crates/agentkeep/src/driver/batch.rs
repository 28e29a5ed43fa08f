//! What a commit asks for, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Blob, Hash};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{
    EntryId, FieldValue, Index, Key, Log, Namespace, OperationId, Stream, Table, Turn, Value,
};

/// Most operations in a batch.
pub const MAX_OPERATIONS: usize = 10_000;
/// Most bytes of bodies and blobs in a batch.
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// The largest number of an entry: it and the one after it fit the integers of every database.
pub const MAX_NUMBER: u64 = i64::MAX as u64 - 1;
/// Most bytes in the body of a record or entry; larger content belongs in a blob.
pub const MAX_BODY: usize = 8 << 20;

/// One atomic change of one namespace: all of it happens, or none.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The namespace that it changes.
    pub namespace: Namespace,
    /// Repeating a batch under the same operation id answers the first result and changes nothing.
    pub operation: Option<OperationId>,
    /// What stands for the batch's content under its operation id, for callers whose operations
    /// differ from attempt to attempt; `None` for the operations themselves.
    pub fingerprint: Option<[u8; 32]>,
    /// The turn stamped on every record and entry that the batch writes.
    pub turn: Option<Turn>,
    /// What must hold, evaluated serialisably with the operations.
    pub expect: Vec<Expect>,
    /// What to do, in order.
    pub operations: Vec<Operation>,
}

/// A precondition of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// No record has this key. Else `AlreadyExists`.
    Absent(Key),
    /// A record has this key. Else `NotFound`.
    Exists(Key),
    /// The record has this version; 0 means that it is absent. Else `Conflict`.
    Version(Key, u64),
    /// The stream's last number is this; 0 means that it is missing or never held an entry.
    /// Else `Conflict`.
    LogEnds(&'static Log, Stream, u64),
    /// No record in the index has this value as its first field. Else `Conflict`.
    NoRecord(&'static Table, &'static Index, Value),
    /// The blob is there. Else `NotFound`.
    BlobPresent(Hash),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Writes a record.
    Put(Put),
    /// Removes a record; absent is fine.
    Delete(Key),
    /// Adds entries to a stream, which is made if it is missing.
    Append(Append),
    /// Removes the entries below a number from the front of a stream.
    Trim {
        /// The log.
        log: &'static Log,
        /// The stream; `NotFound` when missing.
        stream: Stream,
        /// The first number to keep; beyond the end it empties the stream.
        before: u64,
    },
    /// Gives an entry another body; its number and id stay, and it is marked as rewritten.
    Rewrite {
        /// The log.
        log: &'static Log,
        /// The stream.
        stream: Stream,
        /// The entry's number; `NotFound` when it is not there.
        number: u64,
        /// The new body.
        body: Json,
        /// The blobs that the new body refers to.
        refs: Vec<Hash>,
    },
    /// Removes a stream with all entries; missing is fine. A stream made again under its name has
    /// another birth token and begins at 1.
    Drop {
        /// The log.
        log: &'static Log,
        /// The stream.
        stream: Stream,
    },
    /// Keeps a blob; one that is there stays as it is.
    PutBlob(Blob),
    /// Removes a blob; missing is fine, `Conflict` when something refers to it.
    DropBlob(Hash),
}

/// How a record is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// Whether it exists or not.
    Any,
    /// Only if it does not exist, else `AlreadyExists`.
    Create,
    /// Only over this version, else `Conflict`.
    At(u64),
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Its key.
    pub key: Key,
    /// Its body.
    pub body: Json,
    /// The indexed fields of the body, in the order that the table declares.
    pub fields: Vec<FieldValue>,
    /// The blobs that it refers to.
    pub refs: Vec<Hash>,
    /// Over what it may be written.
    pub save: Save,
}

impl Put {
    /// A write of `body`, its indexed fields extracted here and nowhere else.
    ///
    /// # Errors
    /// `TooLarge` for an indexed text beyond the limit.
    pub fn new(key: Key, body: Json, save: Save) -> Result<Self> {
        let fields = key.table().extract(&body).map_err(|error| error.at(key.to_string()))?;
        Ok(Self { key, body, fields, refs: Vec::new(), save })
    }
}

/// Entries to add to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The log.
    pub log: &'static Log,
    /// The stream.
    pub stream: Stream,
    /// The entries, in order.
    pub entries: Vec<NewEntry>,
    /// What an entry id that the stream has already means.
    pub known: Known,
    /// For imports: the number of the first entry, above every number that the stream ever gave.
    /// `None` continues densely.
    pub start: Option<u64>,
}

impl Append {
    /// The numbers that the entries get in a stream whose last number is `last`.
    ///
    /// # Errors
    /// `Conflict` for a start that the stream is beyond, `TooLarge` past [`MAX_NUMBER`].
    pub fn numbers(&self, last: u64) -> Result<Vec<u64>> {
        let place = || format!("{} {:?}", self.log.name, self.stream);
        let first = self.start.unwrap_or(last + 1);
        if first <= last {
            let message = format!("the stream has given numbers up to {last}, not below {first}");
            return Err(Error::new(Kind::Conflict, message)
                .at(place())
                .advice("start above the last number that it gave"));
        }
        let end = first.checked_add(self.entries.len() as u64).filter(|end| *end <= MAX_NUMBER + 1);
        let end = end.ok_or_else(|| {
            Error::new(Kind::TooLarge, "the stream has no such numbers")
                .at(place())
                .advice(format!("numbers go up to {MAX_NUMBER}"))
        })?;
        Ok((first..end).collect())
    }
}

/// An entry to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Unique within the stream, if given.
    pub id: Option<EntryId>,
    /// Its body.
    pub body: Json,
    /// The blobs that it refers to.
    pub refs: Vec<Hash>,
}

/// What an append does about an entry id that its stream has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Refuse with `AlreadyExists`.
    Refuse,
    /// Before any operation, against the state before the batch: when all appends of the batch
    /// that say so have nothing but entries known with equal bodies, answer their numbers and
    /// leave the whole batch out. A known entry with a different body is an
    /// `IdempotencyConflict`; a mix of known and new entries is refused with `AlreadyExists`.
    Answer,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The store's time of the commit, milliseconds since 1970. Never before an earlier commit of
    /// the same open store.
    pub time: i64,
    /// True when nothing was written now, because the operation id or the entries were known.
    pub replayed: bool,
    /// What each operation did, in order.
    pub outcomes: Vec<Outcome>,
}

/// What one operation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The record has this version now.
    Put {
        /// The version.
        version: u64,
    },
    /// Whether there was a record.
    Deleted {
        /// True when there was one.
        existed: bool,
    },
    /// The entries have these numbers.
    Appended {
        /// One number for each entry, in order.
        numbers: Vec<u64>,
    },
    /// So many entries were removed.
    Trimmed {
        /// How many.
        removed: u64,
    },
    /// The entry has its new body.
    Rewritten,
    /// Whether there was a stream.
    Dropped {
        /// True when there was one.
        existed: bool,
    },
    /// Whether the blob was new.
    Kept {
        /// True when it was not there before.
        new: bool,
    },
    /// Whether there was a blob.
    BlobDropped {
        /// True when there was one.
        existed: bool,
    },
    /// Left out: an append of the batch found its entries known.
    LeftOut,
}

impl Batch {
    /// Bytes of bodies and blobs.
    pub(crate) fn weight(&self) -> usize {
        let weight = |operation: &Operation| match operation {
            Operation::Put(put) => put.body.len(),
            Operation::Append(append) => append.entries.iter().map(|entry| entry.body.len()).sum(),
            Operation::Rewrite { body, .. } => body.len(),
            Operation::PutBlob(blob) => blob.bytes().len(),
            _ => 0,
        };
        self.operations.iter().map(weight).sum()
    }

    /// An empty batch.
    pub fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            operation: None,
            fingerprint: None,
            turn: None,
            expect: Vec::new(),
            operations: Vec::new(),
        }
    }

    /// Adds an operation.
    pub fn push(&mut self, operation: Operation) -> &mut Self {
        self.operations.push(operation);
        self
    }

    /// Adds a precondition.
    pub fn expect(&mut self, expect: Expect) -> &mut Self {
        self.expect.push(expect);
        self
    }

    /// How many operations it counts as: each appended entry is one.
    pub fn size(&self) -> usize {
        self.operations
            .iter()
            .map(|operation| match operation {
                Operation::Append(append) => append.entries.len().max(1),
                _ => 1,
            })
            .sum()
    }

    /// Checks the limits and what no batch may do, before any driver is called.
    ///
    /// # Errors
    /// `TooLarge` past [`MAX_OPERATIONS`], [`MAX_BATCH_BYTES`] or [`MAX_BODY`]; `InvalidInput`
    /// when one record is written twice or a built-in table is written.
    pub fn validate(&self) -> Result<()> {
        if self.size() > MAX_OPERATIONS {
            let message = format!("the batch has {} operations", self.size());
            return Err(Error::new(Kind::TooLarge, message)
                .advice(format!("give at most {MAX_OPERATIONS} in one commit")));
        }
        let mut bytes = 0;
        let mut written = std::collections::HashSet::new();
        for operation in &self.operations {
            bytes += operation.bytes()?;
            let (Operation::Put(Put { key, .. }) | Operation::Delete(key)) = operation else {
                continue;
            };
            let name = key.table().name;
            if name.starts_with('_') && name != crate::schema::NAMESPACES.name {
                return Err(Error::new(
                    Kind::InvalidInput,
                    format!("{name} is kept by the driver"),
                )
                .advice("read it, do not write it"));
            }
            if !written.insert(key) {
                let message = "the batch writes one record twice";
                return Err(Error::new(Kind::InvalidInput, message)
                    .at(key.to_string())
                    .advice("give each record once in a commit"));
            }
        }
        if bytes > MAX_BATCH_BYTES {
            let message = format!("the batch has {bytes} bytes");
            return Err(Error::new(Kind::TooLarge, message)
                .advice(format!("give at most {MAX_BATCH_BYTES} bytes in one commit")));
        }
        Ok(())
    }

    /// What is kept with the operation id: a digest that differs when the batch asks for
    /// something else. Preconditions, which a retry may have to renew, are not part of it.
    pub fn digest(&self) -> [u8; 32] {
        self.fingerprint.unwrap_or_else(|| {
            let text = format!("{:?}{:?}", self.turn, self.operations);
            *blake3::hash(text.as_bytes()).as_bytes()
        })
    }
}

impl Operation {
    fn bytes(&self) -> Result<usize> {
        let checked = |body: &Json, place: &dyn fmt::Display| {
            if body.len() > MAX_BODY {
                return Err(Error::new(Kind::TooLarge, format!("a body has {} bytes", body.len()))
                    .at(place.to_string())
                    .advice(format!(
                        "a body has at most {MAX_BODY} bytes; keep larger content as an attachment"
                    )));
            }
            Ok(body.len())
        };
        match self {
            Self::Put(put) => checked(&put.body, &put.key),
            Self::Append(append) => append
                .entries
                .iter()
                .try_fold(0, |sum, e| Ok(sum + checked(&e.body, &append.stream)?)),
            Self::Rewrite { body, stream, .. } => checked(body, stream),
            Self::PutBlob(blob) => Ok(blob.bytes().len()),
            _ => Ok(0),
        }
    }
}
