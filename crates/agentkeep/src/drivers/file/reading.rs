//! Entries from the files. Whoever reads without the lock may meet a file that a later commit
//! changed: what does not fit is read again from a later moment, at last with the lock held. What
//! does not fit then is damaged.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::changes::StreamValue;
use super::index::{self, Broken};
use super::layout::{self, LOGS};
use super::space::Space;
use super::store::{SharedIndex, Store, lock};
use crate::driver::{Entries, Entry, Head, Read, Stretch, Which};
use crate::drivers::io_error;
use crate::drivers::kernel::StreamKey;
use crate::error::{Error, Kind, Result};
use crate::schema::{EntryId, Namespace, Stream, Turn};

/// What may be wrong with a stream's file.
enum Trouble {
    /// It is not what the state says: the state may be old.
    Unfit(Error),
    /// Anything else.
    Failed(Error),
}

type Tried<T> = std::result::Result<T, Trouble>;

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Trouble {
    fn error(self) -> Error {
        match self {
            Self::Unfit(error) | Self::Failed(error) => error,
        }
    }
}

/// Reads of one namespace.
#[derive(Clone, Copy)]
struct Files<'a> {
    store: &'a Store,
    namespace: &'a Namespace,
}

type Streams = BTreeMap<StreamKey, StreamValue>;

/// One line: which stream, as of which state, and its place in the index.
type Line<'a> = (&'a StreamKey, &'a StreamValue, usize);

