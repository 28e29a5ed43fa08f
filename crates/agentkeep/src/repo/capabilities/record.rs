//! Recording: a link, an envelope, a runtime snapshot, a transition, in one commit.

use async_trait::async_trait;

use super::kept::identified;
use super::{Answer, links, snapshots};
use crate::driver::Expect;
use crate::error::Result;
use crate::json::Json;
use crate::model::{
    CapabilityLink, EnvelopeRow, LinkRow, OpContext, RuntimeSnapshotRow, TransitionRow,
};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{SESSION_LINKS, Stream};

/// From which link a turn's transition leads to its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Follows {
    /// No transition is recorded.
    #[default]
    Nothing,
    /// The session's last link, if it has one.
    Latest,
    /// The session's last link, if it has one and anything in it is different.
    Changed,
    /// This link of the same session.
    Link(String),
}

/// What is kept of one turn: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnAttribution {
    /// The link.
    pub link: LinkRow,
    /// The envelope.
    pub envelope: Option<EnvelopeRow>,
    /// From which link a transition leads here.
    pub follows: Follows,
    /// Kept with the transition, an object.
    pub transition_metadata: Option<Json>,
}

/// The ids that a turn's rows have.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributed {
    /// The link's.
    pub link_id: String,
    /// The envelope's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope_snapshot_id: Option<String>,
    /// The transition's, if one was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition_id: Option<String>,
}

impl TurnAttribution {
    /// A link of this session.
    ///
    /// # Errors
    /// `InvalidId` for the session or the agent.
    pub fn new(op: &OpContext, session_id: &str, link: &CapabilityLink) -> Result<Self> {
        let link = LinkRow::of(link, session_id, op.now, None)?;
        Ok(Self { link, envelope: None, follows: Follows::Nothing, transition_metadata: None })
    }

    /// With an envelope.
    ///
    /// # Errors
    /// `InvalidInput` for an envelope without a text `schemaVersion`.
    pub fn with_envelope(mut self, envelope: &Json) -> Result<Self> {
        let (session, created) = (self.link.session_id(), self.link.created());
        self.envelope = Some(EnvelopeRow::of(envelope, &session, created, None)?);
        Ok(self)
    }

    /// With a transition from there.
    #[must_use]
    pub fn follows(mut self, follows: Follows) -> Self {
        self.follows = follows;
        self
    }
}

/// Records what it has.
#[derive(Debug, Default)]
pub(super) struct Record {
    op: Option<OpContext>,
    link: Option<(LinkRow, bool)>,
    envelope: Option<(EnvelopeRow, bool)>,
    runtime: Option<(RuntimeSnapshotRow, bool)>,
    transition: Option<(TransitionRow, bool)>,
    follows: Follows,
    transition_metadata: Option<Json>,
    /// The id of a transition that planning decides on.
    transition_id: String,
    answer: Answer<Attributed>,
}

impl Record {
    pub(super) fn new(op: &OpContext) -> Self {
        Self { op: Some(op.clone()), ..Self::default() }
    }

    /// One turn: rows without an id get one now, so that planning again means the same rows.
    pub(super) fn turn(op: &OpContext, turn: &TurnAttribution) -> Result<Self> {
        Ok(Self {
            link: Some(identified(&turn.link)?),
            envelope: turn.envelope.as_ref().map(identified).transpose()?,
            follows: turn.follows.clone(),
            transition_metadata: turn.transition_metadata.clone(),
            transition_id: transition_id(turn),
            ..Self::new(op)
        })
    }

    pub(super) fn link(op: &OpContext, row: &LinkRow) -> Result<Self> {
        Ok(Self { link: Some(identified(row)?), ..Self::new(op) })
    }

    pub(super) fn envelope(op: &OpContext, row: &EnvelopeRow) -> Result<Self> {
        Ok(Self { envelope: Some(identified(row)?), ..Self::new(op) })
    }

    pub(super) fn runtime(op: &OpContext, row: &RuntimeSnapshotRow) -> Result<Self> {
        Ok(Self { runtime: Some(identified(row)?), ..Self::new(op) })
    }

    pub(super) fn transition(op: &OpContext, row: &TransitionRow) -> Result<Self> {
        Ok(Self { transition: Some(identified(row)?), ..Self::new(op) })
    }

