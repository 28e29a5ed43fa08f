//! The writes that only loads make.

use async_trait::async_trait;

use super::super::definitions;
use super::super::lineage::{Lineage, Segment};
use super::super::lists::Kept;
use crate::driver::{Expect, Operation, Put, Save};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::Session;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{Stream, Turn};

/// Makes a session with a stream of its own.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) session: Session,
    pub(super) stream: Stream,
}

#[async_trait]
impl Intent for Create {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let id = self.session.id();
        let key = Session::key(id)?;
        let meanwhile = Error::new(Kind::Conflict, "somebody else made the session meanwhile")
            .at(key.to_string())
            .advice("load again");
        plan.expect(Expect::Absent(key.clone()), Guard::Answer(meanwhile));
        plan.put(key, self.session.json().clone(), Save::Any)?;
        let segment = Segment { stream: self.stream.clone(), from: 1, to: None };
        plan.create_lineage(id, Lineage { segments: vec![segment], ..Lineage::default() })?;
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct PutDefinition {
    pub(super) put: Put,
}

#[async_trait]
impl Intent for PutDefinition {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        plan.push(Operation::Put(self.put.clone()));
        Ok(())
    }
}

/// Notes that the import adds to a session which was there before: undoing takes its messages
/// out of that session.
#[derive(Debug)]
pub(super) struct NoteGrowth {
    pub(super) import: Turn,
    pub(super) session: String,
}

#[async_trait]
impl Intent for NoteGrowth {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let key = definitions::key(self.import.as_str(), &self.session)?;
        if plan.writes(&key) {
            return Ok(());
        }
        plan.put(key, Json::assembled("{}".to_owned()), Save::Any)
    }
}

/// Notes that the import adds to a thread which was there before.
#[derive(Debug)]
pub(super) struct NoteThread {
    pub(super) import: Turn,
    pub(super) thread: String,
}

#[async_trait]
impl Intent for NoteThread {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let (key, body) = definitions::growth_of_thread(self.import.as_str(), &self.thread)?;
        if plan.writes(&key) {
            return Ok(());
        }
        plan.put(key, body, Save::Any)
    }
}
