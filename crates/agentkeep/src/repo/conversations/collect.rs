//! Collecting: the work that a deletion leaves due after the one commit that made it take effect.
//!
//! Every step is a small commit that can be repeated, so an interruption loses nothing and
//! several processes may collect at once.

use std::ops::Bound;

use async_trait::async_trait;
use serde::Serialize;

use super::delete::take_session;
use super::pending::{Pending, Root, RootKind};
use super::{imports, sweep};
use crate::driver::{Batch, Expect, Find, Operation, Record};
use crate::error::{Kind, Result};
use crate::model::document;
use crate::repo::namespaces::clear;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{BLOBS, GARBAGE, IMAGES, Key, SESSIONS, Table, Value};

/// A blob that nothing refers to is kept so long, for the message that may be about to.
const BLOB_GRACE_MS: i64 = 24 * 60 * 60 * 1000;
/// Sessions or images taken away in one commit.
const STEP: usize = 50;

/// What collecting took away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Images.
    pub images: u64,
    /// Sessions.
    pub sessions: u64,
    /// Messages whose content was removed.
    pub messages: u64,
    /// Blobs.
    pub blobs: u64,
}

/// Does all that is due in the namespace.
pub(crate) async fn collect(space: &Space) -> Result<Collected> {
    let mut collected = Collected::default();
    roots(space, &mut collected).await?;
    // What is being copied has not got all its lineages yet: nothing here can be told as garbage.
    if Pending::load(space).await?.held_by().is_some() {
        return Ok(collected);
    }
    imports::abandoned(space, &mut collected).await?;
    garbage(space, &mut collected).await?;
    old_blobs(space, &mut collected).await?;
    Ok(collected)
}

/// Sweeps the streams that may have entries which no lineage refers to.
pub(super) async fn garbage(space: &Space, collected: &mut Collected) -> Result<()> {
    for note in space.find_all(Find::by(&GARBAGE, "key")?).await? {
        sweep::sweep(space, &note, collected).await?;
    }
    Ok(())
}

/// Finishes the deletions under way, up to the garbage that they leave.
pub(crate) async fn roots(space: &Space, collected: &mut Collected) -> Result<()> {
    loop {
        let pending = Pending::load(space).await?;
        let Some(root) = pending.roots.first().cloned() else { return Ok(()) };
        if pending.held_by().is_some() {
            return Ok(());
        }
        if root.kind == RootKind::Namespace {
            clear::clear(space, pending.version(), collected).await?;
            continue;
        }
        if !step(space, &root, collected).await? {
            let done = Unit::new(space.clone()).with(Unlist { root }).commit().await;
            ignore_conflict(done.map(|_| ()))?;
        }
    }
}

/// Takes away some of what belongs to a root; false when nothing is left.
async fn step(space: &Space, root: &Root, collected: &mut Collected) -> Result<bool> {
    let index = match root.kind {
        RootKind::Container => "by_container",
        RootKind::Image => "by_image",
        RootKind::Tag => "by_tag",
        // Cleared as a whole, or no deletion.
        RootKind::Namespace | RootKind::Copy | RootKind::Move | RootKind::Moved => {
            return Ok(false);
        }
    };
    let sessions = first(space, &SESSIONS, index, &root.id, STEP).await?;
    if !sessions.is_empty() {
        return take_sessions(space, &sessions, root.erase, collected).await;
    }
    if root.kind == RootKind::Image {
        return Ok(false);
    }
    let images = first(space, &IMAGES, index, &root.id, STEP).await?;
    for image in &images {
        let sessions = first(space, &SESSIONS, "by_image", image.key.first(), STEP).await?;
        if !sessions.is_empty() {
            return take_sessions(space, &sessions, root.erase, collected).await;
        }
    }
    if images.is_empty() {
        return Ok(false);
    }
    let mut batch = Batch::new(space.namespace().clone());
    for image in &images {
        batch.expect(Expect::Version(image.key.clone(), image.version));
        batch.push(Operation::Delete(image.key.clone()));
    }
    if ignore_conflict(space.commit(batch).await.map(|_| ()))? {
        collected.images += images.len() as u64;
    }
    Ok(true)
}

async fn first(
    space: &Space,
    table: &'static Table,
    index: &str,
    value: &str,
    limit: usize,
) -> Result<Vec<Record>> {
    let find = Find::by(table, index)?.equal(Value::text(value)).limit(limit);
    Ok(space.find(&find).await?.records)
}

async fn take_sessions(
    space: &Space,
    sessions: &[Record],
    erase: bool,
    collected: &mut Collected,
) -> Result<bool> {
    let mut unit = Unit::new(space.clone());
    for session in sessions {
        let (key, version) = (session.key.clone(), session.version);
        unit.push(TakeSession { key, version, erase });
    }
    if ignore_conflict(unit.commit().await.map(|_| ()))? {
        collected.sessions += sessions.len() as u64;
    }
    Ok(true)
}

/// True when it went through; false when another collector was faster.
pub(super) fn ignore_conflict(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes away a session that belongs to a root, as it was found.
#[derive(Debug)]
pub(super) struct TakeSession {
    pub(super) key: Key,
    pub(super) version: u64,
    pub(super) erase: bool,
}

#[async_trait]
impl Intent for TakeSession {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let stale = crate::Error::new(Kind::Conflict, "another collector was faster");
        let expect = Expect::Version(self.key.clone(), self.version);
        plan.expect(expect, Guard::Answer(stale));
        take_session(plan, self.key.first(), self.erase).await
    }
}

/// Takes a root off the list once nothing belongs to it.
#[derive(Debug)]
struct Unlist {
    root: Root,
}

#[async_trait]
impl Intent for Unlist {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let mut pending = (*plan.pending().await?).clone();
        pending.roots.retain(|root| *root != self.root);
        plan.set_pending(pending)
    }
}

async fn old_blobs(space: &Space, collected: &mut Collected) -> Result<()> {
    let mut find = Find::by(&BLOBS, "by_unreferenced")?;
    let latest = Value::integer(document::now() - BLOB_GRACE_MS);
    find.range = (Bound::Excluded(Value::Missing), Bound::Included(latest));
    for blob in space.find_all(find).await? {
        let hash = crate::driver::Hash::from_hex(blob.key.first())?;
        collected.blobs += u64::from(drop_blob(space, hash).await?);
    }
    Ok(())
}

/// Removes a blob unless something refers to it.
pub(super) async fn drop_blob(space: &Space, hash: crate::driver::Hash) -> Result<bool> {
    let mut batch = Batch::new(space.namespace().clone());
    batch.push(Operation::DropBlob(hash));
    ignore_conflict(space.commit(batch).await.map(|_| ()))
}
