//! Following a thread.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::driver::Watch;
use crate::error::Result;
use crate::model::StoredTranscriptEntry;
use crate::repo::conversations::pending::Pending;
use crate::repo::patience::Patience;
use crate::repo::space::Space;
use crate::schema::{Stream, TRANSCRIPTS};

/// Entries read in one call.
const PAGE: usize = 1_000;
/// How long to wait while an import hides everything: nothing is appended when it is switched on.
const HIDDEN: Duration = Duration::from_millis(100);

/// A thread's entries as they come.
#[derive(Debug)]
pub struct Following {
    space: Space,
    thread: String,
    next: u64,
    ready: VecDeque<StoredTranscriptEntry>,
    watch: Watch,
    patience: Patience,
}

impl Following {
    pub(super) async fn new(space: &Space, thread: &str, from: u64) -> Result<Self> {
        let stream = Stream::new(thread)?;
        // Hints first: what is added from here on is either read below or hinted at.
        let watch = space.driver().watch(space.namespace(), &TRANSCRIPTS, Some(&stream)).await?;
        let (space, thread) = (space.clone(), thread.to_owned());
        let (ready, patience) = Default::default();
        Ok(Self { space, thread, next: from.max(1), ready, watch, patience })
    }

    /// The next entry; waits until there is one. `None` when the store is closed. What an import
    /// has staged comes once it is switched on.
    ///
    /// # Errors
    /// What the driver says; a server that is away is waited for, up to a minute.
    pub async fn next(&mut self) -> Result<Option<StoredTranscriptEntry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let read = super::stretch(&self.thread, self.next, u64::MAX, false, PAGE)?;
            let found = self.space.get_and_read([Pending::key()?], &read).await;
            let Some(([pending], found)) = self.patience.hear(&self.space, found).await? else {
                continue;
            };
            let hidden = Pending::of_record(pending.as_ref())?.hides_all();
            match found.entries.last().filter(|_| !hidden) {
                Some(last) => {
                    self.next = last.number + 1;
                    self.ready.extend(super::living(found.entries));
                }
                None if !self.wait(hidden).await => return Ok(None),
                None => {}
            }
        }
    }

    /// Waits for what may have come; false when the store is closed.
    async fn wait(&mut self, hidden: bool) -> bool {
        let hint = pin!(self.watch.changed());
        if !hidden {
            return hint.await;
        }
        match select(hint, pin!(self.space.ages().sleep(HIDDEN))).await {
            Either::Left((open, _)) => open,
            Either::Right(_) => true,
        }
    }
}
