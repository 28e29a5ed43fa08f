//! What is done to a run, each in one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::change::Change;
use super::lease::Lease;
use super::planned::PlannedRun;
use super::record::RunRecord;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{RunSnapshot, RunStatus};
use crate::repo::plan::{Intent, Plan};
use crate::schema::check_id;

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) enum What {
    Start(RunSnapshot, Option<(String, Duration)>),
    Step {
        index: Option<u64>,
        result: Json,
        changes: Json,
    },
    /// A whole snapshot while the run goes on, or at its end.
    Whole(RunSnapshot),
    Finish(RunStatus, Json),
    Claim(String, Duration),
    Heartbeat(Duration),
    Release,
    Import(RunSnapshot),
}

/// Something done to one run, by a holder of a number.
#[derive(Debug)]
pub(super) struct RunIntent {
    pub(super) id: String,
    pub(super) fence: u64,
    pub(super) what: What,
    pub(super) answer: Answer,
}

/// What planning found, for the caller.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer(Arc<Mutex<(Option<Lease>, bool)>>);

impl Answer {
    fn put(&self, lease: Option<Lease>, changed: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (lease, changed);
    }

    /// The lease, and whether anything was written.
    pub(super) fn take(&self) -> (Option<Lease>, bool) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Intent for RunIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        self.answer.put(None, false);
        plan.settled().await?;
        let now = plan.space.ages().wall();
        RunRecord::key(&self.id)?;
        let (mut planned, is_first) = match plan.take_run(&self.id) {
            Some(planned) => (planned, false),
            None => (PlannedRun::of(plan.space, &self.id).await?, true),
        };
        if let Err(error) = self.apply_to(&mut planned, now) {
            // What is remembered may be stale: an answer other than a write is not checked later.
            if !planned.is_stale(plan.space, &self.id).await? {
                return Err(error);
            }
            if !is_first {
                return Err(Error::new(Kind::Conflict, "somebody else wrote to the run meanwhile")
                    .at(place(&self.id))
                    .advice("nothing was changed; try again"));
            }
            planned = PlannedRun::of(plan.space, &self.id).await?;
            self.apply_to(&mut planned, now)?;
        }
        plan.put_run(&self.id, planned);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("run {:?} {} {:?}", self.id, self.fence, self.what)
    }
}

impl RunIntent {
    fn apply_to(&self, planned: &mut PlannedRun, now: i64) -> Result<()> {
        if let Some(run) = self.next(planned.run.as_deref(), &mut planned.change, now)? {
            planned.run = Some(Arc::new(run));
            planned.changed = true;
            let (lease, _) = self.answer.take();
            self.answer.put(lease, true);
        }
        Ok(())
    }

    /// The run as it will be; `None` when there is nothing to do.
    fn next(
        &self,
        met: Option<&RunRecord>,
        change: &mut Change,
        now: i64,
    ) -> Result<Option<RunRecord>> {
        match (&self.what, met) {
            (What::Start(snapshot, owner), met) => {
                self.start(met, snapshot, owner.as_ref(), change, now)
            }
            (What::Import(snapshot), met) => {
                let mut run = met.cloned().unwrap_or_default();
                change.become_snapshot(&mut run, snapshot.json());
                match met {
                    None => Ok(Some(run)),
                    Some(met) if *met == run => Ok(None),
                    Some(_) => Err(self.there_already()),
                }
            }
            (What::Whole(snapshot), None) if snapshot.status() != RunStatus::Executing => {
                let mut run = RunRecord::default();
                change.become_snapshot(&mut run, snapshot.json());
                Ok(Some(run))
            }
            (_, None) => Err(not_found(&self.id)),
            (What::Claim(owner, ttl), Some(met)) => {
                self.claim(met.clone(), owner, *ttl, now).map(Some)
            }
            (_, Some(met)) => {
                self.expect_fence(met)?;
                self.held(met, change, now)
            }
        }
    }

