//! One namespace of one driver, and what has been read of it lately: what every repository
//! stands on.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;
use tokio::sync::watch;

use super::clock::{Ages, Clock, SystemClock};
use crate::driver::{Batch, Committed, Driver, Entries, Find, Found, Read, Record};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Namespace};

/// How many records are remembered at most.
const REMEMBERED: usize = 10_000;

/// One namespace of one driver; cheap to clone.
#[derive(Clone)]
pub(crate) struct Space {
    shared: Arc<Shared>,
    namespace: Namespace,
}

struct Shared {
    driver: Arc<dyn Driver>,
    /// Records that nearly every write depends on, parsed, with their versions, so that a write
    /// need not read them first. Only a guess, for other processes write too: each commit checks
    /// the version.
    remembered: Mutex<Remembered>,
    /// How old events are, for retention.
    ages: Ages,
    /// Closed when the last handle goes: what runs in the background then ends.
    alive: watch::Sender<()>,
}

type Remembered = HashMap<(Namespace, Key), (Arc<dyn Any + Send + Sync>, u64), RandomState>;

impl Space {
    pub(crate) fn new(driver: Arc<dyn Driver>, namespace: Namespace) -> Self {
        Self::with_clock(driver, namespace, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(
        driver: Arc<dyn Driver>,
        namespace: Namespace,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (ages, alive) = (Ages::new(clock), watch::Sender::new(()));
        let shared = Shared { driver, remembered: Mutex::default(), ages, alive };
        Self { shared: Arc::new(shared), namespace }
    }

    pub(crate) fn ages(&self) -> &Ages {
        &self.shared.ages
    }

    /// For a task in the background: does not keep the store open.
    pub(crate) fn weak(&self) -> WeakSpace {
        let shared = Arc::downgrade(&self.shared);
        WeakSpace { shared, alive: self.shared.alive.subscribe() }
    }

    pub(crate) fn sibling(&self, namespace: Namespace) -> Self {
        Self { shared: Arc::clone(&self.shared), namespace }
    }

    pub(crate) fn driver(&self) -> &Arc<dyn Driver> {
        &self.shared.driver
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The driver's own future, not another one around it.
    pub(crate) fn commit(&self, batch: Batch) -> impl Future<Output = Result<Committed>> + Send {
        self.shared.driver.commit(batch)
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.get_many(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().next().flatten())
    }

    pub(crate) async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let found = self.shared.driver.get(&self.namespace, keys).await?;
        if found.len() == keys.len() {
            return Ok(found);
        }
        Err(other_number())
    }

    pub(crate) async fn get_and_read<const N: usize>(
        &self,
        keys: [Key; N],
        read: &Read,
    ) -> Result<([Option<Record>; N], Entries)> {
        let (found, entries) =
            self.shared.driver.get_and_read(&self.namespace, &keys, read).await?;
        let found = found.try_into().map_err(|_| other_number())?;
        Ok((found, entries))
    }

    pub(crate) async fn get_and_find<const N: usize>(
        &self,
        keys: [Key; N],
        find: &Find,
    ) -> Result<([Option<Record>; N], Found)> {
        let (records, found) =
            self.shared.driver.get_and_find(&self.namespace, &keys, find).await?;
        Ok((records.try_into().map_err(|_| other_number())?, found))
    }

    pub(crate) async fn find(&self, find: &Find) -> Result<Found> {
        self.shared.driver.find(&self.namespace, find).await
    }

    /// All records of a query, page by page.
    pub(crate) async fn find_all(&self, mut find: Find) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        loop {
            let page = self.find(&find).await?;
            records.extend(page.records);
            match page.next {
                Some(next) => find.after = Some(next),
                None => return Ok(records),
            }
        }
    }

    pub(crate) async fn read(&self, read: &Read) -> Result<Entries> {
        self.shared.driver.read(&self.namespace, read).await
    }

    fn with_memory<T>(&self, f: impl FnOnce(&mut Remembered) -> T) -> T {
        f(&mut self.shared.remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the record held when last seen, and its version.
    pub(crate) fn remembered<T: Any + Send + Sync>(&self, key: &Key) -> Option<(Arc<T>, u64)> {
        let place = (self.namespace.clone(), key.clone());
        let (held, version) = self.with_memory(|memory| memory.get(&place).cloned())?;
        Some((held.downcast().ok()?, version))
    }

    pub(crate) fn remember<T: Any + Send + Sync>(&self, key: Key, held: Arc<T>, version: u64) {
        let place = (self.namespace.clone(), key);
        self.with_memory(|memory| {
            if memory.len() >= REMEMBERED {
                memory.clear();
            }
            memory.insert(place, (held, version));
        });
    }

    pub(crate) fn forget(&self, key: &Key) {
        let place = (self.namespace.clone(), key.clone());
        self.with_memory(|memory| memory.remove(&place));
    }

    /// Something remembered of this namespace was stale.
    pub(crate) fn forget_all(&self) {
        self.with_memory(|memory| memory.retain(|(namespace, _), _| *namespace != self.namespace));
    }
}

/// Does not keep the store open.
pub(crate) struct WeakSpace {
    shared: Weak<Shared>,
    alive: watch::Receiver<()>,
}

impl WeakSpace {
    /// The store, in its default namespace, if anybody still has it.
    pub(crate) fn get(&self) -> Option<Space> {
        Some(Space { shared: self.shared.upgrade()?, namespace: Namespace::default() })
    }

    /// Waits until nobody has the store any more.
    pub(crate) async fn ended(&mut self) {
        while self.alive.changed().await.is_ok() {}
    }
}

fn other_number() -> Error {
    Error::new(Kind::Corrupt, "the driver answered another number of records than asked")
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.namespace, self.shared.driver)
    }
}
