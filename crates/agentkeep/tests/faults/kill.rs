//! Killed at every file operation: before it, half-way, after it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::{Ledger, Oracle};
use crate::place::{Base, temporary};
use crate::random::Random;
use crate::shim::{Ended, Fault, Setting, Shim};
use crate::tally::{Run, Tally, WORKERS};
use crate::verify::{Depth, verify};
use crate::workload::{self, Workload};
use crate::{Outcome, block_on};

pub(crate) const ACTS: [&str; 3] = ["kill-before", "kill-half", "kill-after"];
/// A run of less has not gone through all workloads.
const LEAST: u64 = 3_000;

/// One workload under faults.
pub(crate) struct Scene<'a> {
    pub(crate) shim: &'a Shim,
    pub(crate) setting: Setting,
    pub(crate) workload: Workload,
    pub(crate) oracle: Oracle,
    pub(crate) base: Base,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(shim: &'a Shim, setting: Setting, workload: Workload) -> Self {
        let base = Base::of(&setting, &workload);
        let oracle = Oracle { held: base.held.clone(), ..block_on(Oracle::of(&workload)) };
        Self { shim, setting, workload, oracle, base }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(&self.workload, self.base.store.as_deref())
    }

    /// `tier:subject:workload:seed`.
    pub(crate) fn case(&self, tier: &str) -> String {
        let name = self.setting.subject.name();
        format!("{tier}:{name}:{}:{}", self.workload.name, self.workload.seed)
    }

    /// Without a fault, to count the operations; all must be well then.
    pub(crate) fn whole(&self, role: &str) -> Result<Ended, String> {
        let folder = temporary();
        let store = folder.path().join("store");
        self.base.contents.write(&store);
        let mut ledger = self.ledger();
        let fault = Fault::default();
        let ended = self.shim.run(&self.setting, role, &store, &self.workload, fault, &mut ledger);
        if !ended.well || !ledger.ended || !ledger.wrong.is_empty() {
            return Err(format!("it does not end well without a fault: {ended:?} {ledger:?}"));
        }
        Ok(ended)
    }
}

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let tally = Tally::new(&format!("kill {}", setting.subject.name()), false);
    let again = AtomicU64::new(0);
    for seed in run.seeds(1) {
        for name in workload::ALL {
            let possible = setting.has(name);
            if possible && run.wants(&format!("kill:{}:{name}:{seed}", setting.subject.name())) {
                let scene = Scene::new(shim, setting, Workload::named(name, seed));
                one(run, &scene, &tally, &again);
            }
        }
    }
    println!("  of them killed again while recovering: {}", again.load(Ordering::Relaxed));
    tally.end(run, "points", LEAST * run.scale)
}

pub(crate) fn one(run: &Run, scene: &Scene<'_>, tally: &Tally, again: &AtomicU64) {
    let case = scene.case("kill");
    let operations = match scene.whole("work") {
        Ok(ended) => ended.operations,
        Err(what) => return tally.violated(&case, &what),
    };
    // The other ways with the next seed; to repeat a case, all of them.
    let ways = if run.only.is_some() { 3 } else { 4 - scene.setting.subject.every() };
    let way =
        |at: u64, way: u64| ACTS[usize::try_from((at + scene.workload.seed + way) % 3).unwrap()];
    let points: Vec<(u64, &str)> = (1..=operations)
        .filter(|at| !tally.leaves_out(run, *at, scene.workload.seed))
        .flat_map(|at| (0..ways).map(move |i| (at, way(at, i))))
        .collect();
    let folders = std::array::from_fn::<_, WORKERS, _>(|_| temporary());
    tally.each(&points, |worker, (at, act)| {
        let case = format!("{case}:{at}:{act}");
        if run.wants(&case) {
            point(scene, &case, *at, act, &folders[worker], tally, again);
        }
    });
}

fn point(
    scene: &Scene<'_>,
    case: &str,
    at: u64,
    act: &str,
    folder: &tempfile::TempDir,
    tally: &Tally,
    again: &AtomicU64,
) {
    let store = folder.path().join("store");
    scene.base.contents.write(&store);
    let mut ledger = scene.ledger();
    let (shim, setting, workload) = (scene.shim, &scene.setting, &scene.workload);
    let fault = Fault { act, at, ..Fault::default() };
    let ended = shim.run(setting, "work", &store, workload, fault, &mut ledger);
    if !ended.killed && !ended.well {
        return tally.judged(case, Err(format!("it ended badly: {}", ended.complaint)));
    }
    tally.fired.fetch_add(u64::from(ended.killed), Ordering::Relaxed);
    let mut random = Random::at(workload.seed, &[at, act.len() as u64]);
    let tenth = random.chance(10);
    if tenth {
        // Recovery takes a few operations; more than it takes lets it end.
        let act = ACTS[usize::try_from(random.below(3)).unwrap()];
        let fault = Fault { act, at: 1 + random.below(24), ..Fault::default() };
        let second = shim.run(setting, "recover", &store, workload, fault, &mut ledger);
        if !second.killed && !second.well {
            let what = format!("recovering ended badly: {}", second.complaint);
            return tally.judged(case, Err(what));
        }
        tally.fired.fetch_add(u64::from(second.killed), Ordering::Relaxed);
        again.fetch_add(u64::from(second.killed), Ordering::Relaxed);
    }
    if setting.reads() {
        let second = shim.run(setting, "recover", &store, workload, Fault::default(), &mut ledger);
        if !second.well {
            let what = format!("recovering ended badly: {}", second.complaint);
            return tally.judged(case, Err(what));
        }
    }
    let depth = if tenth { Depth::Live } else { Depth::Look };
    let result = block_on(verify(setting.subject, &store, &ledger, &scene.oracle, depth));
    let wrong = ledger.wrong.first().cloned().map_or(Ok(()), Err);
    tally.judged(case, wrong.and(result));
}
