//! What a random sequence consists of: plain data, so that a failure prints a list to replay.
//! Ids are small numbers, so that things meet.

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Change),
    /// Commits a batch of before once more, to the letter.
    Repeat {
        back: usize,
    },
    /// Takes a snapshot, in the place of the one before.
    Freeze {
        space: u8,
    },
    Get(Source, Vec<Id>),
    /// All pages, one after the other.
    Find(Source, Search),
    /// Only the first page.
    FindFirst(Search, u8),
    /// The page after the one that the last step of these kinds gave.
    FindNext,
    Read(Source, Reading),
    Blobs(Source, Vec<u8>, bool),
}

/// Where to read: now, or in the namespace's snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) space: u8,
    pub(crate) frozen: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) space: u8,
    pub(crate) operation: Option<u8>,
    pub(crate) turn: Option<u8>,
    pub(crate) expect: Vec<Wish>,
    pub(crate) acts: Vec<Act>,
}

#[derive(Debug, Clone)]
pub(crate) enum Id {
    Thing(u8),
    Pair(u8, u8),
    Four(u8, u8),
    /// The record of the namespace so many after the step's own.
    Name(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Of {
    pub(crate) log: bool,
    pub(crate) stream: u8,
}

/// A number of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Exactly(u64),
    /// So many below the last one.
    Back(u64),
}

#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Absent(Id),
    Exists(Id),
    /// So many below the version that it has: where versions start is the driver's.
    Version(Id, u64),
    Ends(Of, Count),
    NoRecord(u8, usize),
    Blob(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    Any,
    Create,
    /// So many below the version that it has.
    At(u64),
}

#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) kind: usize,
    pub(crate) rank: usize,
    pub(crate) tags: Vec<usize>,
    pub(crate) hidden: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) id: Option<u8>,
    pub(crate) body: usize,
    pub(crate) refs: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Put(Id, Body, Over, Vec<u8>),
    Delete(Id),
    /// The last part: how far above the last number to start.
    Append(Of, Vec<New>, bool, Option<u64>),
    Trim(Of, Count),
    Rewrite(Of, Count, usize, Vec<u8>),
    Drop(Of),
    PutBlob(u8),
    DropBlob(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    Open,
    With(usize),
    Without(usize),
}

#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Which of the indexes.
    pub(crate) index: usize,
    pub(crate) equal: Vec<usize>,
    pub(crate) range: (Edge, Edge),
    pub(crate) reverse: bool,
    pub(crate) limit: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) log: bool,
    pub(crate) which: Which,
    pub(crate) reverse: bool,
    pub(crate) limit: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Which {
    Stretches(Vec<(u8, u64, Option<u64>)>),
    Ids(Vec<(u8, u8)>),
    Turn(u8),
}

/// Values of fields and bodies of entries.
pub(crate) const VALUES: [&str; 16] = [
    "null",
    "false",
    "true",
    "-1e400",
    "-1",
    "0",
    "-0",
    "1.0",
    "1.5",
    "9223372036854775807",
    "18446744073709551616",
    "\"\"",
    "\"a\"",
    "\"a\\u0000\"",
    "\"é\"",
    "[1]",
];
/// Each table with each of its indexes; the last ones are built in.
pub(crate) const INDEXES: usize = 14;

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        6 => (0..5u8).prop_map(Id::Thing),
        2 => (0..3u8, 0..3u8).prop_map(|(a, b)| Id::Pair(a, b)),
        1 => (0..2u8, 0..3u8).prop_map(|(a, b)| Id::Four(a, b)),
        1 => prop_oneof![6 => Just(0u8), 1 => 1..3u8].prop_map(Id::Name),
    ]
}

/// Mostly the first of three names.
fn name() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0u8), 2 => Just(1), 1 => Just(2)]
}

fn stream() -> impl Strategy<Value = Of> {
    (prop::bool::weighted(0.1), name()).prop_map(|(log, stream)| Of { log, stream })
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![
        3 => (0..4u64).prop_map(Count::Back),
        1 => (0..6u64).prop_map(Count::Exactly),
    ]
}

/// How many below the version that it has; what is absent has 0.
fn version() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0u64), 1 => 1..3u64, 1 => Just(1000)]
}

fn value() -> std::ops::Range<usize> {
    0..VALUES.len()
}

fn refs() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![12 => Just(Vec::new()), 2 => vec(0..3u8, 1..3)]
}

