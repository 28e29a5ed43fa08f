//! Renaming: the old namespace is only read from the first commit on, so nothing that is written
//! can be lost between the copy and the deletion.
//!
//! The states, each one commit: the new one marked, the old one `move`, the copy whole and the
//! old one `moved`, the new one switched on, the old one deleted. Giving up the new one takes the
//! old one's mark away, before the new one's own is gone. So `moved` with the new one live can
//! only mean that the deletion is left to do.

use super::copy::{self, Progress};
use super::state::{self, State};
use super::sync::Copied;
use super::{ATTEMPTS, busy, expecting, settle, stale};
use crate::driver::{Expect, Operation, Put, Save};
use crate::error::Result;
use crate::repo::conversations::collect;
use crate::repo::conversations::pending::{Pending, Root, RootKind};
use crate::repo::space::Space;
use crate::schema::Namespace;

pub(super) async fn rename(from: &Space, to: &Space, progress: Progress<'_>) -> Result<Copied> {
    copy::refuse_same(from, to)?;
    if let State::Live { .. } = State::load(to).await? {
        let pending = Pending::load(from).await?;
        if held(&pending, to.namespace()).is_some_and(|root| root.kind == RootKind::Moved) {
            delete_old(from, pending.version()).await?;
            return Ok(Copied::default());
        }
        release(from, to.namespace()).await?;
    }
    copy::expect_live(from).await?;
    let version = copy::begin(to, from.namespace().as_str(), true).await?;
    hold(from, to, RootKind::Move).await?;
    expect_marked(from, to, version).await?;
    let filled = copy::fill(from, to, version, progress).await?;
    expect_marked(from, to, version).await?;
    let held = hold(from, to, RootKind::Moved).await?;
    if let Err(error) = copy::finish(from, to, version, filled.record).await {
        // Another process may have finished it: then it deletes the old one, too.
        if !matches!(State::load(to).await?, State::Live { .. }) {
            release(from, to.namespace()).await?;
        }
        return Err(error);
    }
    delete_old(from, held).await?;
    Ok(filled.told)
}

fn held<'a>(pending: &'a Pending, to: &Namespace) -> Option<&'a Root> {
    pending.held_by().filter(|root| root.kind != RootKind::Copy && root.id == to.as_str())
}

/// Keeps others from writing to the old namespace; answers the version of its pending deletions.
/// `Moved` follows `Move` only.
async fn hold(from: &Space, to: &Space, kind: RootKind) -> Result<u64> {
    for _ in 0..ATTEMPTS {
        settle(from).await?;
        let pending = Pending::load(from).await?;
        pending.refuse_importing()?;
        let own = held(&pending, to.namespace());
        if own.is_some_and(|root| root.kind == kind || root.kind == RootKind::Moved) {
            return Ok(pending.version());
        }
        if kind == RootKind::Moved && own.is_none() {
            return Err(copy::given_up(from, to));
        }
        if own.is_none() && still_wanted(from, &pending).await? {
            pending.refuse_if_held(from.namespace())?;
        }
        let mut batch = expecting(from, [Expect::Version(Pending::key()?, pending.version())]);
        let root = Root { kind, id: to.namespace().to_string(), erase: false };
        batch.push(Operation::Put(Pending::of(vec![root]).put()?));
        match from.commit(batch).await {
            Ok(_) => from.forget_all(),
            Err(error) if stale(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(busy(from))
}

/// True while the namespace that holds this one is there, or on its way.
async fn still_wanted(from: &Space, pending: &Pending) -> Result<bool> {
    let Some(root) = pending.held_by() else { return Ok(false) };
    let other = from.sibling(Namespace::new(&root.id)?);
    Ok(!matches!(State::load(&other).await?, State::Absent))
}

/// The mark of the new namespace must be there after the old one was held, or nobody would let
/// the old one go again.
async fn expect_marked(from: &Space, to: &Space, version: u64) -> Result<()> {
    match State::load(to).await? {
        State::Copying { version: now, .. } if now == version => Ok(()),
        State::Live { .. } => Err(copy::given_up(from, to)),
        _ => {
            release(from, to.namespace()).await?;
            Err(copy::given_up(from, to))
        }
    }
}

/// Lets the old namespace be written again, if it is held for this new one.
pub(super) async fn release(from: &Space, to: &Namespace) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let pending = Pending::load(from).await?;
        if held(&pending, to).is_none() {
            return Ok(());
        }
        let mut batch = expecting(from, [Expect::Version(Pending::key()?, pending.version())]);
        batch.push(Operation::Delete(Pending::key()?));
        match from.commit(batch).await {
            Ok(_) => {
                from.forget_all();
                return Ok(());
            }
            Err(error) if stale(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(busy(from))
}

/// Deletes the old namespace as it was held.
async fn delete_old(from: &Space, held: u64) -> Result<()> {
    let mut batch = expecting(from, [Expect::Version(Pending::key()?, held)]);
    batch.push(Operation::Put(Put::new(state::key(from)?, state::deleting(None), Save::Any)?));
    let id = from.namespace().to_string();
    let root = Root { kind: RootKind::Namespace, id, erase: false };
    batch.push(Operation::Put(Pending::of(vec![root]).put()?));
    match from.commit(batch).await {
        // Another process has done it.
        Err(error) if stale(&error) => {}
        done => drop(done?),
    }
    from.forget_all();
    collect::collect(from).await.map(|_| ())
}