impl Files<'_> {
    fn place(&self, key: &StreamKey, value: &StreamValue) -> PathBuf {
        layout::place(&self.store.base, self.namespace, &[LOGS, key.0])
            .join(layout::lines(&key.1, value.place.file))
    }

    fn unfit(&self, key: &StreamKey, value: &StreamValue, broken: &Broken) -> Trouble {
        Trouble::Unfit(broken.error(&self.place(key, value)))
    }

    fn file(&self, key: &StreamKey, value: &StreamValue) -> Tried<Arc<std::fs::File>> {
        let file = self.store.file(self.namespace, key, value).map_err(|error| {
            Trouble::Failed(io_error(&error, "a stream cannot be read", &self.place(key, value)))
        })?;
        file.ok_or_else(|| {
            let place = self.place(key, value).display().to_string();
            Trouble::Unfit(Error::new(Kind::Corrupt, "the stream's file is missing").at(place))
        })
    }

    /// Asks the index of a stream, gone over up to what the state has.
    fn ask<T>(
        &self,
        key: &StreamKey,
        value: &StreamValue,
        ask: impl FnOnce(&index::Index) -> T,
    ) -> Tried<T> {
        let shared = self.store.index(self.namespace, key, value);
        let mut index = lock(&shared);
        if !index.covers(value.place) {
            let file = self.file(key, value)?;
            index.cover(&file, value.place.end).map_err(|b| self.unfit(key, value, &b))?;
        }
        Ok(ask(&index))
    }

    /// The entries of consecutive lines.
    fn lines(
        &self,
        key: &StreamKey,
        value: &StreamValue,
        lines: std::ops::Range<usize>,
    ) -> Tried<Vec<Entry>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.ask(key, value, |index| index.bytes(lines.clone(), value.place))?;
        let file = self.file(key, value)?;
        let entries = index::entries(&file, &key.1, value.birth, bytes.clone())
            .map_err(|broken| self.unfit(key, value, &broken))?;
        if entries.len() == lines.len() {
            return Ok(entries);
        }
        Err(self.unfit(key, value, &Broken { at: bytes.start }))
    }

    fn number_of(
        &self,
        key: &StreamKey,
        value: &StreamValue,
        id: &EntryId,
    ) -> Tried<Option<usize>> {
        for line in self.ask(key, value, |index| index.of_id(id))? {
            if !self.is_there(key, value, line)? {
                continue;
            }
            let found = self.lines(key, value, line..line + 1)?;
            if found.first().is_some_and(|entry| entry.id.as_ref() == Some(id)) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// True for a line that the state has: not trimmed, not added later.
    fn is_there(&self, key: &StreamKey, value: &StreamValue, line: usize) -> Tried<bool> {
        self.ask(key, value, |index| index.within(value, 0, u64::MAX).contains(&line))
    }

    fn read(&self, streams: &Streams, log: &'static str, read: &Read) -> Tried<Entries> {
        let find = |stream: &Stream| streams.get_key_value(&(log, stream.clone()));
        // One more than asked for tells whether the limit cuts.
        let wanted = read.limit + 1;
        let mut lines: Vec<Line<'_>> = match &read.which {
            Which::Stretches(stretches) => {
                self.of_stretches(stretches, find, read.reverse, wanted)?
            }
            Which::Ids(ids) => {
                let mut lines = Vec::new();
                for (stream, id) in ids {
                    let Some((key, value)) = find(stream) else { continue };
                    lines.extend(self.number_of(key, value, id)?.map(|line| (key, value, line)));
                }
                taken(lines, read.reverse, wanted)
            }
            Which::Turn(turn) => taken(self.of_turn(streams, log, turn)?, read.reverse, wanted),
        };
        let heads = match &read.which {
            Which::Stretches(stretches) => {
                let head = |stretch: &Stretch| -> Option<Head> {
                    find(&stretch.stream).map(|(_, value)| value.head())
                };
                stretches.iter().map(head).collect()
            }
            _ => Vec::new(),
        };
        let more = lines.len() > read.limit;
        lines.truncate(read.limit);
        let entries = self.entries(&lines, read.reverse)?;
        Ok(Entries { entries, heads, more })
    }

    fn of_stretches<'a>(
        &self,
        stretches: &[Stretch],
        find: impl Fn(&Stream) -> Option<(&'a StreamKey, &'a StreamValue)>,
        reverse: bool,
        wanted: usize,
    ) -> Tried<Vec<Line<'a>>> {
        let mut lines: Vec<Line<'a>> = Vec::new();
        let mut order: Vec<&Stretch> = stretches.iter().collect();
        if reverse {
            order.reverse();
        }
        for stretch in order {
            let Some((key, value)) = find(&stretch.stream) else { continue };
            let (from, to) = (stretch.from, stretch.to);
            let range = self.ask(key, value, |index| index.within(value, from, to))?;
            let left = wanted - lines.len();
            if reverse {
                lines.extend(range.rev().take(left).map(|line| (key, value, line)));
            } else {
                lines.extend(range.take(left).map(|line| (key, value, line)));
            }
        }
        Ok(lines)
    }

    fn of_turn<'a>(
        &self,
        streams: &'a Streams,
        log: &'static str,
        turn: &Turn,
    ) -> Tried<Vec<Line<'a>>> {
        let mut lines = Vec::new();
        for (key, value) in streams.iter().filter(|((of, _), _)| *of == log) {
            for line in self.ask(key, value, |index| index.of_turn(turn))? {
                if !self.is_there(key, value, line)? {
                    continue;
                }
                let found = self.lines(key, value, line..line + 1)?;
                if found.first().is_some_and(|entry| entry.turn.as_ref() == Some(turn)) {
                    lines.push((key, value, line));
                }
            }
        }
        Ok(lines)
    }

    /// The entries of lines in any order; neighbours are read together.
    fn entries(&self, lines: &[Line<'_>], reverse: bool) -> Tried<Vec<Entry>> {
        let follows = |a: &Line<'_>, b: &Line<'_>| {
            let (first, second) = if reverse { (b.2, a.2) } else { (a.2, b.2) };
            std::ptr::eq(a.0, b.0) && first + 1 == second
        };
        let mut entries = Vec::with_capacity(lines.len());
        for run in lines.chunk_by(follows) {
            let (Some((key, value, first)), Some((.., last))) = (run.first(), run.last()) else {
                continue;
            };
            let mut found = self.lines(key, value, *first.min(last)..*first.max(last) + 1)?;
            if reverse {
                found.reverse();
            }
            entries.extend(found);
        }
        Ok(entries)
    }
}

fn taken<T>(mut all: Vec<T>, reverse: bool, count: usize) -> Vec<T> {
    if reverse {
        all.reverse();
    }
    all.truncate(count);
    all
}

