//! Taking back what an import has brought: what is under its turn, and nobody has changed since.

use async_trait::async_trait;
use serde::Serialize;

use super::collect::{self, Collected, TakeSession, ignore_conflict};
use super::cut::close;
use super::imports::{self, Run, Stage};
use super::lineage::{Lineage, Segment};
use super::pending::Pending;
use super::sweep;
use super::undo_logs;
use super::view::View;
use crate::driver::{Batch, Expect, Find, Head, Operation, Read, Record, Stretch, Which};
use crate::error::{Error, Kind, Result};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{
    CONTAINERS, DEFINITIONS, IMAGES, Index, Key, LINEAGES, MESSAGES, RUNS, SESSIONS, Stream,
    THREADS, Table, Turn, Value,
};

/// Records taken away in one commit.
const STEP: usize = 200;
/// Messages looked at in one call.
const LOOK: u64 = 2_000;

/// What undoing an import took away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Containers.
    pub containers: u64,
    /// Images.
    pub images: u64,
    /// Sessions.
    pub sessions: u64,
    /// Messages.
    pub messages: u64,
    /// Definitions that are no images.
    pub definitions: u64,
    /// Runs.
    pub runs: u64,
    /// Threads of transcripts.
    pub threads: u64,
    /// Entries of transcripts.
    pub entries: u64,
    /// What was left as it is, and why: what has been changed since, or is needed by something
    /// else. `sessions "chat": it has changed since`.
    pub kept: Vec<String>,
}

impl Undone {
    pub(super) fn keep(&mut self, key: &Key, why: &str) {
        let place = key.to_string();
        // The first reason is the one that counts.
        if !self
            .kept
            .iter()
            .any(|kept| kept.strip_prefix(&place).is_some_and(|r| r.starts_with(": ")))
        {
            self.kept.push(format!("{place}: {why}"));
        }
    }
}

/// Takes back the import that wrote under this turn.
pub(crate) async fn undo(space: &Space, import: &Turn) -> Result<Undone> {
    let run = Run::new(import);
    let pending = Pending::load(space).await?;
    let listed = pending.import(import.as_str());
    if let Some(Stage::Opening | Stage::Staged) = listed.map(|listed| listed.stage) {
        return staged(space, &run, &mut Collected::default()).await;
    }
    if listed.is_none() && !wrote_anything(space, import).await? {
        let message = format!("there is no import {import} in this namespace");
        return Err(Error::new(Kind::NotFound, message)
            .advice("give the id that the import's report told, and its namespace"));
    }
    imports::set_stage(space, &run, Some(Stage::Undoing)).await?;
    let mut undone = Undone::default();
    added_messages(space, &run, &mut undone).await?;
    undo_logs::of_runs(space, &run, &mut undone).await?;
    undo_logs::of_threads(space, &run, &mut undone).await?;
    sessions(space, &run, &mut undone).await?;
    undone.images = records(space, import, &IMAGES, &[&SESSIONS], &mut undone).await?;
    let children = [&IMAGES, &SESSIONS];
    undone.containers = records(space, import, &CONTAINERS, &children, &mut undone).await?;
    undone.definitions = records(space, import, &DEFINITIONS, &[], &mut undone).await?;
    imports::set_stage(space, &run, None).await?;
    collect::garbage(space, &mut Collected::default()).await?;
    Ok(undone)
}

/// Takes away what an import has staged: nobody else can have written there.
pub(super) async fn staged(space: &Space, run: &Run, collected: &mut Collected) -> Result<Undone> {
    let import = &run.import;
    // Whoever was at it may not write any more.
    let pending = Pending::load(space).await?;
    let stage = pending.import(import.as_str()).map_or(Stage::Opening, |listed| listed.stage);
    imports::set_stage(space, run, Some(stage)).await?;
    let mut undone = Undone::default();
    undo_logs::of_runs(space, run, &mut undone).await?;
    undo_logs::of_threads(space, run, &mut undone).await?;
    loop {
        let found = by_turn(space, &SESSIONS, import).await?;
        if found.is_empty() {
            break;
        }
        let mut unit = Unit::new(space.clone()).turn(import).run_of(run);
        for session in &found {
            let (key, version) = (session.key.clone(), session.version);
            unit.push(TakeSession { key, version, erase: false });
        }
        unit.commit().await?;
        undone.sessions += found.len() as u64;
    }
    undone.images = records(space, import, &IMAGES, &[], &mut undone).await?;
    undone.containers = records(space, import, &CONTAINERS, &[], &mut undone).await?;
    undone.definitions = records(space, import, &DEFINITIONS, &[], &mut undone).await?;
    let before = collected.messages;
    collect::garbage(space, collected).await?;
    undone.messages = collected.messages - before;
    // Last, so that an interruption leaves something that says what is still to be done.
    imports::set_stage(space, run, None).await?;
    Ok(undone)
}

