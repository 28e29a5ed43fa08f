//! A disk that is really full: a small file system in memory, where this user may mount one.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use agentkeep::{Kind, Store};

use crate::dump::dump;
use crate::ledger::{Ledger, Oracle};
use crate::shim::{Setting, Shim};
use crate::steps::Step;
use crate::tally::{Run, Tally};
use crate::verify::{Depth, verify};
use crate::workload::Workload;
use crate::{Outcome, block_on};

/// A mounted file system, unmounted when it goes.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder);
        command.output().ok()?.status.success().then_some(Self(folder))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

pub(crate) fn tier(run: &Run, _shim: &Shim, setting: Setting) -> Outcome {
    let case = format!("full:{}:add:{}", setting.subject.name(), run.seed);
    if !run.wants(&case) {
        return Ok(());
    }
    let tally = Tally::new(&format!("full disk {}", setting.subject.name()), false);
    let folder = tempfile::tempdir()?;
    let Some(_small) = Small::mount(folder.path()) else {
        println!("SKIPPED: a full disk, for this user may mount no file system");
        return Ok(());
    };
    // Rounds differ in how much is free again after each.
    for round in 0..6 {
        tally.judged(&case, block_on(fill(setting, folder.path(), round, &tally)));
    }
    tally.end(run, "rounds", 6)
}

/// Writes until the disk is full, makes room, goes on with the same handle, and opens it anew.
async fn fill(setting: Setting, disk: &Path, round: u64, tally: &Tally) -> Result<(), String> {
    let (folder, filler) = (disk.join("store"), disk.join("filler"));
    let _ = std::fs::remove_dir_all(&folder);
    let room = 300_000 + usize::try_from(round).unwrap() * 50_000;
    std::fs::write(&filler, vec![1; room]).map_err(|e| e.to_string())?;
    let mut workload = Workload::named("add", 1);
    workload.tasks = vec![vec![Step::Setup]];
    workload.tasks[0].extend((1..400).map(Step::AddMany));
    workload.prepared = 0;
    let mut ledger = Ledger::new(&workload, None);
    let store = setting.subject.open(&folder, "power").await.map_err(|e| format!("open: {e:?}"))?;
    ledger.note(&format!("OPEN {}", store.describe().store_id));
    let full = until_full(&store, &workload, &mut ledger).await?;
    tally.fired.fetch_add(1, Ordering::Relaxed);
    // What was acknowledged can be read from a full disk.
    let before = dump(&store).await.map_err(|e| format!("reading a full disk: {e:?}"))?;
    std::fs::remove_file(&filler).map_err(|e| e.to_string())?;
    let step = workload.tasks[0][full];
    step.apply(&store, 0).await.map_err(|e| format!("there is room again: {e:?}"))?;
    ledger.note(&format!("ACK 0 {full}"));
    workload.tasks[0].truncate(full + 1);
    let oracle = Oracle::of(&workload).await;
    if before != oracle.states[0][full] {
        return Err("an error on a full disk changed something".to_owned());
    }
    store.close().await.map_err(|e| format!("close: {e:?}"))?;
    verify(setting.subject, &folder, &ledger, &oracle, Depth::Live).await
}

async fn until_full(
    store: &Store,
    workload: &Workload,
    ledger: &mut Ledger,
) -> Result<usize, String> {
    for (place, step) in workload.tasks[0].iter().enumerate() {
        ledger.note(&format!("TRY 0 {place}"));
        match step.apply(store, 0).await {
            Ok(()) => ledger.note(&format!("ACK 0 {place}")),
            Err(error) if error.kind() == Kind::NoSpace => return Ok(place),
            Err(error) => return Err(format!("a full disk gave {error:?}")),
        }
    }
    Err("the disk was never full".to_owned())
}
