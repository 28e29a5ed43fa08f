//! Transactions on the one connection that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::apply::{self, Stop};
use super::cache::Cache;
use super::errors::{beneath, is_io_failure, map};
use super::open::{CHECKPOINT, longest_wait};
use super::statements::Sql;
use super::writer::Upkeep;
use crate::driver::{Batch, Committed, Hub};
use crate::error::{Error, Kind, Result};

pub(super) type Answer = Result<Committed>;

/// A batch that is to be committed.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) batch: Batch,
    /// What stands for its content under its operation id.
    digest: Option<[u8; 32]>,
    /// Since when: the wait for other processes ends by this.
    since: Instant,
}

impl Wanted {
    pub(super) fn new(batch: Batch) -> Self {
        let since = Instant::now();
        // Here, for it takes the longer the larger the batch is, and others wait for the writer.
        let digest = batch.operation.is_some().then(|| batch.digest());
        Self { batch, digest, since }
    }
}

/// The connection that writes, and what is known of the database.
pub(super) struct Work {
    connection: Connection,
    sql: Arc<Sql>,
    hub: Hub,
    poisoned: Arc<AtomicBool>,
    cache: Cache,
    /// How long a commit waits for other processes.
    timeout: Duration,
    /// The time of the last commit.
    time: i64,
    /// The transaction that is open holds nothing yet.
    fresh: bool,
    /// Counts before and after each commit.
    own: Arc<AtomicU64>,
    /// SQLite's version of the data when hints of others were last given.
    hinted: i64,
    /// How many pages the log had after the last commit.
    pages: Arc<AtomicI32>,
    /// The thread has been asked to shorten it.
    shortening: bool,
}

