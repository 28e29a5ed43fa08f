//! The one writer: a thread that commits what is queued, many batches in one transaction, so that
//! commits which come together share one fsync.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::apply::{self, Stop};
use super::cache::Cache;
use super::errors::{is_io_failure, map};
use super::readers::closed;
use super::statements::Sql;
use crate::driver::{Batch, Committed, Hub};
use crate::error::{Error, Kind, Result};

/// Batches in one transaction.
const GROUP: usize = 64;
/// Batches waiting; more callers wait for room.
const QUEUE: usize = 1024;

type Answer = Result<Committed>;

/// A batch and who waits for the answer.
type Asked = (Batch, oneshot::Sender<Answered>);
/// The answer, and the batch: its memory is the caller's to free, not the writer's.
type Answered = (Answer, Batch);
type Upkeep = Box<dyn FnOnce(&Connection) + Send>;
type Queue = mpsc::Receiver<Job>;

/// Work for the writer's thread.
enum Job {
    Commit(Batch, oneshot::Sender<Answered>),
    Upkeep(Upkeep),
}

/// The handle on the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    poisoned: Arc<AtomicBool>,
}

/// What the thread owns.
struct Work {
    connection: Connection,
    sql: Arc<Sql>,
    hub: Hub,
    poisoned: Arc<AtomicBool>,
    cache: Cache,
    /// The time of the last commit.
    time: i64,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    pub(super) fn start(connection: Connection, sql: Arc<Sql>, hub: Hub) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let poisoned = Arc::new(AtomicBool::new(false));
        let mut work = Work {
            connection,
            sql,
            hub,
            poisoned: Arc::clone(&poisoned),
            cache: Cache::default(),
            time: 0,
        };
        let thread = std::thread::Builder::new()
            .name("agentkeep-writer".to_owned())
            .spawn(move || work.run(receiver))
            .map_err(|error| {
                Error::new(Kind::Unavailable, "the writer's thread cannot be started")
                    .caused_by(error)
            })?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self { queue, thread, poisoned })
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.refuse_if_poisoned()?;
        let (sender, answer) = oneshot::channel();
        self.send(Job::Commit(batch, sender)).await?;
        // The thread answers everything that it took, or has ended.
        answer.await.map_or_else(|_| Err(closed()), |(answer, _)| answer)
    }

    /// Runs upkeep on the writer's connection, between two commits.
    pub(super) async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.refuse_if_poisoned()?;
        let (sender, answer) = oneshot::channel();
        // A caller that went away needs no answer.
        let run = move |connection: &Connection| drop(sender.send(work(connection)));
        self.send(Job::Upkeep(Box::new(run))).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn send(&self, job: Job) -> Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(closed)?;
        queue.send(job).await.map_err(|_| closed())
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(poisoned()) } else { Ok(()) }
    }

    /// Lets the thread finish what is queued; answers its handle the first time.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn poisoned() -> Error {
    Error::new(Kind::Poisoned, "the disk failed under an earlier write of this handle")
        .advice("check the disk, then close the store and open it again")
}

