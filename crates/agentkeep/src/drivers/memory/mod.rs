//! The memory driver: everything in the process. Also the model that all others are checked
//! against, so it is written to be read.

mod check;
mod read;
mod snapshot;
mod space;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use self::read::View;
use self::snapshot::Frozen;
use self::space::{Names, Space};
use self::steps::Steps;
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Durability, Entries, Find, Found,
    FoundBlob, Hash, Hub, Maintain, Read, Reader, Record, Snapshot, Usage, Want, Watch,
};
use crate::drivers::kernel::{Operations, Rows, apply};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Log, NAMESPACES, Namespace, Schema, Stream};

const NAME: &str = "memory";

/// A store in memory: it ends with the process.
pub struct Memory {
    schema: &'static Schema,
    description: Description,
    hub: Hub,
    state: RwLock<State>,
    /// Only set under the write lock: whoever holds the lock and reads `false` can go on.
    closed: Arc<AtomicBool>,
    /// What a namespace holds that nobody has written to.
    empty: Arc<Space>,
}

struct State {
    namespaces: BTreeMap<Namespace, Home>,
    names: Names,
    /// The time of the last commit.
    time: i64,
}

/// A namespace with what is kept beside its content.
struct Home {
    space: Arc<Space>,
    operations: Operations,
}

impl Memory {
    /// A new, empty store for what `schema` declares.
    pub fn open(schema: &'static Schema) -> Self {
        let description = Description {
            driver: NAME,
            location: "memory:".to_owned(),
            durability: Durability::None,
            hints_across_processes: false,
            many_processes: false,
            store_id: uuid::Uuid::new_v4().to_string(),
            epoch: 1,
            format: schema.version,
        };
        let names = Names { rows: Arc::new(Rows::new(&NAMESPACES)) };
        let state = State { namespaces: BTreeMap::new(), names, time: 0 };
        Self {
            schema,
            description,
            hub: Hub::default(),
            state: RwLock::new(state),
            closed: Arc::default(),
            empty: Arc::new(Space::new(schema)),
        }
    }

    fn read_state<T>(&self, read: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let answer = || {
            let state = self.state.read().map_err(|_| poisoned())?;
            self.still_open()?;
            read(&state)
        };
        ours(answer())
    }

    fn write_state<T>(&self, write: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let answer = || {
            let mut state = self.state.write().map_err(|_| poisoned())?;
            self.still_open()?;
            write(&mut state)
        };
        ours(answer())
    }

    fn still_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    /// Reads a namespace as it is now.
    fn view<T>(
        &self,
        namespace: &Namespace,
        read: impl FnOnce(View<'_>) -> Result<T>,
    ) -> Result<T> {
        self.read_state(|state| read(View::of(self.space(state, namespace), &state.names.rows)))
    }

    fn space<'a>(&'a self, state: &'a State, namespace: &Namespace) -> &'a Arc<Space> {
        state.namespaces.get(namespace).map_or(&self.empty, |home| &home.space)
    }

    fn apply(&self, state: &mut State, batch: &Batch) -> Result<Committed> {
        batch.validate()?;
        let new = !state.namespaces.contains_key(&batch.namespace);
        let result = self.apply_at_home(state, batch);
        if new && result.is_err() {
            state.namespaces.remove(&batch.namespace);
        }
        result
    }

    fn apply_at_home(&self, state: &mut State, batch: &Batch) -> Result<Committed> {
        let fresh = || Home { space: Arc::clone(&self.empty), operations: Operations::default() };
        let home = state.namespaces.entry(batch.namespace.clone()).or_insert_with(fresh);
        if let Some(committed) = home.operations.replay(batch)? {
            return Ok(committed);
        }
        let time = now().max(state.time);
        let space = Arc::make_mut(&mut home.space);
        let applied = apply(&mut Steps::new(space, &mut state.names), time, batch)?;
        state.time = time;
        home.operations.keep(batch, &applied);
        Ok(applied)
    }
}

/// Names the driver in its errors.
fn ours<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| error.in_driver(NAME))
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the store has been closed").advice("open it again")
}

/// Only a panic in the middle of a commit does this.
fn poisoned() -> Error {
    Error::new(Kind::Poisoned, "a commit broke off in the middle").advice("open a new store")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Reader for Memory {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.view(namespace, |view| view.get(keys))
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        self.view(namespace, |view| view.find(find))
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        self.view(namespace, |view| view.read(read))
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.view(namespace, |view| Ok(view.blobs(hashes, want)))
    }
}

#[async_trait]
impl Driver for Memory {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        let committed = self.write_state(|state| self.apply(state, &batch))?;
        if !committed.replayed {
            self.hub.committed(&batch);
        }
        Ok(committed)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        // Under the lock: a watch that began after `close` would never end.
        self.read_state(|state| {
            self.space(state, namespace).known_log(log)?;
            Ok(self.hub.watch(namespace, log, stream))
        })
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        self.read_state(|state| {
            let mut report = CheckReport::default();
            check::names(&state.names, &mut report);
            for (namespace, home) in &state.namespaces {
                check::namespace(namespace, &home.space, &state.names, &mut report);
            }
            Ok(report)
        })
    }

    async fn close(&self) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        // Nobody can ask for them any more.
        state.namespaces.clear();
        self.hub.close();
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn maintenance(&self) -> Option<&dyn Maintain> {
        Some(self)
    }
}

#[async_trait]
impl Snapshot for Memory {
    async fn snapshot(&self, namespace: &Namespace) -> Result<Box<dyn Reader>> {
        self.read_state(|state| {
            let frozen = Frozen {
                namespace: namespace.clone(),
                space: Arc::clone(self.space(state, namespace)),
                names: Arc::clone(&state.names.rows),
                closed: Arc::clone(&self.closed),
            };
            Ok(Box::new(frozen) as Box<dyn Reader>)
        })
    }
}

#[async_trait]
impl Maintain for Memory {
    async fn upgrade(&self) -> Result<u32> {
        self.read_state(|_| Ok(self.schema.version))
    }

    async fn compact(&self) -> Result<u64> {
        self.read_state(|_| Ok(0))
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.read_state(|state| Ok(check::usage(self.schema, self.space(state, namespace))))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
