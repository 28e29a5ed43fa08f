//! Following a thread.

use std::collections::VecDeque;

use crate::driver::Watch;
use crate::error::Result;
use crate::model::StoredTranscriptEntry;
use crate::repo::space::Space;
use crate::schema::{Stream, TRANSCRIPTS};

/// Entries read in one call.
const PAGE: usize = 1_000;

/// A thread's entries as they come.
#[derive(Debug)]
pub struct Following {
    space: Space,
    thread: String,
    next: u64,
    ready: VecDeque<StoredTranscriptEntry>,
    watch: Watch,
}

impl Following {
    pub(super) async fn new(space: &Space, thread: &str, from: u64) -> Result<Self> {
        let stream = Stream::new(thread)?;
        // Hints first: what is added from here on is either read below or hinted at.
        let watch = space.driver().watch(space.namespace(), &TRANSCRIPTS, Some(&stream)).await?;
        let (space, thread) = (space.clone(), thread.to_owned());
        Ok(Self { space, thread, next: from.max(1), ready: VecDeque::new(), watch })
    }

    /// The next entry; waits until there is one. `None` when the store is closed.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn next(&mut self) -> Result<Option<StoredTranscriptEntry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.next = entry.number + 1;
                return Ok(Some(entry));
            }
            let read = super::stretch(&self.thread, self.next, u64::MAX, false, PAGE)?;
            self.ready.extend(self.space.read(&read).await?.entries.into_iter().map(super::stored));
            if self.ready.is_empty() && !self.watch.changed().await {
                return Ok(None);
            }
        }
    }
}
