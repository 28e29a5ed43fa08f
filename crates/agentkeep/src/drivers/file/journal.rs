//! The journal: two files that take turns. One takes the groups of commits until all they changed
//! is in its place; then the other takes over, and the first stays as it is until the next turn,
//! for processes that have not read to its end.
//!
//! A file begins with a header; then frames follow, each with its length and a checksum over the
//! frame before, so that what is left of an earlier turn is never taken for a frame of this one.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::folder::Folder;

/// "akjl", the format of the journal, then the header's three numbers and its checksum.
const MAGIC: [u8; 8] = *b"akjl\0\0\0\x01";
pub(super) const HEADER: u64 = HEADER_BYTES as u64;
const HEADER_BYTES: usize = 40;
/// Length and checksum before each frame.
const PREFIX: usize = 8;
/// A file grows by as much as it has, but by no less and no more than this at once.
const GROWTH: (usize, usize) = (4 << 10, 256 << 10);

/// A place in the journal: everything before it has been committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Which turn.
    pub(super) number: u64,
    /// The byte of the file.
    pub(super) end: u64,
    /// The checksum of the last frame.
    pub(super) chain: u32,
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    /// Where the turn before ended.
    pub(super) ended: u64,
}

/// The payload of a frame, with room before it for what the journal puts there.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// An empty one that may grow to so many bytes before it has to move.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut frame = Vec::with_capacity(PREFIX + bytes);
        frame.resize(PREFIX, 0);
        Self(frame)
    }
}

impl Extend<u8> for Frame {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.0.extend(bytes);
    }
}

/// Both files, open.
#[derive(Debug)]
pub(super) struct Journal {
    files: [File; 2],
    base: Folder,
    /// How long each file is at least.
    lengths: [AtomicU64; 2],
}

impl Position {
    /// Before the first frame of a turn.
    pub(super) fn start(number: u64) -> Self {
        Self { number, end: HEADER, chain: sum(0, &number.to_le_bytes()) }
    }
}

fn sum(chain: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&chain.to_le_bytes());
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn name(i: u64) -> String {
    format!("journal.{i}")
}

impl Journal {
    /// Opens both files, made if need be; true when one was made.
    pub(super) fn open(base: &Folder) -> Result<(Self, bool)> {
        let (first, made) = base.make_file(&name(0))?;
        let (second, also) = base.make_file(&name(1))?;
        let lengths = [AtomicU64::new(0), AtomicU64::new(0)];
        Ok((Self { files: [first, second], base: base.clone(), lengths }, made || also))
    }

    fn file(&self, number: u64) -> &File {
        if number.is_multiple_of(2) { &self.files[0] } else { &self.files[1] }
    }

