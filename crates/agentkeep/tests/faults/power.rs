//! The power is cut: possible disks, rebuilt from a recording, opened and looked at.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, VARIANTS};
use crate::kill::Scene;
use crate::ledger::Ledger;
use crate::place::{Contents, temporary};
use crate::random::Random;
use crate::shim::{Fault, Setting, Shim};
use crate::tally::{Run, Tally, WORKERS};
use crate::trace::{Op, Trace};
use crate::verify::{Depth, verify};
use crate::workload::{self, Workload};
use crate::{Outcome, block_on};

/// Images of a usual run.
const LEAST: u64 = 10_000;

/// An image to be looked at: all that went before the cut, and the cut.
struct Image {
    case: String,
    contents: Contents,
    ledger: Ledger,
}

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("power loss {name}"), false);
    for seed in run.seeds(1) {
        for workload in workload::ALL {
            if setting.has(workload) && run.wants(&format!("power:{name}:{workload}:{seed}")) {
                let scene = Scene::new(shim, setting, Workload::named(workload, seed));
                one(run, &scene, &tally);
            }
        }
    }
    tally.end(run, "images", LEAST * run.scale)
}

/// All images of one workload.
pub(crate) fn one(run: &Run, scene: &Scene<'_>, tally: &Tally) {
    match record(scene, "work", Fault::default()) {
        Ok(trace) => {
            let wanted = |moment| !tally.leaves_out(run, moment as u64, scene.workload.seed);
            cut(run, scene, &scene.case("power"), &trace, wanted, tally);
        }
        Err(what) => tally.violated(&scene.case("power"), &what),
    }
}

/// Runs the workload and records it.
pub(crate) fn record(scene: &Scene<'_>, role: &str, fault: Fault<'_>) -> Result<Trace, String> {
    let folder = temporary();
    let (store, file) = (folder.path().join("store"), folder.path().join("trace"));
    scene.base.contents.write(&store);
    let mut ledger = scene.ledger();
    let fault = Fault { trace: Some(&file), ..fault };
    let (shim, setting, workload) = (scene.shim, &scene.setting, &scene.workload);
    let ended = shim.run(setting, role, &store, workload, fault, &mut ledger);
    if !ended.well || !ledger.wrong.is_empty() {
        return Err(format!("the recorded child did not end well: {ended:?} {:?}", ledger.wrong));
    }
    let trace = Trace::read(&[&file], &store, &scene.base.contents);
    trace.differs_from(&store).map_or(Ok(trace), Err)
}

/// Cuts the power before each operation that is wanted, and after the last.
pub(crate) fn cut(
    run: &Run,
    scene: &Scene<'_>,
    case: &str,
    trace: &Trace,
    wanted: impl Fn(usize) -> bool,
    tally: &Tally,
) {
    let (mut disk, mut ledger) = (Disk::new(trace), scene.ledger());
    let mut images = Vec::new();
    for moment in 0..=trace.ops.len() {
        match trace.ops.get(moment) {
            // What was said changes no disk; a later cut expects more of the same one.
            Some(Op::Say(line)) => ledger.note(line),
            Some(_) if !wanted(moment) => {}
            _ => at(run, scene, &format!("{case}:{moment}"), moment, &disk, &ledger, &mut images),
        }
        if moment < trace.ops.len() {
            disk.step();
        }
        // Not all at once: they fill the memory.
        if images.len() > 500 || moment == trace.ops.len() {
            look(scene, &std::mem::take(&mut images), tally);
        }
    }
}

/// The different images of one moment.
fn at(
    run: &Run,
    scene: &Scene<'_>,
    case: &str,
    moment: usize,
    disk: &Disk<'_>,
    ledger: &Ledger,
    images: &mut Vec<Image>,
) {
    let mut seen = HashSet::new();
    for (number, variant) in VARIANTS.iter().enumerate() {
        // The others with the next seed; to repeat a case, all of them.
        let turn = (number + moment) as u64 + scene.workload.seed;
        if run.only.is_none() && !turn.is_multiple_of(scene.setting.subject.every()) {
            continue;
        }
        let case = format!("{case}:{number}");
        let place = [moment as u64, number as u64];
        let tree = disk.image(*variant, &mut Random::at(scene.workload.seed, &place));
        let contents = tree.contents();
        if seen.insert(contents.digest()) && run.wants(&case) {
            images.push(Image { case, contents, ledger: ledger.clone() });
        }
    }
}

