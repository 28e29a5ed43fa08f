//! Commits: callers that come together share a call of a commit function, and so a transaction.
//!
//! A few lanes work side by side, so that commits of different streams need not wait for each
//! other; those of one stream are in one lane. A lane sends what has come while its last call was
//! under way. A batch that is refused leaves its neighbours alone.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::calling::together;
use super::connections::Connections;
use super::lanes;
use super::locks::{Locks, Names};
use super::lone::Lone;
use crate::driver::{Append, Batch, Committed, Expect, Hub, Operation};
use crate::error::{Error, Kind, Result};
use crate::schema::{Log, Namespace, Schema};

/// Batches in one call,
const GROUP: usize = 64;
/// the bytes after which it takes no more,
const GROUP_BYTES: usize = 8 << 20;
/// and the locks.
const GROUP_LOCKS: usize = 200;
/// Streams that are remembered; then it begins anew.
const STREAMS: usize = 50_000;
/// Lanes.
const LANES: usize = 4;
/// Calls between two prunings of what is remembered of commits: a prime, so that of namespaces that take turns
/// each is met.
const PRUNE: u64 = 499;

pub(super) type Answer = Result<Committed>;

/// A batch, and what sending it needs.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) batch: Batch,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) locks: Locks,
    pub(super) deadline: Instant,
}

type Lane = lanes::Lane<Asked, Answer>;
type Lead = lanes::Lead<Asked, Answer>;
type Waiting = lanes::Waiting<Asked, Answer>;

/// What all lanes share.
pub(super) struct Shared {
    pub(super) schema: &'static Schema,
    pub(super) connections: Arc<Connections>,
    pub(super) names: Names,
    pub(super) channel: String,
    pub(super) hub: Hub,
    /// The statement that calls the commit function,
    pub(super) call: Arc<str>,
    /// those that call the append functions, by log,
    pub(super) appends: Vec<(&'static str, Arc<str>)>,
    /// and those that append one entry themselves.
    pub(super) lone: Lone,
    /// The time of the last commit.
    pub(super) time: AtomicI64,
    pub(super) calls: AtomicU64,
    /// Calls that need not try an append function.
    pub(super) unusual: AtomicU64,
    /// Streams that are there, as far as this process knows, by the names of their locks.
    pub(super) streams: Mutex<HashSet<i64>>,
}

impl Shared {
    pub(super) fn append(&self, log: &Log) -> Option<&Arc<str>> {
        let found = self.appends.iter().find(|(name, _)| *name == log.name);
        found.map(|(_, statement)| statement)
    }

    /// Whether all that is locked to be changed, which must be streams, is known to be there.
    pub(super) fn are_there(&self, locks: &Locks) -> bool {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        locks.iter().all(|(name, exclusive)| !exclusive || streams.contains(name))
    }

    /// Remembers the streams of a commit, and tells of it.
    fn committed(&self, asked: &Asked, answer: &Answer) {
        if !answer.as_ref().is_ok_and(|committed| !committed.replayed) {
            return;
        }
        let appends = asked.batch.operations.iter().filter_map(|operation| match operation {
            Operation::Append(append) => Some(append),
            _ => None,
        });
        let namespace = &asked.batch.namespace;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() > STREAMS {
            streams.clear();
        }
        for Append { log, stream, .. } in appends {
            streams.insert(self.names.stream(namespace, log.name, stream.as_str()));
        }
        drop(streams);
        self.hub.committed(&asked.batch);
    }
}

/// The handle on the lanes.
pub(super) struct Committer {
    lanes: Vec<Arc<Lane>>,
    shared: Arc<Shared>,
    runtime: Handle,
}

impl Committer {
    /// Within the runtime that what outlives its caller goes on in.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let count = (shared.connections.options.pool / 2).clamp(1, LANES);
        let lanes = (0..count).map(|_| Arc::new(Lane::default())).collect();
        Self { lanes, shared, runtime: Handle::current() }
    }

    /// The runtime that the store was opened in.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.shared.connections.refuse_if_closed()?;
        let locks = self.shared.names.of(&batch);
        let digest = batch.operation.is_some().then(|| batch.digest());
        let deadline = self.shared.connections.deadline();
        let lane = self.lanes.get(place(&batch) % self.lanes.len().max(1)).ok_or_else(ended)?;
        let asked = Asked { batch, digest, locks, deadline };
        let shared = Arc::clone(&self.shared);
        let entered = lane.enter(asked, &self.runtime, |lead, asked| alone(shared, lead, asked));
        entered.await.unwrap_or_else(|| Err(ended()))
    }
}

