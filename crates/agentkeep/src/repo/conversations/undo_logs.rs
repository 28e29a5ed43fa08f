//! Taking back the runs and transcripts that an import has brought.

use super::collect::ignore_conflict;
use super::imports::Run;
use super::undo::Undone;
use crate::driver::{Find, Record};
use crate::error::Result;
use crate::repo::plan::Intent;
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::repo::{runs, transcripts};
use crate::schema::{RUNS, THREADS, Table, Value};

/// Records looked at in one call.
const STEP: usize = 200;

/// Takes away the runs that the import brought: whoever goes on with a run writes its record.
pub(super) async fn of_runs(space: &Space, run: &Run, undone: &mut Undone) -> Result<()> {
    let mut find = by_turn(&RUNS, run)?;
    loop {
        let page = space.find(&find).await?;
        for record in &page.records {
            if take(space, run, runs::imports::TakeBack::of(record), record, undone).await? {
                undone.runs += 1;
            }
        }
        match page.next {
            Some(next) => find.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Takes away the threads that the import made and nobody else has added to.
pub(super) async fn of_threads(space: &Space, run: &Run, undone: &mut Undone) -> Result<()> {
    let mut find = by_turn(&THREADS, run)?;
    loop {
        let page = space.find(&find).await?;
        for record in &page.records {
            let back = transcripts::imports::TakeBack::of(space, &run.import, record).await?;
            let Some(back) = back else {
                undone.kept.push(record.key.to_string());
                continue;
            };
            let entries = back.last;
            if take(space, run, back, record, undone).await? {
                undone.threads += 1;
                undone.entries += entries;
            }
        }
        match page.next {
            Some(next) => find.after = Some(next),
            None => return Ok(()),
        }
    }
}

fn by_turn(table: &'static Table, run: &Run) -> Result<Find> {
    Ok(Find::by(table, "turn")?.equal(Value::text(run.import.as_str())).limit(STEP))
}

/// False when it has changed meanwhile: it is kept then.
async fn take(
    space: &Space,
    run: &Run,
    intent: impl Intent + 'static,
    record: &Record,
    undone: &mut Undone,
) -> Result<bool> {
    let unit = Unit::new(space.clone()).turn(&run.import).run_of(run).with(intent);
    let taken = ignore_conflict(unit.commit().await.map(|_| ()))?;
    if !taken {
        undone.kept.push(record.key.to_string());
    }
    Ok(taken)
}
