//! Adding messages.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::edit::expect_visible;
use super::lineage::{Lineage, Segment};
use super::view::{View, not_found};
use crate::driver::NewEntry;
use crate::error::{Error, Kind, Result};
use crate::model::Message;
use crate::repo::plan::{AddReceipt, Intent, Placed, Plan};
use crate::schema::{EntryId, Stream};

/// Where an added message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Its place in the conversation, counted from 0.
    pub index: u64,
    /// True when the same message was there before: nothing was changed.
    pub duplicate: bool,
}

/// Adds messages to the end of a session.
#[derive(Debug)]
pub(crate) struct AddIntent {
    pub(crate) session: String,
    pub(crate) messages: Vec<Message>,
}

#[async_trait]
impl Intent for AddIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        expect_visible(plan, &self.session).await?;
        let Some(planned) = plan.lineage(&self.session).await? else {
            return Err(not_found(&self.session));
        };
        let mut lineage = Arc::clone(&planned.lineage);
        let open = lineage.open().map(|open| open.stream.clone());
        let open_is_new = open.is_none();
        let stream = open.unwrap_or_else(|| open_stream(Arc::make_mut(&mut lineage)));
        let known = self.known(plan, &lineage, open_is_new).await?;
        let (entries, placed) = self.entries(&known)?;
        let before = lineage.closed_len();
        if open_is_new {
            plan.set_lineage(&self.session, lineage);
        }
        let messages = self.append(plan, &stream, entries, placed);
        plan.receipts.push(AddReceipt { operation: messages.0, messages: messages.1, before });
        Ok(())
    }

    fn only_appends(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let refs: Vec<_> = self.messages.iter().map(Message::refs).collect();
        format!("{self:?}{refs:?}")
    }
}

/// Gives a closed lineage a stream that new messages go to.
fn open_stream(lineage: &mut Lineage) -> Stream {
    let stream = Stream::unique("messages");
    lineage.segments.push(Segment { stream: stream.clone(), from: 1, to: None });
    stream
}

impl AddIntent {
    /// The messages of the conversation that have one of the new ids. Those in the open stream
    /// are left to the driver, which knows them at the commit, unless the plan must be careful.
    async fn known(
        &self,
        plan: &Plan<'_>,
        lineage: &Arc<Lineage>,
        open_is_new: bool,
    ) -> Result<HashMap<EntryId, (u64, Message)>> {
        let only_open = lineage.segments.len() == 1;
        if only_open && (open_is_new || !plan.careful) {
            return Ok(HashMap::new());
        }
        let ids: Vec<EntryId> =
            self.messages.iter().filter_map(Message::entry_id).cloned().collect();
        let view = View::of(plan.space, &self.session, Arc::clone(lineage));
        // In a box: without it, every future of an append would be as large as this one.
        let found = Box::pin(view.by_ids(&ids)).await?;
        let by_id = |stored: crate::model::StoredMessage| {
            let id = stored.message.entry_id().cloned()?;
            Some((id, (stored.index, stored.message)))
        };
        Ok(found.into_iter().filter_map(by_id).collect())
    }

    /// The entries to append, and where each message is or will be.
    fn entries(
        &self,
        known: &HashMap<EntryId, (u64, Message)>,
    ) -> Result<(Vec<NewEntry>, Vec<Placed>)> {
        let count = self.messages.len();
        let (mut entries, mut placed) =
            (Vec::<NewEntry>::with_capacity(count), Vec::with_capacity(count));
        let mut new: HashMap<&EntryId, usize> = HashMap::new();
        for message in &self.messages {
            let id = message.entry_id();
            if let Some((index, old)) = id.and_then(|id| known.get(id)) {
                self.same(message, old.json())?;
                placed.push(Placed::Known(*index));
                continue;
            }
            if let Some(&entry) = id.and_then(|id| new.get(id)) {
                self.same(message, &entries[entry].body)?;
                placed.push(Placed::Entry(entry));
                continue;
            }
            if let Some(id) = id
                && count > 1
            {
                new.insert(id, entries.len());
            }
            placed.push(Placed::Entry(entries.len()));
            let (body, refs) = (message.json().clone(), message.refs().to_vec());
            entries.push(NewEntry { id: id.cloned(), body, refs });
        }
        Ok((entries, placed))
    }

    fn same(&self, message: &Message, old: &crate::Json) -> Result<()> {
        if message.json() == old {
            return Ok(());
        }
        let id = message.id().unwrap_or_default();
        Err(Error::new(
            Kind::IdempotencyConflict,
            format!("message {id:?} is there with other content"),
        )
        .at(format!("session {:?}", self.session))
        .advice("give the new message another id, or edit the old one"))
    }

    fn append(
        &self,
        plan: &mut Plan<'_>,
        stream: &Stream,
        entries: Vec<NewEntry>,
        placed: Vec<Placed>,
    ) -> (usize, Vec<Placed>) {
        if entries.is_empty() {
            return (usize::MAX, placed);
        }
        let (operation, start) = plan.append(&self.session, stream, entries, plan.known());
        let moved = placed.into_iter().map(|placed| match placed {
            Placed::Entry(entry) => Placed::Entry(entry + start),
            known @ Placed::Known(_) => known,
        });
        (operation, moved.collect())
    }
}