    /// What only the holder of the newest number may do.
    fn held(&self, met: &RunRecord, change: &mut Change, now: i64) -> Result<Option<RunRecord>> {
        let mut run = met.clone();
        match &self.what {
            What::Step { index, result, changes } => {
                self.expect_open(&run)?;
                if let Some(index) = index {
                    self.expect_next(&run, *index)?;
                }
                go_on(&mut run);
                change.push(&mut run, "trace", result.clone());
                self.apply(&mut run, changes, change, &["trace", "status"])?;
                self.expect_no_skip(met, &run)?;
            }
            What::Whole(snapshot) => {
                change.become_snapshot(&mut run, snapshot.json());
                if run == *met {
                    return Ok(None);
                }
                self.expect_open(met)?;
                self.expect_no_skip(met, &run)?;
                run.reopened = false;
                if snapshot.status() != RunStatus::Executing {
                    end_lease(&mut run);
                }
            }
            What::Finish(status, changes) => {
                self.expect_open(&run)?;
                run.reopened = false;
                change.set(&mut run, "status", &Json::string(status.name()));
                if changes.member("completedAt").is_none() {
                    change.set(&mut run, "completedAt", &Json::integer(now));
                }
                self.apply(&mut run, changes, change, &["status"])?;
                self.expect_no_skip(met, &run)?;
                end_lease(&mut run);
            }
            What::Heartbeat(ttl) => {
                if self.fence == 0 {
                    return Err(self.lost("nobody has claimed the run", &run));
                }
                run.until = Some(until(now, *ttl));
                self.answer.put(Some(self.lease(&run)), true);
            }
            What::Release => end_lease(&mut run),
            What::Start(..) | What::Import(_) | What::Claim(..) => {}
        }
        Ok(Some(run))
    }

    fn start(
        &self,
        met: Option<&RunRecord>,
        snapshot: &RunSnapshot,
        owner: Option<&(String, Duration)>,
        change: &mut Change,
        now: i64,
    ) -> Result<Option<RunRecord>> {
        if snapshot.status() != RunStatus::Executing {
            let message = format!("a run begins executing, not {}", snapshot.status().name());
            return Err(Error::new(Kind::InvalidInput, message)
                .at(place(&self.id))
                .advice("give what is over to on_run_complete"));
        }
        let mut run = met.cloned().unwrap_or_default();
        change.become_snapshot(&mut run, snapshot.json());
        if let Some(met) = met {
            // Begun before, perhaps with an answer that was lost.
            let same = run == *met && owner.is_none();
            return if same { Ok(None) } else { Err(self.there_already()) };
        }
        if let Some((owner, ttl)) = owner {
            self.take_lease(&mut run, owner, *ttl, now)?;
        }
        Ok(Some(run))
    }

    fn claim(&self, mut run: RunRecord, owner: &str, ttl: Duration, now: i64) -> Result<RunRecord> {
        match run.status() {
            RunStatus::Complete => {
                return Err(Error::new(Kind::Conflict, "the run is complete")
                    .at(place(&self.id))
                    .retryable(false)
                    .advice("start a new run"));
            }
            RunStatus::Executing => {}
            RunStatus::Failed | RunStatus::Cancelled => run.reopened = true,
        }
        if let Some(holder) = run.held_by(now).filter(|holder| *holder != owner) {
            let left = run.until.unwrap_or(now) - now;
            return Err(Error::new(Kind::Conflict, format!("{holder:?} holds the run"))
                .at(place(&self.id))
                .advice(format!("try again when its lease is over, in {left} ms at most")));
        }
        self.take_lease(&mut run, owner, ttl, now)?;
        Ok(run)
    }

    fn take_lease(&self, run: &mut RunRecord, owner: &str, ttl: Duration, now: i64) -> Result<()> {
        check_id("owner", owner)?;
        run.fence += 1;
        run.owner = Some(owner.to_owned());
        run.until = Some(until(now, ttl));
        self.answer.put(Some(self.lease(run)), true);
        Ok(())
    }

    fn lease(&self, run: &RunRecord) -> Lease {
        Lease {
            run_id: self.id.clone(),
            owner: run.owner.clone().unwrap_or_default(),
            fence: run.fence,
            until: run.until.unwrap_or_default(),
        }
    }