/// The one who sent it was taken down with his runtime.
pub(super) fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the program's runtime ended in the middle of a commit")
        .advice("open the store again and look, or repeat it under its operation id")
}

/// What decides on the lane: the first stream or record that the batch is about.
fn place(batch: &Batch) -> usize {
    use std::hash::{Hash as _, Hasher as _};
    let state = foldhash::fast::FixedState::default();
    let mut hasher = std::hash::BuildHasher::build_hasher(&state);
    batch.namespace.hash(&mut hasher);
    match batch.operations.first() {
        Some(
            Operation::Append(Append { stream, .. })
            | Operation::Trim { stream, .. }
            | Operation::Rewrite { stream, .. }
            | Operation::Drop { stream, .. },
        ) => stream.hash(&mut hasher),
        Some(Operation::Put(put)) => put.key.hash(&mut hasher),
        Some(Operation::Delete(key)) => key.hash(&mut hasher),
        _ => {}
    }
    usize::try_from(hasher.finish() >> 33).unwrap_or(0)
}

/// Sends what its caller asks for; whoever came meanwhile is left to a task.
async fn alone(shared: Arc<Shared>, mut lead: Lead, asked: Asked) -> Answer {
    let answers = together(&shared, &mut lead.alarm, &[&asked], &asked.locks).await;
    let answer = answers.into_iter().next().unwrap_or_else(|| Err(ended()));
    shared.committed(&asked, &answer);
    if let Some((lead, group, locks)) = next(lead) {
        tokio::spawn(run(Arc::clone(&shared), lead, group, locks));
    }
    called(&shared, &asked.batch.namespace);
    answer
}

/// Sends group after group until nobody waits.
async fn run(shared: Arc<Shared>, mut lead: Lead, mut group: Vec<Waiting>, mut locks: Locks) {
    loop {
        let asked: Vec<&Asked> = group.iter().map(|waiting| &waiting.asked).collect();
        let answers = together(&shared, &mut lead.alarm, &asked, &locks).await;
        let callers = group.len();
        let namespace = group.last().map(|last| last.asked.batch.namespace.clone());
        for (Waiting { asked, tell }, answer) in group.into_iter().zip(answers) {
            shared.committed(&asked, &answer);
            // A caller that went away has its commit all the same.
            let _ = tell.send(answer);
        }
        if let Some(namespace) = namespace {
            called(&shared, &namespace);
        }
        come_back(lead.lane(), callers).await;
        match next(lead) {
            Some(more) => (lead, group, locks) = more,
            None => return,
        }
    }
}

/// Who was answered often has more to ask, and one large group costs less than many small ones: the
/// other tasks get their turn as long as they bring something.
async fn come_back(lane: &Lane, callers: usize) {
    let mut before = lane.waiting();
    while callers > 1 && before < callers {
        tokio::task::yield_now().await;
        let now = lane.waiting();
        if now == before {
            return;
        }
        before = now;
    }
}

/// The next group with what it locks; `None` when nobody waits.
fn next(lead: Lead) -> Option<(Lead, Vec<Waiting>, Locks)> {
    let (mut count, mut bytes, mut locks) = (0, 0, Locks::new());
    let (lead, group) = lead.take(|asked| {
        let new = asked.locks.keys().filter(|name| !locks.contains_key(*name)).count();
        let (more, size) = (count + 1, bytes + weight(&asked.batch));
        let fits = more <= GROUP && size <= GROUP_BYTES && locks.len() + new <= GROUP_LOCKS;
        // The first goes whatever it is.
        if fits || count == 0 {
            (count, bytes) = (more, size);
            for (name, exclusive) in &asked.locks {
                *locks.entry(*name).or_default() |= exclusive;
            }
        }
        fits
    })?;
    Some((lead, group, locks))
}

/// Now and then forgets what is old, in the namespace of the call: so those with the most operations
/// get their turn most often.
fn called(shared: &Arc<Shared>, namespace: &Namespace) {
    if shared.calls.fetch_add(1, Ordering::Relaxed) % PRUNE == PRUNE - 1 {
        tokio::spawn(super::resolve::prune(Arc::clone(shared), namespace.clone()));
    }
}

/// Bytes of bodies and blobs.
fn weight(batch: &Batch) -> usize {
    let weight = |operation: &Operation| match operation {
        Operation::Put(put) => put.body.len(),
        Operation::Append(append) => append.entries.iter().map(|entry| entry.body.len()).sum(),
        Operation::Rewrite { body, .. } => body.len(),
        Operation::PutBlob(blob) => blob.bytes().len(),
        _ => 0,
    };
    let expects = batch.expect.len() * size_of::<Expect>();
    batch.operations.iter().map(weight).sum::<usize>() + expects
}