/// Reads entries as of what this process knows.
pub(super) fn read(store: &Store, namespace: &Namespace, read: &Read) -> Result<Entries> {
    let files = Files { store, namespace };
    for _ in 0..3 {
        store.refresh(namespace)?;
        let (log, streams) = concerned(store, namespace, read)?;
        match files.read(&streams, log, read) {
            Err(Trouble::Unfit(_)) => {}
            done => return done.map_err(Trouble::error),
        }
    }
    // Nobody changes the files now: what does not fit is damaged.
    store.undisturbed(|| {
        store.bring_in(namespace)?;
        let (log, streams) = concerned(store, namespace, read)?;
        files.read(&streams, log, read).map_err(Trouble::error)
    })
}

/// Reads entries as of a snapshot.
pub(super) fn read_at(
    store: &Store,
    namespace: &Namespace,
    space: &Space,
    read: &Read,
) -> Result<Entries> {
    let log = known(space, read)?;
    Files { store, namespace }.read(&space.streams, log, read).map_err(Trouble::error)
}

fn known(space: &Space, read: &Read) -> Result<&'static str> {
    space.sound(crate::schema::STREAMS.name)?;
    space.known_log(read.log)
}

/// The streams that the read is about, as of one moment. Not the whole namespace: what is held
/// while a commit changes it would have to be copied.
fn concerned(store: &Store, namespace: &Namespace, read: &Read) -> Result<(&'static str, Streams)> {
    let state = store.state();
    let space = &state.home(namespace)?.space;
    let log = known(space, read)?;
    let find = |stream: &Stream| {
        let found = space.streams.get_key_value(&(log, stream.clone()));
        found.map(|(key, value)| (key.clone(), value.clone()))
    };
    let streams = match &read.which {
        Which::Stretches(stretches) => {
            stretches.iter().filter_map(|stretch| find(&stretch.stream)).collect()
        }
        Which::Ids(ids) => ids.iter().filter_map(|(stream, _)| find(stream)).collect(),
        Which::Turn(_) => Streams::clone(&space.streams),
    };
    Ok((log, streams))
}

/// The entries with these numbers, with the lock held.
pub(super) fn stretch(
    store: &Store,
    namespace: &Namespace,
    key: &StreamKey,
    value: &StreamValue,
    numbers: RangeInclusive<u64>,
) -> Result<Vec<Entry>> {
    let files = Files { store, namespace };
    let within = |index: &index::Index| index.within(value, *numbers.start(), *numbers.end());
    let lines = files.ask(key, value, within).map_err(Trouble::error)?;
    files.lines(key, value, lines).map_err(Trouble::error)
}

/// The number of the entry with this id, with the lock held; `index` is the one of `value`.
pub(super) fn number_of(
    store: &Store,
    namespace: &Namespace,
    key: &StreamKey,
    value: &StreamValue,
    index: &SharedIndex,
    id: &EntryId,
) -> Result<Option<u64>> {
    let lacks = |index: &index::Index| index.covers(value.place) && index.of_id(id).is_empty();
    if lacks(&lock(index)) {
        return Ok(None);
    }
    let files = Files { store, namespace };
    let Some(line) = files.number_of(key, value, id).map_err(Trouble::error)? else {
        return Ok(None);
    };
    files.ask(key, value, |index| index.number(line)).map_err(Trouble::error)
}

/// The first number from `number` on, and where its line begins, with the lock held.
pub(super) fn from(
    store: &Store,
    namespace: &Namespace,
    key: &StreamKey,
    value: &StreamValue,
    number: u64,
) -> Result<(Option<u64>, u64)> {
    let files = Files { store, namespace };
    let ask = |index: &index::Index| {
        let lines = index.within(value, number, u64::MAX);
        let first = if lines.is_empty() { None } else { index.number(lines.start) };
        let start =
            if lines.is_empty() { value.place.end } else { index.bytes(lines, value.place).start };
        (first, start)
    };
    files.ask(key, value, ask).map_err(Trouble::error)
}