impl Work {
    pub(super) fn new(
        mut connection: Connection,
        sql: Arc<Sql>,
        hub: Hub,
        timeout: Duration,
        poisoned: Arc<AtomicBool>,
        own: Arc<AtomicU64>,
    ) -> Result<Self> {
        let pages: Arc<AtomicI32> = Arc::default();
        let seen = Arc::clone(&pages);
        // In place of SQLite's own, which would make one of the callers wait for it.
        let count = move |_: &mut rusqlite::hooks::Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(count)).map_err(map)?;
        let (cache, timeout) = (Cache::default(), longest_wait(timeout));
        let (time, hinted, shortening, fresh) = (0, 0, false, false);
        Ok(Self {
            connection,
            sql,
            hub,
            poisoned,
            cache,
            timeout,
            time,
            fresh,
            own,
            hinted,
            pages,
            shortening,
        })
    }

    /// Whether the log is so long that it is to be brought into the file.
    fn is_log_long(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= CHECKPOINT
    }

    /// Whether it has become far longer than that.
    pub(super) fn is_log_overlong(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= 2 * CHECKPOINT
    }

    /// True the first time that the log is found to be long.
    pub(super) fn is_shortening_due(&mut self) -> bool {
        self.is_log_long() && !std::mem::replace(&mut self.shortening, true)
    }

    /// Runs upkeep, which waits for other processes as a commit does.
    pub(super) fn upkeep(&mut self, upkeep: Upkeep) {
        // It is no worse off with what the last commit has left.
        let _ = self.connection.busy_timeout(self.timeout);
        upkeep(&self.connection);
    }

    /// Brings a long log into the file, as far as readers allow.
    pub(super) fn shorten_log(&mut self) {
        self.shortening = false;
        if !self.is_log_long() || self.is_poisoned() {
            return;
        }
        self.pages.store(0, Ordering::Relaxed);
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if done.is_err_and(|error| is_io_failure(&error)) {
            self.poison();
        }
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Brings everything into the one file, if nobody is in the way.
    pub(super) fn end(&self) {
        if self.is_poisoned() {
            // What the disk holds is not known: it is left for the next open to recover.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return;
        }
        // A reader that stays must not keep the store from closing.
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let _ = self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    /// A transaction for one batch.
    pub(super) fn alone(&mut self, wanted: &Wanted) -> Answer {
        if self.is_poisoned() {
            return Err(poisoned());
        }
        let begun = self.begin(self.patience(wanted));
        begun
            .and_then(|time| self.only(wanted, time))
            .unwrap_or_else(|failure| Err(failure.answer()))
    }

    /// A transaction for one batch, now; `None` when another process is in the way.
    pub(super) fn at_once(&mut self, wanted: &Wanted) -> Option<Answer> {
        if self.is_poisoned() {
            return Some(Err(poisoned()));
        }
        let done = match self.begin(Duration::ZERO) {
            Err(failure) if failure.is_busy() => return None,
            begun => begun.and_then(|time| self.only(wanted, time)),
        };
        Some(done.unwrap_or_else(|failure| Err(failure.answer())))
    }

    /// The rest of a transaction for one batch.
    fn only(&mut self, wanted: &Wanted, time: i64) -> Tried<Answer> {
        let answer = self.apply(wanted, time)?;
        self.commit(time)?;
        Ok(answer)
    }

    /// How long a batch may still wait for other processes.
    pub(super) fn patience(&self, wanted: &Wanted) -> Duration {
        self.timeout.saturating_sub(wanted.since.elapsed())
    }

    /// Opens a transaction, waiting for other processes for so long; answers its time.
    pub(super) fn begin(&mut self, patience: Duration) -> Tried<i64> {
        let begun = self
            .connection
            .busy_timeout(patience)
            .and_then(|()| apply::run(&self.connection, "BEGIN IMMEDIATE"))
            .and_then(|()| self.cache.begin(&self.connection));
        begun.map_err(|error| self.failed(error))?;
        self.fresh = true;
        self.hint(self.cache.data_version());
        Ok(self.time.max(now()))
    }

    /// Looks whether others have committed. An error is no reason to be silent: readers will
    /// meet it.
    pub(super) fn look(&mut self) {
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

    /// Whether a transaction is open: none is after a refusal that took it back.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Applies a batch within the transaction; a refused one leaves its neighbours alone, or takes
    /// back the transaction if it has none before it.
    pub(super) fn apply(&mut self, wanted: &Wanted, time: i64) -> Tried<Answer> {
        let Wanted { batch, digest, .. } = wanted;
        let (cache, first) = (&mut self.cache, self.fresh);
        let applied = apply::batch(&self.connection, &self.sql, cache, batch, *digest, time, first);
        match applied {
            Err(Stop::Failed(error)) => Err(self.failed(error)),
            // A read on behalf of the batch failed: that is no fault of the batch.
            Err(Stop::Refused(error) | Stop::Spoiled(error))
                if let Some(failure) = beneath(&error) =>
            {
                Err(self.failed(failure))
            }
            // At some errors SQLite gives up the whole transaction. What came after would be
            // committed statement by statement.
            _ if !self.is_open() => Err(self.gave_up()),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Spoiled(error)) => {
                let taken_back = apply::run(&self.connection, "ROLLBACK");
                taken_back.map_err(|error| self.failed(error))?;
                Ok(Err(error))
            }
            Ok(committed) => {
                self.fresh = false;
                Ok(Ok(committed))
            }
        }
    }

    /// Commits what the transaction holds, if one is open.
    pub(super) fn commit(&mut self, time: i64) -> Tried<()> {
        if !self.is_open() {
            return Ok(());
        }
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
            self.poison();
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
pub(super) type Tried<T> = std::result::Result<T, Failure>;

/// A transaction that SQLite failed at.
pub(super) struct Failure {
    error: rusqlite::Error,
    /// Whether its batches may be tried again, each alone.
    pub(super) can_retry: bool,
    /// Whether it may be on the disk all the same.
    unsure: bool,
}

impl Failure {
    /// Another process is in the way.
    fn is_busy(&self) -> bool {
        self.error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
    }

    pub(super) fn answer(&self) -> Error {
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

pub(super) fn poisoned() -> Error {
    Error::new(Kind::Poisoned, "the disk failed under an earlier write of this handle")
        .advice("check the disk, then close the store and open it again")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