    pub(super) fn answer(&self) -> Answer<Attributed> {
        self.answer.clone()
    }

    /// The id of the one row that it records.
    pub(super) fn id(&self) -> String {
        let link = self.link.as_ref().and_then(|(row, _)| row.id());
        let envelope = || self.envelope.as_ref().and_then(|(row, _)| row.id());
        let runtime = || self.runtime.as_ref().and_then(|(row, _)| row.id());
        let transition = || self.transition.as_ref().and_then(|(row, _)| row.id());
        link.or_else(envelope).or_else(runtime).or_else(transition).unwrap_or_default()
    }

    /// True for a turn whose link is there already.
    async fn is_repeated(&self, plan: &mut Plan<'_>) -> Result<bool> {
        match (&self.link, &self.follows) {
            (Some((link, false)), follows) if *follows != Follows::Nothing => {
                let key = links::key(&link.id().unwrap_or_default())?;
                Ok(plan.get(&key).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    /// The transition that a turn asks for, if there is one.
    async fn transition_of_turn(&self, plan: &mut Plan<'_>) -> Result<Option<TransitionRow>> {
        let Some((link, _)) = &self.link else { return Ok(None) };
        let (session, to) = (link.session_id(), link.id().unwrap_or_default());
        let from = match &self.follows {
            Follows::Nothing => return Ok(None),
            Follows::Link(from) => from.clone(),
            Follows::Latest | Follows::Changed => {
                let (number, latest) = links::last(plan.space, &session).await?;
                let stream = Stream::new(&session)?;
                let Some(latest) = latest else {
                    plan.expect(Expect::LogEnds(&SESSION_LINKS, stream, number), Guard::Retry);
                    return Ok(None);
                };
                let from = latest.row.id().unwrap_or_default();
                plan.expect(Expect::LogEnds(&SESSION_LINKS, stream, number), Guard::Retry);
                if self.follows == Follows::Changed && latest.row.link()? == link.link()? {
                    return Ok(None);
                }
                from
            }
        };
        let metadata = self.transition_metadata.as_ref();
        let row = TransitionRow::of(&from, &to, &session, link.created(), metadata)?;
        row.with_id(&self.transition_id).map(Some)
    }
}

/// One id for each link, so that a turn that is recorded again has the same transition.
fn transition_id(turn: &TurnAttribution) -> String {
    match turn.link.id() {
        Some(link) if link.len() <= 200 => format!("{}_{link}", TransitionRow::PREFIX),
        _ => crate::model::new_id(TransitionRow::PREFIX),
    }
}

#[async_trait]
impl Intent for Record {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let Some(op) = &self.op else { return Ok(()) };
        plan.settled().await?;
        let link_id = self.link.as_ref().and_then(|(row, _)| row.id());
        let envelope_id = self.envelope.as_ref().and_then(|(row, _)| row.id());
        let mut transition_id = None;
        if self.is_repeated(plan).await? {
            // What followed was decided on the first time.
            let known = snapshots::get_transition(plan.space, &self.transition_id).await?;
            transition_id = known.and_then(|known| known.row.id());
        } else if let Some(row) = self.transition_of_turn(plan).await? {
            transition_id = row.id();
            let row = (row, false);
            snapshots::plan_transition(plan, op, &row, link_id.as_deref()).await?;
        }
        let listed = match &self.link {
            Some(link) => links::plan(plan, op, link, envelope_id.as_deref()).await?,
            None => None,
        };
        if let Some(envelope) = &self.envelope {
            let (link, listed) = (link_id.as_deref(), listed.as_ref());
            snapshots::plan_envelope(plan, op, envelope, link, listed).await?;
        }
        if let Some(runtime) = &self.runtime {
            snapshots::plan_runtime(plan, op, runtime).await?;
        }
        if let Some(transition) = &self.transition {
            snapshots::plan_transition(plan, op, transition, None).await?;
        }
        self.answer.put(Attributed {
            link_id: link_id.unwrap_or_default(),
            envelope_snapshot_id: envelope_id,
            transition_id,
        });
        Ok(())
    }

    fn describe(&self) -> String {
        let rows = (&self.link, &self.envelope, &self.runtime, &self.transition);
        format!("{:?} {rows:?} {:?} {:?}", self.op, self.follows, self.transition_metadata)
    }
}
