//! What processes tell each other: three lock files, and how far the journal has been committed.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::journal::Position;
use crate::error::{Error, Kind};

/// Between two tries for the lock, at first and at most.
const SHORT: Duration = Duration::from_micros(20);
const LONG: Duration = Duration::from_millis(2);

/// Held by whoever changes the store, or must see that nobody does.
#[derive(Debug)]
pub(super) struct Lock(File);

/// The lock, held; it is let go when this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a File);

impl Lock {
    /// Opens the lock file; each handle locks out all others, also of the same process.
    pub(super) fn open(base: &Folder) -> Result<Self> {
        base.make_file("lock").map(|(file, _)| Self(file))
    }

    /// Waits for the lock until the deadline.
    pub(super) fn hold(&self, deadline: Instant) -> crate::error::Result<Held<'_>> {
        let mut pause = SHORT;
        loop {
            match self.0.try_lock() {
                Ok(()) => return Ok(Held(&self.0)),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LONG);
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(Error::new(Kind::Timeout, "other processes hold the lock")
                        .advice("try again, or give a longer timeout"));
                }
                Err(std::fs::TryLockError::Error(error)) => {
                    return Err(
                        Error::new(Kind::Unavailable, "the lock cannot be had").caused_by(error)
                    );
                }
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the file would let go as well.
        let _ = self.0.unlock();
    }
}

/// Held shared by every open handle, for as long as it is open: who has it alone knows that
/// nobody else has the store open.
#[derive(Debug)]
pub(super) struct Users(File);

/// How the last users of a store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The last one closed it.
    Well,
    /// Or they are still there, or nobody ever was.
    Badly,
}

impl Users {
    pub(super) fn open(base: &Folder) -> Result<Self> {
        base.make_file("users").map(|(file, _)| Self(file))
    }

    /// True when nobody else has the store open. Call it with the lock held, and
    /// [`join`](Self::join) before letting it go.
    pub(super) fn alone(&self) -> bool {
        self.0.try_lock().is_ok()
    }

    /// How the last users ended: whoever ends well says so.
    pub(super) fn ended(&self) -> Result<Ended> {
        let mut byte = [0];
        let read = self.0.read_at(&mut byte, 0)?;
        Ok(if read == 1 && byte == [b'-'] { Ended::Well } else { Ended::Badly })
    }

    pub(super) fn mark(&self, ended: Ended) -> Result<()> {
        self.0.write_all_at(if ended == Ended::Well { b"-" } else { b"+" }, 0)
    }

    /// From now on this handle is one of the users.
    pub(super) fn join(&self) -> Result<()> {
        self.0.lock_shared()
    }

    /// This handle was closed.
    pub(super) fn leave(&self) {
        let _ = self.0.unlock();
    }
}

/// Held shared while a snapshot is open: files that it may need are not removed.
#[derive(Debug)]
pub(super) struct Pins {
    file: Mutex<File>,
    here: AtomicUsize,
}

/// One snapshot's hold on the files.
#[derive(Debug)]
pub(super) struct Pin(Arc<Pins>);

impl Pins {
    pub(super) fn open(base: &Folder) -> Result<Self> {
        let (file, _) = base.make_file("pins")?;
        Ok(Self { file: Mutex::new(file), here: AtomicUsize::new(0) })
    }

    pub(super) fn pin(self: &Arc<Self>) -> Result<Pin> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.here.fetch_add(1, Ordering::AcqRel) == 0
            && let Err(error) = file.lock_shared()
        {
            self.here.fetch_sub(1, Ordering::AcqRel);
            return Err(error);
        }
        drop(file);
        Ok(Pin(Arc::clone(self)))
    }

    /// Does `work` if no process has a snapshot open; answers whether it did.
    pub(super) fn unless_pinned(&self, work: impl FnOnce()) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.here.load(Ordering::Acquire) > 0 || file.try_lock().is_err() {
            return false;
        }
        work();
        let _ = file.unlock();
        true
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.here.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = file.unlock();
        }
    }
}

/// How far the journal has been committed, for readers of other processes. It stands in two places
/// that take turns: a process that is killed while it writes one leaves what the other says. It
/// is never synced: after a power cut the journal itself tells.
#[derive(Debug)]
pub(super) struct Generation(File);

/// Bytes of one of the two.
const TOLD: usize = 24;

/// What one of the two says, if it is sound.
fn told(bytes: &[u8]) -> Option<Position> {
    let (told, sum) = bytes.split_at_checked(TOLD - 4)?;
    if sum != crc32fast::hash(told).to_le_bytes() {
        return None;
    }
    let (number, rest) = told.split_first_chunk()?;
    let (end, chain) = rest.split_first_chunk()?;
    let chain = u32::from_le_bytes(chain.try_into().ok()?);
    Some(Position { number: u64::from_le_bytes(*number), end: u64::from_le_bytes(*end), chain })
}

impl Generation {
    pub(super) fn open(base: &Folder) -> Result<Self> {
        base.make_file("generation").map(|(file, _)| Self(file))
    }

    /// What is told; `None` when nothing sound is.
    pub(super) fn read(&self) -> Result<Option<Position>> {
        // A reader beside quick writers may see half of each.
        for _ in 0..100 {
            if let (Some(told), _) = self.newest()? {
                return Ok(Some(told));
            }
            std::hint::spin_loop();
        }
        Ok(None)
    }

    /// The newer of the two, and where the other one stands.
    fn newest(&self) -> Result<(Option<Position>, u64)> {
        let mut bytes = [0; 2 * TOLD];
        let mut read = 0;
        while read < bytes.len() {
            match self.0.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                n => read += n,
            }
        }
        let (first, second) = bytes[..read].split_at(read.min(TOLD));
        let place = |told: Option<Position>| told.map(|told| (told.number, told.end));
        let (first, second) = (told(first), told(second));
        if place(first) >= place(second) && first.is_some() {
            Ok((first, TOLD as u64))
        } else {
            Ok((second, 0))
        }
    }

    /// Tells a newer position, with the lock held.
    pub(super) fn publish(&self, at: Position) -> Result<()> {
        let mut bytes = Vec::with_capacity(TOLD);
        bytes.extend(at.number.to_le_bytes());
        bytes.extend(at.end.to_le_bytes());
        bytes.extend(at.chain.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let (_, other) = self.newest()?;
        self.0.write_all_at(&bytes, other)
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.0.sync_all()
    }
}