fn body() -> impl Strategy<Value = Body> {
    (value(), value(), vec(value(), 0..3), prop::bool::weighted(0.3))
        .prop_map(|(kind, rank, tags, hidden)| Body { kind, rank, tags, hidden })
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        id().prop_map(Wish::Absent),
        id().prop_map(Wish::Exists),
        (id(), version()).prop_map(|(id, version)| Wish::Version(id, version)),
        (stream(), count()).prop_map(|(of, last)| Wish::Ends(of, last)),
        (0..5u8, value()).prop_map(|(index, value)| Wish::NoRecord(index, value)),
        (0..3u8).prop_map(Wish::Blob),
    ]
}

fn over() -> impl Strategy<Value = Over> {
    prop_oneof![8 => Just(Over::Any), 1 => Just(Over::Create), 2 => version().prop_map(Over::At)]
}

fn new_entry() -> impl Strategy<Value = New> {
    (weighted(0.4, 0..8u8), value(), refs()).prop_map(|(id, body, refs)| New { id, body, refs })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (id(), body(), over(), refs()).prop_map(|(id, b, o, r)| Act::Put(id, b, o, r)),
        1 => id().prop_map(Act::Delete),
        8 => (stream(), vec(new_entry(), 0..4), any::<bool>(), weighted(0.15, 0..4u64))
            .prop_map(|(of, new, answer, start)| Act::Append(of, new, answer, start)),
        1 => (stream(), count()).prop_map(|(of, before)| Act::Trim(of, before)),
        1 => (stream(), count(), value(), refs())
            .prop_map(|(of, number, body, refs)| Act::Rewrite(of, number, body, refs)),
        1 => stream().prop_map(Act::Drop),
        4 => (0..3u8).prop_map(Act::PutBlob),
        1 => (0..3u8).prop_map(Act::DropBlob),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let expect = prop_oneof![6 => Just(Vec::new()), 1 => vec(wish(), 1..3)];
    (space(), weighted(0.2, 0..8u8), weighted(0.5, 0..3u8), expect, vec(act(), 0..5)).prop_map(
        |(space, operation, turn, expect, acts)| Change { space, operation, turn, expect, acts },
    )
}

/// Mostly the first one.
fn space() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2)]
}

fn source() -> impl Strategy<Value = Source> {
    (space(), prop::bool::weighted(0.2)).prop_map(|(space, frozen)| Source { space, frozen })
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![
        4 => Just(Edge::Open),
        1 => value().prop_map(Edge::With),
        1 => value().prop_map(Edge::Without),
    ]
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..4usize, 1 => Just(100)]
}

fn search() -> impl Strategy<Value = Search> {
    (0..INDEXES, vec(value(), 0..2), (edge(), edge()), any::<bool>(), limit()).prop_map(
        |(index, equal, range, reverse, limit)| Search { index, equal, range, reverse, limit },
    )
}

fn reading() -> impl Strategy<Value = Reading> {
    let which = prop_oneof![
        3 => vec((name(), 0..4u64, of(0..20u64)), 1..4).prop_map(Which::Stretches),
        1 => vec((name(), 0..6u8), 1..5).prop_map(Which::Ids),
        1 => (0..3u8).prop_map(Which::Turn),
    ];
    (prop::bool::weighted(0.1), which, any::<bool>(), limit())
        .prop_map(|(log, which, reverse, limit)| Reading { log, which, reverse, limit })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => change().prop_map(Step::Commit),
        3 => (0..6usize).prop_map(|back| Step::Repeat { back }),
        1 => space().prop_map(|space| Step::Freeze { space }),
        2 => (source(), vec(id(), 0..4)).prop_map(|(source, ids)| Step::Get(source, ids)),
        4 => (source(), search()).prop_map(|(source, search)| Step::Find(source, search)),
        3 => (search(), space()).prop_map(|(search, space)| Step::FindFirst(search, space)),
        3 => Just(Step::FindNext),
        4 => (source(), reading()).prop_map(|(source, reading)| Step::Read(source, reading)),
        1 => (source(), vec(0..3u8, 0..4), any::<bool>())
            .prop_map(|(source, hashes, bytes)| Step::Blobs(source, hashes, bytes)),
    ]
}

/// A sequence: one step a line, however it is printed.
#[derive(Clone)]
pub(crate) struct Steps(pub(crate) Vec<Step>);

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "\n    {step:?}"))
    }
}

/// 50 steps on average; a range, so that a failing sequence can be cut short.
pub(crate) fn steps() -> impl Strategy<Value = Steps> {
    vec(step(), 1..100).prop_map(Steps)
}
