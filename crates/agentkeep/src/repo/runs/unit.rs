//! Runs within a unit of work.

use super::write::{Answer, RunIntent, What};
use crate::json::Json;
use crate::model::{RunSnapshot, RunStatus};
use crate::repo::unit::Unit;

/// What is done to runs when the unit is committed: all of it happens, or nothing. What each of
/// them means and refuses is told at [`Runs`](super::Runs).
#[derive(Debug)]
pub struct UnitRuns<'a> {
    unit: &'a mut Unit,
    fence: u64,
}

impl<'a> UnitRuns<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit, fence: 0 }
    }

    /// The same, writing under this fencing number.
    #[must_use]
    pub fn under(self, fence: u64) -> Self {
        Self { fence, ..self }
    }

    /// Begins a run.
    pub fn start(&mut self, snapshot: RunSnapshot) -> &mut Self {
        let id = snapshot.id().to_owned();
        self.push(&id, What::Start(snapshot, None))
    }

    /// Keeps the result of a step, and gives other members the values in `changes`.
    pub fn step(&mut self, run_id: &str, result: Json, changes: Json) -> &mut Self {
        self.push(run_id, What::Step { index: None, result, changes })
    }

    /// The same, when the run has exactly `index` steps.
    pub fn step_at(&mut self, run_id: &str, index: u64, result: Json, changes: Json) -> &mut Self {
        self.push(run_id, What::Step { index: Some(index), result, changes })
    }

    /// The whole state after a step, or at the end of a run.
    pub fn snapshot(&mut self, snapshot: RunSnapshot) -> &mut Self {
        let id = snapshot.id().to_owned();
        self.push(&id, What::Whole(snapshot))
    }

    /// Ends a run well.
    pub fn complete(&mut self, run_id: &str, changes: Json) -> &mut Self {
        self.push(run_id, What::Finish(RunStatus::Complete, changes))
    }

    /// Ends a run with an error.
    pub fn fail(&mut self, run_id: &str, error: &str, changes: Json) -> &mut Self {
        self.push(run_id, What::Finish(RunStatus::Failed, super::with_error(error, changes)))
    }

    /// Ends a run because somebody wanted it.
    pub fn cancel(&mut self, run_id: &str, changes: Json) -> &mut Self {
        self.push(run_id, What::Finish(RunStatus::Cancelled, changes))
    }

    fn push(&mut self, run_id: &str, what: What) -> &mut Self {
        let (id, fence, answer) = (run_id.to_owned(), self.fence, Answer::default());
        self.unit.push(RunIntent { id, fence, what, answer });
        self
    }
}
