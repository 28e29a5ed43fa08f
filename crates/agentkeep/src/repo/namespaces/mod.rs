//! Namespaces: what there is, what is told of each, and what is done to one as a whole.

pub(crate) mod clear;
mod copy;
mod rename;
mod state;
mod sync;

use self::state::State;
use super::conversations::collect::{self, Collected};
use super::pages::{List, Page};
use super::space::Space;
use crate::driver::{Batch, Expect, Find, MAX_LIMIT, Operation, Put, Save, Usage};
use crate::error::{Error, Kind, Result};
use crate::model::NamespaceInfo;
use crate::schema::{AGENTKEEP, NAMESPACES, Namespace};
use crate::store::Store;

pub use sync::Copied;

/// How often a change of a record is planned anew when others change it meanwhile.
const ATTEMPTS: u32 = 5;

/// The namespaces of a store.
#[derive(Debug, Clone, Copy)]
pub struct Namespaces<'a> {
    space: &'a Space,
}

impl<'a> Namespaces<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// A page of the namespaces, by name. One that is being deleted, or not yet whole, is not
    /// among them.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn list(&self, list: &List) -> Result<Page<NamespaceInfo>> {
        let mut find = Find::by(&NAMESPACES, "key")?.after(list.continuation()?);
        let mut items = Vec::new();
        loop {
            find.limit = (list.limit() - items.len()).min(MAX_LIMIT);
            let found = self.space.find(&find).await?;
            for record in found.records {
                if let State::Live { info, .. } = State::of(record) {
                    items.push(info);
                }
            }
            match found.next {
                Some(next) if items.len() < list.limit() => find.after = Some(next),
                next => return Ok(Page { items, next: next.map(|next| next.token()) }),
            }
        }
    }

    /// The names of all namespaces, in order.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut list = List::of(1000)?;
        loop {
            let page = self.list(&list).await?;
            names.extend(page.items.iter().map(|info| info.name().to_owned()));
            match page.next {
                Some(next) => list = list.after(&next),
                None => return Ok(names),
            }
        }
    }

    /// What is told of a namespace; `None` when there is none of this name.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get(&self, name: &str) -> Result<Option<NamespaceInfo>> {
        match State::load(&self.within(name)?).await? {
            State::Live { info, .. } => Ok(Some(info)),
            _ => Ok(None),
        }
    }

    /// How much a namespace holds; nothing for one that is not there.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn usage(&self, name: &str) -> Result<Usage> {
        let space = self.within(name)?;
        match space.driver().maintenance() {
            Some(upkeep) => upkeep.usage(space.namespace()).await,
            None => counted(&space).await,
        }
    }

    /// Makes a namespace that holds nothing yet.
    ///
    /// # Errors
    /// `AlreadyExists`, also while one of this name is being deleted or copied.
    pub async fn create(&self, info: NamespaceInfo) -> Result<()> {
        let space = self.within(info.name())?;
        let mut batch = Batch::new(space.namespace().clone());
        let put = Put::new(state::key(&space)?, info.json().clone(), Save::Create)?;
        batch.push(Operation::Put(put));
        space.commit(batch).await.map(|_| ()).map_err(|error| match error.kind() {
            Kind::AlreadyExists => taken(&space),
            _ => error,
        })
    }

    /// Changes what is told of a namespace: `change` gets it as it is, again when somebody else
    /// changed it meanwhile.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when the change gives it another name; what `change` says;
    /// `Conflict` after five attempts.
    pub async fn update(
        &self,
        name: &str,
        change: impl Fn(&NamespaceInfo) -> Result<NamespaceInfo> + Sync,
    ) -> Result<NamespaceInfo> {
        let space = self.within(name)?;
        for _ in 0..ATTEMPTS {
            let State::Live { info, version, refs } = State::load(&space).await? else {
                return Err(not_found(&space));
            };
            let changed = change(&info)?;
            if changed.name() != name {
                let error =
                    Error::new(Kind::InvalidInput, "a change cannot give a namespace another name");
                return Err(error.at(format!("namespace {name:?}")).advice("rename it"));
            }
            let mut batch = Batch::new(space.namespace().clone());
            let key = state::key(&space)?;
            let put = Put { refs, ..Put::new(key, changed.json().clone(), Save::At(version))? };
            batch.push(Operation::Put(put));
            match space.commit(batch).await {
                Ok(_) => return Ok(changed),
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy(&space))
    }

    /// Copies a namespace with all that is in it. The copy shows under its new name once it is
    /// whole. Interrupted, it goes on when it is asked for again. Ids, bodies, numbers, turns and
    /// attachments are the same; times of the store are those of the copying.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` when the new name is taken; `Conflict` when somebody gave the
    /// copy up meanwhile; `Unsupported` by drivers without snapshots.
    pub async fn fork(&self, from: &str, to: &str) -> Result<Copied> {
        self.fork_with(from, to, |_| ()).await
    }

    /// As [`fork`](Self::fork), and tells how far it is.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork).
    pub async fn fork_with(
        &self,
        from: &str,
        to: &str,
        progress: impl Fn(&Copied) + Sync,
    ) -> Result<Copied> {
        copy::fork(&self.within(from)?, &self.within(to)?, &progress).await
    }

    /// Copies a namespace into another store, on whatever driver that is, under the same name: ids,
    /// bodies, numbers, turns and attachments are the same; times of the store are those of the
    /// copying. Of one moment, also while others write; it shows once it is whole, and goes on after
    /// an interruption when it is asked for again. Cursors of the old store mean nothing to the
    /// new one; what consumers have acknowledged comes along.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork).
    pub async fn copy_to(
        &self,
        name: &str,
        target: &Store,
        progress: impl Fn(&Copied) + Sync,
    ) -> Result<Copied> {
        let to = target.space().sibling(Namespace::new(name)?);
        copy::carry(&self.within(name)?, &to, &progress).await
    }

    /// Gives a namespace another name: copies it, then deletes the old one. From the first commit
    /// on the old one can only be read. Interrupted, it goes on when it is asked for again.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork).
    pub async fn rename(&self, from: &str, to: &str) -> Result<Copied> {
        self.rename_with(from, to, |_| ()).await
    }

    /// As [`rename`](Self::rename), and tells how far it is.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork).
    pub async fn rename_with(
        &self,
        from: &str,
        to: &str,
        progress: impl Fn(&Copied) + Sync,
    ) -> Result<Copied> {
        rename::rename(&self.within(from)?, &self.within(to)?, &progress).await
    }

    /// Deletes a namespace with all that is in it; also one whose copy is to be given up. Gone
    /// for readers with the first commit; what is left after an interruption is told by
    /// [`check`](crate::Store::check) and done by deleting again. False when there was none.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn delete(&self, name: &str) -> Result<bool> {
        Ok(clear::delete(&self.within(name)?, false).await?.is_some())
    }

    /// As [`delete`](Self::delete), and gives the space back, so that the content is gone from
    /// the store's files, too. Answers what was removed; `None` when there was no such namespace.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn erase(&self, name: &str) -> Result<Option<Collected>> {
        let space = self.within(name)?;
        let erased = clear::delete(&space, true).await?;
        if let Some(upkeep) = space.driver().maintenance() {
            upkeep.compact().await?;
        }
        Ok(erased)
    }

    fn within(self, name: &str) -> Result<Space> {
        Ok(self.space.sibling(Namespace::new(name)?))
    }
}

