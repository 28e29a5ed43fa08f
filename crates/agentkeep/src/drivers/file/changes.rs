//! What a group of commits changed, as the journal keeps it: final values only, so that doing it
//! again changes nothing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One group of commits: all of it happened, or none.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Group<'a> {
    /// The time of the commits.
    pub(super) time: i64,
    #[serde(borrow)]
    pub(super) spaces: Vec<SpaceChange<'a>>,
}

/// What changed in one namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SpaceChange<'a> {
    #[serde(borrow)]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) records: Vec<RecordChange<'a>>,
    #[serde(borrow)]
    pub(super) streams: Vec<StreamChange<'a>>,
    #[serde(borrow)]
    pub(super) lines: Vec<Lines<'a>>,
    pub(super) blobs: Vec<([u8; 32], Option<BlobChange>)>,
    pub(super) floors: [u64; 4],
    /// For each table with a change: how many records it has, and the sum of their checksums.
    #[serde(borrow)]
    pub(super) tables: Vec<(Cow<'a, str>, u64, u64)>,
    #[serde(borrow)]
    pub(super) operations: Vec<OperationChange<'a>>,
}

/// A record written, or removed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordChange<'a> {
    #[serde(borrow)]
    pub(super) table: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) value: Option<RecordValue<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordValue<'a> {
    pub(super) version: u64,
    #[serde(borrow)]
    pub(super) turn: Option<Cow<'a, str>>,
    pub(super) refs: Vec<[u8; 32]>,
    #[serde(borrow)]
    pub(super) body: Cow<'a, str>,
}

/// A stream's head written, or the stream removed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StreamChange<'a> {
    #[serde(borrow)]
    pub(super) log: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    pub(super) value: Option<StreamValue>,
}

/// A stream's head, the version of its record, and where its lines are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamValue {
    pub(super) birth: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) updated: i64,
    pub(super) version: u64,
    pub(super) place: Place,
}

/// Which file has a stream's lines, and which part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    /// 1 for a stream's first file; +1 each time the file is written anew.
    pub(super) file: u32,
    /// Lines before this were trimmed.
    pub(super) start: u64,
    /// Where the next line goes. What stands behind it does not count.
    pub(super) end: u64,
}

/// Lines added to a stream's file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lines<'a> {
    #[serde(borrow)]
    pub(super) log: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    pub(super) birth: u64,
    pub(super) file: u32,
    pub(super) at: u64,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlobChange {
    pub(super) size: u64,
    pub(super) references: u64,
    pub(super) unreferenced_since: Option<i64>,
    pub(super) version: u64,
}

/// What an operation id stands for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OperationChange<'a> {
    #[serde(borrow)]
    pub(super) operation: Cow<'a, str>,
    pub(super) digest: [u8; 32],
    pub(super) time: i64,
    /// The outcomes as JSON.
    #[serde(borrow)]
    pub(super) outcomes: Cow<'a, str>,
    pub(super) replayed: bool,
}
