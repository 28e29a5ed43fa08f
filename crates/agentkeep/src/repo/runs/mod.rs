//! Runs: what an agent is in the middle of, kept so that exactly one process can go on with it.

mod change;
mod gather;
pub(crate) mod imports;
mod lease;
mod list;
mod load;
mod planned;
mod record;
mod tail;
mod unit;
mod write;

use std::time::Duration;

use serde::Serialize;

pub use self::lease::Lease;
pub use self::list::{RunFilter, RunInfo, RunTotals};
pub(crate) use self::planned::PlannedRun;
pub(crate) use self::record::RunRecord;
pub use self::unit::UnitRuns;

use self::write::{Answer, RunIntent, What};
use super::pages::{List, Page};
use super::space::Space;
use super::unit::Unit;
use crate::driver::Operation;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{RunSnapshot, RunStatus};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{OperationId, STEPS, Stream, Turn};

/// The runs of a namespace, as one who writes under a fencing number sees them: 0 for runs that
/// nobody has claimed, or what [`claim`](Self::claim) answered ([`under`](Self::under)).
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    space: &'a Space,
    fence: u64,
    operation: Option<&'a OperationId>,
    turn: Option<&'a Turn>,
}

/// Whether a run can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumable {
    /// True when it can.
    pub resumable: bool,
    /// Why not: `complete`, `no plan`, `invalid id`, `not found` or `held`.
    pub reason: Option<&'static str>,
    /// How it stands, when it is there.
    pub run: Option<RunInfo>,
}

