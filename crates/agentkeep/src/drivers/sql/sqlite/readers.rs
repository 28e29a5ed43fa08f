//! Connections that only read, used on blocking threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::errors::map;
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
}

impl Readers {
    pub(super) fn new(path: PathBuf, options: Options) -> Self {
        let permits = Semaphore::new(options.readers.max(1));
        Self { path, options, idle: Mutex::default(), permits, closed: AtomicBool::new(false) }
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
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| closed())?;
        self.refuse_if_closed()?;
        let readers = Arc::clone(self);
        blocking(move || {
            let idle = readers.lock().pop();
            let connection = idle.map_or_else(|| readers.connect(), Ok)?;
            let result = in_transaction(&connection, read);
            if !readers.closed.load(Ordering::Acquire) {
                readers.lock().push(connection);
            }
            result
        })
        .await
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
