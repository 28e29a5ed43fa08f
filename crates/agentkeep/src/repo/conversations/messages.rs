//! The messages of one session.

use std::ops::{Bound, RangeBounds};

use super::add::{AddIntent, Added};
use super::collect;
use super::cut::{Cut, CutIntent, Taken};
use super::edit::EditIntent;
use super::view::{First, Views};
use super::window::{estimate_tokens, window};
use crate::error::Result;
use crate::model::{Message, StoredMessage};
use crate::repo::space::Space;
use crate::repo::unit::{Done, Unit};

/// The messages of one session, in the order in which they were added.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a> {
    space: &'a Space,
    session: &'a str,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(space: &'a Space, session: &'a str) -> Self {
        Self { space, session }
    }

    /// Adds one message to the end. Adding the same message again changes nothing and says so.
    ///
    /// # Errors
    /// `NotFound` without the session; `IdempotencyConflict` when the session has another message
    /// with this id; `TooLarge` past 8 MiB.
    pub async fn add(&self, message: Message) -> Result<Added> {
        let done = self.commit(AddIntent { session: self.session.into(), messages: vec![message] });
        let added = done.await?.added;
        Ok(added.into_iter().flatten().next().unwrap_or(Added { index: 0, duplicate: true }))
    }

    /// Adds many messages, all or none; those that are there already are left as they are.
    ///
    /// # Errors
    /// As for [`add`](Self::add); `TooLarge` for more than 10,000 messages or 64 MiB.
    pub async fn add_many(&self, messages: Vec<Message>) -> Result<Vec<Added>> {
        let done = self.commit(AddIntent { session: self.session.into(), messages }).await?;
        Ok(done.added.into_iter().flatten().collect())
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn count(&self) -> Result<u64> {
        self.views(First::End).next().await?.count().await
    }

    /// All messages, oldest first.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn all(&self) -> Result<Vec<StoredMessage>> {
        self.range(..).await
    }

    /// The last `count` messages, oldest first.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn last(&self, count: u64) -> Result<Vec<StoredMessage>> {
        let mut views = self.views(First::Last(count));
        loop {
            if let Some(found) = views.next().await?.last(u64::MAX, count).await? {
                return Ok(found);
            }
        }
    }

    /// The messages in a range of indexes, which count from 0; what lies beyond the end is left
    /// out.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn range(&self, range: impl RangeBounds<u64>) -> Result<Vec<StoredMessage>> {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&to) => to.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        let mut views = self.views(First::Range(from, to));
        loop {
            if let Some(found) = views.next().await?.range(from, to).await? {
                return Ok(found);
            }
        }
    }

    /// The message with this id; `None` when the session has none.
    ///
    /// # Errors
    /// `NotFound` without the session, `InvalidId`.
    pub async fn get(&self, id: &str) -> Result<Option<StoredMessage>> {
        let id = crate::schema::EntryId::new(id)?;
        let view = self.views(First::Other).next().await?;
        Ok(view.by_ids(std::slice::from_ref(&id)).await?.into_iter().next())
    }

    /// The newest messages that cost at most `budget` tokens together, oldest first, as
    /// [`estimate_tokens`] counts; no tool result without its call.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn window(&self, budget: usize) -> Result<Vec<StoredMessage>> {
        self.window_by(budget, estimate_tokens).await
    }

    /// As [`window`](Self::window), with your own counter of tokens.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn window_by(
        &self,
        budget: usize,
        tokens: impl Fn(&Message) -> usize + Sync,
    ) -> Result<Vec<StoredMessage>> {
        let mut views = self.views(First::Last(super::window::STEP));
        loop {
            if let Some(found) = window(&views.next().await?, budget, &tokens).await? {
                return Ok(found);
            }
        }
    }

    /// Takes the newest message away and answers it; `None` when there is none.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn pop(&self) -> Result<Option<StoredMessage>> {
        let taken = Taken::default();
        self.commit(self.cut(Cut::Newest(taken.clone()))).await?;
        Ok(taken.take())
    }

    /// Gives a message another content; its place and id stay. Forks keep what they share.
    ///
    /// # Errors
    /// `NotFound` without the session or the message; `InvalidInput` when the new content has
    /// another id.
    pub async fn edit(&self, id: &str, message: Message) -> Result<()> {
        let (session, id) = (self.session.to_owned(), id.to_owned());
        self.commit(EditIntent { session, id, message }).await?;
        Ok(())
    }

    /// Deletes one message. Forks keep what they share.
    ///
    /// # Errors
    /// `NotFound` without the session or the message.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.commit(self.cut(Cut::One(id.to_owned()))).await?;
        Ok(())
    }

    /// Deletes all messages. Forks keep what they share.
    ///
    /// # Errors
    /// `NotFound` without the session.
    pub async fn clear(&self) -> Result<()> {
        self.commit(self.cut(Cut::All)).await?;
        collect::collect(self.space).await.map(|_| ())
    }

    /// Deletes all messages after the one with this id, which stays. Forks keep what they share.
    ///
    /// # Errors
    /// `NotFound` without the session or the message.
    pub async fn truncate_after(&self, id: &str) -> Result<()> {
        self.commit(self.cut(Cut::After(id.to_owned()))).await?;
        collect::collect(self.space).await.map(|_| ())
    }

    fn views(&self, first: First) -> Views<'a> {
        Views::of(self.space, self.session, first)
    }

    fn cut(&self, cut: Cut) -> CutIntent {
        CutIntent { session: self.session.to_owned(), cut }
    }

    async fn commit(&self, intent: impl crate::repo::plan::Intent + 'static) -> Result<Done> {
        Unit::new(self.space.clone()).with(intent).commit().await
    }
}

/// Messages for a session within a unit of work.
#[derive(Debug)]
pub struct UnitMessages<'a> {
    unit: &'a mut Unit,
    session: String,
}

impl<'a> UnitMessages<'a> {
    pub(crate) fn new(unit: &'a mut Unit, session: &str) -> Self {
        Self { unit, session: session.to_owned() }
    }

    /// Adds one message.
    pub fn add(&mut self, message: Message) -> &mut Self {
        self.add_many(vec![message])
    }

    /// Adds many messages.
    pub fn add_many(&mut self, messages: Vec<Message>) -> &mut Self {
        self.unit.push(AddIntent { session: self.session.clone(), messages });
        self
    }

    /// Gives a message another content.
    pub fn edit(&mut self, id: &str, message: Message) -> &mut Self {
        let (session, id) = (self.session.clone(), id.to_owned());
        self.unit.push(EditIntent { session, id, message });
        self
    }
}