impl<'a> Runs<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space, fence: 0, operation: None, turn: None }
    }

    /// The same, writing under this fencing number.
    #[must_use]
    pub fn under(self, fence: u64) -> Self {
        Self { fence, ..self }
    }

    /// The same, each of whose writes may be repeated under this operation id, as after a lost
    /// answer: it is done once, and answers as the first time. Every write needs an id of its own.
    ///
    /// ```
    /// # use agentkeep::{Json, RunSnapshot, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> agentkeep::Result<()> {
    /// # let store = Store::open("memory:").await?;
    /// store.runs().start(RunSnapshot::new("r", "do it")?).await?;
    /// let (result, nothing) = (Json::parse(r#"{"summary":"done"}"#)?, Json::parse("{}")?);
    /// let once = agentkeep::schema::OperationId::new("r/step/17")?;
    /// for _ in 0..2 {
    ///     store.runs().operation(&once).step("r", result.clone(), nothing.clone()).await?;
    /// }
    /// assert_eq!(store.runs().load("r").await?.unwrap().trace(), [result]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn operation(self, operation: &'a OperationId) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same; what it writes carries this turn.
    #[must_use]
    pub fn turn(self, turn: &'a Turn) -> Self {
        Self { turn: Some(turn), ..self }
    }

    /// Begins a run. The same snapshot again, as after a lost answer, changes nothing.
    ///
    /// # Errors
    /// `AlreadyExists` when there is another run of this id; `InvalidInput` when it is not
    /// executing.
    pub async fn start(&self, snapshot: RunSnapshot) -> Result<()> {
        let id = snapshot.id().to_owned();
        self.commit("runs.start", &id, What::Start(snapshot, None)).await.map(|_| ())
    }

    /// Begins a run and claims it, in one commit.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidInput`, `InvalidId` for the owner.
    pub async fn start_as(
        &self,
        snapshot: RunSnapshot,
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease> {
        let id = snapshot.id().to_owned();
        let what = What::Start(snapshot, Some((owner.to_owned(), ttl)));
        self.leased("runs.start", &id, what).await
    }

    /// Keeps the result of a step: adds it to the trace, and gives other members the values in
    /// `changes`. Costs its own size. A run that was claimed after it had failed or was cancelled
    /// is executing again. Repeated, as after a lost answer, it is kept twice: give it an
    /// [`operation`](Self::operation), or use [`step_at`](Self::step_at).
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the run is over; `LeaseLost` when it was claimed under another
    /// number; `InvalidInput` when `stepIndex` skips a step. Then nothing was changed.
    pub async fn step(&self, run_id: &str, result: Json, changes: Json) -> Result<()> {
        let what = What::Step { index: None, result, changes };
        self.commit("runs.step", run_id, what).await.map(|_| ())
    }

    /// As [`step`](Self::step), when the run has exactly `index` steps: so that repeating it after
    /// a lost answer does not keep it twice.
    ///
    /// # Errors
    /// As [`step`](Self::step); `AlreadyExists` when the run has the step; `InvalidInput` when
    /// steps before it are missing.
    pub async fn step_at(
        &self,
        run_id: &str,
        index: u64,
        result: Json,
        changes: Json,
    ) -> Result<()> {
        let what = What::Step { index: Some(index), result, changes };
        self.commit("runs.step", run_id, what).await.map(|_| ())
    }

    /// Ends a run well; `changes` as for [`step`](Self::step), also with the whole `trace`.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `LeaseLost`.
    pub async fn complete(&self, run_id: &str, changes: Json) -> Result<()> {
        self.finish("runs.complete", run_id, RunStatus::Complete, changes).await
    }

    /// Ends a run with an error.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `LeaseLost`.
    pub async fn fail(&self, run_id: &str, error: &str, changes: Json) -> Result<()> {
        let changes = with_error(error, changes);
        self.finish("runs.fail", run_id, RunStatus::Failed, changes).await
    }

    /// Ends a run because somebody wanted it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `LeaseLost`.
    pub async fn cancel(&self, run_id: &str, changes: Json) -> Result<()> {
        self.finish("runs.cancel", run_id, RunStatus::Cancelled, changes).await
    }

    /// As [`start`](Self::start): the hook of programs that give the whole state each time.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn on_run_start(&self, snapshot: RunSnapshot) -> Result<()> {
        self.start(snapshot).await
    }

    /// The whole state after a step. Only what is new is stored: a list that begins as before
    /// costs what it has more. The same again changes nothing.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn on_step_complete(&self, snapshot: RunSnapshot) -> Result<()> {
        self.whole("runs.on_step_complete", snapshot).await
    }

    /// The whole state at the end; also of a run that never began.
    ///
    /// # Errors
    /// As [`step`](Self::step); `InvalidInput` when it is still executing.
    pub async fn on_run_complete(&self, snapshot: RunSnapshot) -> Result<()> {
        if snapshot.status() == RunStatus::Executing {
            return Err(Error::new(Kind::InvalidInput, "a run that ends is not executing")
                .at(write::place(snapshot.id()))
                .advice("give it the status complete, failed or cancelled")
                .during("runs.on_run_complete"));
        }
        self.whole("runs.on_run_complete", snapshot).await
    }

    /// Takes in a run as another program left it, wherever it stands. False when it was there.
    ///
    /// # Errors
    /// `AlreadyExists` when there is another run of this id.
    pub async fn import(&self, snapshot: RunSnapshot) -> Result<bool> {
        let id = snapshot.id().to_owned();
        Ok(self.commit("runs.import", &id, What::Import(snapshot)).await?.1)
    }

    /// The last snapshot of a run, text for text; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidId`; `Corrupt`.
    pub async fn load(&self, run_id: &str) -> Result<Option<RunSnapshot>> {
        load::load(self.space, run_id).await.map_err(|error| error.during("runs.load"))
    }

    /// What lists tell of one run; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn info(&self, run_id: &str) -> Result<Option<RunInfo>> {
        list::info(self.space, run_id).await
    }

    /// Takes the right to go on with a run, for `ttl`. All who held it before can write no more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is complete, or while somebody else's lease lives.
    pub async fn claim(&self, run_id: &str, owner: &str, ttl: Duration) -> Result<Lease> {
        self.leased("runs.claim", run_id, What::Claim(owner.to_owned(), ttl)).await
    }

    /// Prolongs one's lease to `ttl` from now; also one that is over, if nobody has claimed the run
    /// since.
    ///
    /// # Errors
    /// `LeaseLost`; `NotFound`.
    pub async fn heartbeat(&self, run_id: &str, ttl: Duration) -> Result<Lease> {
        self.leased("runs.heartbeat", run_id, What::Heartbeat(ttl)).await
    }

    /// Gives one's lease back before its time.
    ///
    /// # Errors
    /// `LeaseLost`; `NotFound`.
    pub async fn release(&self, run_id: &str) -> Result<()> {
        self.commit("runs.release", run_id, What::Release).await.map(|_| ())
    }

    /// A page of the executing runs without a living lease, those without any first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn abandoned(&self, list: &List) -> Result<Page<RunInfo>> {
        list::abandoned(self.space, list).await
    }

    /// Whether a run can be resumed, and why not.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn resumable(&self, run_id: &str) -> Result<Resumable> {
        let not = |reason| Resumable { resumable: false, reason: Some(reason), run: None };
        if crate::model::check_run_id(run_id).is_err() {
            return Ok(not("invalid id"));
        }
        let Some(run) = load::record(self.space, run_id).await? else {
            return Ok(not("not found"));
        };
        let reason = if run.status() == RunStatus::Complete {
            Some("complete")
        } else if !run.has_plan() {
            Some("no plan")
        } else if run.held_by(self.space.ages().wall()).is_some() {
            Some("held")
        } else {
            None
        };
        let run = Some(RunInfo::of(run_id, &run));
        Ok(Resumable { resumable: reason.is_none(), reason, run })
    }

    /// A page of runs, newest first, then by id.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn list(&self, filter: &RunFilter, list: &List) -> Result<Page<RunInfo>> {
        list::page(self.space, filter, list).await
    }

    /// What runs used, by day and status. Reads all runs that the filter leaves.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn totals(&self, filter: &RunFilter) -> Result<Vec<RunTotals>> {
        list::totals(self.space, filter).await
    }

    /// Deletes a run with all that is kept of it. False when there was none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn delete(&self, run_id: &str) -> Result<bool> {
        RunRecord::key(run_id)?;
        let unit = Unit::new(self.space.clone()).with(Delete(run_id.to_owned()));
        Ok(unit.commit().await.map_err(|error| error.during("runs.delete"))?.deleted)
    }

    async fn finish(
        &self,
        operation: &'static str,
        run_id: &str,
        status: RunStatus,
        changes: Json,
    ) -> Result<()> {
        self.commit(operation, run_id, What::Finish(status, changes)).await.map(|_| ())
    }

    async fn whole(&self, operation: &'static str, snapshot: RunSnapshot) -> Result<()> {
        let id = snapshot.id().to_owned();
        self.commit(operation, &id, What::Whole(snapshot)).await.map(|_| ())
    }

    async fn leased(&self, operation: &'static str, id: &str, what: What) -> Result<Lease> {
        let (lease, _) = self.commit(operation, id, what.clone()).await?;
        if lease.is_none() && self.operation.is_some() {
            return self.leased_before(id, &what).await.map_err(|error| error.during(operation));
        }
        lease.ok_or_else(|| Error::new(Kind::Corrupt, "no lease was answered").during(operation))
    }

    /// The lease that was given when the operation was done first, if nobody has it since.
    async fn leased_before(&self, id: &str, what: &What) -> Result<Lease> {
        let owner = match what {
            What::Start(_, Some((owner, _))) | What::Claim(owner, _) => Some(owner),
            _ => None,
        };
        let Some(run) = load::record(self.space, id).await? else {
            return Err(write::not_found(id));
        };
        match (run.owner, run.until) {
            (Some(holder), Some(until)) if owner.is_none_or(|owner| *owner == holder) => {
                Ok(Lease { run_id: id.to_owned(), owner: holder, fence: run.fence, until })
            }
            _ => Err(Error::new(Kind::LeaseLost, "the lease was given, and is over")
                .at(write::place(id))
                .advice("claim the run anew, under another operation id")),
        }
    }

    async fn commit(
        &self,
        operation: &'static str,
        id: &str,
        what: What,
    ) -> Result<(Option<Lease>, bool)> {
        let answer = Answer::default();
        let (id, fence) = (id.to_owned(), self.fence);
        let intent = RunIntent { id, fence, what, answer: answer.clone() };
        let mut unit = Unit::new(self.space.clone()).with(intent);
        if let Some(turn) = self.turn {
            unit = unit.turn(turn);
        }
        if let Some(operation) = self.operation {
            unit = unit.operation(operation);
        }
        let done = unit.commit().await.map_err(|error| error.during(operation))?;
        // What was planned was not done now.
        Ok(if done.replayed { (None, false) } else { answer.take() })
    }
}

/// The changes at a run's end with its error; what is no object stays, and is refused later.
fn with_error(error: &str, changes: Json) -> Json {
    if !changes.is_object() {
        return changes;
    }
    let mut with = ObjectEditor::of(&changes);
    with.set("error", &Json::string(error)).finish()
}

/// Deletes a run.
#[derive(Debug)]
struct Delete(String);

#[async_trait::async_trait]
impl Intent for Delete {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let key = RunRecord::key(&self.0)?;
        let version = plan.get(&key).await?.map_or(0, |record| record.version);
        plan.expect(crate::driver::Expect::Version(key.clone(), version), Guard::Retry);
        plan.space.forget(&key);
        plan.push(Operation::Delete(key));
        plan.push(Operation::Drop { log: &STEPS, stream: Stream::new(&self.0)? });
        Ok(())
    }
}