    /// The header of the file that turn `number` uses, if it is sound.
    pub(super) fn header(&self, number: u64) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        match self.file(number).read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let number_at = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let sound = bytes[..8] == MAGIC
            && number_at(24) == u64::from(sum(0, &bytes[..24]))
            && number_at(32) == 0;
        Ok(sound.then(|| Header { number: number_at(8), ended: number_at(16) }))
    }

    /// Begins a turn after `before`.
    pub(super) fn begin(&self, number: u64, ended: u64, sync: bool) -> Result<Position> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(number.to_le_bytes());
        bytes.extend(ended.to_le_bytes());
        bytes.extend(u64::from(sum(0, &bytes)).to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        let file = self.file(number);
        file.write_all_at(&bytes, 0)?;
        if sync {
            self.base.sync_file(file)?;
        }
        Ok(Position::start(number))
    }

    /// Writes a frame behind `at`, without syncing it; answers the place behind it.
    pub(super) fn append(&self, at: Position, Frame(mut frame): Frame) -> Result<Position> {
        let (prefix, payload) = frame.split_at_mut(PREFIX);
        let chain = sum(at.chain, payload);
        let length = u32::try_from(payload.len())
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
        prefix[..4].copy_from_slice(&length.to_le_bytes());
        prefix[4..].copy_from_slice(&chain.to_le_bytes());
        self.file(at.number).write_all_at(&frame, at.end)?;
        let end = at.end + frame.len() as u64;
        self.grow(at.number, end);
        Ok(Position { end, chain, ..at })
    }

    /// Zeros behind a frame that made the file longer: syncing what is written over them takes
    /// about half the time, for the disk need not be told of another length as well.
    fn grow(&self, number: u64, end: u64) {
        let (file, length) = (self.file(number), &self.lengths[usize::from(number % 2 == 1)]);
        if end <= length.load(Ordering::Relaxed) {
            return;
        }
        // Another process may have made it longer.
        let Ok(found) = file.metadata() else { return };
        let mut to = found.len();
        if to <= end {
            let room = usize::try_from(end).unwrap_or(GROWTH.1).clamp(GROWTH.0, GROWTH.1);
            let zeros = vec![0; room];
            to = match file.write_all_at(&zeros, end) {
                Ok(()) => end + zeros.len() as u64,
                // The disk may be nearly full: all goes on without them, and what is left is for others.
                Err(_) => u64::MAX,
            };
        }
        length.store(to, Ordering::Relaxed);
    }

    /// Brings what was appended to the disk.
    pub(super) fn sync(&self, number: u64) -> Result<()> {
        self.base.synced(self.file(number).sync_data())
    }

    /// The bytes of a turn from `from` on, at most up to `to`.
    pub(super) fn bytes(&self, from: Position, to: u64) -> Result<Vec<u8>> {
        let file = self.file(from.number);
        let to = to.min(file.metadata()?.len());
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from.end)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from.end)?;
        Ok(bytes)
    }
}

/// The frames in `bytes`, which stand at a position; ends with the first one that is not sound.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: Position,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], at: Position) -> Self {
        Self { bytes, at }
    }

    /// Behind the last sound frame so far.
    pub(super) fn position(&self) -> Position {
        self.at
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (prefix, rest) = self.bytes.split_at_checked(PREFIX)?;
        let (length, chain) = prefix.split_at(4);
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let payload = rest.get(..usize::try_from(length).ok()?)?;
        let expected = sum(self.at.chain, payload);
        if length == 0 || u32::from_le_bytes(chain.try_into().ok()?) != expected {
            return None;
        }
        self.bytes = &rest[payload.len()..];
        let end = self.at.end + (PREFIX + payload.len()) as u64;
        self.at = Position { end, chain: expected, ..self.at };
        Some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_an_earlier_turn_are_never_taken_for_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&Folder::open(folder.path()).unwrap()).unwrap();
        let append = |at, payload: &[u8]| {
            let mut frame = Frame::with_room(0);
            frame.extend(payload.iter().copied());
            journal.append(at, frame).unwrap()
        };
        let turn = |number, frames: &[&[u8]]| {
            let mut at = journal.begin(number, 0, false).unwrap();
            for frame in frames {
                at = append(at, frame);
            }
            at
        };
        let read = |number| {
            let from = Position::start(number);
            let bytes = journal.bytes(from, u64::MAX).unwrap();
            let mut frames = Frames::new(&bytes, from);
            let found: Vec<Vec<u8>> = frames.by_ref().map(<[u8]>::to_vec).collect();
            (found, frames.position())
        };
        turn(2, &[b"one", b"two", b"three"]);
        let at = turn(4, &[b"ONE"]);
        assert_eq!(read(4), (vec![b"ONE".to_vec()], at));
        assert_eq!(journal.header(4).unwrap(), Some(Header { number: 4, ended: 0 }));
        // The same first frame again: what followed it in the earlier turn still does not fit.
        let at = turn(6, &[b"one"]);
        assert_eq!(read(6), (vec![b"one".to_vec()], at));
        // A frame written over an abandoned one, with one behind it that is of the same turn.
        turn(8, &[b"one", b"two"]);
        let at = append(Position::start(8), b"uno");
        assert_eq!(read(8), (vec![b"uno".to_vec()], at));
    }
}