async fn by_turn(space: &Space, table: &'static Table, import: &Turn) -> Result<Vec<Record>> {
    let find = Find::by(table, "turn")?.equal(Value::text(import.as_str())).limit(STEP);
    Ok(space.find(&find).await?.records)
}

async fn wrote_anything(space: &Space, import: &Turn) -> Result<bool> {
    for table in [&CONTAINERS, &IMAGES, &SESSIONS, &DEFINITIONS, &RUNS, &THREADS] {
        if !by_turn(space, table, import).await?.is_empty() {
            return Ok(true);
        }
    }
    let (gone_on_with, _) = undo_logs::gone_on_with(space, &Run::new(import), 1).await?;
    Ok(!gone_on_with.is_empty())
}

/// Takes away records that the import wrote last, unless one of `children` is in them.
async fn records(
    space: &Space,
    import: &Turn,
    table: &'static Table,
    children: &[&'static Table],
    undone: &mut Undone,
) -> Result<u64> {
    let index = if table.name == IMAGES.name { "by_image" } else { "by_container" };
    let mut find = Find::by(table, "turn")?.equal(Value::text(import.as_str())).limit(STEP);
    let mut taken = 0;
    loop {
        let page = space.find(&find).await?;
        for record in &page.records {
            let mut batch = Batch::new(space.namespace().clone());
            batch.expect(Expect::Version(record.key.clone(), record.version));
            for child in children {
                let index: &'static Index = Find::by(child, index)?.index;
                let parent = Value::text(record.key.first());
                batch.expect(Expect::NoRecord(child, index, parent));
            }
            batch.push(Operation::Delete(record.key.clone()));
            if ignore_conflict(space.commit(batch).await.map(|_| ()))? {
                taken += 1;
            } else {
                undone.keep(&record.key, "it has changed since, or something belongs to it");
            }
        }
        match page.next {
            Some(next) => find.after = Some(next),
            None => return Ok(taken),
        }
    }
}

/// Takes away the sessions that the import made and nobody has gone on with.
async fn sessions(space: &Space, run: &Run, undone: &mut Undone) -> Result<()> {
    let import = &run.import;
    let mut find = Find::by(&SESSIONS, "turn")?.equal(Value::text(import.as_str())).limit(STEP);
    loop {
        let page = space.find(&find).await?;
        for session in page.records {
            let why = "it has changed since, or a fork needs it";
            match untouched(space, import, &session).await? {
                Some((intent, messages)) => {
                    let unit = Unit::new(space.clone()).turn(import).run_of(run).with(intent);
                    if ignore_conflict(unit.commit().await.map(|_| ()))? {
                        undone.sessions += 1;
                        undone.messages += messages;
                    } else {
                        undone.keep(&session.key, why);
                    }
                }
                None => undone.keep(&session.key, why),
            }
        }
        match page.next {
            Some(next) => find.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// How to take a session away that is still as the import made it, and its messages' number.
async fn untouched(
    space: &Space,
    import: &Turn,
    session: &Record,
) -> Result<Option<(TakeImported, u64)>> {
    let key = Key::new(&LINEAGES, [session.key.first()])?;
    let Some(record) = space.get(&key).await? else { return Ok(None) };
    let (lineage, version) = Lineage::of_record(&record)?;
    let [Segment { stream, from: 1, to: None }] = lineage.segments.as_slice() else {
        return Ok(None);
    };
    if record.turn.as_ref() != Some(import) || lineage.shared > 0 {
        return Ok(None);
    }
    let Some(last) = all_under(space, import, stream).await? else { return Ok(None) };
    let intent = TakeImported {
        session: (session.key.clone(), session.version),
        lineage: (key, version),
        end: (stream.clone(), last),
    };
    Ok(Some((intent, last)))
}

/// The last number of a stream whose entries are all as the import wrote them.
async fn all_under(space: &Space, import: &Turn, stream: &Stream) -> Result<Option<u64>> {
    let mut from = 1;
    loop {
        let which =
            Which::Stretches(vec![Stretch { stream: stream.clone(), from, to: from + LOOK - 1 }]);
        let limit = usize::try_from(LOOK).unwrap_or(usize::MAX);
        let mut read = space.read(&Read { log: &MESSAGES, which, reverse: false, limit }).await?;
        let head: Option<Head> = read.heads.pop().flatten();
        let last = head.map_or(0, |head| head.last);
        let theirs = |entry: &crate::driver::Entry| {
            entry.turn.as_ref() != Some(import) || entry.rewritten.is_some()
        };
        if read.entries.iter().any(theirs) {
            return Ok(None);
        }
        from += LOOK;
        if from > last {
            return Ok(Some(last));
        }
    }
}

/// Takes a session away that nobody has touched since it was imported.
#[derive(Debug)]
struct TakeImported {
    session: (Key, u64),
    lineage: (Key, u64),
    end: (Stream, u64),
}

#[async_trait]
impl Intent for TakeImported {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let changed = || Guard::Answer(Error::new(Kind::Conflict, "it has changed since"));
        let (stream, last) = self.end.clone();
        plan.expect(Expect::LogEnds(&MESSAGES, stream, last), changed());
        for (key, version) in [&self.session, &self.lineage] {
            plan.expect(Expect::Version(key.clone(), *version), changed());
        }
        super::delete::take_session(plan, self.session.0.first(), false).await
    }
}

/// Takes away the messages and entries that the import added to sessions and threads which were
/// there before.
async fn added_messages(space: &Space, run: &Run, undone: &mut Undone) -> Result<()> {
    let import = &run.import;
    for (session, body) in super::definitions::all(space, import.as_str()).await? {
        let key = super::definitions::key(import.as_str(), &session)?;
        if let Some(thread) = body.member("thread").and_then(|thread| thread.to_text()) {
            undo_logs::of_thread(space, run, &thread, undone).await?;
            let forget = Forget(key);
            Unit::new(space.clone()).turn(import).run_of(run).with(forget).commit().await?;
            continue;
        }
        let before = count(space, &session).await?;
        let cut = CutImported { session: session.clone(), import: import.clone(), journal: key };
        Unit::new(space.clone()).turn(import).run_of(run).with(cut).commit().await?;
        undone.messages += before.saturating_sub(count(space, &session).await?);
    }
    Ok(())
}

/// Nothing is left to be done about what the record notes.
#[derive(Debug)]
struct Forget(Key);

#[async_trait]
impl Intent for Forget {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        plan.push(Operation::Delete(self.0.clone()));
        Ok(())
    }
}

async fn count(space: &Space, session: &str) -> Result<u64> {
    match Lineage::load(space, session).await? {
        Some((lineage, _)) => View::of(space, session, lineage).count().await,
        None => Ok(0),
    }
}

#[derive(Debug)]
struct CutImported {
    session: String,
    import: Turn,
    /// The record that says that the import added to the session.
    journal: Key,
}

#[async_trait]
impl Intent for CutImported {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        plan.push(Operation::Delete(self.journal.clone()));
        if plan.lineage(&self.session).await?.is_none() {
            return Ok(());
        }
        let closed = close(plan, &self.session).await?;
        let view = View::of(plan.space, &self.session, closed.clone());
        let mut theirs = Vec::new();
        let mut at = 0;
        while at < closed.closed_len() {
            let stale = || Error::new(Kind::Conflict, "messages were taken away meanwhile");
            let some = view.range(at, (at + LOOK).min(closed.closed_len())).await?;
            let some = some.ok_or_else(stale)?;
            let imported = some.iter().filter(|stored| {
                stored.turn.as_deref() == Some(self.import.as_str()) && !stored.edited
            });
            theirs.extend(imported.map(|stored| stored.index));
            at += LOOK;
        }
        if theirs.is_empty() {
            return Ok(());
        }
        for stream in closed.streams() {
            sweep::note(plan, stream, false)?;
        }
        let after = theirs.iter().rev().fold(closed, |lineage, index| lineage.without(*index));
        plan.set_lineage(&self.session, after);
        Ok(())
    }
}
