//! What agents were and could do: registrations, links, envelopes, transitions.

mod again;
mod agents;
pub(crate) mod check;
mod kept;
mod lineage;
mod links;
mod parts;
mod record;
mod snapshots;
mod toolsets;
mod uses;
mod walk;
pub(crate) mod why;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::again::Latest;
pub use self::kept::Kept;
pub use self::lineage::Lineage;
pub use self::links::LinkPage;
pub use self::record::{Attributed, Follows, TurnAttribution};
pub use self::uses::{HashKind, HashUse};
pub use self::why::{TurnAccount, TurnEntry};

use self::kept::{check_tenant, identified};
use self::record::Record;
use super::conversations::pending::Pending;
use super::pages::{List, Page};
use super::space::Space;
use super::unit::Unit;
use crate::error::Result;
use crate::model::{
    EnvelopeRow, LinkRow, OpContext, RegistrationRow, RuntimeSnapshotRow, TransitionRow,
};
use crate::schema::Turn;

/// What planning found, for the caller.
#[derive(Debug, Clone, Default)]
struct Answer<T>(Arc<Mutex<T>>);

impl<T: Default> Answer<T> {
    fn put(&self, answer: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn take(&self) -> T {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What agents of a namespace, which is a tenant, were and could do.
///
/// Rows are given as JSON and come back as they were. An id names one row: recording the same row
/// again changes nothing, another row under its id is an `IdempotencyConflict`. Rows without an id
/// get one that no restart repeats.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a> {
    space: &'a Space,
}

impl<'a> Capabilities<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Registers an agent as it is now, and makes that its latest registration. The same agent with
    /// the same static hash is registered once: the first row stays, and its id is answered.
    ///
    /// # Errors
    /// `InvalidInput` for another tenant's operation.
    pub async fn upsert_registered_agent_snapshot(
        &self,
        op: &OpContext,
        row: &RegistrationRow,
    ) -> Result<String> {
        const DURING: &str = "capabilities.upsert_registered_agent_snapshot";
        check_tenant(self.space, op).map_err(|error| error.during(DURING))?;
        let (answer, (row, _)) = (Answer::default(), identified(row)?);
        let intent = agents::Register { op: op.clone(), row, answer: answer.clone() };
        let done = Unit::new(self.space.clone()).with(intent).commit().await;
        done.map_err(|error| error.during(DURING))?;
        Ok(answer.take())
    }

    /// The registration of an agent that was last asked for, whatever its time says.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_latest_registered_agent_for_agent(
        &self,
        agent_id: &str,
    ) -> Result<Option<RegistrationRow>> {
        if self.hidden().await? {
            return Ok(None);
        }
        Ok(agents::latest(self.space, agent_id).await?.map(|kept| kept.row))
    }

    /// Records a link: it is then the latest of its session.
    ///
    /// # Errors
    /// `IdempotencyConflict`; `InvalidInput` for another tenant's operation.
    pub async fn record_session_capability_link(
        &self,
        op: &OpContext,
        row: &LinkRow,
    ) -> Result<String> {
        self.record(op, Record::link(op, row)?, "capabilities.record_session_capability_link").await
    }

