//! Batches that only append to streams that are there, as one call of the append script: what they
//! expect is looked at once, and each stream is written once.
//!
//! The script takes all that can be taken and names the others, which are left as they are: they
//! are for the commit script.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::seen::Seen;
use super::successor::{self, Successor};
use crate::driver::{Append, Batch, Committed, Expect, NewEntry, Operation, Outcome};
use crate::drivers::server::answer::strange;
use crate::error::Result;
use crate::schema::{BUILT_IN, EntryId, Key, Table};

/// Most entries of a call: its arguments are limited by Lua's stack.
pub(super) const ENTRIES: usize = 2_000;
/// Most preconditions of a batch.
const EXPECTS: usize = 16;
/// Streams that are told of by name.
const HINTS: usize = 64;

/// The append of a batch that does nothing else, and expects nothing that appends change.
pub(super) fn plain(batch: &Batch) -> Option<&Append> {
    let [Operation::Append(append)] = batch.operations.as_slice() else { return None };
    let fixed = |expect: &Expect| {
        let Some((key, _)) = wanted(expect) else { return false };
        !BUILT_IN.iter().any(|table| table.name == key.table().name)
    };
    let simple = batch.operation.is_none()
        && append.start.is_none()
        && (1..=ENTRIES).contains(&append.entries.len())
        && append.entries.iter().all(|entry| entry.refs.is_empty())
        && batch.expect.len() <= EXPECTS
        && batch.expect.iter().all(fixed);
    simple.then_some(append)
}

/// The version of a record that is wanted: 0 is none, nothing is any.
fn wanted(expect: &Expect) -> Option<(&Key, Option<u64>)> {
    match expect {
        Expect::Absent(key) => Some((key, Some(0))),
        Expect::Exists(key) => Some((key, None)),
        Expect::Version(key, version) => Some((key, Some(*version))),
        _ => None,
    }
}

/// Batches of one namespace.
pub(super) struct Appending<'a> {
    count: usize,
    pub(super) streams: Vec<Stream<'a>>,
    pub(super) conditions: Conditions<'a>,
}

/// For each table the keys, and the versions that are wanted.
pub(super) type Conditions<'a> = Vec<(&'static Table, Vec<(&'a Key, Option<u64>)>)>;

type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The ids of a group, each with the place of its stream.
type Ids<'a> = HashSet<(usize, &'a str), RandomState>;

/// The appends to one stream.
pub(super) struct Stream<'a> {
    pub(super) first: &'a Append,
    pub(super) lots: Vec<Lot<'a>>,
    pub(super) head: Known,
}

/// What is known of the head of a stream. What it becomes is computed here for one entry of one
/// batch: with more, the server computes it once for all of them.
#[derive(Default)]
pub(super) enum Known {
    #[default]
    NotAsked,
    Asked,
    Was(Arc<str>, Successor),
}

/// What each batch got, and the head that it has left if that is told; nothing for those that are for
/// the commit script.
pub(super) type Parts = Vec<Option<(Committed, Option<String>)>>;

/// Those that expect the same and are of the same turn, with their places in the group.
pub(super) struct Lot<'a> {
    pub(super) first: &'a Batch,
    /// The table and the place there of each condition.
    pub(super) conditions: Vec<(usize, usize)>,
    pub(super) appends: Vec<(usize, &'a Append)>,
}

impl<'a> Appending<'a> {
    /// Batches that are not plain, and those that repeat an id, are left out.
    pub(super) fn new(group: &[&'a Batch], seen: &Seen) -> Self {
        let mut all = Self { count: group.len(), streams: Vec::new(), conditions: Vec::new() };
        let (mut streams, mut conditions) = (HashMap::default(), HashMap::default());
        let mut ids = Ids::default();
        for (i, batch) in group.iter().enumerate() {
            let Some(append) = plain(batch) else { continue };
            let stream = (append.log.name, append.stream.as_str());
            let stream = *streams.entry(stream).or_insert_with(|| {
                all.streams.push(Stream {
                    first: append,
                    lots: Vec::new(),
                    head: Known::default(),
                });
                all.streams.len() - 1
            });
            if !are_new(&mut ids, stream, append) {
                continue;
            }
            let Some(Stream { lots, .. }) = all.streams.get_mut(stream) else { continue };
            let alike = |lot: &&mut Lot<'_>| {
                lot.first.turn == batch.turn && lot.first.expect == batch.expect
            };
            if let Some(lot) = lots.iter_mut().find(alike) {
                lot.appends.push((i, append));
                continue;
            }
            let places = batch.expect.iter().filter_map(wanted).map(|condition| {
                let new = || place_of(&mut all.conditions, condition);
                *conditions.entry(condition).or_insert_with(new)
            });
            let conditions = places.collect();
            lots.push(Lot { first: batch, conditions, appends: vec![(i, append)] });
        }
        all.streams.retain(|stream| !stream.lots.is_empty());
        for stream in &mut all.streams {
            stream.head = stream.known(seen);
        }
        all
    }

