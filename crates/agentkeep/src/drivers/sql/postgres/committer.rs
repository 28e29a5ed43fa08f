//! Commits: callers that come together share a call of the commit function, and so a transaction.
//!
//! A few lanes work side by side, so that commits of different streams need not wait for each
//! other; those of one stream are in one lane. A lane sends what has come while its last call was
//! under way. A batch that is refused leaves its neighbours alone.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::answer::answers;
use super::connections::Connections;
use super::encode::Call;
use super::errors::{Fate, closed, fate, late, map};
use super::join::{Unit, join};
use super::locks::{Locks, Names};
use super::resolve::{Resolved, resolve, token};
use crate::driver::{Append, Batch, Committed, Expect, Hub, Operation};
use crate::drivers::server::patience::{ATTEMPTS, pause};
use crate::error::{Error, Kind, Result};

/// Batches in one call,
const GROUP: usize = 64;
/// the bytes after which it takes no more,
const GROUP_BYTES: usize = 8 << 20;
/// and the locks.
const GROUP_LOCKS: usize = 200;
/// Batches waiting in a lane; more callers wait for room.
const QUEUE: usize = 1024;
/// Lanes.
const LANES: usize = 4;
/// Calls between two prunings of what is remembered of commits.
const PRUNE: u64 = 500;

type Answer = Result<Committed>;

