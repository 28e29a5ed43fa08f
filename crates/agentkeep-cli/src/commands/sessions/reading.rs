//! Reading a conversation page by page, and then as it grows.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use agentkeep::driver::Watch;
use agentkeep::schema::{MESSAGES, Namespace};
use agentkeep::{Error, Kind, Result, Store, StoredMessage};

use crate::output;

/// Messages read at once.
const STEP: u64 = 1_000;
/// So many messages that have passed are known again when the past is changed.
const REMEMBERED: usize = 1_000_000;

/// Who follows waits so long for a server that is away, as subscriptions do,
const AWAY: Duration = Duration::from_mins(1);
/// and looks so often.
const PAUSE: Duration = Duration::from_millis(500);

/// A conversation being read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    store: &'a Store,
    session: &'a str,
    /// The index of the next message.
    at: u64,
    /// The messages before it as they were, hashed: to see how far back the past has been changed.
    passed: VecDeque<u64>,
    hashing: RandomState,
    /// When the newest of them was added.
    newest: i64,
    /// Hints about new messages, when it goes on with them.
    watch: Option<Watch>,
    /// True once the end has been met.
    caught_up: bool,
}

impl<'a> Reading<'a> {
    /// The last messages of a session, or all; then new ones, if it is followed.
    pub(super) async fn of(
        store: &'a Store,
        session: &'a str,
        last: Option<u64>,
        follow: bool,
    ) -> Result<Self> {
        let watch = if follow {
            let namespace = Namespace::new(store.namespace_name())?;
            // All streams: an edit or a cut makes the session go on in another one.
            Some(store.driver().watch(&namespace, &MESSAGES, None).await?)
        } else {
            None
        };
        let at = match last {
            Some(last) => store.messages(session).count().await?.saturating_sub(last),
            None => 0,
        };
        let (passed, hashing) = (VecDeque::new(), RandomState::new());
        let newest = i64::MAX;
        Ok(Self { store, session, at, passed, hashing, newest, watch, caught_up: false })
    }

    /// The next messages; `None` at the end. One that is followed has no end until the store is
    /// closed, and waits for a server that is away.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StoredMessage>>> {
        let mut away: Option<Instant> = None;
        loop {
            match self.step().await {
                Err(error) if self.watch.is_some() && may_return(&error) => {
                    if away.get_or_insert_with(Instant::now).elapsed() >= AWAY {
                        return Err(error);
                    }
                }
                read => return read,
            }
            tokio::time::sleep(PAUSE).await;
            // The hint that led here may have been about what could not be read.
            self.caught_up = false;
        }
    }

    async fn step(&mut self) -> Result<Option<Vec<StoredMessage>>> {
        loop {
            if self.caught_up {
                let Some(watch) = &mut self.watch else { return Ok(None) };
                if !watch.changed().await {
                    return Ok(None);
                }
            }
            // Read together with the one before: what is new follows what has passed.
            let known = u64::from(!self.passed.is_empty());
            let range = self.at - known..self.at.saturating_add(STEP);
            let mut messages = self.store.messages(self.session).range(range).await?;
            if known == 1 {
                let before = (!messages.is_empty()).then(|| self.hash(&messages.remove(0)));
                if before.as_ref() != self.passed.back() {
                    self.look_back().await?;
                    self.caught_up = false;
                    continue;
                }
            }
            self.caught_up = (messages.len() as u64) < STEP;
            let Some(newest) = messages.last() else {
                if known == 0 && self.at > 0 {
                    // None has passed that could tell of a cut.
                    self.at = self.at.min(self.store.messages(self.session).count().await?);
                }
                continue;
            };
            (self.at, self.newest) = (newest.index + 1, newest.time);
            if self.watch.is_some() {
                let hashes: Vec<u64> = messages.iter().map(|stored| self.hash(stored)).collect();
                self.passed.extend(hashes);
                let more = self.passed.len().saturating_sub(REMEMBERED);
                self.passed.drain(..more);
            }
            return Ok(Some(messages));
        }
    }

    /// Goes back to the newest message that is still what it was: what follows it now is new.
    async fn look_back(&mut self) -> Result<()> {
        output::tell("Messages shown above were changed or taken away.");
        let chat = self.store.messages(self.session);
        while !self.passed.is_empty() {
            let first = self.at - self.passed.len() as u64;
            let from = first.max(self.at.saturating_sub(STEP));
            let there = chat.range(from..self.at).await?;
            while self.at > from {
                let stored = there.get(usize::try_from(self.at - 1 - from).unwrap_or(usize::MAX));
                if stored.map(|stored| self.hash(stored)).as_ref() == self.passed.back() {
                    return Ok(());
                }
                self.at -= 1;
                self.passed.pop_back();
            }
        }
        self.at = self.at.min(chat.count().await?);
        // Cut even before the first that has passed: what is newer than all of them is new.
        while self.at > 0 {
            let from = self.at.saturating_sub(STEP);
            let there = chat.range(from..self.at).await?;
            let old = there.iter().rposition(|stored| stored.time <= self.newest);
            self.at = from + old.map_or(0, |place| place as u64 + 1);
            if old.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Tells a message from another one at its place.
    fn hash(&self, stored: &StoredMessage) -> u64 {
        self.hashing.hash_one((stored.time, stored.message.json().as_str()))
    }
}

fn may_return(error: &Error) -> bool {
    error.is_retryable() && matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}
