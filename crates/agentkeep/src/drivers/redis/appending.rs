//! Batches that only append to streams that are there, as one call of the append script: what they
//! expect is looked at once, and each stream is written once.
//!
//! The script takes all that can be taken and names the others, which are left as they are: they
//! are for the commit script.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::calling::Call;
use super::encode::{Sending, field};
use super::keys::{Space, calls};
use super::plan::Plan;
use super::rows::entry_tail;
use crate::driver::{Append, Batch, Committed, Expect, NewEntry, Operation, Outcome};
use crate::drivers::server::answer::strange;
use crate::error::Result;
use crate::schema::{BUILT_IN, EntryId, Key, Log, STREAMS, Table, Turn};

/// Most entries of a call: its arguments are limited by Lua's stack.
pub(super) const ENTRIES: usize = 2_000;
/// Most preconditions of a batch.
const EXPECTS: usize = 16;
/// The largest version that the script counts exactly.
const VERSION: u64 = 1 << 52;
/// Streams that are told of by name.
const HINTS: usize = 64;

/// The append of a batch that does nothing else, and expects nothing that appends change.
pub(super) fn plain(batch: &Batch) -> Option<&Append> {
    let [Operation::Append(append)] = batch.operations.as_slice() else { return None };
    let fixed = |expect: &Expect| {
        let Some((key, version)) = wanted(expect) else { return false };
        let built_in = BUILT_IN.iter().any(|table| table.name == key.table().name);
        !built_in && version.is_none_or(|version| version <= VERSION)
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
    streams: Vec<Stream<'a>>,
    conditions: Conditions<'a>,
}

/// For each table the keys, and the versions that are wanted.
type Conditions<'a> = Vec<(&'static Table, Vec<(&'a Key, Option<u64>)>)>;

/// The appends to one stream.
struct Stream<'a> {
    first: &'a Append,
    lots: Vec<Lot<'a>>,
}

/// Those that expect the same and are of the same turn, with their places in the group.
struct Lot<'a> {
    first: &'a Batch,
    /// The table and the place there of each condition.
    conditions: Vec<(usize, usize)>,
    appends: Vec<(usize, &'a Append)>,
}

impl<'a> Appending<'a> {
    /// Batches that are not plain, and those that repeat an id, are left out.
    pub(super) fn new(group: &[&'a Batch]) -> Self {
        let mut all = Self { count: group.len(), streams: Vec::new(), conditions: Vec::new() };
        let (mut streams, mut conditions) = (HashMap::new(), HashMap::new());
        let mut ids = HashSet::new();
        for (i, batch) in group.iter().enumerate() {
            let Some(append) = plain(batch) else { continue };
            let stream = (append.log.name, append.stream.as_str());
            let stream = *streams.entry(stream).or_insert_with(|| {
                all.streams.push(Stream { first: append, lots: Vec::new() });
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
        all
    }

    /// True when all were left out.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What is sent: what is sent with every commit, a hint, the plan; then the keys of the conditions,
    /// the streams, for each stream the ids and the entries, and the turns.
    pub(super) fn call(
        &self,
        space: &Space,
        sending: &Sending<'a>,
        namespace: &'a str,
    ) -> Call<'a> {
        let keep = sending.keep.map_or(String::new(), |keep| keep.to_string());
        let own = |text: String| Cow::Owned(text.into_bytes());
        let mut writing = Writing {
            space,
            keys: vec![space.of(&calls(sending.client)), space.records(&STREAMS)],
            arguments: vec![
                own(sending.slot.to_string()),
                own(sending.number.to_string()),
                own(keep),
                own(sending.time.to_string()),
                Cow::Borrowed(sending.channel.as_bytes()),
                own(self.hint(namespace)),
                Cow::Borrowed(b""),
            ],
            plan: Plan::default(),
            turns: Vec::new(),
        };
        let place_of_plan = writing.arguments.len() - 1;
        writing.conditions(&self.conditions);
        writing.plan.count(self.streams.len());
        let fields =
            self.streams.iter().map(|Stream { first, .. }| field(first.log, &first.stream));
        writing.arguments.extend(fields.map(own));
        let mut turns = writing.arguments.len() + 1;
        turns += 2 * self.streams.iter().flat_map(Stream::entries).count();
        let firsts = self.firsts();
        for stream in &self.streams {
            writing.stream(namespace, stream, &firsts, turns);
        }
        let Writing { keys, mut arguments, plan, turns, .. } = writing;
        arguments.extend(turns.iter().map(|(turn, _)| Cow::Borrowed(turn.as_bytes())));
        if let Some(place) = arguments.get_mut(place_of_plan) {
            *place = Cow::Owned(plan.encode());
        }
        Call { keys, arguments }
    }

    /// What is told to who listens: the streams, or nothing for any.
    fn hint(&self, namespace: &str) -> String {
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

    /// How many conditions come before those of each table.
    fn firsts(&self) -> Vec<usize> {
        let counts = self.conditions.iter().map(|(_, conditions)| conditions.len());
        let before = counts.scan(0, |sum, count| {
            *sum += count;
            Some(*sum - count)
        });
        before.collect()
    }

    /// What each batch of the group got; nothing for those that are for the commit script.
    pub(super) fn part(&self, answer: &str) -> Result<Vec<Option<Committed>>> {
        self.read(answer).ok_or_else(|| strange(answer))
    }

    /// `ok TIME FIRSTS LEFT`: the first number given in each stream, and the batches not taken.
    fn read(&self, answer: &str) -> Option<Vec<Option<Committed>>> {
        let mut parts = vec![None; self.count];
        let mut words = answer.strip_prefix("ok ")?.split(' ');
        let time = words.next()?.parse().ok()?;
        let mut firsts = words.next()?.split(',');
        let left = words.next()?.split(',').filter(|place| !place.is_empty());
        let left = left.map(|place| place.parse::<usize>().ok()).collect::<Option<HashSet<_>>>()?;
        let mut count = 0;
        for stream in &self.streams {
            let mut next = firsts.next()?.parse::<u64>().ok();
            for (i, append) in stream.lots.iter().flat_map(|lot| &lot.appends) {
                count += 1;
                if left.contains(&count) {
                    continue;
                }
                let first = next?;
                let end = first.checked_add(append.entries.len() as u64)?;
                next = Some(end);
                let outcomes = vec![Outcome::Appended { numbers: (first..end).collect() }];
                *parts.get_mut(*i)? = Some(Committed { time, replayed: false, outcomes });
            }
        }
        Some(parts)
    }
}

impl<'a> Stream<'a> {
    fn entries(&self) -> impl Iterator<Item = &'a NewEntry> {
        let appends = self.lots.iter().flat_map(|lot| &lot.appends);
        appends.flat_map(|(_, append)| &append.entries)
    }
}

/// A call as it is put together.
struct Writing<'a, 's> {
    space: &'s Space,
    keys: Vec<String>,
    arguments: Vec<Cow<'a, [u8]>>,
    plan: Plan,
    /// Turns, and the places of their indexes among the keys.
    turns: Vec<(&'a str, usize)>,
}

impl<'a> Writing<'a, '_> {
    fn conditions(&mut self, conditions: &Conditions<'a>) {
        self.plan.count(conditions.len());
        for (table, of_table) in conditions {
            self.keys.push(self.space.records(table));
            self.plan.count(self.keys.len());
            self.plan.count(of_table.len());
            for (key, version) in of_table {
                self.arguments.push(Cow::Borrowed(key.encoded().as_bytes()));
                self.plan.push(version.map_or(0, |version| version + 1));
            }
        }
    }

    /// `turns` is the place of the first turn among the arguments.
    fn stream(&mut self, namespace: &str, of: &Stream<'a>, firsts: &[usize], turns: usize) {
        let Append { log, stream, .. } = of.first;
        self.keys.extend([self.space.entries(log, stream), self.space.ids(log, stream)]);
        self.plan.count(self.keys.len() - 1);
        let before = self.arguments.len();
        let mut has_ids = false;
        for entry in of.entries() {
            let id = entry.id.as_ref().map_or("", EntryId::as_str);
            has_ids |= !id.is_empty();
            self.arguments.push(Cow::Borrowed(id.as_bytes()));
        }
        self.plan.count(self.arguments.len() - before);
        self.plan.count(usize::from(has_ids));
        self.plan.count(of.lots.len());
        for lot in &of.lots {
            self.plan.count(lot.conditions.len());
            for (table, place) in &lot.conditions {
                self.plan.count(firsts.get(*table).map_or(0, |first| first + place + 1));
            }
            let turn = lot.first.turn.as_ref().map_or("", Turn::as_str);
            let (place, index) = self.turn(log, turn);
            self.plan.count(if index == 0 { 0 } else { turns + place });
            self.plan.count(index);
            self.plan.count(lot.appends.len());
            for (_, append) in &lot.appends {
                self.plan.count(append.entries.len());
                self.plan.count(append.entries.iter().map(|entry| entry.body.len()).sum());
                for entry in &append.entries {
                    let id = entry.id.as_ref().map_or("", EntryId::as_str);
                    let names = (namespace, log.name, stream.as_str());
                    let tail = entry_tail(names, (id, turn), "", &entry.body);
                    self.arguments.push(Cow::Owned(tail.into_bytes()));
                }
            }
        }
    }

    /// The place of the turn among those of the call, and that of its index among the keys.
    fn turn(&mut self, log: &Log, turn: &'a str) -> (usize, usize) {
        if turn.is_empty() {
            return (0, 0);
        }
        let key = self.space.turns(log);
        let index = self.keys.iter().rposition(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        let known = self.turns.iter().position(|known| *known == (turn, index));
        let place = known.unwrap_or_else(|| {
            self.turns.push((turn, index));
            self.turns.len() - 1
        });
        (place, index + 1)
    }
}

/// Whether no id of the append comes twice; then they are remembered.
fn are_new<'a>(ids: &mut HashSet<(usize, &'a str)>, stream: usize, append: &'a Append) -> bool {
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
