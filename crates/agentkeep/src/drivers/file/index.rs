//! Where the lines of a stream are: found by going over the file once, and over what was added
//! since whenever it is asked again.

use std::fs::File;
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use foldhash::fast::RandomState;

use super::changes::{Place, StreamValue};
use super::line;
use crate::driver::Entry;
use crate::drivers::kernel::Map;
use crate::error::{Error, Kind, Result};
use crate::schema::{EntryId, Stream, Turn};

/// So much is read at once.
const CHUNK: u64 = 1 << 20;

/// The lines of one file.
#[derive(Debug)]
pub(super) struct Index {
    birth: u64,
    file: u32,
    /// Up to where the file has been gone over.
    covered: u64,
    /// Number and place of each line, ascending.
    lines: Vec<(u64, u64)>,
    /// Places in `lines` by the hash of the entry's id.
    ids: Map<u64, u32>,
    /// Ids whose hash another one had already.
    twins: Map<EntryId, u32>,
    /// Places in `lines` by the hash of the entry's turn.
    turns: Map<u64, Vec<u32>>,
    hasher: RandomState,
}

/// A line that is not what it should be: of another state of the stream, or damaged.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: u64,
}

impl Index {
    pub(super) fn new(value: &StreamValue) -> Self {
        Self {
            birth: value.birth,
            file: value.place.file,
            covered: value.place.start,
            lines: Vec::new(),
            ids: Map::default(),
            twins: Map::default(),
            turns: Map::default(),
            hasher: RandomState::default(),
        }
    }

    pub(super) fn is_of(&self, value: &StreamValue) -> bool {
        (self.birth, self.file) == (value.birth, value.place.file)
            && self.lines.first().map_or(self.covered, |(_, at)| *at) <= value.place.start
    }

    /// True when there is nothing to go over up to there.
    pub(super) fn covers(&self, place: Place) -> bool {
        self.covered >= place.end || place.end == place.start
    }

    /// Goes over what was added up to `end`.
    pub(super) fn cover(&mut self, file: &File, end: u64) -> Result<(), Broken> {
        while self.covered < end {
            let start = self.covered;
            let mut chunk = read(file, start..end.min(start + CHUNK))?;
            if !chunk.contains(&b'\n') {
                // A line longer than a chunk.
                chunk = read(file, start..end)?;
            }
            let whole =
                chunk.iter().rposition(|byte| *byte == b'\n').ok_or(Broken { at: start })?;
            let mut at = start;
            for line in chunk[..whole].split(|byte| *byte == b'\n') {
                let (number, id, turn) = line::scan(line).ok_or(Broken { at })?;
                self.add(number, at, id.as_deref(), turn.as_deref()).ok_or(Broken { at })?;
                at += line.len() as u64 + 1;
            }
            self.covered = at;
        }
        Ok(())
    }

    /// Notes lines that were written behind the last one covered.
    pub(super) fn push(&mut self, at: u64, entry: &Entry, length: u64) {
        if self.covered == at {
            let id = entry.id.as_ref().map(EntryId::as_str);
            let turn = entry.turn.as_ref().map(Turn::as_str);
            if self.add(entry.number, at, id, turn).is_some() {
                self.covered += length;
            }
        }
    }

    fn add(&mut self, number: u64, at: u64, id: Option<&str>, turn: Option<&str>) -> Option<()> {
        let place = u32::try_from(self.lines.len()).ok()?;
        if self.lines.last().is_some_and(|(last, _)| *last >= number) {
            return None;
        }
        self.lines.push((number, at));
        if let Some(id) = id {
            let hash = self.hasher.hash_one(id);
            if let std::collections::hash_map::Entry::Vacant(free) = self.ids.entry(hash) {
                free.insert(place);
            } else {
                self.twins.insert(EntryId::new(id).ok()?, place);
            }
        }
        if let Some(turn) = turn {
            self.turns.entry(self.hasher.hash_one(turn)).or_default().push(place);
        }
        Some(())
    }

    /// The places of the lines with these numbers, as far as the state of the stream has them.
    pub(super) fn within(&self, value: &StreamValue, from: u64, to: u64) -> Range<usize> {
        let start = self.lines.partition_point(|(number, _)| *number < from.max(value.first));
        let to = to.min(value.last);
        let end = self.lines.partition_point(|(number, at)| *number <= to && *at < value.place.end);
        start..end.max(start)
    }

    /// The bytes of consecutive lines.
    pub(super) fn bytes(&self, lines: Range<usize>, place: Place) -> Range<u64> {
        let at = |i: usize| self.lines.get(i).map_or(self.covered, |(_, at)| *at).min(place.end);
        at(lines.start)..at(lines.end)
    }

    /// Lines that may have this id: the hash is right, the line must be asked.
    pub(super) fn of_id(&self, id: &EntryId) -> Vec<usize> {
        let hash = self.hasher.hash_one(id.as_str());
        let found = self.ids.get(&hash).into_iter().chain(self.twins.get(id));
        found.map(|place| *place as usize).collect()
    }

    /// Lines that may be of this turn.
    pub(super) fn of_turn(&self, turn: &Turn) -> Vec<usize> {
        let found = self.turns.get(&self.hasher.hash_one(turn.as_str())).into_iter().flatten();
        found.map(|place| *place as usize).collect()
    }

    pub(super) fn number(&self, line: usize) -> Option<u64> {
        self.lines.get(line).map(|(number, _)| *number)
    }
}

fn read(file: &File, bytes: Range<u64>) -> Result<Vec<u8>, Broken> {
    let length = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(0);
    let mut found = vec![0; length];
    file.read_exact_at(&mut found, bytes.start).map_err(|_| Broken { at: bytes.start })?;
    Ok(found)
}

/// The entries of consecutive lines.
pub(super) fn entries(
    file: &File,
    stream: &Stream,
    birth: u64,
    bytes: Range<u64>,
) -> Result<Vec<Entry>, Broken> {
    let mut at = bytes.start;
    let found = read(file, bytes)?;
    let mut entries = Vec::new();
    for line in found.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").ok_or(Broken { at })?;
        entries.push(line::read(stream, birth, text).map_err(|_| Broken { at })?);
        at += line.len() as u64;
    }
    Ok(entries)
}

impl Broken {
    pub(super) fn error(&self, place: &std::path::Path) -> Error {
        Error::new(Kind::Corrupt, "a line is damaged")
            .at(format!("{} byte {}", place.display(), self.at))
            .advice("run check, and restore the file from a backup")
    }
}
