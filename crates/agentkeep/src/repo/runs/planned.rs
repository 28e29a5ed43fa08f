//! A run within a plan: what was found of it, and what the commit makes of it.

use std::sync::Arc;

use super::change::Change;
use super::record::RunRecord;
use crate::driver::{Append, Expect, Known, NewEntry, Operation, Save};
use crate::error::Result;
use crate::json::Json;
use crate::repo::plan::{Guard, Held, Plan};
use crate::repo::space::Space;
use crate::schema::{STEPS, Stream};

/// A run that a plan depends on.
#[derive(Debug, Default)]
pub(crate) struct PlannedRun {
    /// As the store has it, with the version of its record: what the commit depends on.
    found: Option<(Arc<RunRecord>, u64)>,
    /// As the plan leaves it so far.
    pub(super) run: Option<Arc<RunRecord>>,
    /// What goes into the log.
    pub(super) change: Change,
    pub(super) changed: bool,
}

impl PlannedRun {
    pub(super) async fn of(space: &Space, id: &str) -> Result<Self> {
        let found = RunRecord::cached(space, id).await?;
        let run = found.as_ref().map(|(run, _)| Arc::clone(run));
        Ok(Self { found, run, ..Self::default() })
    }

    /// True when the store has something else by now.
    pub(super) async fn is_stale(&self, space: &Space, id: &str) -> Result<bool> {
        space.forget(&RunRecord::key(id)?);
        Ok(RunRecord::cached(space, id).await? != self.found)
    }

    /// The operations, and what they depend on.
    pub(crate) fn finish(self, id: &str, plan: &mut Plan<'_>) -> Result<()> {
        let (key, stream) = (RunRecord::key(id)?, Stream::new(id)?);
        let version = self.found.as_ref().map_or(0, |(_, version)| *version);
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        let met = self.found.map(|(run, _)| run);
        if let Some(met) = met.as_ref().filter(|met| met.mark.is_some()) {
            plan.expect(Expect::LogEnds(&STEPS, stream.clone(), met.last), Guard::Retry);
        }
        let Some(run) = self.run.filter(|_| self.changed) else { return Ok(()) };
        let behind = met.as_ref().and_then(|met| met.step_behind(&run, &self.change));
        let mut run = Arc::unwrap_or_clone(run);
        if let Some(tail) = behind {
            let (run, before) = run.with_tail(tail);
            append(plan, stream, self.change.finish(&before), None);
            plan.hold(Held::Steps(key, Arc::new(run), version));
            return Ok(());
        }
        let mut before = Vec::new();
        if run.last == 0 && run.birth.is_none() && (met.is_none() || !self.change.is_empty()) {
            run.birth = Some(birth());
            before.extend(run.birth.as_ref().map(|birth| ("birth", Json::string(birth))));
        }
        let entries = self.change.finish(&before);
        if !entries.is_empty() {
            // The numbers are known beforehand: only commits that guard the record append.
            let start = Some(run.last + 1);
            run.last += entries.len() as u64;
            append(plan, stream, entries, start);
        }
        run.settle(met.as_deref());
        plan.put(key, run.to_json(), Save::Any)?;
        plan.hold(Held::Run(Arc::new(run)));
        Ok(())
    }
}

/// Random, as long as every run's.
pub(super) fn birth() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..16].to_owned()
}

fn append(plan: &mut Plan<'_>, stream: Stream, bodies: Vec<Json>, start: Option<u64>) {
    let new = |body| NewEntry { id: None, body, refs: Vec::new() };
    let entries = bodies.into_iter().map(new).collect();
    let known = Known::Refuse;
    plan.push(Operation::Append(Append { log: &STEPS, stream, entries, known, start }));
}
