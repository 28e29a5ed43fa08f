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
    /// The driver that can have it; empty for all.
    of: &'static str,
    what: &'static str,
    durability: &'static str,
    plant: &'static str,
    cheat: &'static str,
    by: By,
    workload: &'static str,
}

const fn plant(what: &'static str, plant: &'static str, by: By, workload: &'static str) -> Planted {
    Planted { of: "", what, durability: "power", plant, cheat: "", by, workload }
}

const fn cheat(what: &'static str, cheat: &'static str, by: By, workload: &'static str) -> Planted {
    Planted { of: "", what, durability: "power", plant: "", cheat, by, workload }
}

const fn lax(what: &'static str, durability: &'static str) -> Planted {
    Planted { of: "", what, durability, plant: "", cheat: "", by: By::Power, workload: "add" }
}

impl Planted {
    const fn of(self, subject: &'static str) -> Self {
        Self { of: subject, ..self }
    }
}

/// The defects, each with the tier that is to catch it.
const PLANTED: [Planted; 19] = [
    lax("durability=process", "process"),
    lax("durability=none", "none"),
    plant("no sync at all", "no-sync", By::Power, "add"),
    plant("the log is not synced", "no-log-sync", By::Power, "unit"),
    plant("folders are not synced", "no-dir-sync", By::Power, "open"),
    plant("a new store copied into place", "link-copies", By::Kill, "open").of("sqlite"),
    plant("renames turned into writing in place", "rename-copies", By::Kill, "metadata").of("file"),
    plant("the journal is not checked", "read-unchecked", By::Kill, "add").of("file"),
    plant("a torn last frame accepted", "read-torn", By::Kill, "add").of("file"),
    plant("locks left out", "no-locks", By::Sharing, "tasks"),
    plant("numbers given twice", "stale-generation", By::Sharing, "tasks").of("file"),
    cheat("the index before the record", "index-first", By::Kill, "unit"),
    cheat("acknowledged before the commit", "acknowledge-first", By::Kill, "add"),
    cheat("acknowledged before the sync", "acknowledge-first", By::Power, "metadata"),
    cheat("a unit in several commits", "unit-in-halves", By::Kill, "unit"),
    cheat("a unit in several commits, power cut", "unit-in-halves", By::Power, "unit"),
    cheat("a step in two commits", "step-in-halves", By::Kill, "runs"),
    cheat("an error taken for success", "error-is-success", By::Errors, "unit"),
    cheat("tried again under no id", "tried-again-without-id", By::Errors, "unit"),
];

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    if !run.wants(&format!("planted:{name}")) {
        return Ok(());
    }
    let (mut all, mut caught, mut missed) = (0, 0, Vec::new());
    let begun = Instant::now();
    let own = |planted: &&Planted| planted.of.is_empty() || planted.of == name;
    for planted in PLANTED.iter().filter(own) {
        all += 1;
        let Planted { what, durability, plant, cheat, by, workload, .. } = *planted;
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
        "planted defects {name}: {caught} of {all} caught (seed {}, {:.0} s)",
        run.seed,
        begun.elapsed().as_secs_f64()
    );
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {missed:?}").into()) }
}
