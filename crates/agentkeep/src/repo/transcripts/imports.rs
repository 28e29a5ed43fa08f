//! Threads within an import: compared with what is there, taken in, taken back.

use async_trait::async_trait;

use super::marks::{self, BLOCK};
use super::{key, stretch};
use crate::driver::{
    Append, Entry, Expect, Head, Known, MAX_LIMIT, NewEntry, Operation, Record, Save,
};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{TranscriptEntry, document};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::schema::{Key, Stream, TRANSCRIPTS, Turn};

/// The record of a thread, and the number of its last entry.
pub(crate) async fn look(space: &Space, thread: &str) -> Result<(Option<Record>, u64)> {
    let read = stretch(thread, u64::MAX, u64::MAX, false, 1)?;
    let ([record], found) = space.get_and_read([key(thread)?], &read).await?;
    let last = found.heads.into_iter().next().flatten().map_or(0, |head: Head| head.last);
    Ok((record, last))
}

/// The bytes of a body that was taken back.
pub(super) const NOTHING: u64 = 4;

/// So many entries from a number on, without those that were taken back.
pub(crate) async fn living(
    space: &Space,
    thread: &str,
    from: u64,
    many: usize,
) -> Result<Vec<Entry>> {
    let mut living: Vec<Entry> = Vec::new();
    let mut from = from;
    loop {
        let wanted = many - living.len();
        let found = entries(space, thread, from, wanted).await?;
        let all = found.len() < wanted;
        from = found.last().map_or(from, |entry| entry.number + 1);
        living.extend(found.into_iter().filter(|entry| !entry.body.is_null()));
        if all || living.len() == many {
            return Ok(living);
        }
    }
}

/// So many entries from a number on.
async fn entries(space: &Space, thread: &str, from: u64, many: usize) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < many {
        let from = entries.last().map_or(from, |entry| entry.number + 1);
        let limit = (many - entries.len()).min(MAX_LIMIT);
        let found = space.read(&stretch(thread, from, u64::MAX, false, limit)?).await?;
        if found.entries.is_empty() {
            break;
        }
        entries.extend(found.entries);
    }
    Ok(entries)
}

/// After the commit that added entries: marks the blocks that have become full.
pub(crate) async fn mark(space: &Space, thread: &str, before: u64, last: u64) {
    for block in before / BLOCK..last / BLOCK {
        marks::write(space, thread, block).await;
    }
}

/// Adds entries to a thread that has exactly so many.
#[derive(Debug)]
pub(crate) struct TakeIn {
    pub(crate) thread: String,
    pub(crate) entries: Vec<TranscriptEntry>,
    pub(crate) after: u64,
}

#[async_trait]
impl Intent for TakeIn {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let (key, stream) = (key(&self.thread)?, Stream::new(&self.thread)?);
        let meanwhile = || {
            Error::new(Kind::Conflict, "somebody else wrote to the thread meanwhile")
                .at(format!("thread {:?}", self.thread))
                .advice("load again")
        };
        if plan.get(&key).await?.is_some() {
            plan.expect(Expect::Exists(key), Guard::Answer(meanwhile()));
        } else {
            let mut body = ObjectEditor::default();
            body.set("thread", &Json::string(&self.thread));
            body.set("createdAt", &Json::integer(document::now()));
            plan.expect(Expect::Absent(key.clone()), Guard::Answer(meanwhile()));
            plan.put(key, body.finish(), Save::Any)?;
        }
        let ends = Expect::LogEnds(&TRANSCRIPTS, stream.clone(), self.after);
        plan.expect(ends, Guard::Answer(meanwhile()));
        let entry = |entry: &TranscriptEntry| NewEntry {
            id: None,
            body: entry.json().clone(),
            refs: vec![],
        };
        let entries = self.entries.iter().map(entry).collect();
        let known = Known::Refuse;
        plan.push(Operation::Append(Append {
            log: &TRANSCRIPTS,
            stream,
            entries,
            known,
            start: None,
        }));
        Ok(())
    }
}

/// Takes a thread away that is still as the import left it.
#[derive(Debug)]
pub(crate) struct TakeBack {
    key: Key,
    version: u64,
    last: u64,
    /// How many entries go with it.
    pub(crate) entries: u64,
}

impl TakeBack {
    /// `None` when somebody else has added to the thread.
    pub(crate) async fn of(space: &Space, import: &Turn, record: &Record) -> Result<Option<Self>> {
        let thread = record.key.first();
        let (mut last, mut count) = (0, 0);
        loop {
            let some = entries(space, thread, last + 1, MAX_LIMIT).await?;
            let living = || some.iter().filter(|entry| !entry.body.is_null());
            if living().any(|entry| entry.turn.as_ref() != Some(import)) {
                return Ok(None);
            }
            count += living().count() as u64;
            last = match some.last() {
                Some(entry) => entry.number,
                None => break,
            };
        }
        let (key, version) = (record.key.clone(), record.version);
        Ok(Some(Self { key, version, last, entries: count }))
    }
}

#[async_trait]
impl Intent for TakeBack {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let changed = || Guard::Answer(Error::new(Kind::Conflict, "it has changed since"));
        plan.expect(Expect::Version(self.key.clone(), self.version), changed());
        let stream = Stream::new(self.key.first())?;
        plan.expect(Expect::LogEnds(&TRANSCRIPTS, stream, self.last), changed());
        super::write::delete(plan, self.key.clone()).await
    }
}

/// The next entries that an import has added to a thread which was there before, from a number
/// on: how to take them away; and the number after those looked at, until there are no more.
pub(crate) async fn added(
    space: &Space,
    import: &Turn,
    thread: &str,
    from: u64,
) -> Result<Option<(CutBack, u64)>> {
    let some = entries(space, thread, from, CUT).await?;
    let Some(next) = some.last().map(|entry| entry.number + 1) else { return Ok(None) };
    let theirs = |entry: &&Entry| entry.turn.as_ref() == Some(import) && !entry.body.is_null();
    let numbers = some.iter().filter(theirs).map(|entry| entry.number).collect();
    Ok(Some((CutBack { thread: thread.to_owned(), import: import.clone(), numbers }, next)))
}

/// Entries taken away in one commit.
const CUT: usize = 4_000;

/// Takes entries out of a thread: their bodies go, their numbers stay.
#[derive(Debug)]
pub(crate) struct CutBack {
    thread: String,
    import: Turn,
    pub(crate) numbers: Vec<u64>,
}

#[async_trait]
impl Intent for CutBack {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let key = key(&self.thread)?;
        // Cleaned meanwhile, and perhaps begun anew: then there is nothing of the import's.
        let Some(record) = plan.get(&key).await? else { return Ok(()) };
        let first = self.numbers.first().copied().unwrap_or(1);
        let there = entries(plan.space, &self.thread, first, 1).await?;
        if !there.iter().any(|entry| entry.turn.as_ref() == Some(&self.import)) {
            return Ok(());
        }
        plan.expect(Expect::Version(key, record.version), Guard::Retry);
        marks::count_gone(plan, &self.thread, self.numbers.len() as u64).await?;
        for &number in &self.numbers {
            plan.push(Operation::Rewrite {
                log: &TRANSCRIPTS,
                stream: Stream::new(&self.thread)?,
                number,
                body: Json::null(),
                refs: Vec::new(),
            });
        }
        Ok(())
    }
}
