//! The one writer: a thread that commits what is queued, many batches in one transaction, so that
//! commits which come together share one fsync.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, oneshot};

use super::apply::{self, Stop};
use super::cache::Cache;
use super::errors::{beneath, is_io_failure, map};
use super::open::longest_wait;
use super::readers::closed;
use super::statements::Sql;
use crate::driver::{Batch, Committed, Hub, MAX_BATCH_BYTES, Operation};
use crate::error::{Error, Kind, Result};

/// Batches in one transaction.
const GROUP: usize = 64;
/// Bytes of bodies and blobs after which a group takes no more batches.
const GROUP_BYTES: usize = MAX_BATCH_BYTES;
/// Batches waiting; more callers wait for room.
const QUEUE: usize = 1024;
/// How long the thread looks out for the next batch before it sleeps: who has been answered often
/// asks again at once, and waking a thread takes longer than that.
const LOOK_OUT: Duration = Duration::from_micros(50);

type Answer = Result<Committed>;

/// A batch, and who waits for the answer.
struct Asked {
    batch: Batch,
    /// What stands for its content under its operation id.
    digest: Option<[u8; 32]>,
    /// Since when: the wait for other processes ends by this.
    since: Instant,
    answer: oneshot::Sender<Answered>,
}

/// The answer, and the batch: its memory is the caller's to free, not the writer's.
type Answered = (Answer, Batch);
type Upkeep = Box<dyn FnOnce(&Connection) + Send>;
type Queue = mpsc::Receiver<Job>;

/// Work for the writer's thread.
enum Job {
    Commit(Asked),
    Upkeep(Upkeep),
    /// Look whether others have committed, and give hints if so.
    Look,
}

/// For who sees that somebody has committed, and wants to know whether it was another process.
#[derive(Debug, Clone)]
pub(super) struct Commits {
    /// Counts before and after each commit of the thread.
    own: Arc<AtomicU64>,
    queue: Option<mpsc::WeakSender<Job>>,
}

impl Commits {
    /// Changes when the thread commits.
    pub(super) fn own(&self) -> u64 {
        self.own.load(Ordering::Acquire)
    }

    /// Lets the thread look, and give hints if others have committed. False if it cannot now.
    pub(super) fn look(&self) -> bool {
        let queue = self.queue.as_ref().and_then(mpsc::WeakSender::upgrade);
        queue.is_some_and(|queue| queue.try_send(Job::Look).is_ok())
    }
}

/// The handle on the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    poisoned: Arc<AtomicBool>,
    own: Arc<AtomicU64>,
}

/// What the thread owns.
struct Work {
    connection: Connection,
    sql: Arc<Sql>,
    hub: Hub,
    poisoned: Arc<AtomicBool>,
    cache: Cache,
    /// How long a commit waits for other processes.
    timeout: Duration,
    /// The time of the last commit.
    time: i64,
    own: Arc<AtomicU64>,
    /// SQLite's version of the data when hints of others were last given.
    hinted: i64,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        sql: Arc<Sql>,
        hub: Hub,
        timeout: Duration,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let poisoned = Arc::new(AtomicBool::new(false));
        let own = Arc::new(AtomicU64::new(0));
        let mut work = Work {
            connection,
            sql,
            hub,
            poisoned: Arc::clone(&poisoned),
            cache: Cache::default(),
            timeout: longest_wait(timeout),
            time: 0,
            own: Arc::clone(&own),
            hinted: 0,
        };
        let thread = std::thread::Builder::new()
            .name("agentkeep-writer".to_owned())
            .spawn(move || work.run(receiver))
            .map_err(|error| {
                Error::new(Kind::Unavailable, "the writer's thread cannot be started")
                    .caused_by(error)
            })?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self { queue, thread, poisoned, own })
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.refuse_if_poisoned()?;
        let since = Instant::now();
        // Here, for it takes the longer the larger the batch is, and others wait for the writer.
        let digest = batch.operation.is_some().then(|| batch.digest());
        let (answer, answered) = oneshot::channel();
        self.send(Job::Commit(Asked { batch, digest, since, answer })).await?;
        // The thread answers everything that it took, also while it is being closed.
        answered.await.map_or_else(|_| Err(ended()), |(answer, _)| answer)
    }

    /// Runs upkeep on the writer's connection, between two commits.
    pub(super) async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.refuse_if_poisoned()?;
        let (sender, answer) = oneshot::channel();
        let poisoned = Arc::clone(&self.poisoned);
        let run = move |connection: &Connection| {
            let result = work(connection);
            let failure = result.as_ref().err().and_then(beneath);
            if failure.is_some_and(|failure| is_io_failure(&failure)) {
                poisoned.store(true, Ordering::Release);
            }
            // A caller that went away needs no answer.
            drop(sender.send(result));
        };
        self.send(Job::Upkeep(Box::new(run))).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) fn commits(&self) -> Commits {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().map(mpsc::Sender::downgrade);
        Commits { own: Arc::clone(&self.own), queue }
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

/// The thread ended with the batch in its hands: a fault of ours, which nobody has ever seen.
fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the writer's thread ended before it answered")
        .advice("reopen the store and look, or repeat it under its operation id")
}