fn look(scene: &Scene<'_>, images: &[Image], tally: &Tally) {
    let folders = std::array::from_fn::<_, WORKERS, _>(|_| temporary());
    tally.each(images, |worker, image| {
        let store = folders[worker].path().join("store");
        image.contents.write(&store);
        let depth = if image.case.ends_with(":7") { Depth::Live } else { Depth::Look };
        let subject = scene.setting.subject;
        let result = block_on(verify(subject, &store, &image.ledger, &scene.oracle, depth));
        tally.fired.fetch_add(1, Ordering::Relaxed);
        tally.judged(&image.case, result);
    });
}

/// Killed, opened again, and then the power is cut: what the second process has seen and answered
/// must be there, also what the first had written and not synced.
pub(crate) fn after_a_kill(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("power loss after a kill {name}"), false);
    for seed in run.seeds(1) {
        for workload in ["open", "unit"] {
            if run.wants(&format!("killed:{name}:{workload}:{seed}")) {
                let scene = Scene::new(shim, setting, Workload::named(workload, seed));
                killed_and_cut(run, &scene, &tally);
            }
        }
    }
    tally.end(run, "images", 1_000 * run.scale)
}

pub(crate) fn killed_and_cut(run: &Run, scene: &Scene<'_>, tally: &Tally) {
    let case = scene.case("killed");
    let operations = match scene.whole("work") {
        Ok(ended) => ended.operations,
        Err(what) => return tally.violated(&case, &what),
    };
    // A new store is killed at each; to repeat a case, all are.
    let few = if run.only.is_some() { 1 } else { (operations / 100).max(1) };
    for at in (1..=operations).filter(|at| (at + scene.workload.seed).is_multiple_of(few)) {
        let case = format!("{case}:{at}");
        if run.wants(&case) && !tally.is_over() {
            match record_both(scene, at) {
                Ok((trace, from)) => {
                    // Cut from the moment on at which the second said what it found.
                    let few =
                        if run.only.is_some() { 1 } else { 8 * scene.setting.subject.every() };
                    let wanted =
                        |moment: usize| moment >= from && (moment as u64 + at).is_multiple_of(few);
                    cut(run, scene, &case, &trace, wanted, tally);
                }
                Err(what) => tally.violated(&case, &what),
            }
        }
    }
}

/// Records a child that is killed, and one that opens what it left and goes on from there.
fn record_both(scene: &Scene<'_>, at: u64) -> Result<(Trace, usize), String> {
    let folder = temporary();
    let (store, first) = (folder.path().join("store"), folder.path().join("first"));
    let second = folder.path().join("second");
    scene.base.contents.write(&store);
    let (shim, setting, workload) = (scene.shim, &scene.setting, &scene.workload);
    let mut ledger = scene.ledger();
    let fault = Fault { act: "kill-after", at, trace: Some(&first), ..Fault::default() };
    shim.run(setting, "work", &store, workload, fault, &mut ledger);
    let fault = Fault { trace: Some(&second), ..Fault::default() };
    let ended = shim.run(setting, "go-on", &store, workload, fault, &mut ledger);
    if !ended.well || !ledger.wrong.is_empty() {
        return Err(format!("going on did not end well: {ended:?} {:?}", ledger.wrong));
    }
    let trace = Trace::read(&[&first, &second], &store, &scene.base.contents);
    let said = |op: &Op| matches!(op, Op::Say(line) if line.starts_with("FOUND"));
    let from = trace.ops.iter().rposition(said).unwrap_or(0);
    trace.differs_from(&store).map_or(Ok((trace, from)), Err)
}
