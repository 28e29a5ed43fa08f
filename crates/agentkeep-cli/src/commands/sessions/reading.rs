//! Reading a conversation page by page, and then as it grows.

use agentkeep::driver::Watch;
use agentkeep::schema::{MESSAGES, Namespace};
use agentkeep::{Json, Result, Store, StoredMessage};

use crate::output;

/// Messages read at once.
const STEP: u64 = 1_000;

/// A conversation being read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    store: &'a Store,
    session: &'a str,
    /// The index of the next message.
    at: u64,
    /// The message before it, as it was: to see when the past has been changed.
    last: Option<Json>,
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
        Ok(Self { store, session, at, last: None, watch, caught_up: false })
    }

    /// The next messages; `None` at the end. One that is followed has no end until the store is
    /// closed.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StoredMessage>>> {
        loop {
            if self.caught_up {
                let Some(watch) = &mut self.watch else { return Ok(None) };
                if !watch.changed().await {
                    return Ok(None);
                }
                self.look_back().await?;
            }
            let end = self.at.saturating_add(STEP);
            let messages = self.store.messages(self.session).range(self.at..end).await?;
            self.caught_up = (messages.len() as u64) < STEP;
            let Some(newest) = messages.last() else { continue };
            self.at = newest.index + 1;
            self.last = Some(newest.message.json().clone());
            return Ok(Some(messages));
        }
    }

    /// Goes on from the end when the messages before have been cut or changed.
    async fn look_back(&mut self) -> Result<()> {
        let Some(last) = &self.last else { return Ok(()) };
        let there = self.store.messages(self.session).range(self.at - 1..self.at).await?;
        if there.first().is_some_and(|there| there.message.json() == last) {
            return Ok(());
        }
        let count = self.store.messages(self.session).count().await?;
        if count >= self.at {
            self.last = there.first().map(|there| there.message.json().clone());
        } else {
            (self.at, self.last) = (count, None);
        }
        output::tell("Messages shown above were changed or taken away.");
        Ok(())
    }
}