    fn apply(
        &self,
        run: &mut RunRecord,
        changes: &Json,
        change: &mut Change,
        not: &[&str],
    ) -> Result<()> {
        let refused = |message: String| {
            Err(Error::new(Kind::InvalidInput, message)
                .at(place(&self.id))
                .advice("give an object with the members that change"))
        };
        if !changes.is_object() {
            return refused("the changes are no JSON object".into());
        }
        for (name, value) in changes.members() {
            if name == "runId" || not.contains(&name.as_str()) {
                return refused(format!("{name} cannot be among the changes"));
            }
            change.set(run, &name, &value);
        }
        // What the rules for snapshots say of each member; the lists are in the log.
        let mut whole = ObjectEditor::of(changes);
        whole.set("runId", &Json::string(&self.id));
        whole.set("status", &Json::string(run.status().name()));
        RunSnapshot::from_json(whole.finish()).map(|_| ())
    }

    fn expect_fence(&self, run: &RunRecord) -> Result<()> {
        if run.fence == self.fence {
            return Ok(());
        }
        Err(self.lost(&format!("the run is at number {}, not {}", run.fence, self.fence), run))
    }

    fn lost(&self, message: &str, run: &RunRecord) -> Error {
        let advice = match &run.owner {
            Some(owner) => format!("{owner:?} claimed it last; stop, or claim it anew"),
            None => "claim the run, and write under the number that the claim answers".to_owned(),
        };
        Error::new(Kind::LeaseLost, message).at(place(&self.id)).advice(advice)
    }

    fn expect_open(&self, run: &RunRecord) -> Result<()> {
        if run.status() == RunStatus::Executing || run.reopened {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, format!("the run is {}", run.status().name()))
            .at(place(&self.id))
            .retryable(false)
            .advice("a failed or cancelled run goes on after a claim, a complete one never"))
    }

    fn expect_next(&self, run: &RunRecord, index: u64) -> Result<()> {
        let steps = run.steps();
        if index == steps {
            return Ok(());
        }
        let (kind, what) = if index < steps {
            (Kind::AlreadyExists, "is there already")
        } else {
            (Kind::InvalidInput, "skips what comes before")
        };
        Err(Error::new(kind, format!("step {index} {what}: the run has {steps} step(s)"))
            .at(place(&self.id))
            .advice("load the run, and go on after what it has"))
    }

    /// The step of the plan may come again or be the next one.
    fn expect_no_skip(&self, before: &RunRecord, after: &RunRecord) -> Result<()> {
        let index = |run: &RunRecord| {
            run.number("stepIndex").and_then(|index| u64::try_from(index).ok()).unwrap_or(0)
        };
        let (before, after) = (index(before), index(after));
        if after <= before + 1 {
            return Ok(());
        }
        let message = format!("stepIndex goes from {before} to {after}");
        Err(Error::new(Kind::InvalidInput, message)
            .at(place(&self.id))
            .advice("keep the steps between first, or load the run to see where it is"))
    }

    fn there_already(&self) -> Error {
        Error::new(Kind::AlreadyExists, "there is a run with this id and other content")
            .at(place(&self.id))
            .advice("give the new run another id, or claim this one and go on with it")
    }
}

fn end_lease(run: &mut RunRecord) {
    (run.until, run.owner) = (None, None);
}

fn until(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn place(id: &str) -> String {
    format!("run {id:?}")
}

pub(super) fn not_found(id: &str) -> Error {
    Error::new(Kind::NotFound, "there is no such run").at(place(id)).advice("start it first")
}

/// A step goes on with a run that was claimed after it had ended.
fn go_on(run: &mut RunRecord) {
    if run.reopened {
        run.reopened = false;
        run.members.retain(|(name, _)| name != "completedAt" && name != "error");
        for (name, value) in &mut run.members {
            if name == "status" {
                *value = Json::string(RunStatus::Executing.name());
            }
        }
    }
}
