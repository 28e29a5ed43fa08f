//! Deleting a namespace: one commit marks it and hides all that is in it, small commits remove
//! that, the last one removes the record.

use super::{ATTEMPTS, busy, expecting, rename, stale, state, state::State};
use crate::driver::{Expect, Find, Operation, Put, Save};
use crate::error::{Kind, Result};
use crate::repo::conversations::collect::{self, Collected};
use crate::repo::conversations::pending::{Pending, Root, RootKind};
use crate::repo::space::Space;
use crate::schema::{AGENTKEEP, BLOBS, DELETIONS, Key, NAMESPACES, STREAMS, Stream, Table};

/// Records, blobs or entries removed in one commit.
const STEP: usize = 1_000;

/// Marks the namespace and removes what is in it; `None` when there is none.
pub(super) async fn delete(space: &Space, erase: bool) -> Result<Option<Collected>> {
    for _ in 0..ATTEMPTS {
        match State::load(space).await? {
            State::Absent => return Ok(None),
            State::Deleting { .. } => {}
            state => match mark(space, &state, erase).await {
                Err(error) if stale(&error) => continue,
                marked => marked?,
            },
        }
        space.forget_all();
        return Ok(Some(collect::collect(space).await?));
    }
    Err(busy(space))
}

/// The commit with which the namespace is gone for readers.
async fn mark(space: &Space, state: &State, erase: bool) -> Result<()> {
    let renames = match state {
        State::Copying { from, renames: true, .. } => Some(from.as_str()),
        _ => None,
    };
    super::settle(space).await?;
    let pending = Pending::load(space).await?;
    let key = state::key(space)?;
    let own = Expect::Version(key.clone(), state.version());
    let mut batch = expecting(space, [own, Expect::Version(Pending::key()?, pending.version())]);
    // Without the user's fields, and so without what they refer to.
    batch.push(Operation::Put(Put::new(key, state::deleting(renames), Save::Any)?));
    let root = Root { kind: RootKind::Namespace, id: space.namespace().to_string(), erase };
    batch.push(Operation::Put(Pending::of(vec![root]).put()?));
    space.commit(batch).await.map(|_| ())
}

/// Removes everything while the record of pending deletions has this version.
pub(crate) async fn clear(space: &Space, version: u64, collected: &mut Collected) -> Result<()> {
    if let State::Deleting { renames: Some(from) } = State::load(space).await? {
        let from = space.sibling(crate::schema::Namespace::new(&from)?);
        rename::release(&from, space.namespace()).await?;
    }
    let mut clear = Clear { space, guard: Expect::Version(Pending::key()?, version), collected };
    match clear.all().await {
        // Another collector was faster: the namespace is gone, or others live in it again.
        Err(error) if stale(&error) => Ok(()),
        other => other,
    }
}

struct Clear<'a> {
    space: &'a Space,
    /// Whatever is made after the namespace is gone must not meet a slow collector.
    guard: Expect,
    collected: &'a mut Collected,
}

impl Clear<'_> {
    async fn all(&mut self) -> Result<()> {
        loop {
            // What refers to others first: sessions, then images, then containers.
            for table in AGENTKEEP.tables.iter().rev().filter(|table| table.name != DELETIONS.name)
            {
                self.records(table).await?;
            }
            self.streams().await?;
            self.blobs().await?;
            let last = [Pending::key()?, Key::new(&NAMESPACES, [self.space.namespace().as_str()])?];
            match self.commit(last.map(Operation::Delete).into()).await {
                // Somebody kept an attachment meanwhile.
                Err(error) if error.kind() == Kind::Conflict && !stale(&error) => {}
                done => return done,
            }
        }
    }

    async fn records(&mut self, table: &'static Table) -> Result<()> {
        loop {
            let find = Find::by(table, "key")?.limit(STEP);
            let records = self.space.find(&find).await?.records;
            if records.is_empty() {
                return Ok(());
            }
            let count = records.len() as u64;
            let delete = records.into_iter().map(|record| Operation::Delete(record.key));
            self.commit(delete.collect()).await?;
            match table.name {
                "sessions" => self.collected.sessions += count,
                "images" => self.collected.images += count,
                _ => {}
            }
        }
    }

    async fn streams(&mut self) -> Result<()> {
        loop {
            let streams = self.space.find(&Find::by(&STREAMS, "key")?.limit(STEP)).await?.records;
            if streams.is_empty() {
                return Ok(());
            }
            let (mut some, mut entries) = (Vec::new(), 0);
            for record in streams {
                let mut parts = record.key.parts();
                let log = parts.next().and_then(|log| AGENTKEEP.log(log));
                let (Some(log), Some(name)) = (log, parts.next()) else { continue };
                let stream = Stream::new(name)?;
                let (first, last) =
                    (super::number(&record, "first"), super::number(&record, "last"));
                let mut before = first.saturating_add(STEP as u64);
                while before <= last {
                    let stream = stream.clone();
                    self.commit(vec![Operation::Trim { log, stream, before }]).await?;
                    before = before.saturating_add(STEP as u64);
                }
                let count = super::number(&record, "count");
                self.collected.messages += count;
                entries += count.min(STEP as u64);
                some.push(Operation::Drop { log, stream });
                if entries >= STEP as u64 {
                    self.commit(std::mem::take(&mut some)).await?;
                    entries = 0;
                }
            }
            if !some.is_empty() {
                self.commit(some).await?;
            }
        }
    }

    async fn blobs(&mut self) -> Result<()> {
        loop {
            let blobs = self.space.find(&Find::by(&BLOBS, "key")?.limit(STEP / 10)).await?.records;
            if blobs.is_empty() {
                return Ok(());
            }
            let count = blobs.len() as u64;
            let hash = |record: crate::driver::Record| {
                Ok(Operation::DropBlob(crate::driver::Hash::from_hex(record.key.first())?))
            };
            let drop = blobs.into_iter().map(hash).collect::<Result<_>>()?;
            self.commit(drop).await?;
            self.collected.blobs += count;
        }
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<()> {
        let mut batch = expecting(self.space, [self.guard.clone()]);
        batch.operations = operations;
        self.space.commit(batch).await.map(|_| ())
    }
}
