//! Transcripts: what happened in a thread, in order, only ever added to.

mod follow;
pub(crate) mod imports;
mod marks;
mod write;

use serde::Serialize;

pub use self::follow::Following;
pub use self::write::UnitTranscripts;

use self::write::{AppendIntent, Clean};
use super::conversations::pending::Pending;
use super::space::Space;
use super::unit::Unit;
use crate::driver::{Entry, Find, Head, MAX_LIMIT, Read, Record, Stretch, Which};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{StoredTranscriptEntry, TranscriptEntry};
use crate::schema::{Key, STREAMS, Stream, THREADS, TRANSCRIPTS, Turn, check_id};

/// Streams asked for in one call.
const TOGETHER: usize = 1_000;

/// The transcripts of a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Transcripts<'a> {
    space: &'a Space,
    turn: Option<&'a Turn>,
}

/// A thread as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadInfo {
    /// Its id.
    pub thread: String,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When the last one was added, in milliseconds since 1970.
    pub updated: i64,
}

impl ThreadInfo {
    fn of(thread: &str, stream: &Json, gone: Option<&Record>) -> Self {
        let number = |name: &str| stream.member(name).and_then(|n| n.to_i64());
        let count = |name| number(name).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let gone = marks::gone(gone);
        Self {
            thread: thread.to_owned(),
            entries: count("count").saturating_sub(gone),
            bytes: count("bytes").saturating_sub(gone * imports::NOTHING),
            updated: number("updated").unwrap_or(0),
        }
    }
}

pub(super) fn key(thread: &str) -> Result<Key> {
    check_id("thread", thread)?;
    Key::new(&THREADS, [thread])
}

pub(super) fn stretch(
    thread: &str,
    from: u64,
    to: u64,
    reverse: bool,
    limit: usize,
) -> Result<Read> {
    let which = Which::Stretches(vec![Stretch { stream: Stream::new(thread)?, from, to }]);
    Ok(Read { log: &TRANSCRIPTS, which, reverse, limit })
}

pub(super) fn there_already(thread: &str) -> Error {
    Error::new(Kind::AlreadyExists, "there is a transcript of this thread")
        .at(format!("thread {thread:?}"))
        .advice("clean it first, or give the new one another name")
}

/// The entries without those that were taken back: these have no body any more.
fn living(entries: Vec<Entry>) -> impl Iterator<Item = StoredTranscriptEntry> {
    entries.into_iter().filter(|entry| !entry.body.is_null()).map(|entry| {
        let Entry { number, body, time, .. } = entry;
        StoredTranscriptEntry { number, entry: TranscriptEntry::stored(body), time }
    })
}

/// What a read found that may be shown.
#[derive(Default)]
struct Shown {
    entries: Vec<StoredTranscriptEntry>,
    head: Option<Head>,
    /// The number at which it ended, when there are more.
    end: Option<u64>,
}

