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

/// Work for the writer's thread.
enum Job {
    Commit(Batch, oneshot::Sender<Answer>),
    Upkeep(Box<dyn FnOnce(&Connection) + Send>),
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
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs upkeep on the writer's connection, between two commits.
    pub(super) async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.refuse_if_poisoned()?;
        let (sender, answer) = oneshot::channel();
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
        let mut group = Vec::with_capacity(GROUP);
        while let Some(job) = queue.blocking_recv() {
            let mut upkeep = None;
            match job {
                Job::Commit(batch, answer) => group.push((batch, answer)),
                Job::Upkeep(work) => upkeep = Some(work),
            }
            while upkeep.is_none() && group.len() < GROUP {
                match queue.try_recv() {
                    Ok(Job::Commit(batch, answer)) => group.push((batch, answer)),
                    Ok(Job::Upkeep(work)) => upkeep = Some(work),
                    Err(_) => break,
                }
            }
            if !group.is_empty() {
                self.commit_group(&mut group);
            }
            if let Some(work) = upkeep {
                work(&self.connection);
            }
        }
        // Nobody else may be writing: then the next open finds everything in one file.
        let _ = self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    fn commit_group(&mut self, group: &mut Vec<(Batch, oneshot::Sender<Answer>)>) {
        if self.poisoned.load(Ordering::Acquire) {
            group.drain(..).for_each(|(_, answer)| drop(answer.send(Err(poisoned()))));
            return;
        }
        let batches: Vec<&Batch> = group.iter().map(|(batch, _)| batch).collect();
        let answers = match self.transaction(&batches) {
            Ok(answers) => answers,
            // Which of them it was is not known: each alone gets an answer of its own.
            Err(failure) if failure.can_retry && batches.len() > 1 => {
                batches.iter().map(|batch| self.alone(batch)).collect()
            }
            Err(failure) => batches.iter().map(|_| Err(failure.answer())).collect(),
        };
        for ((batch, answer), result) in group.drain(..).zip(answers) {
            if result.as_ref().is_ok_and(|committed| !committed.replayed) {
                self.hub.committed(&batch);
            }
            // A caller that went away has its commit all the same.
            let _ = answer.send(result);
        }
    }

    fn alone(&mut self, batch: &Batch) -> Answer {
        match self.transaction(&[batch]) {
            Ok(mut answers) => answers.pop().unwrap_or_else(|| Err(closed())),
            Err(failure) => Err(failure.answer()),
        }
    }

    /// One transaction for all batches; a refused one leaves its neighbours alone.
    fn transaction(&mut self, batches: &[&Batch]) -> std::result::Result<Vec<Answer>, Failure> {
        self.execute("BEGIN IMMEDIATE")?;
        match self.apply(batches) {
            Ok(answers) => Ok(answers),
            Err((error, unsure)) => Err(Failure { unsure, ..self.failed(error) }),
        }
    }

    /// Applies and commits; an error says whether the commit may be on the disk all the same.
    fn apply(
        &mut self,
        batches: &[&Batch],
    ) -> std::result::Result<Vec<Answer>, (rusqlite::Error, bool)> {
        let sure = |error| (error, false);
        let time = self.time.max(now());
        self.cache.begin(&self.connection).map_err(sure)?;
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            match apply::batch(&self.connection, &self.sql, &mut self.cache, batch, time) {
                Ok(committed) => answers.push(Ok(committed)),
                Err(Stop::Refused(error)) => answers.push(Err(error)),
                Err(Stop::Failed(error)) => return Err(sure(error)),
            }
        }
        self.cache.flush(&self.connection).map_err(sure)?;
        apply::run(&self.connection, "COMMIT").map_err(|error| {
            let unsure = is_io_failure(&error);
            (error, unsure)
        })?;
        self.time = time;
        Ok(answers)
    }

    fn execute(&mut self, sql: &str) -> std::result::Result<(), Failure> {
        let done = apply::run(&self.connection, sql);
        done.map_err(|error| self.failed(error))
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
        Failure { error: Some(error), can_retry, unsure: false }
    }
}

/// A transaction that SQLite failed at.
struct Failure {
    error: Option<rusqlite::Error>,
    can_retry: bool,
    /// Whether it may be on the disk all the same.
    unsure: bool,
}

impl Failure {
    fn answer(&self) -> Error {
        let code = self.error.as_ref().and_then(rusqlite::Error::sqlite_error).copied();
        let text = self.error.as_ref().map(ToString::to_string);
        let error = match code {
            Some(code) => map(rusqlite::Error::SqliteFailure(code, text)),
            None => Error::new(Kind::Unavailable, text.unwrap_or_default()),
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
