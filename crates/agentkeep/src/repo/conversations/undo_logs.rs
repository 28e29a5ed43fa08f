//! Taking back the runs and transcripts that an import has brought.

use std::collections::BTreeSet;

use super::collect::ignore_conflict;
use super::imports::Run;
use super::undo::Undone;
use crate::driver::{Find, Read, Record, Which};
use crate::error::Result;
use crate::repo::plan::Intent;
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::repo::{runs, transcripts};
use crate::schema::{RUNS, STEPS, THREADS, Table, Value};

/// Records looked at in one call.
const STEP: usize = 200;
/// Entries of an import that are looked at for runs which somebody has gone on with: they may be
/// large.
const LISTED: usize = 500;

/// Takes away the runs that the import brought: whoever goes on with a run writes its record. Those
/// that somebody has gone on with are told by the entries that the import left in them.
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
            None => break,
        }
    }
    let (ids, more) = gone_on_with(space, run, LISTED).await?;
    for id in ids {
        undone.keep(&runs::imports::key_of(&id)?, "somebody has gone on with it");
    }
    if more {
        undone.kept.push("and more runs that somebody has gone on with".to_owned());
    }
    Ok(())
}

/// Runs that have entries of the import, as many as have so many entries, and whether there are
/// more.
pub(super) async fn gone_on_with(
    space: &Space,
    run: &Run,
    limit: usize,
) -> Result<(BTreeSet<String>, bool)> {
    let which = Which::Turn(run.import.clone());
    let found = space.read(&Read { log: &STEPS, which, reverse: false, limit }).await?;
    let ids = found.entries.iter().map(|entry| entry.stream.as_str().to_owned()).collect();
    Ok((ids, found.more))
}

/// Takes away the entries that the import added to a thread which was there before.
pub(super) async fn of_thread(
    space: &Space,
    run: &Run,
    thread: &str,
    undone: &mut Undone,
) -> Result<()> {
    let mut from = 1;
    while let Some((cut, next)) =
        transcripts::imports::added(space, &run.import, thread, from).await?
    {
        from = next;
        let count = cut.numbers.len() as u64;
        if count > 0 {
            let unit = Unit::new(space.clone()).turn(&run.import).run_of(run).with(cut);
            unit.commit().await?;
            undone.entries += count;
        }
    }
    Ok(())
}

/// Takes away the threads that the import made and nobody else has added to.
pub(super) async fn of_threads(space: &Space, run: &Run, undone: &mut Undone) -> Result<()> {
    let mut find = by_turn(&THREADS, run)?;
    loop {
        let page = space.find(&find).await?;
        for record in &page.records {
            let back = transcripts::imports::TakeBack::of(space, &run.import, record).await?;
            let Some(back) = back else {
                undone.keep(&record.key, "somebody else has added to it");
                continue;
            };
            let entries = back.entries;
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
        undone.keep(&record.key, "it has changed since");
    }
    Ok(taken)
}
