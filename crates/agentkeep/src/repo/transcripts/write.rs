//! Adding to a thread, and deleting it.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::marks;
use crate::driver::{Append, Committed, Expect, Find, Known, NewEntry, Operation, Outcome, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::{TranscriptEntry, document};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{Key, MARKS, Stream, TRANSCRIPTS, Value};

/// That a thread has its record; remembered, for it says nothing else.
#[derive(Debug)]
pub(super) struct Thread;

/// Adds entries to a thread.
#[derive(Debug)]
pub(super) struct AppendIntent {
    pub(super) thread: String,
    pub(super) entries: Vec<TranscriptEntry>,
    /// Only if the thread is new.
    pub(super) new: bool,
    /// Where its append stands among the operations.
    place: AtomicUsize,
}

/// Entries for transcripts, within a unit of work.
#[derive(Debug)]
pub struct UnitTranscripts<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitTranscripts<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Adds an entry to a thread when the unit is committed, with the unit's turn. The thread is
    /// made if it is missing.
    pub fn append(&mut self, thread: &str, entry: TranscriptEntry) -> &mut Self {
        self.append_many(thread, vec![entry])
    }

    /// Adds entries, in order.
    pub fn append_many(&mut self, thread: &str, entries: Vec<TranscriptEntry>) -> &mut Self {
        if !entries.is_empty() {
            self.unit.push(AppendIntent::new(thread, entries, false));
        }
        self
    }
}

impl AppendIntent {
    pub(super) fn new(thread: &str, entries: Vec<TranscriptEntry>, new: bool) -> Self {
        Self { thread: thread.to_owned(), entries, new, place: AtomicUsize::new(usize::MAX) }
    }
}

#[async_trait]
impl Intent for AppendIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let key = super::key(&self.thread)?;
        let version = match plan.space.remembered::<Thread>(&key) {
            Some((_, version)) => version,
            None => match plan.get(&key).await? {
                Some(record) => {
                    let version = record.version;
                    plan.space.remember(key.clone(), std::sync::Arc::new(Thread), version);
                    version
                }
                None => 0,
            },
        };
        if self.new && version > 0 {
            return Err(super::there_already(&self.thread));
        }
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        if version == 0 && !plan.writes(&key) {
            let mut body = ObjectEditor::default();
            body.set("thread", &Json::string(&self.thread));
            body.set("createdAt", &Json::integer(document::now()));
            plan.put(key, body.finish(), Save::Any)?;
        }
        let new = |entry: &TranscriptEntry| NewEntry {
            id: None,
            body: entry.json().clone(),
            refs: Vec::new(),
        };
        let place = plan.push(Operation::Append(Append {
            log: &TRANSCRIPTS,
            stream: Stream::new(&self.thread)?,
            entries: self.entries.iter().map(new).collect(),
            known: Known::Refuse,
            start: None,
        }));
        self.place.store(place, Ordering::Relaxed);
        Ok(())
    }

    /// Marks the blocks that have become full.
    async fn committed(&self, space: &Space, committed: &Committed) {
        let outcome = committed.outcomes.get(self.place.load(Ordering::Relaxed));
        let Some(Outcome::Appended { numbers }) = outcome else { return };
        let Some((first, last)) = numbers.first().zip(numbers.last()) else { return };
        for block in (first - 1) / marks::BLOCK..last / marks::BLOCK {
            marks::write(space, &self.thread, block).await;
        }
    }

    fn describe(&self) -> String {
        format!("{} {:?} {}", self.thread, self.entries, self.new)
    }
}

/// Deletes a thread.
#[derive(Debug)]
pub(super) struct Clean(pub(super) String);

#[async_trait]
impl Intent for Clean {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let key = super::key(&self.0)?;
        let version = plan.get(&key).await?.map_or(0, |record| record.version);
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        if version == 0 {
            plan.space.forget(&key);
            return Ok(());
        }
        delete(plan, key).await
    }
}

/// Deletes a thread by the key of its record, with all that is kept of it.
pub(super) async fn delete(plan: &mut Plan<'_>, key: Key) -> Result<()> {
    let thread = key.first().to_owned();
    plan.space.forget(&key);
    plan.push(Operation::Delete(key));
    plan.push(Operation::Drop { log: &TRANSCRIPTS, stream: Stream::new(&thread)? });
    plan.push(Operation::Delete(super::marks::gone_key(&thread)?));
    // Marks beyond these are told from a later thread's by its birth.
    let find = Find::by(&MARKS, "by_thread")?.equal(Value::text(&thread)).limit(9_000);
    for record in plan.space.find(&find).await?.records {
        // That one for the second time, if it is among them, which is fine.
        plan.push(Operation::Delete(record.key));
    }
    Ok(())
}
