//! The disk fails: EIO, ENOSPC, writes cut short, syncs that fail; once, or from then on.

use std::sync::atomic::Ordering;

use crate::kill::Scene;
use crate::place::temporary;
use crate::power::{cut, record};
use crate::shim::{Fault, Setting, Shim};
use crate::tally::{Run, Tally, WORKERS};
use crate::trace::Op;
use crate::verify::{Depth, verify};
use crate::workload::Workload;
use crate::{Outcome, block_on};

const WORKLOADS: [&str; 10] =
    ["open", "upgrade", "add", "fork", "cascade", "unit", "metadata", "import", "mixed", "runs"];
const WAYS: [(&str, bool); 6] = [
    ("eio", false),
    ("eio", true),
    ("enospc", false),
    ("enospc", true),
    ("short", false),
    ("short", true),
];
/// Points of a usual run.
const LEAST: u64 = 1_500;

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("I/O errors {name}"), false);
    for seed in run.seeds(1) {
        for workload in WORKLOADS {
            if setting.has(workload) && run.wants(&format!("errors:{name}:{workload}:{seed}")) {
                one(run, &Scene::new(shim, setting, Workload::named(workload, seed)), &tally);
            }
        }
    }
    tally.end(run, "points", LEAST * run.scale)
}

/// One way to fail at each operation, and each sync failing once and for ever.
pub(crate) fn one(run: &Run, scene: &Scene<'_>, tally: &Tally) {
    let case = scene.case("errors");
    let whole = match scene.whole("fail") {
        Ok(whole) => whole,
        Err(what) => return tally.violated(&case, &what),
    };
    let all = run.only.is_some();
    let mut points = Vec::new();
    // One way at six of fourteen operations, others with other seeds; to repeat a case, all.
    for at in 1..=whole.operations {
        for (number, way) in WAYS.iter().enumerate() {
            if all || (at + scene.workload.seed) % 14 == 2 * number as u64 {
                points.push((at, *way));
            }
        }
    }
    for at in 1..=whole.syncs {
        points.extend([(at, ("sync-eio", false)), (at, ("sync-eio", true))]);
    }
    let folders = std::array::from_fn::<_, WORKERS, _>(|_| temporary());
    tally.each(&points, |worker, (at, (act, sticky))| {
        let case = format!("{case}:{at}:{act}-{}", if *sticky { "always" } else { "once" });
        if !run.wants(&case) {
            return;
        }
        let store = folders[worker].path().join("store");
        let fault = Fault { act, at: *at, sticky: *sticky, trace: None };
        tally.judged(&case, point(scene, fault, &store, tally));
    });
}

fn point(
    scene: &Scene<'_>,
    fault: Fault<'_>,
    store: &std::path::Path,
    tally: &Tally,
) -> Result<(), String> {
    scene.base.contents.write(store);
    let mut ledger = scene.ledger();
    let (shim, setting, workload) = (scene.shim, &scene.setting, &scene.workload);
    let ended = shim.run(setting, "fail", store, workload, fault, &mut ledger);
    tally.fired.fetch_add(u64::from(ended.fired > 0), Ordering::Relaxed);
    if let Some(wrong) = ledger.wrong.first() {
        return Err(format!("{wrong} (errors: {:?})", ledger.errors));
    }
    if !ended.well {
        return Err(format!("the child ended badly: {}", ended.complaint));
    }
    if !(ledger.ended || fault.sticky && ledger.stopped) {
        return Err(format!("one fault stopped it for good: {:?}", ledger.errors));
    }
    let subject = setting.subject;
    block_on(verify(subject, store, &ledger, &scene.oracle, Depth::Look))
        .map_err(|what| format!("{what} (errors: {:?})", ledger.errors))
}

/// A sync fails once, the program goes on, the power is cut: what the kernel gave up at the failed
/// sync may be gone, whatever a later sync said.
pub(crate) fn power_after_failed_sync(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("power loss after a failed sync {name}"), false);
    for seed in run.seeds(1) {
        for workload in ["open", "unit"] {
            if run.wants(&format!("failed-sync:{name}:{workload}:{seed}")) {
                let scene = Scene::new(shim, setting, Workload::named(workload, seed));
                let syncs = scene.whole("fail").map_or(0, |whole| whole.syncs);
                for at in 1..=syncs {
                    let case = format!("{}:{at}", scene.case("failed-sync"));
                    if run.wants(&case) {
                        failed_sync(run, &scene, at, &case, &tally);
                    }
                }
            }
        }
    }
    tally.end(run, "images", 1_000 * run.scale)
}

fn failed_sync(run: &Run, scene: &Scene<'_>, at: u64, case: &str, tally: &Tally) {
    let fault = Fault { act: "sync-eio", at, ..Fault::default() };
    match record(scene, "fail", fault) {
        Ok(trace) => {
            let failed = trace.ops.iter().position(|op| matches!(op, Op::SyncFailed(_)));
            // What comes long after has been written anew.
            let from = failed.unwrap_or(trace.ops.len());
            let wanted = |moment: usize| (from..from + 12).contains(&moment);
            cut(run, scene, case, &trace, wanted, tally);
        }
        Err(what) => tally.violated(case, &what),
    }
}