/// A batch, and who waits for the answer.
struct Asked {
    batch: Batch,
    digest: Option<[u8; 32]>,
    locks: Locks,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

/// What all lanes share.
pub(super) struct Shared {
    pub(super) connections: Arc<Connections>,
    pub(super) names: Names,
    pub(super) channel: String,
    pub(super) hub: Hub,
    /// The statement that calls the commit function.
    pub(super) call: String,
    /// The time of the last commit.
    pub(super) time: AtomicI64,
    pub(super) calls: AtomicU64,
}

/// The handle on the lanes.
pub(super) struct Committer {
    lanes: Mutex<Vec<mpsc::Sender<Asked>>>,
    shared: Arc<Shared>,
}

impl Committer {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let count = (shared.connections.options.pool / 2).clamp(1, LANES);
        let lane = |_| {
            let (sender, queue) = mpsc::channel(QUEUE);
            tokio::spawn(run(Arc::clone(&shared), queue));
            sender
        };
        let lanes = Mutex::new((0..count).map(lane).collect());
        Self { lanes, shared }
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.shared.connections.refuse_if_closed()?;
        let locks = self.shared.names.of(&batch);
        let digest = batch.operation.is_some().then(|| batch.digest());
        let deadline = self.shared.connections.deadline();
        let lane = {
            let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.get(place(&batch) % lanes.len().max(1)).cloned()
        };
        let (answer, answered) = oneshot::channel();
        let asked = Asked { batch, digest, locks, deadline, answer };
        lane.ok_or_else(closed)?.send(asked).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The lanes finish what is queued, and end.
    pub(super) fn close(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A lane's task was taken down with its runtime.
fn ended() -> Error {
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

async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Asked>) {
    let mut left = None;
    loop {
        let first = match left.take() {
            Some(asked) => asked,
            None => match queue.recv().await {
                Some(asked) => asked,
                None => return,
            },
        };
        let (mut bytes, mut locks) = (weight(&first.batch), first.locks.clone());
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(asked) = queue.try_recv()
        {
            bytes += weight(&asked.batch);
            let new = asked.locks.keys().filter(|name| !locks.contains_key(*name)).count();
            if bytes > GROUP_BYTES || locks.len() + new > GROUP_LOCKS {
                left = Some(asked);
                break;
            }
            for (name, exclusive) in &asked.locks {
                *locks.entry(*name).or_default() |= exclusive;
            }
            group.push(asked);
        }
        let answers = together(&shared, &group.iter().collect::<Vec<_>>(), &locks).await;
        for (asked, answer) in group.into_iter().zip(answers) {
            if answer.as_ref().is_ok_and(|committed| !committed.replayed) {
                shared.hub.committed(&asked.batch);
            }
            // A caller that went away has its commit all the same.
            let _ = asked.answer.send(answer);
        }
        if shared.calls.fetch_add(1, Ordering::Relaxed) % PRUNE == PRUNE - 1 {
            tokio::spawn(super::resolve::prune(Arc::clone(&shared)));
        }
    }
}

/// One call for the group, its neighbours joined; one more, as they are, for those whose joined batch
/// was refused; each alone when the server refuses them together.
async fn together(shared: &Shared, group: &[&Asked], locks: &Locks) -> Vec<Answer> {
    let batches: Vec<&Batch> = group.iter().map(|asked| &asked.batch).collect();
    let mut units = join(&batches);
    let mut answers: Vec<Option<Answer>> = group.iter().map(|_| None).collect();
    loop {
        let left: Vec<usize> = (0..group.len()).filter(|place| answers[*place].is_none()).collect();
        if left.is_empty() {
            return answers.into_iter().flatten().collect();
        }
        let asked: Vec<&Asked> = left.iter().map(|place| group[*place]).collect();
        match attempts(shared, &asked, &units, locks).await {
            Ok(told) => left.iter().zip(told).for_each(|(place, told)| answers[*place] = told),
            Err(failure) if failure.of_one && left.len() > 1 => {
                for (place, asked) in left.into_iter().zip(asked) {
                    answers[place] = Some(alone(shared, asked).await);
                }
                continue;
            }
            Err(failure) => {
                let copies: Vec<Error> = left.iter().skip(1).map(|_| failure.copy()).collect();
                let errors = std::iter::once(failure.error).chain(copies);
                left.iter()
                    .zip(errors)
                    .for_each(|(place, error)| answers[*place] = Some(Err(error)));
            }
        }
        let left = answers.iter().filter(|answer| answer.is_none()).count();
        units = (0..left).map(Unit::Own).collect();
    }
}

async fn alone(shared: &Shared, asked: &Asked) -> Answer {
    let told = attempts(shared, &[asked], &[Unit::Own(0)], &asked.locks).await;
    let told = told.map_err(|failure| failure.error)?;
    told.into_iter().flatten().next().unwrap_or_else(|| Err(ended()))
}

/// Why a call gave no answers.
struct Failure {
    error: Error,
    /// The server refused it, perhaps because of one batch.
    of_one: bool,
}

impl Failure {
    fn of_all(error: Error) -> Self {
        Self { error, of_one: false }
    }

    /// The same error for a neighbour.
    fn copy(&self) -> Error {
        let error = Error::new(self.error.kind(), self.error.message())
            .retryable(self.error.is_retryable());
        match self.error.advice_text() {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }
}

/// Attempts until the group is committed, refused or out of time. What was sent and not answered
/// is resolved before it is sent again.
async fn attempts(
    shared: &Shared,
    group: &[&Asked],
    units: &[Unit],
    locks: &Locks,
) -> std::result::Result<Vec<Option<Answer>>, Failure> {
    let deadline = group.iter().map(|asked| asked.deadline).min().unwrap_or_else(Instant::now);
    let batches: Vec<&Batch> = group.iter().map(|asked| &asked.batch).collect();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let last = attempt >= ATTEMPTS;
        let error = match once(shared, group, &batches, units, locks, deadline).await {
            Once::Answered(text) => {
                let answers = answers(&text, &batches, units).map_err(Failure::of_all)?;
                let done = answers.iter().flatten().flatten();
                for committed in done.filter(|committed| !committed.replayed) {
                    shared.time.fetch_max(committed.time, Ordering::Relaxed);
                }
                return Ok(answers);
            }
            Once::Refused(error) => return Err(Failure { error, of_one: true }),
            Once::Unknown => return Err(Failure::of_all(unknown(group))),
            Once::NotSent(error) | Once::Again(error) if last => {
                return Err(Failure::of_all(error));
            }
            Once::NotSent(error) if !error.is_retryable() || error.kind() != Kind::Unavailable => {
                return Err(Failure::of_all(error));
            }
            Once::NotSent(error) | Once::Again(error) => error,
        };
        if Instant::now() + pause(attempt) > deadline || shared.connections.is_closed() {
            return Err(Failure::of_all(error));
        }
        tokio::time::sleep(pause(attempt)).await;
    }
}

fn unknown(group: &[&Asked]) -> Error {
    let operation = match group {
        [asked] => asked.batch.operation.as_ref(),
        _ => None,
    };
    let error = Error::new(
        Kind::OutcomeUnknown,
        "the connection died in the middle of a commit, and the server cannot be asked",
    );
    match operation {
        Some(operation) => error.at(format!("operation {operation:?}")),
        None => error,
    }
    .advice("repeat it under its operation id; without one, look whether it is there")
}

/// What became of one call.
enum Once {
    Answered(String),
    /// Nothing changed, and trying again would not help.
    Refused(Error),
    /// Nothing changed, and it may go better now.
    Again(Error),
    /// There was no connection.
    NotSent(Error),
    /// It may have happened.
    Unknown,
}

async fn once(
    shared: &Shared,
    group: &[&Asked],
    batches: &[&Batch],
    units: &[Unit],
    locks: &Locks,
    deadline: Instant,
) -> Once {
    let connections = &shared.connections;
    let connection = match tokio::time::timeout_at(deadline, connections.get()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Once::NotSent(error),
        Err(_) => return Once::NotSent(late()),
    };
    let token = token();
    let time = shared.time.load(Ordering::Relaxed);
    let mut call = Call::new(&shared.names, &shared.channel, token, time);
    call.lock(locks);
    for unit in units {
        match unit {
            Unit::Own(place) => call.add(batches[*place], group[*place].digest, &shared.names),
            Unit::Joined(streams) => call.add_joined(batches, streams, &shared.names),
        }
    }
    let parameters = call.parameters();
    let asking = connections.ask(&connection, &shared.call, &parameters);
    let (in_time, failed) = match tokio::time::timeout_at(deadline, asking).await {
        Ok(Ok(rows)) => match rows.first().map(|row| row.try_get::<_, String>(0)) {
            Some(Ok(text)) => return Once::Answered(text),
            _ => (true, None),
        },
        Ok(Err(error)) => match fate(&error) {
            Fate::Refused => return Once::Refused(map(&error)),
            Fate::Again | Fate::Unprepared => return Once::Again(map(&error)),
            Fate::Lost => (true, Some(map(&error))),
        },
        Err(_) => (false, None),
    };
    // Nobody may get a connection on which something is still under way.
    let cancel = connection.cancel_token();
    drop(deadpool_postgres::Object::take(connection));
    if !in_time {
        connections.cancel(cancel).await;
    }
    match resolve(shared, token, deadline).await {
        Resolved::Committed(text) => Once::Answered(text),
        Resolved::Not if !in_time => Once::Refused(late()),
        Resolved::Not => Once::Again(failed.unwrap_or_else(late)),
        Resolved::Unknown => Once::Unknown,
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
