//! Connections that only read, used on blocking threads, and for what is small and quick right
//! where it is asked for: the way to another thread and back costs more than such a read.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::errors::map;
use super::pace::{FEW_BYTES, Pace};
use super::{Options, open};
use crate::error::{Error, Kind, Result};

/// A few connections, made when first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    options: Options,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    closed: AtomicBool,
    pace: Pace,
}

/// Where a read may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the caller's thread, for it is small; elsewhere when it turns out not to be quick.
    Here,
    /// On a thread that may block.
    Elsewhere,
}

/// How many bytes of bodies a read may still take.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    /// For reads on threads that may block.
    pub(super) fn endless() -> Self {
        Self(Cell::new(usize::MAX))
    }

    /// Takes a body into account.
    pub(super) fn spend(&self, bytes: usize) -> Result<()> {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.ok_or_else(|| Error::new(Kind::Timeout, "the read is not small"))?);
        Ok(())
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf, options: Options) -> Self {
        let permits = Semaphore::new(options.readers.max(1));
        Self {
            path,
            options,
            idle: Mutex::default(),
            permits,
            closed: AtomicBool::new(false),
            pace: Pace::default(),
        }
    }

    /// A new connection that cannot write.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.refuse_if_closed()?;
        let connection = open::connect(&self.path, &self.options)?;
        connection.pragma_update(None, "query_only", true).map_err(map)?;
        Ok(connection)
    }

    /// Runs `read` in one read transaction, so that all of it sees one moment.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        place: Place,
        read: impl Fn(&Connection, &Budget) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Also where the caller's thread is left to others: waiting counts as a step.
        let _permit = self.permits.acquire().await.map_err(|_| closed())?;
        self.refuse_if_closed()?;
        if place == Place::Here
            && let Some(result) = self.here(&read)
        {
            return result;
        }
        let readers = Arc::clone(self);
        blocking(move || {
            let idle = readers.lock().pop();
            let connection = idle.map_or_else(|| readers.connect(), Ok)?;
            let patience = open::longest_wait(readers.options.timeout);
            connection.busy_timeout(patience).map_err(map)?;
            let result = in_transaction(&connection, |c| read(c, &Budget::endless()));
            readers.give_back(connection);
            result
        })
        .await
    }

    /// Runs `read` at once, without waiting for anybody; `None` when it must run elsewhere.
    fn here<T>(&self, read: &impl Fn(&Connection, &Budget) -> Result<T>) -> Option<Result<T>> {
        if !self.pace.allows() {
            return None;
        }
        let connection = self.lock().pop()?;
        let since = Instant::now();
        let budget = Budget(Cell::new(FEW_BYTES));
        let waits = connection.busy_timeout(Duration::ZERO).map_err(map);
        let result = waits.and_then(|()| in_transaction(&connection, |c| read(c, &budget)));
        self.pace.took(since.elapsed());
        self.give_back(connection);
        match result {
            // Somebody is in the way, or it is not small.
            Err(error) if error.kind() == Kind::Timeout => None,
            result => Some(result),
        }
    }

    fn give_back(&self, connection: Connection) {
        if !self.closed.load(Ordering::Acquire) {
            self.lock().push(connection);
        }
    }

    pub(super) fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.permits.close();
        self.lock().clear();
    }
}

fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    // Prepared once: parsing them again costs as much as reading a row.
    connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map_err(map)?;
    let result = read(connection);
    // At some errors SQLite ends it by itself; a check has noted them, and goes on.
    if !connection.is_autocommit() {
        let end = |sql| connection.prepare_cached(sql).and_then(|mut end| end.execute([]));
        match &result {
            Ok(_) => end("COMMIT").map(|_| ()).map_err(map)?,
            Err(_) => end("ROLLBACK").map_or((), |_| ()),
        }
    }
    result
}

/// Runs blocking work off the caller's thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(Error::new(Kind::Unavailable, "a task ended before it answered").caused_by(error))
        }
    }
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Closed, "the store has been closed").advice("open it again")
}