impl Work {
    fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = next(&mut queue) {
            let upkeep = match job {
                Job::Commit(asked) => self.commit_group(asked, &mut queue),
                Job::Upkeep(work) => Some(work),
                Job::Look => {
                    self.look();
                    None
                }
            };
            if let Some(work) = upkeep {
                work(&self.connection);
            }
        }
        self.end();
    }

    /// Brings everything into the one file, if nobody is in the way.
    fn end(&self) {
        if self.poisoned.load(Ordering::Acquire) {
            // What the disk holds is not known: it is left for the next open to recover.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return;
        }
        // A reader that stays must not keep the store from closing.
        let _ = self.connection.busy_timeout(Duration::ZERO);
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
                    group.iter().map(|asked| self.alone(asked)).collect()
                }
                Err(failure) => group.iter().map(|_| Err(failure.answer())).collect(),
            }
        };
        for (asked, result) in group.into_iter().zip(answers) {
            if result.as_ref().is_ok_and(|committed| !committed.replayed) {
                self.hub.committed(&asked.batch);
            }
            // A caller that went away has its commit all the same.
            let _ = asked.answer.send((result, asked.batch));
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
        let time = self.begin(group.first())?;
        let mut answers = Vec::with_capacity(GROUP);
        let mut bytes = 0;
        while let Some(asked) = group.get(answers.len()) {
            bytes += weight(&asked.batch);
            answers.push(self.apply(asked, time)?);
            let room = group.len() < GROUP && bytes < GROUP_BYTES && upkeep.is_none();
            if answers.len() == group.len() && room {
                match queue.try_recv() {
                    Ok(Job::Commit(asked)) => group.push(asked),
                    Ok(Job::Upkeep(work)) => *upkeep = Some(work),
                    // It has been looked at the beginning, and nobody else can commit since.
                    Ok(Job::Look) | Err(_) => {}
                }
            }
        }
        self.commit(time)?;
        Ok(answers)
    }

    /// A transaction for one batch.
    fn alone(&mut self, asked: &Asked) -> Answer {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(poisoned());
        }
        let answer = self.begin(Some(asked)).and_then(|time| {
            let answer = self.apply(asked, time)?;
            self.commit(time)?;
            Ok(answer)
        });
        answer.unwrap_or_else(|failure| Err(failure.answer()))
    }

    /// Opens a transaction, waiting for other processes for as long as who asked has time left;
    /// answers its time.
    fn begin(&mut self, asked: Option<&Asked>) -> Tried<i64> {
        let waited = asked.map_or(Duration::ZERO, |asked| asked.since.elapsed());
        let begun = self
            .connection
            .busy_timeout(self.timeout.saturating_sub(waited))
            .and_then(|()| apply::run(&self.connection, "BEGIN IMMEDIATE"))
            .and_then(|()| self.cache.begin(&self.connection));
        begun.map_err(|error| self.failed(error))?;
        self.hint(self.cache.data_version());
        Ok(self.time.max(now()))
    }

    /// Looks whether others have committed. An error is no reason to be silent: readers will
    /// meet it.
    fn look(&mut self) {
        let sql = "PRAGMA data_version";
        let now = self.connection.query_row(sql, [], |row| row.get(0));
        self.hint(now.unwrap_or(self.hinted.wrapping_add(1)));
    }

    /// Gives hints if the data has another version: only commits of others change it here.
    fn hint(&mut self, version: i64) {
        if version != self.hinted {
            self.hinted = version;
            self.hub.all();
        }
    }

    fn apply(&mut self, asked: &Asked, time: i64) -> Tried<Answer> {
        let Asked { batch, digest, .. } = asked;
        let applied =
            apply::batch(&self.connection, &self.sql, &mut self.cache, batch, *digest, time);
        match applied {
            Err(Stop::Failed(error)) => Err(self.failed(error)),
            // A read on behalf of the batch failed: that is no fault of the batch.
            Err(Stop::Refused(error)) if let Some(failure) = beneath(&error) => {
                Err(self.failed(failure))
            }
            // At some errors SQLite gives up the whole transaction. What came after would be
            // committed statement by statement.
            _ if self.connection.is_autocommit() => Err(self.gave_up()),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Ok(committed) => Ok(Ok(committed)),
        }
    }

    fn commit(&mut self, time: i64) -> Tried<()> {
        self.cache.flush(&self.connection).map_err(|error| self.failed(error))?;
        self.own.fetch_add(1, Ordering::AcqRel);
        let committed = apply::run(&self.connection, "COMMIT");
        self.own.fetch_add(1, Ordering::AcqRel);
        committed.map_err(|error| {
            let unsure = is_io_failure(&error);
            Failure { unsure, ..self.failed(error) }
        })?;
        self.time = time;
        Ok(())
    }

    /// SQLite left the transaction by itself.
    fn gave_up(&mut self) -> Failure {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
        self.failed(rusqlite::Error::SqliteFailure(code, None))
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

/// The next job; `None` when there will be none.
fn next(queue: &mut Queue) -> Option<Job> {
    let since = Instant::now();
    while since.elapsed() < LOOK_OUT {
        match queue.try_recv() {
            Ok(job) => return Some(job),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    queue.blocking_recv()
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

/// Bytes of bodies and blobs.
fn weight(batch: &Batch) -> usize {
    let weight = |operation: &Operation| match operation {
        Operation::Put(put) => put.body.len(),
        Operation::Append(append) => append.entries.iter().map(|entry| entry.body.len()).sum(),
        Operation::Rewrite { body, .. } => body.len(),
        Operation::PutBlob(blob) => blob.bytes().len(),
        _ => 0,
    };
    batch.operations.iter().map(weight).sum()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
