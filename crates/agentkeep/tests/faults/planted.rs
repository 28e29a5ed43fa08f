//! Proof that it bites: defects are planted, and each must be caught.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::kill::{self, Scene};
use crate::shim::{Setting, Shim};
use crate::tally::{Run, Tally};
use crate::workload::Workload;
use crate::{Outcome, errors, power, sharing};

/// What must catch a defect.
#[derive(Clone, Copy)]
enum By {
    Kill,
    Power,
    Errors,
    Sharing,
}

struct Planted {
    what: &'static str,
    durability: &'static str,
    plant: &'static str,
    cheat: &'static str,
    by: By,
    workload: &'static str,
}

const fn plant(what: &'static str, plant: &'static str, by: By, workload: &'static str) -> Planted {
    Planted { what, durability: "power", plant, cheat: "", by, workload }
}

const fn cheat(what: &'static str, cheat: &'static str, by: By, workload: &'static str) -> Planted {
    Planted { what, durability: "power", plant: "", cheat, by, workload }
}

const fn lax(what: &'static str, durability: &'static str) -> Planted {
    Planted { what, durability, plant: "", cheat: "", by: By::Power, workload: "add" }
}

/// The defects, each with the tier that is to catch it.
const PLANTED: [Planted; 12] = [
    lax("durability=process", "process"),
    lax("durability=none", "none"),
    plant("no sync at all", "no-sync", By::Power, "add"),
    plant("the log is not synced", "no-log-sync", By::Power, "unit"),
    plant("folders are not synced", "no-dir-sync", By::Power, "open"),
    plant("the new store is copied, not linked, in place", "link-copies", By::Kill, "open"),
    plant("locks are left out", "no-locks", By::Sharing, "tasks"),
    cheat("acknowledged before the commit", "acknowledge-first", By::Kill, "add"),
    cheat("a unit in several commits", "unit-in-halves", By::Kill, "unit"),
    cheat("an error taken for success", "error-is-success", By::Errors, "unit"),
    cheat("tried again under no id", "tried-again-without-id", By::Errors, "unit"),
    cheat("acknowledged, then the power goes", "acknowledge-first", By::Power, "metadata"),
];

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let (mut caught, mut missed) = (0, Vec::new());
    let begun = Instant::now();
    for planted in &PLANTED {
        let Planted { what, durability, plant, cheat, by, workload } = *planted;
        let setting = Setting { durability, plant, cheat, ..setting };
        let tally = Tally::new(what, true);
        let run = Run { only: None, ..run.clone() };
        let scene = Scene::new(shim, setting, Workload::named(workload, run.seed));
        match by {
            By::Kill => kill::one(&run, &scene, &tally, &AtomicU64::new(0)),
            By::Power => power::one(&run, &scene, &tally),
            By::Errors => errors::one(&run, &scene, &tally),
            By::Sharing => sharing::rounds(&scene, 40, &tally),
        }
        if let Some(first) = tally.first() {
            caught += 1;
            let first: String = first.replace('\n', " ").chars().take(150).collect();
            println!("  caught: {what} ({first})");
        } else {
            missed.push(what);
        }
    }
    println!(
        "planted defects {}: {caught} of {} caught (seed {}, {:.0} s)",
        setting.subject.name(),
        PLANTED.len(),
        run.seed,
        begun.elapsed().as_secs_f64()
    );
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {missed:?}").into()) }
}
