//! An agent killed at every file operation and begun again: it repeats no finished step, and loses
//! none.

use std::sync::atomic::Ordering;
use std::time::Duration;

use agentkeep::{Json, RunSnapshot, RunStatus, Store};

use crate::child::{Task, say};
use crate::kill::ACTS;
use crate::ledger::{Ledger, Told};
use crate::place::temporary;
use crate::runs::{begun, changes, result};
use crate::shim::{Fault, Setting, Shim};
use crate::tally::{Run, Tally, WORKERS};
use crate::workload::Workload;
use crate::{Outcome, block_on};

const RUN: &str = "0-agent";
/// Steps of the plan.
const STEPS: u64 = 4;

/// What the child does: goes on with the run from where it is, and says each step before it is
/// done and after it is kept.
pub(crate) async fn agent(task: &Task) {
    let store = task.open().await.unwrap();
    if store.runs().load(RUN).await.unwrap().is_none() {
        store.runs().start(begun(RUN)).await.unwrap();
    }
    let run = store.runs().load(RUN).await.unwrap().unwrap();
    if run.status() == RunStatus::Complete {
        say(&format!("FOUND 0 {STEPS}"));
    } else {
        // It held the run before: nobody else may go on with it for an hour, it may at once.
        let lease = store.runs().claim(RUN, "worker", Duration::from_hours(1)).await.unwrap();
        go_on(&store, lease.fence).await;
    }
    store.close().await.unwrap();
    say("END");
}

async fn go_on(store: &Store, fence: u64) {
    let runs = store.runs().under(fence);
    let run = runs.load(RUN).await.unwrap().unwrap();
    let done = run.trace().len() as u64;
    say(&format!("FOUND 0 {done}"));
    for index in done..STEPS {
        say(&format!("TRY 0 {index}"));
        runs.step_at(RUN, index, result(0, 0, index), changes(index)).await.unwrap();
        say(&format!("ACK 0 {index}"));
    }
    let ended = Json::parse(r#"{"completedAt":2000,"text":"done"}"#).unwrap();
    runs.complete(RUN, ended).await.unwrap();
}

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("resume {name}"), false);
    let workload = Workload::named("runs", run.seed);
    let case = format!("resume:{name}:runs:{}", run.seed);
    if run.wants(&case) {
        let folder = temporary();
        let mut ledger = fresh();
        let store = folder.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        let fault = Fault::default();
        let ended = shim.run(&setting, "agent", &store, &workload, fault, &mut ledger);
        if !ended.well || !ledger.wrong.is_empty() {
            return Err(
                format!("it does not end well without a fault: {ended:?} {ledger:?}").into()
            );
        }
        // The other ways with the next seed; to repeat a case, all of them.
        let wants = |at: u64, way: usize| run.only.is_some() || (at + run.seed) % 3 == way as u64;
        let ways = |at: u64| ACTS.into_iter().enumerate().map(move |(way, act)| (at, way, act));
        let points: Vec<(u64, &str)> = (1..=ended.operations)
            .flat_map(ways)
            .filter(|(at, way, _)| wants(*at, *way))
            .map(|(at, _, act)| (at, act))
            .collect();
        let folders = std::array::from_fn::<_, WORKERS, _>(|_| temporary());
        tally.each(&points, |worker, (at, act)| {
            let case = format!("{case}:{at}:{act}");
            if run.wants(&case) {
                let store = folders[worker].path().join("store");
                let lives = Lives { shim, setting: &setting, workload: &workload, tally: &tally };
                tally.judged(&case, lives.point(&store, *at, act));
            }
        });
    }
    tally.end(run, "points", 60)
}

fn fresh() -> Ledger {
    Ledger { tasks: vec![Told::default()], ..Ledger::default() }
}

struct Lives<'a> {
    shim: &'a Shim,
    setting: &'a Setting,
    workload: &'a Workload,
    tally: &'a Tally,
}

impl Lives<'_> {
    fn point(&self, store: &std::path::Path, at: u64, act: &str) -> Result<(), String> {
        let _ = std::fs::remove_dir_all(store);
        std::fs::create_dir_all(store).unwrap();
        let mut ledger = fresh();
        // What was acknowledged before the kill is the least that the next life must find.
        let lives =
            [("agent", Fault { act, at, ..Fault::default() }), ("agent-again", Fault::default())];
        for (role, fault) in lives {
            let dies = !fault.act.is_empty();
            let ended = self.shim.run(self.setting, role, store, self.workload, fault, &mut ledger);
            self.tally.fired.fetch_add(u64::from(ended.killed), Ordering::Relaxed);
            if !(ended.well || (dies && ended.killed)) {
                return Err(format!("it ended badly: {}", ended.complaint));
            }
            if let Some(wrong) = ledger.wrong.first() {
                return Err(wrong.clone());
            }
        }
        if !ledger.ended || ledger.tasks[0].acknowledged as u64 != STEPS {
            return Err(format!("it did not come to its end: {ledger:?}"));
        }
        block_on(whole(self.setting, store))
    }
}

/// The run has every step once and in order, and nothing else.
async fn whole(setting: &Setting, folder: &std::path::Path) -> Result<(), String> {
    let store = setting.subject.open(folder, "process").await.map_err(|e| format!("{e:?}"))?;
    let run = store.runs().load(RUN).await.map_err(|e| format!("{e:?}"))?;
    let trace: Vec<Json> = run.iter().flat_map(RunSnapshot::trace).collect();
    let expected: Vec<Json> = (0..STEPS).map(|index| result(0, 0, index)).collect();
    let sound = store.check().await.is_ok_and(|report| report.is_sound());
    store.close().await.map_err(|e| format!("{e:?}"))?;
    let complete = run.is_some_and(|run| run.status() == RunStatus::Complete);
    if trace == expected && sound && complete {
        return Ok(());
    }
    Err(format!("{} steps, sound {sound}, complete {complete}", trace.len()))
}
