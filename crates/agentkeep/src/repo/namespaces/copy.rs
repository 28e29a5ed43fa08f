//! Copying a namespace: the new one is marked and hidden by its first commit, filled in small
//! ones, and switched on by the last. A copy that was interrupted compares what is there.

use super::state::{self, State};
use super::sync::{Copied, Sync};
use super::{ATTEMPTS, busy, expecting, not_found, stale, taken};
use crate::driver::{Expect, Operation, Outcome, Put, Reader, Save};
use crate::error::{Error, Kind, Result};
use crate::repo::conversations::pending::{Pending, Root, RootKind};
use crate::repo::space::Space;

/// What is told how far a copy is.
pub(super) type Progress<'a> = &'a (dyn Fn(&Copied) + std::marker::Sync);

pub(super) async fn fork(from: &Space, to: &Space, progress: Progress<'_>) -> Result<Copied> {
    refuse_same(from, to)?;
    expect_live(from).await?;
    whole(from, to, from.namespace().as_str(), progress).await
}

/// Into another store: its mark names this one, too.
pub(super) async fn carry(from: &Space, to: &Space, progress: Progress<'_>) -> Result<Copied> {
    let store = &from.driver().describe().store_id;
    if *store == to.driver().describe().store_id {
        return fork(from, to, progress).await;
    }
    expect_live(from).await?;
    whole(from, to, &format!("{}@{store}", from.namespace()), progress).await
}

async fn whole(from: &Space, to: &Space, origin: &str, progress: Progress<'_>) -> Result<Copied> {
    let version = begin(to, origin, false).await?;
    let copied = fill(from, to, version, progress).await?;
    finish(from, to, version, copied.record.clone()).await?;
    Ok(copied.told)
}

pub(super) fn refuse_same(from: &Space, to: &Space) -> Result<()> {
    if from.namespace() != to.namespace() {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidInput, "both names are the same")
        .at(super::place(from))
        .advice("give it another name"))
}

/// The old namespace must be there, and no import under way in it: before anything is made.
pub(super) async fn expect_live(from: &Space) -> Result<()> {
    match State::load(from).await? {
        State::Live { .. } => Pending::load(from).await?.refuse_importing(),
        _ => Err(not_found(from)),
    }
}

/// Marks the new namespace, or finds the mark of a copy that was interrupted; answers the version
/// of the marked record.
pub(super) async fn begin(to: &Space, origin: &str, renaming: bool) -> Result<u64> {
    match State::load(to).await? {
        State::Absent => {}
        State::Copying { from: other, renames, version }
            if other == origin && renames == renaming =>
        {
            return Ok(version);
        }
        State::Copying { from: other, renames, .. } => {
            let what = if renames { "renamed" } else { "copied" };
            let message = format!("a copy that is not finished is here, {what} from {other:?}");
            return Err(Error::new(Kind::AlreadyExists, message).at(super::place(to)).advice(
                "ask for that again to finish it, or delete this namespace to give it up",
            ));
        }
        State::Live { .. } | State::Deleting { .. } => return Err(taken(to)),
    }
    let key = state::key(to)?;
    let nothing = [Expect::Version(key.clone(), 0), Expect::Version(Pending::key()?, 0)];
    let mut batch = expecting(to, nothing);
    let mark = state::copying(origin, renaming);
    batch.push(Operation::Put(Put::new(key, mark, Save::Create)?));
    let root = Root { kind: RootKind::Copy, id: origin.to_owned(), erase: false };
    batch.push(Operation::Put(Pending::of(vec![root]).put()?));
    let committed = to.commit(batch).await.map_err(|error| match error.kind() {
        Kind::Conflict | Kind::AlreadyExists => taken(to),
        _ => error,
    })?;
    to.forget_all();
    match committed.outcomes.first() {
        Some(Outcome::Put { version }) => Ok(*version),
        _ => Err(Error::new(Kind::Corrupt, "the driver answered something else than asked")),
    }
}

/// What a copy has filled in, and the record that it will get.
pub(super) struct Filled {
    pub(super) told: Copied,
    pub(super) record: Put,
}

/// Makes the new namespace equal to one moment of the old one.
pub(super) async fn fill(
    from: &Space,
    to: &Space,
    version: u64,
    progress: Progress<'_>,
) -> Result<Filled> {
    let reader = moment(from).await?;
    let own = state::key(from)?;
    let record = reader.get(from.namespace(), std::slice::from_ref(&own)).await?;
    let record = record.into_iter().next().flatten().ok_or_else(|| not_found(from))?;
    let guard = Expect::Version(state::key(to)?, version);
    let told = Sync::new(from.namespace(), &*reader, to, guard, progress).run().await?;
    let put = Put::new(state::key(to)?, record.body, Save::Any)?;
    Ok(Filled { told, record: Put { refs: record.refs, ..put } })
}

/// A moment at which no deletion is under way.
async fn moment(from: &Space) -> Result<Box<dyn Reader>> {
    let snapshots = from.driver().snapshots().ok_or_else(|| {
        Error::new(Kind::Unsupported, "this driver cannot show one moment of a namespace")
            .advice("copy the store as a whole")
    })?;
    for _ in 0..ATTEMPTS {
        super::settle(from).await?;
        let reader = snapshots.snapshot(from.namespace()).await?;
        let found = reader.get(from.namespace(), &[Pending::key()?]).await?;
        let pending = Pending::of_record(found.first().and_then(Option::as_ref))?;
        pending.refuse_importing()?;
        if pending.hides_all() {
            return Err(not_found(from));
        }
        if pending.roots.is_empty() || pending.held_by().is_some() {
            return Ok(reader);
        }
    }
    Err(busy(from))
}

/// Switches the new namespace on.
pub(super) async fn finish(from: &Space, to: &Space, version: u64, record: Put) -> Result<()> {
    let mut batch = expecting(to, [Expect::Version(state::key(to)?, version)]);
    batch.push(Operation::Put(record));
    batch.push(Operation::Delete(Pending::key()?));
    let done = to.commit(batch).await;
    to.forget_all();
    done.map(|_| ()).map_err(|error| if stale(&error) { given_up(from, to) } else { error })
}

pub(super) fn given_up(from: &Space, to: &Space) -> Error {
    let message =
        format!("the copy of {:?} was finished, or given up, meanwhile", from.namespace());
    Error::new(Kind::Conflict, message)
        .at(super::place(to))
        .retryable(false)
        .advice("look whether the namespace is there")
}