    /// The link of a session that was recorded last, whatever its time says.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_latest_capability_link_for_session(
        &self,
        session_id: &str,
    ) -> Result<Option<LinkRow>> {
        let (_, latest) = links::last(self.space, session_id).await?;
        Ok(latest.map(|kept| kept.row))
    }

    /// At most `limit` links of an agent in the order in which they were recorded, oldest first,
    /// from a place counted from 0. Places never move.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a limit that is not 1 to 10,000.
    pub async fn list_capability_links_for_agent(
        &self,
        agent_id: &str,
        from: u64,
        limit: usize,
    ) -> Result<LinkPage> {
        links::of_agent(self.space, agent_id, from, limit).await
    }

    /// Records which tools an agent had.
    ///
    /// # Errors
    /// As [`record_session_capability_link`](Self::record_session_capability_link).
    pub async fn record_runtime_tool_ref_snapshot(
        &self,
        op: &OpContext,
        row: &RuntimeSnapshotRow,
    ) -> Result<String> {
        let record = Record::runtime(op, row)?;
        self.record(op, record, "capabilities.record_runtime_tool_ref_snapshot").await
    }

    /// Records an envelope, of whatever version; what is long in it is kept once.
    ///
    /// # Errors
    /// As [`record_session_capability_link`](Self::record_session_capability_link); `TooLarge` past
    /// 64 MiB.
    pub async fn record_affordance_snapshot_envelope(
        &self,
        op: &OpContext,
        row: &EnvelopeRow,
    ) -> Result<String> {
        let record = Record::envelope(op, row)?;
        self.record(op, record, "capabilities.record_affordance_snapshot_envelope").await
    }

    /// An envelope.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_affordance_snapshot_envelope(
        &self,
        snapshot_id: &str,
    ) -> Result<Option<EnvelopeRow>> {
        Ok(self.envelope(snapshot_id).await?.map(|kept| kept.row))
    }

    /// Records that one link came after another of the same session.
    ///
    /// # Errors
    /// As [`record_session_capability_link`](Self::record_session_capability_link); `MissingParent`
    /// when a link is not there, `InvalidInput` when one is of another session.
    pub async fn record_capability_transition(
        &self,
        op: &OpContext,
        row: &TransitionRow,
    ) -> Result<String> {
        let record = Record::transition(op, row)?;
        self.record(op, record, "capabilities.record_capability_transition").await
    }

    /// Records a turn, link, envelope and transition, in one commit that carries `turn`. Recording
    /// the same again changes nothing and answers the same.
    ///
    /// # Errors
    /// As [`record_capability_transition`](Self::record_capability_transition). Then nothing of the
    /// turn was recorded.
    pub async fn record_turn_attribution(
        &self,
        op: &OpContext,
        attribution: &TurnAttribution,
        turn: Option<&Turn>,
    ) -> Result<Attributed> {
        const DURING: &str = "capabilities.record_turn_attribution";
        check_tenant(self.space, op).map_err(|error| error.during(DURING))?;
        let record = Record::turn(op, attribution)?;
        let answer = record.answer();
        let mut unit = Unit::new(self.space.clone()).with(record);
        if let Some(turn) = turn {
            unit = unit.turn(turn);
        }
        unit.commit().await.map_err(|error| error.during(DURING))?;
        Ok(answer.take())
    }

    /// The latest registration of each agent, by id.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn agents(&self, list: &List) -> Result<Page<Kept<RegistrationRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        agents::all(self.space, list).await
    }

    /// All registrations of an agent, oldest first by their time.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a damaged continuation.
    pub async fn registrations(
        &self,
        agent_id: &str,
        list: &List,
    ) -> Result<Page<Kept<RegistrationRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        agents::of_agent(self.space, agent_id, list).await
    }

    /// A link.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn link(&self, link_id: &str) -> Result<Option<Kept<LinkRow>>> {
        if self.hidden().await? {
            return Ok(None);
        }
        links::get(self.space, link_id).await
    }

    /// The links of an agent made at `since` or later and before `before`, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a damaged continuation.
    pub async fn links_between(
        &self,
        agent_id: &str,
        since: Option<i64>,
        before: Option<i64>,
        list: &List,
    ) -> Result<Page<Kept<LinkRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        links::between(self.space, agent_id, (since, before), list).await
    }

    /// At most `limit` links of a session in the order in which they were recorded, from a place
    /// counted from 0.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a limit that is not 1 to 10,000.
    pub async fn links_of_session(
        &self,
        session_id: &str,
        from: u64,
        limit: usize,
    ) -> Result<LinkPage> {
        links::of_session(self.space, session_id, from, limit).await
    }

    /// A runtime snapshot.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn runtime_snapshot(
        &self,
        snapshot_id: &str,
    ) -> Result<Option<Kept<RuntimeSnapshotRow>>> {
        if self.hidden().await? {
            return Ok(None);
        }
        snapshots::get_runtime(self.space, snapshot_id).await
    }

    /// The runtime snapshots of a session, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a damaged continuation.
    pub async fn runtime_snapshots(
        &self,
        session_id: &str,
        list: &List,
    ) -> Result<Page<Kept<RuntimeSnapshotRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        snapshots::runtimes(self.space, session_id, list).await
    }

    /// An envelope, with who wrote it.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn envelope(&self, snapshot_id: &str) -> Result<Option<Kept<EnvelopeRow>>> {
        if self.hidden().await? {
            return Ok(None);
        }
        snapshots::get_envelope(self.space, snapshot_id).await
    }

    /// The envelopes of a session, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a damaged continuation.
    pub async fn envelopes(
        &self,
        session_id: &str,
        list: &List,
    ) -> Result<Page<Kept<EnvelopeRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        snapshots::envelopes(self.space, session_id, list).await
    }

    /// A transition.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn transition(&self, transition_id: &str) -> Result<Option<Kept<TransitionRow>>> {
        if self.hidden().await? {
            return Ok(None);
        }
        snapshots::get_transition(self.space, transition_id).await
    }

    /// The transitions of a session, oldest first.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a damaged continuation.
    pub async fn transitions(
        &self,
        session_id: &str,
        list: &List,
    ) -> Result<Page<Kept<TransitionRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        snapshots::transitions(self.space, session_id, list).await
    }

    /// All links of a session and the transitions between them.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn lineage(&self, session_id: &str) -> Result<Lineage> {
        lineage::read(self.space, session_id).await
    }

    /// Which agents used what a hash stands for (an agent, its tools, an invocation, one tool), and
    /// since when. Costs what there are such agents, not links; for a tool also what there are lists of
    /// tools with it.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn who_used(&self, hash: &str) -> Result<Vec<HashUse>> {
        if self.hidden().await? {
            return Ok(Vec::new());
        }
        uses::who_used(self.space, hash).await
    }

    /// A page of the links that have a hash of this kind, by agent, then by time. The links of such an
    /// agent are looked at from its first use of the hash on, at most about 10,000 for one page: where
    /// few of them have the hash, a page has fewer than asked for, or none, and still a next one. A page
    /// costs a query for each agent on it, and for a tool one for each list of tools with it.
    ///
    /// # Errors
    /// `InvalidInput` for a continuation that is damaged or of another hash.
    pub async fn links_with(
        &self,
        kind: HashKind,
        hash: &str,
        list: &List,
    ) -> Result<Page<Kept<LinkRow>>> {
        if self.hidden().await? {
            return Ok(nothing());
        }
        uses::links_with(self.space, kind, hash, list).await
    }

    async fn record(&self, op: &OpContext, record: Record, during: &'static str) -> Result<String> {
        check_tenant(self.space, op).map_err(|error| error.during(during))?;
        let id = record.id();
        let unit = Unit::new(self.space.clone()).with(record);
        unit.commit().await.map_err(|error| error.during(during))?;
        Ok(id)
    }

    /// True while the namespace is being deleted, or is not whole yet.
    async fn hidden(&self) -> Result<bool> {
        Ok(Pending::load(self.space).await?.hides_all())
    }
}

fn nothing<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

/// What agents were and could do, within a unit of work.
#[derive(Debug)]
pub struct UnitCapabilities<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitCapabilities<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Records a turn when the unit is committed, with the unit's turn.
    ///
    /// # Errors
    /// `InvalidInput` for another tenant's operation.
    pub fn record_turn(&mut self, op: &OpContext, turn: &TurnAttribution) -> Result<&mut Self> {
        check_tenant(self.unit.space(), op)?;
        let record = Record::turn(op, turn)?;
        self.unit.push(record);
        Ok(self)
    }
}