/// Deletions under way are finished, so that nothing that they hide is taken for live.
async fn settle(space: &Space) -> Result<()> {
    collect::roots(space, &mut Collected::default()).await
}

async fn counted(space: &Space) -> Result<Usage> {
    let mut usage = Usage::default();
    for table in AGENTKEEP.tables {
        let records = space.find_all(Find::by(table, "key")?).await?;
        usage.records.push((table.name.to_owned(), records.len() as u64));
    }
    let streams = space.find_all(Find::by(&crate::schema::STREAMS, "key")?).await?;
    for log in AGENTKEEP.logs {
        let own = streams.iter().filter(|record| record.key.first() == log.name);
        let sums = own.fold((0, 0, 0), |(streams, count, bytes), record| {
            (streams + 1, count + number(record, "count"), bytes + number(record, "bytes"))
        });
        usage.logs.push((log.name.to_owned(), sums.0, sums.1, sums.2));
    }
    for blob in space.find_all(Find::by(&crate::schema::BLOBS, "key")?).await? {
        usage.blobs += 1;
        usage.blob_bytes += number(&blob, "size");
    }
    Ok(usage)
}

/// A number in a record that a driver keeps.
fn number(record: &crate::driver::Record, member: &str) -> u64 {
    let number = record.body.member(member).and_then(|number| number.to_i64());
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn place(space: &Space) -> String {
    format!("namespace {:?}", space.namespace())
}

fn not_found(space: &Space) -> Error {
    Error::new(Kind::NotFound, "there is no such namespace")
        .at(place(space))
        .advice("list the namespaces to find it")
}

fn taken(space: &Space) -> Error {
    Error::new(Kind::AlreadyExists, "there is a namespace of this name already")
        .at(place(space))
        .advice("choose another name, or delete that one first")
}

fn busy(space: &Space) -> Error {
    Error::new(Kind::Conflict, "others kept changing the namespace")
        .at(place(space))
        .advice(format!("nothing was changed in {ATTEMPTS} attempts; try again"))
}

/// The error of a failed precondition as "look again".
fn stale(error: &Error) -> bool {
    error.expectation().is_some() && error.kind() == Kind::Conflict
}

/// A batch that expects the records as they were read.
fn expecting<const N: usize>(space: &Space, expect: [Expect; N]) -> Batch {
    let mut batch = Batch::new(space.namespace().clone());
    batch.expect.extend(expect);
    batch
}
