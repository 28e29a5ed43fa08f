//! Editing one message.

use async_trait::async_trait;

use super::cut::close;
use super::lists::Kept;
use super::sweep;
use super::view::{View, not_found};
use crate::driver::{Known, NewEntry, Operation};
use crate::error::{Error, Kind, Result};
use crate::model::{Message, Session};
use crate::repo::plan::{Intent, Plan};
use crate::schema::{MESSAGES, Stream};

/// Gives a message another content. In place when no other session shares it; else this session
/// gets a message of its own, and the others keep the old one.
#[derive(Debug)]
pub(crate) struct EditIntent {
    pub(crate) session: String,
    pub(crate) id: String,
    pub(crate) message: Message,
}

#[async_trait]
impl Intent for EditIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        if self.message.id().is_some_and(|id| id != self.id) {
            return Err(Error::new(Kind::InvalidInput, "an edit cannot give a message another id")
                .at(format!("message {:?}", self.id))
                .advice("delete the message and add one under the new id"));
        }
        expect_visible(plan, &self.session).await?;
        let Some(planned) = plan.lineage(&self.session).await? else {
            return Err(not_found(&self.session));
        };
        let lineage = (*planned.lineage).clone();
        let view = View::of(plan.space, &self.session, lineage.clone());
        let old = view.message(&self.id).await?;
        let (body, refs) = (self.message.json().clone(), self.message.refs().to_vec());
        if old.index >= lineage.shared
            && let Some((stream, number)) = lineage.locate(old.index)
        {
            let stream = stream.clone();
            plan.push(Operation::Rewrite { log: &MESSAGES, stream, number, body, refs });
            return Ok(());
        }
        let closed = close(plan, &self.session).await?;
        let stream = Stream::unique("messages");
        if let Some((old_stream, _)) = closed.locate(old.index) {
            sweep::note(plan, old_stream, false)?;
        }
        let id = old.message.entry_id().cloned();
        let entry = NewEntry { id, body, refs };
        plan.append_elsewhere(&stream, entry, Known::Refuse);
        plan.set_lineage(&self.session, closed.with_replaced(old.index, &stream));
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{self:?}{:?}", self.message.refs())
    }
}

/// The session must not be one that a deletion under way has taken.
pub(super) async fn expect_visible(plan: &mut Plan<'_>, session: &str) -> Result<()> {
    let pending = plan.pending().await?;
    if pending.is_clear() {
        return Ok(());
    }
    // In a box: it is rare.
    Box::pin(async {
        let record = plan.get(&Session::key(session)?).await?;
        if let Some(record) = record
            && Session::from_json(record.body)?.hidden(plan.space, &pending).await?
        {
            return Err(not_found(session));
        }
        Ok(())
    })
    .await
}