    /// True when all were left out.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What is told to who listens: the streams, or nothing for any.
    pub(super) fn hint(&self, namespace: &str) -> String {
        if self.streams.len() > HINTS {
            return String::new();
        }
        let mut hint = String::new();
        for Stream { first, .. } in &self.streams {
            let separator = if hint.is_empty() { "" } else { "\n" };
            let _ = write!(
                hint,
                "{separator}{namespace}\u{1f}{}\u{1f}{}",
                first.log.name, first.stream
            );
        }
        hint
    }

    /// What each batch of the group got.
    pub(super) fn part(&self, answer: &str) -> Result<Parts> {
        self.read(answer).ok_or_else(|| strange(answer))
    }

    /// `ok TIME FIRSTS LEFT`: what was given in each stream, and the batches not taken. In a stream was
    /// given what is known (`=`), what its new head says, this number first and those after it, or
    /// nothing (`-`).
    fn read(&self, answer: &str) -> Option<Parts> {
        let mut parts = vec![None; self.count];
        let mut words = answer.strip_prefix("ok ")?.split(' ');
        let now = words.next()?;
        let time = now.parse().ok()?;
        let mut firsts = words.next()?.split(',');
        let left = words.next()?.split(',').filter(|place| !place.is_empty());
        let left = left.map(|place| place.parse::<usize>().ok()).collect::<Option<HashSet<_>>>()?;
        let mut count = 0;
        for stream in &self.streams {
            let told = firsts.next()?;
            let (mut next, head) = match &stream.head {
                Known::Was(_, Successor { number, before, after, .. }) if told == "=" => {
                    (Some(*number), Some([before.as_str(), now, after].concat()))
                }
                _ if told.contains('\u{1f}') => (successor::last(told), Some(told.to_owned())),
                _ => (told.parse().ok(), None),
            };
            for (i, append) in stream.lots.iter().flat_map(|lot| &lot.appends) {
                count += 1;
                if left.contains(&count) {
                    continue;
                }
                let first = next?;
                let end = first.checked_add(append.entries.len() as u64)?;
                next = Some(end);
                let outcomes = vec![Outcome::Appended { numbers: (first..end).collect() }];
                let committed = Committed { time, replayed: false, outcomes };
                *parts.get_mut(*i)? = Some((committed, head.clone()));
            }
        }
        Some(parts)
    }
}

impl<'a> Stream<'a> {
    pub(super) fn entries(&self) -> impl Iterator<Item = &'a NewEntry> {
        let appends = self.lots.iter().flat_map(|lot| &lot.appends);
        appends.flat_map(|(_, append)| &append.entries)
    }

    fn known(&self, seen: &Seen) -> Known {
        let [Lot { first, appends, .. }] = self.lots.as_slice() else { return Known::NotAsked };
        let [(_, append)] = appends.as_slice() else { return Known::NotAsked };
        let ([entry], None) = (append.entries.as_slice(), &first.turn) else {
            return Known::NotAsked;
        };
        let Some(row) = seen.head(&first.namespace, append) else { return Known::Asked };
        successor::of(&row, entry.body.len()).map_or(Known::Asked, |next| Known::Was(row, next))
    }
}

/// Whether no id of the append comes twice; then they are remembered.
fn are_new<'a>(ids: &mut Ids<'a>, stream: usize, append: &'a Append) -> bool {
    let own = || append.entries.iter().filter_map(|entry| entry.id.as_ref()).map(EntryId::as_str);
    let new = own().take_while(|id| ids.insert((stream, *id))).count();
    let all = new == own().count();
    if !all {
        for id in own().take(new) {
            ids.remove(&(stream, id));
        }
    }
    all
}

/// The place of a new condition.
fn place_of<'a>(
    conditions: &mut Conditions<'a>,
    (key, version): (&'a Key, Option<u64>),
) -> (usize, usize) {
    let known = conditions.iter().position(|(table, _)| table.name == key.table().name);
    let place = known.unwrap_or_else(|| {
        conditions.push((key.table(), Vec::new()));
        conditions.len() - 1
    });
    let of_table = conditions.get_mut(place).map(|(_, of_table)| {
        of_table.push((key, version));
        of_table.len() - 1
    });
    (place, of_table.unwrap_or(0))
}
