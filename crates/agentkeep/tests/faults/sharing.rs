//! Several processes at once on one store, all of which have their acknowledgements.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::atomic::Ordering;

use crate::kill::Scene;
use crate::place::temporary;
use crate::shim::{Fault, Setting, Shim, was_killed};
use crate::tally::{Run, Tally};
use crate::verify::{Depth, verify};
use crate::workload::Workload;
use crate::{Outcome, block_on};

const ROUNDS: u64 = 10;

pub(crate) fn tier(run: &Run, shim: &Shim, setting: Setting) -> Outcome {
    let name = setting.subject.name();
    let tally = Tally::new(&format!("four processes {name}"), false);
    if run.wants(&format!("sharing:{name}:tasks:{}", run.seed)) {
        let scene = Scene::new(shim, setting, Workload::named("tasks", run.seed));
        rounds(&scene, ROUNDS * run.scale, &tally);
    }
    tally.end(run, "rounds", ROUNDS)
}

/// Each process does the steps of one task; in every second round one of them is killed.
pub(crate) fn rounds(scene: &Scene<'_>, count: u64, tally: &Tally) {
    let folder = temporary();
    let rounds: Vec<u64> = (0..count).collect();
    let case = scene.case("sharing");
    for round in rounds {
        let store = folder.path().join(format!("store{round}"));
        tally.judged(&case, one(scene, round, &store, tally));
        if tally.first().is_some() {
            return;
        }
    }
}

fn one(
    scene: &Scene<'_>,
    round: u64,
    store: &std::path::Path,
    tally: &Tally,
) -> Result<(), String> {
    scene.base.contents.write(store);
    let mut ledger = scene.ledger();
    let mut children = Vec::new();
    for task in 0..scene.workload.tasks.len() {
        let cheat: &'static str = ["0", "1", "2", "3"][task];
        let setting = Setting { cheat, ..scene.setting };
        let killed = round % 2 == 1 && task == 0;
        let act = if killed { "kill-half" } else { "" };
        let fault = Fault { act, at: 1 + round * 7, ..Fault::default() };
        let mut command = scene.shim.command(&setting, "share", store, &scene.workload, fault);
        // Each is a machine of its own: their ids must differ.
        command.env("FAULTS_SEED", (round * 4 + task as u64 + 1).to_string());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let opened = lines.next().and_then(Result::ok).unwrap_or_default();
        ledger.note(&opened);
        children.push((killed, child, lines));
    }
    for (_, child, _) in &mut children {
        let _ = child.stdin.take().unwrap().write_all(b"go\n");
    }
    let mut complaints = Vec::new();
    for (killed, mut child, lines) in children {
        lines.map_while(Result::ok).for_each(|line| ledger.note(&line));
        let text = std::io::read_to_string(child.stderr.take().unwrap()).unwrap_or_default();
        let ended = child.wait().unwrap();
        tally.fired.fetch_add(u64::from(was_killed(ended)), Ordering::Relaxed);
        if !ended.success() && !killed {
            complaints.push(text.chars().take(300).collect::<String>());
        }
    }
    if let Some(wrong) = complaints.first().or(ledger.wrong.first()) {
        return Err(format!("a process ended badly: {wrong}"));
    }
    block_on(verify(scene.setting.subject, store, &ledger, &scene.oracle, Depth::Live))
}
