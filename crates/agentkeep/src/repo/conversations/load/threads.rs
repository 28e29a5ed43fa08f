//! Transcripts in a load. A thread that is there already and begins as the one that comes in is
//! gone on with.

use super::intents::NoteThread;
use super::met::Found;
use super::{Load, Met};
use crate::error::Result;
use crate::model::TranscriptEntry;
use crate::repo::transcripts::imports::{self, TakeIn};
use crate::schema::Turn;

/// The thread whose entries are being given.
#[derive(Debug)]
pub(super) struct Thread {
    name: String,
    /// The number from which on the store is to be looked at.
    next: u64,
    /// True when it has no more entries to be compared with.
    ended: bool,
    /// The last that it has in the store.
    last: u64,
    /// True when it was there before the import.
    grows: bool,
    /// True once an entry was another: what comes after it is not added.
    differs: bool,
    /// Entries to be added.
    new: Vec<TranscriptEntry>,
    /// What has been added and not yet been marked: after which number, up to which.
    added: Vec<(String, u64, u64)>,
}

impl Load {
    /// Takes in more entries of a thread; those of one thread come one after the other. Answers
    /// what the store has of each.
    ///
    /// # Errors
    /// `InvalidId`; what the driver says.
    pub async fn entries(
        &mut self,
        thread: &str,
        entries: Vec<TranscriptEntry>,
    ) -> Result<Vec<Met>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        if self.thread.as_ref().is_none_or(|current| current.name != thread) {
            self.begin_thread(thread).await?;
        }
        let found = self.compare_entries(&entries).await?;
        for (entry, found) in entries.into_iter().zip(&found) {
            self.tally(|loaded| &mut loaded.entries, *found);
            let writes = self.writes();
            let Some(thread) = self.thread.as_mut().filter(|_| *found == Found::Missing) else {
                continue;
            };
            // The first also makes the thread's record, or notes that it grows.
            let operations = 1 + usize::from(thread.new.is_empty());
            let bytes = entry.json().len();
            if writes {
                thread.new.push(entry);
            }
            self.weigh(operations, bytes);
        }
        self.step().await?;
        Ok(found.into_iter().map(Met::from).collect())
    }

    async fn begin_thread(&mut self, name: &str) -> Result<()> {
        self.gather_thread();
        let (record, last) =
            if self.blank { (None, 0) } else { imports::look(&self.space, name).await? };
        let found = match &record {
            None => Found::Missing,
            Some(record) if self.is_mine(record.turn.as_ref().map(Turn::as_str)) => Found::Mine,
            Some(_) => Found::Same,
        };
        self.tally(|loaded| &mut loaded.threads, found);
        let added = self.thread.take().map_or(Vec::new(), |thread| thread.added);
        self.thread = Some(Thread {
            name: name.to_owned(),
            next: 1,
            ended: last == 0,
            last,
            grows: found == Found::Same,
            differs: false,
            new: Vec::new(),
            added,
        });
        Ok(())
    }

    async fn compare_entries(&mut self, entries: &[TranscriptEntry]) -> Result<Vec<Found>> {
        let Some(mut thread) = self.thread.take() else { return Ok(Vec::new()) };
        let mut there = Vec::new();
        if !thread.ended {
            there = imports::living(&self.space, &thread.name, thread.next, entries.len()).await?;
            thread.ended = there.len() < entries.len();
            thread.next = there.last().map_or(thread.next, |entry| entry.number + 1);
        }
        let mut there = there.into_iter();
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let same = match there.next() {
                None if thread.differs => Found::Other,
                None => Found::Missing,
                Some(stored) if stored.body != *entry.json() => Found::Other,
                Some(stored) if self.is_mine(stored.turn.as_ref().map(Turn::as_str)) => Found::Mine,
                Some(_) => Found::Same,
            };
            thread.differs |= same == Found::Other;
            found.push(same);
        }
        self.thread = Some(thread);
        Ok(found)
    }

    /// Puts the entries that have gathered into the commit to come.
    pub(super) fn gather_thread(&mut self) {
        let Some(thread) = self.thread.as_mut().filter(|thread| !thread.new.is_empty()) else {
            return;
        };
        let (after, entries) = (thread.last, std::mem::take(&mut thread.new));
        thread.last += entries.len() as u64;
        let name = thread.name.clone();
        thread.added.push((name.clone(), after, thread.last));
        if thread.grows {
            let import = self.run.import.clone();
            self.unit.push(NoteThread { import, thread: name.clone() });
        }
        self.unit.push(TakeIn { thread: name, entries, after });
    }

    pub(super) async fn mark_threads(&mut self) {
        let added = self.thread.as_mut().map(|thread| std::mem::take(&mut thread.added));
        for (thread, before, last) in added.unwrap_or_default() {
            imports::mark(&self.space, &thread, before, last).await;
        }
    }
}