impl<'a> Transcripts<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space, turn: None }
    }

    /// The same; what it adds carries this turn.
    #[must_use]
    pub fn turn(self, turn: &'a Turn) -> Self {
        Self { turn: Some(turn), ..self }
    }

    /// Adds an entry to a thread, which is made if it is missing.
    ///
    /// # Errors
    /// `InvalidId`; `TooLarge`; what the driver says.
    pub async fn append(&self, thread: &str, entry: TranscriptEntry) -> Result<()> {
        self.append_many(thread, vec![entry]).await
    }

    /// Adds entries in order and in one commit.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn append_many(&self, thread: &str, entries: Vec<TranscriptEntry>) -> Result<()> {
        self.add(thread, entries, false).await
    }

    /// Makes a thread with these entries, at most 9,000.
    ///
    /// # Errors
    /// As [`append`](Self::append); `AlreadyExists` when there is such a thread.
    pub async fn create(&self, thread: &str, entries: Vec<TranscriptEntry>) -> Result<()> {
        self.add(thread, entries, true).await
    }

    async fn add(&self, thread: &str, entries: Vec<TranscriptEntry>, new: bool) -> Result<()> {
        check_id("thread", thread)?;
        if entries.is_empty() {
            return Ok(());
        }
        let intent = AppendIntent::new(thread, entries, new);
        let mut unit = Unit::new(self.space.clone()).with(intent);
        if let Some(turn) = self.turn {
            unit = unit.turn(turn);
        }
        unit.commit().await.map_err(|error| error.during("transcripts.append"))?;
        Ok(())
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn all(&self, thread: &str) -> Result<Vec<StoredTranscriptEntry>> {
        let mut all = Vec::new();
        loop {
            let from = all.last().map_or(1, |entry: &StoredTranscriptEntry| entry.number + 1);
            let page = self.range(thread, from, MAX_LIMIT).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// At most `limit` entries from number `from` on, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a limit that is not 1 to 10,000.
    pub async fn range(
        &self,
        thread: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredTranscriptEntry>> {
        let mut found = Vec::new();
        let mut next = from;
        loop {
            let wanted = limit - found.len();
            let shown = self.read(&stretch(thread, next, u64::MAX, false, wanted)?).await?;
            found.extend(shown.entries);
            match shown.end.filter(|_| found.len() < limit) {
                Some(end) => next = end + 1,
                None => return Ok(found),
            }
        }
    }

    /// The last `limit` entries, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a limit that is not 1 to 10,000.
    pub async fn last(&self, thread: &str, limit: usize) -> Result<Vec<StoredTranscriptEntry>> {
        let mut found = Vec::new();
        let mut to = u64::MAX;
        loop {
            let shown = self.read(&stretch(thread, 1, to, true, limit - found.len())?).await?;
            found.extend(shown.entries);
            match shown.end.filter(|_| found.len() < limit) {
                Some(end) => to = end - 1,
                None => break,
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The entries of the iterations `from` to `to`, both included, in the order of the thread.
    /// Reads only the blocks that have some.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn iterations(
        &self,
        thread: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<StoredTranscriptEntry>> {
        let shown = self.read(&stretch(thread, u64::MAX, u64::MAX, false, 1)?).await?;
        let Some(head) = shown.head else { return Ok(Vec::new()) };
        let marks = marks::all(self.space, thread, head.birth).await?;
        let mut found = Vec::new();
        for block in 0..head.last.div_ceil(marks::BLOCK) {
            let may = match marks.get(&block) {
                Some(Some((least, most))) => *least <= to && *most >= from,
                Some(None) => false,
                None => true,
            };
            if !may {
                continue;
            }
            let (first, last) = (block * marks::BLOCK + 1, (block + 1) * marks::BLOCK);
            let shown = self.read(&stretch(thread, first, last, false, 256)?).await?;
            let fits = |stored: &StoredTranscriptEntry| {
                stored.entry.iteration().is_some_and(|iter| (from..=to).contains(&iter))
            };
            found.extend(shown.entries.into_iter().filter(fits));
        }
        Ok(found)
    }

    /// Follows a thread from number `from` on: what is there, then what comes, also from other
    /// processes.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn follow(&self, thread: &str, from: u64) -> Result<Following> {
        Following::new(self.space, thread, from).await
    }

    /// The thread as lines of JSON, each with its line end: what Agentry Lab reads.
    ///
    /// # Errors
    /// `InvalidId`; `NotFound` without the thread.
    pub async fn export(&self, thread: &str) -> Result<String> {
        let entries = self.all(thread).await?;
        if entries.is_empty() {
            return Err(Error::new(Kind::NotFound, "there is no such thread")
                .at(format!("thread {thread:?}"))
                .advice("list the threads to see their names"));
        }
        let lines = entries.iter().flat_map(|stored| [stored.entry.json().as_str(), "\n"]);
        Ok(lines.collect())
    }

    /// All threads, the one written last first, then by name. Reads one record for each thread: an
    /// index by time would cost every append an entry more.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn threads(&self) -> Result<Vec<ThreadInfo>> {
        if Pending::load(self.space).await?.hides_all() {
            return Ok(Vec::new());
        }
        let records = self.space.find_all(Find::by(&THREADS, "key")?).await?;
        let mut threads = Vec::new();
        for some in records.chunks(TOGETHER) {
            let mut keys = Vec::with_capacity(2 * some.len());
            for record in some {
                keys.push(Key::new(&STREAMS, [TRANSCRIPTS.name, record.key.first()])?);
                keys.push(marks::gone_key(record.key.first())?);
            }
            let found = self.space.get_many(&keys).await?;
            for (record, found) in some.iter().zip(found.chunks(2)) {
                let [Some(stream), gone] = found else { continue };
                threads.push(ThreadInfo::of(record.key.first(), &stream.body, gone.as_ref()));
            }
        }
        threads.sort_by(|a, b| (b.updated, &a.thread).cmp(&(a.updated, &b.thread)));
        Ok(threads)
    }

    /// Deletes what is kept of a thread: its transcript, its checkpoints (of which there are none
    /// yet). False when there was nothing.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn clean(&self, thread: &str, transcript: bool, checkpoint: bool) -> Result<bool> {
        let _ = (key(thread)?, checkpoint);
        if !transcript {
            return Ok(false);
        }
        let unit = Unit::new(self.space.clone()).with(Clean(thread.to_owned()));
        Ok(unit.commit().await.map_err(|error| error.during("transcripts.clean"))?.deleted)
    }

    async fn read(&self, read: &Read) -> Result<Shown> {
        read.validate()?;
        let ([pending], found) = self.space.get_and_read([Pending::key()?], read).await?;
        if Pending::of_record(pending.as_ref())?.hides_all() {
            return Ok(Shown::default());
        }
        let end = found.entries.last().filter(|_| found.more).map(|entry| entry.number);
        let head = found.heads.into_iter().next().flatten();
        Ok(Shown { entries: living(found.entries).collect(), head, end })
    }
}
