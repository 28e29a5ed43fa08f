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

/// So many entries from a number on.
pub(crate) async fn entries(
    space: &Space,
    thread: &str,
    from: u64,
    many: usize,
) -> Result<Vec<Entry>> {
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
    pub(crate) last: u64,
}

impl TakeBack {
    /// `None` when somebody else has added to the thread.
    pub(crate) async fn of(space: &Space, import: &Turn, record: &Record) -> Result<Option<Self>> {
        let thread = record.key.first();
        let mut last = 0;
        loop {
            let some = entries(space, thread, last + 1, MAX_LIMIT).await?;
            if some.iter().any(|entry| entry.turn.as_ref() != Some(import)) {
                return Ok(None);
            }
            last = match some.last() {
                Some(entry) => entry.number,
                None => break,
            };
        }
        Ok(Some(Self { key: record.key.clone(), version: record.version, last }))
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
