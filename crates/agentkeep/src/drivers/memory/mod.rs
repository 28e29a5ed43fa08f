//! The memory driver: everything in the process. Also the model that all others are checked
//! against, so it is written to be read.

mod apply;
mod read;
mod space;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::apply::Names;
use self::read::{Frozen, View};
use self::space::{BlobState, Known, Space};
use self::table::Rows;
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Durability, Entries, Find, Found,
    FoundBlob, Hash, Head, Hub, Maintain, Read, Reader, Record, Snapshot, Usage, Want, Watch,
};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::schema::{Key, Log, NAMESPACES, Namespace, Schema, Stream};

/// Operation ids are kept at least so long,
const OPERATIONS_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// and so many of each namespace.
const OPERATIONS_KEPT: usize = 100_000;

/// A store in memory: it ends with the process.
pub struct Memory {
    schema: &'static Schema,
    description: Description,
    hub: Hub,
    state: Mutex<State>,
}

struct State {
    spaces: BTreeMap<Namespace, Arc<Space>>,
    names: Names,
    /// The time of the last commit.
    time: i64,
    closed: bool,
}

impl Memory {
    /// A new, empty store for what `schema` declares.
    pub fn open(schema: &'static Schema) -> Self {
        let description = Description {
            driver: "memory",
            location: "memory:".to_owned(),
            durability: Durability::None,
            hints_across_processes: false,
            many_processes: false,
            store_id: uuid::Uuid::new_v4().to_string(),
            epoch: 1,
            format: schema.version,
        };
        let names = Names { rows: Rows::new(&NAMESPACES), floor: 0 };
        let state = State { spaces: BTreeMap::new(), names, time: 0, closed: false };
        Self { schema, description, hub: Hub::default(), state: Mutex::new(state) }
    }

    /// The state, unless the store has been closed.
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        // Nothing panics while it holds the lock; and if, then no step is left half done.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Error::new(Kind::Closed, "the store has been closed")
                .advice("open it again")
                .in_driver("memory"));
        }
        Ok(state)
    }

    /// Reads a namespace as it is at this moment.
    fn view<T>(&self, namespace: &Namespace, read: impl FnOnce(View<'_>) -> T) -> Result<T> {
        let state = self.state()?;
        let empty;
        let space = if let Some(space) = state.spaces.get(namespace) {
            &**space
        } else {
            empty = Space::new(self.schema);
            &empty
        };
        Ok(read(View { space, names: &state.names.rows }))
    }

    fn commit_now(&self, batch: &Batch) -> Result<Committed> {
        let mut guard = self.state()?;
        let state = &mut *guard;
        let digest = batch.operation.as_ref().map(|_| batch.digest());
        let fresh = || Arc::new(Space::new(self.schema));
        let new = !state.spaces.contains_key(&batch.namespace);
        let space = state.spaces.entry(batch.namespace.clone()).or_insert_with(fresh);
        if let (Some(operation), Some(digest)) = (&batch.operation, digest)
            && let Some(known) = space.operations.get(operation)
        {
            if known.digest != digest {
                return Err(Error::new(
                    Kind::IdempotencyConflict,
                    "the operation id stands for another commit",
                )
                .at(format!("operation {operation:?}"))
                .advice("take a new operation id for a new change"));
            }
            return Ok(Committed { replayed: true, ..known.committed.clone() });
        }
        let time = state.time.max(now());
        let result = apply::batch(Arc::make_mut(space), &mut state.names, time, batch);
        match &result {
            Ok(committed) => {
                state.time = time;
                if let (Some(operation), Some(digest)) = (batch.operation.clone(), digest) {
                    let known = Known { digest, committed: committed.clone() };
                    keep_operation(Arc::make_mut(space), operation, known);
                }
            }
            Err(_) if new => drop(state.spaces.remove(&batch.namespace)),
            Err(_) => {}
        }
        result
    }
}

fn keep_operation(space: &mut Space, operation: crate::schema::OperationId, known: Known) {
    let time = known.committed.time;
    space.order.push_back((time, operation.clone()));
    space.operations.insert(operation, known);
    while space.order.len() > OPERATIONS_KEPT
        && space.order.front().is_some_and(|(old, _)| *old < time - OPERATIONS_FOR_MS)
    {
        if let Some((_, operation)) = space.order.pop_front() {
            space.operations.remove(&operation);
        }
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

fn unknown(what: &str, name: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the schema has no {what} {name}"))
}

fn integer(value: u64) -> Json {
    Json::of(&value).unwrap_or_else(|_| Json::null())
}

/// The record of a stream in `_streams`.
fn stream_body(log: &str, stream: &Stream, head: &Head) -> Json {
    let mut body = ObjectEditor::default();
    body.set("log", &Json::string(log)).set("stream", &Json::string(stream.as_str()));
    body.set("birth", &Json::string(&format!("{:016x}", head.birth)));
    body.set("first", &integer(head.first)).set("last", &integer(head.last));
    body.set("count", &integer(head.count)).set("bytes", &integer(head.bytes));
    body.set("updated", &Json::integer(head.updated));
    body.finish()
}

/// The record of a blob in `_blobs`.
fn blob_body(hash: Hash, state: &BlobState) -> Json {
    let mut body = ObjectEditor::default();
    body.set("hash", &Json::string(&hash.to_hex()));
    body.set("size", &integer(state.blob.bytes().len() as u64));
    body.set("references", &integer(state.references));
    if let Some(since) = state.unreferenced_since {
        body.set("unreferencedSince", &Json::integer(since));
    }
    body.finish()
}

#[async_trait]
impl Reader for Memory {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.view(namespace, |view| view.get_now(keys))?
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        self.view(namespace, |view| view.find_now(find))?
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        self.view(namespace, |view| view.read_now(read))
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.view(namespace, |view| view.blobs_now(hashes, want))
    }
}

#[async_trait]
impl Driver for Memory {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate()?;
        let committed = self.commit_now(&batch).map_err(|error| error.in_driver("memory"))?;
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
        drop(self.state()?);
        Ok(self.hub.watch(namespace, log, stream))
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        let state = self.state()?;
        let mut report = CheckReport::default();
        for fault in state.names.rows.faults() {
            report.damaged(NAMESPACES.name, fault);
        }
        for (namespace, space) in &state.spaces {
            read::check(namespace, space, &mut report);
        }
        Ok(report)
    }

    async fn close(&self) -> Result<()> {
        if let Ok(mut state) = self.state() {
            state.closed = true;
            self.hub.close();
        }
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
        let state = self.state()?;
        let space = state.spaces.get(namespace).cloned();
        let space = space.unwrap_or_else(|| Arc::new(Space::new(self.schema)));
        Ok(Box::new(Frozen { space, names: state.names.rows.clone() }))
    }
}

#[async_trait]
impl Maintain for Memory {
    async fn upgrade(&self) -> Result<u32> {
        drop(self.state()?);
        Ok(self.schema.version)
    }

    async fn compact(&self) -> Result<u64> {
        drop(self.state()?);
        Ok(0)
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.view(namespace, |view| read::usage(self.schema, view.space))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
