//! Taking messages away: clear, truncate, pop, delete one.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::lineage::Lineage;
use super::sweep;
use super::view::{View, not_found};
use crate::driver::{Expect, Operation};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::StoredMessage;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::MESSAGES;

/// What to take away.
#[derive(Debug, Clone)]
pub(crate) enum Cut {
    /// All messages.
    All,
    /// Those after the message with this id.
    After(String),
    /// The newest, which is put here.
    Newest(Taken),
    /// The one with this id.
    One(String),
}

/// Where a pop puts what it took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Arc<Mutex<Option<StoredMessage>>>);

impl Taken {
    fn put(&self, message: Option<StoredMessage>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = message;
    }

    pub(crate) fn take(&self) -> Option<StoredMessage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Takes messages away from one session.
#[derive(Debug)]
pub(crate) struct CutIntent {
    pub(crate) session: String,
    pub(crate) cut: Cut,
}

#[async_trait]
impl Intent for CutIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let closed = close(plan, &self.session).await?;
        let total = closed.closed_len();
        let view = View::of(plan.space, &self.session, closed.clone());
        let after = match &self.cut {
            Cut::All => closed.prefix(0),
            Cut::After(id) => closed.prefix(view.message(id).await?.index + 1),
            Cut::Newest(taken) => {
                let newest = view.range(total.saturating_sub(1), total).await?;
                let newest = newest.ok_or_else(|| {
                    Error::new(Kind::Conflict, "the newest message was taken away meanwhile")
                })?;
                let newest = newest.into_iter().next_back();
                if newest.is_some() {
                    blank(plan, &closed, total - 1);
                }
                taken.put(newest);
                closed.prefix(total.saturating_sub(1))
            }
            Cut::One(id) => {
                let index = view.message(id).await?.index;
                blank(plan, &closed, index);
                closed.without(index)
            }
        };
        // What stays open must not have grown: only what is cut closes it.
        if after == closed && !matches!(self.cut, Cut::All) {
            return Ok(());
        }
        let kept = after.streams();
        let single = matches!(self.cut, Cut::Newest(_) | Cut::One(_));
        for stream in closed.streams() {
            // A single message has been blanked already, unless others may share it.
            if !kept.contains(&stream) || !single {
                sweep::note(plan, stream, false)?;
            }
        }
        plan.set_lineage(&self.session, after);
        Ok(())
    }
}

/// The session's lineage with its end fixed: nothing may be added until the commit.
pub(super) async fn close(plan: &mut Plan<'_>, session: &str) -> Result<Lineage> {
    super::edit::expect_visible(plan, session).await?;
    let Some(planned) = plan.lineage(session).await? else { return Err(not_found(session)) };
    let lineage = (*planned.lineage).clone();
    let Some(open) = lineage.open() else { return Ok(lineage) };
    let stream = open.stream.clone();
    let last = View::of(plan.space, session, lineage.clone()).open_end().await?.unwrap_or(0);
    plan.expect(Expect::LogEnds(&MESSAGES, stream, last), Guard::Retry);
    Ok(lineage.closed_at(last))
}

/// Empties the entry of a message that no other session shares, in the same commit.
fn blank(plan: &mut Plan<'_>, lineage: &Lineage, index: u64) {
    if index < lineage.shared {
        return;
    }
    if let Some((stream, number)) = lineage.locate(index) {
        plan.push(Operation::Rewrite {
            log: &MESSAGES,
            stream: stream.clone(),
            number,
            body: Json::null(),
            refs: Vec::new(),
        });
    }
}