impl Work {
    fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            let upkeep = match job {
                Job::Commit(batch, answer) => self.commit_group((batch, answer), &mut queue),
                Job::Upkeep(work) => Some(work),
            };
            if let Some(work) = upkeep {
                work(&self.connection);
            }
        }
        // Nobody else may be writing: then the next open finds everything in one file.
        let _ = self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    /// Commits a batch together with those that are queued, or come while it is being applied;
    /// answers the upkeep that came after them, if some did.
    fn commit_group(&mut self, first: Asked, queue: &mut Queue) -> Option<Upkeep> {
        let mut group = vec![first];
        let mut upkeep = None;
        let answers = if self.poisoned.load(Ordering::Acquire) {
            vec![Err(poisoned())]
        } else {
            match self.together(&mut group, queue, &mut upkeep) {
                Ok(answers) => answers,
                // Which of them it was is not known: each alone gets an answer of its own.
                Err(failure) if failure.can_retry && group.len() > 1 => {
                    group.iter().map(|(batch, _)| self.alone(batch)).collect()
                }
                Err(failure) => group.iter().map(|_| Err(failure.answer())).collect(),
            }
        };
        for ((batch, answer), result) in group.into_iter().zip(answers) {
            if result.as_ref().is_ok_and(|committed| !committed.replayed) {
                self.hub.committed(&batch);
            }
            // A caller that went away has its commit all the same.
            let _ = answer.send((result, batch));
        }
        upkeep
    }

    /// One transaction for the group, which grows from the queue; a refused batch leaves its
    /// neighbours alone.
    fn together(
        &mut self,
        group: &mut Vec<Asked>,
        queue: &mut Queue,
        upkeep: &mut Option<Upkeep>,
    ) -> Tried<Vec<Answer>> {
        let time = self.begin()?;
        let mut answers = Vec::with_capacity(GROUP);
        while let Some((batch, _)) = group.get(answers.len()) {
            answers.push(self.apply(batch, time)?);
            if answers.len() == group.len() && group.len() < GROUP && upkeep.is_none() {
                match queue.try_recv() {
                    Ok(Job::Commit(batch, answer)) => group.push((batch, answer)),
                    Ok(Job::Upkeep(work)) => *upkeep = Some(work),
                    Err(_) => {}
                }
            }
        }
        self.commit(time)?;
        Ok(answers)
    }

    /// A transaction for one batch.
    fn alone(&mut self, batch: &Batch) -> Answer {
        let answer = self.begin().and_then(|time| {
            let answer = self.apply(batch, time)?;
            self.commit(time)?;
            Ok(answer)
        });
        answer.unwrap_or_else(|failure| Err(failure.answer()))
    }

    /// Opens a transaction; answers its time.
    fn begin(&mut self) -> Tried<i64> {
        let begun = apply::run(&self.connection, "BEGIN IMMEDIATE")
            .and_then(|()| self.cache.begin(&self.connection));
        begun.map_err(|error| self.failed(error))?;
        Ok(self.time.max(now()))
    }

    fn apply(&mut self, batch: &Batch, time: i64) -> Tried<Answer> {
        match apply::batch(&self.connection, &self.sql, &mut self.cache, batch, time) {
            Ok(committed) => Ok(Ok(committed)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Failed(error)) => Err(self.failed(error)),
        }
    }

    fn commit(&mut self, time: i64) -> Tried<()> {
        self.cache.flush(&self.connection).map_err(|error| self.failed(error))?;
        apply::run(&self.connection, "COMMIT").map_err(|error| {
            let unsure = is_io_failure(&error);
            Failure { unsure, ..self.failed(error) }
        })?;
        self.time = time;
        Ok(())
    }

    /// Leaves the transaction, and the store if the disk failed.
    fn failed(&mut self, error: rusqlite::Error) -> Failure {
        self.cache.clear();
        if is_io_failure(&error) {
            self.poisoned.store(true, Ordering::Release);
        }
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let can_retry = !is_io_failure(&error)
            && !matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            );
        Failure { error, can_retry, unsure: false }
    }
}

/// What a step of a transaction gives.
type Tried<T> = std::result::Result<T, Failure>;

/// A transaction that SQLite failed at.
struct Failure {
    error: rusqlite::Error,
    can_retry: bool,
    /// Whether it may be on the disk all the same.
    unsure: bool,
}

impl Failure {
    fn answer(&self) -> Error {
        let text = self.error.to_string();
        let error = match self.error.sqlite_error() {
            Some(code) => map(rusqlite::Error::SqliteFailure(*code, Some(text))),
            None => Error::new(Kind::Unavailable, text),
        };
        if self.unsure {
            return Error::new(
                Kind::OutcomeUnknown,
                "the disk failed while the commit was written",
            )
            .advice("reopen the store and look, or repeat it under its operation id")
            .caused_by(error);
        }
        error
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
