//! What is done to a run, each in one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::change::Change;
use super::lease::Lease;
use super::record::RunRecord;
use crate::driver::{Append, Expect, Known, NewEntry, Operation, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{RunSnapshot, RunStatus};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{Key, STEPS, Stream, check_id};

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

/// A run as a plan found it.
struct Met {
    run: RunRecord,
    version: u64,
}

#[async_trait]
impl Intent for RunIntent {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        self.answer.put(None, false);
        plan.settled().await?;
        let key = RunRecord::key(&self.id)?;
        let now = plan.space.ages().wall();
        let mut met = RunRecord::cached(plan.space, &self.id).await?;
        let mut next = self.attempt(met.clone(), now);
        if next.is_err() && met.is_some() {
            // What is remembered may be stale: an answer other than a write is not checked later.
            plan.space.forget(&key);
            met = RunRecord::cached(plan.space, &self.id).await?;
            next = self.attempt(met.clone(), now);
        }
        let (next, change) = next?;
        let version = met.map_or(0, |(_, version)| version);
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        let Some(run) = next else { return Ok(()) };
        self.write(plan, key, run, change)
    }

    fn describe(&self) -> String {
        format!("run {:?} {} {:?}", self.id, self.fence, self.what)
    }
}

impl RunIntent {
    fn attempt(
        &self,
        met: Option<(Arc<RunRecord>, u64)>,
        now: i64,
    ) -> Result<(Option<RunRecord>, Change)> {
        let met = met.map(|(run, version)| Met { run: (*run).clone(), version });
        let mut change = Change::default();
        let next = self.next(met, &mut change, now)?;
        Ok((next, change))
    }

    /// The run as it will be; `None` when there is nothing to do.
    fn next(&self, met: Option<Met>, change: &mut Change, now: i64) -> Result<Option<RunRecord>> {
        match (&self.what, met) {
            (What::Start(snapshot, owner), met) => {
                self.start(met, snapshot, owner.as_ref(), change, now)
            }
            (What::Import(snapshot), met) => {
                let mut run = met.as_ref().map(|met| met.run.clone()).unwrap_or_default();
                change.become_snapshot(&mut run, snapshot.json());
                match met {
                    None => Ok(Some(run)),
                    Some(met) if met.run == run => Ok(None),
                    Some(_) => Err(self.there_already()),
                }
            }
            (What::Whole(snapshot), None) if snapshot.status() != RunStatus::Executing => {
                let mut run = RunRecord::default();
                change.become_snapshot(&mut run, snapshot.json());
                Ok(Some(run))
            }
            (_, None) => Err(not_found(&self.id)),
            (What::Claim(owner, ttl), Some(met)) => self.claim(met.run, owner, *ttl, now).map(Some),
            (_, Some(met)) => {
                self.expect_fence(&met.run)?;
                self.held(&met.run, change, now)
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
        met: Option<Met>,
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
        let mut run = met.as_ref().map(|met| met.run.clone()).unwrap_or_default();
        change.become_snapshot(&mut run, snapshot.json());
        if let Some(met) = met {
            // Begun before, perhaps with an answer that was lost.
            let same = met.version > 0 && run == met.run && owner.is_none();
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

    fn write(
        &self,
        plan: &mut Plan<'_>,
        key: Key,
        mut run: RunRecord,
        change: Change,
    ) -> Result<()> {
        let entries = change.finish();
        if !entries.is_empty() {
            let stream = Stream::new(&self.id)?;
            // The numbers are known beforehand: only commits that guard the record append.
            let start = Some(run.last + 1);
            run.last += entries.len() as u64;
            let new = |body| NewEntry { id: None, body, refs: Vec::new() };
            let entries = entries.into_iter().map(new).collect();
            let known = Known::Refuse;
            plan.push(Operation::Append(Append { log: &STEPS, stream, entries, known, start }));
        }
        let body = run.to_json();
        let (lease, _) = self.answer.take();
        self.answer.put(lease, true);
        plan.put(key, body, Save::Any)?;
        plan.hold_run(Arc::new(run));
        Ok(())
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
