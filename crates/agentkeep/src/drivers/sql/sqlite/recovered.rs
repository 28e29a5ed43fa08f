//! Making safe what recovery found.
//!
//! A process that was killed leaves commits in the log that the system has and the disk has not,
//! and after a sync that failed the system believes that it need not write them any more. Opening
//! finds them, they are shown, a repeated write is answered with "known": so they must be on the
//! disk before anybody sees them.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::errors::map;
use crate::drivers::durable::sync_folder;
use crate::drivers::io_error as io;
use crate::error::Result;

/// Bytes of the log written at once.
const STEP: usize = 1 << 20;

/// Brings the log and its name to the disk.
pub(super) fn make_safe(connection: &Connection, path: &Path, timeout: Duration) -> Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    // Only who may write changes the log; who is at it now has opened the store, and done this.
    connection.busy_timeout(Duration::ZERO).map_err(map)?;
    let alone = connection.execute_batch("BEGIN IMMEDIATE");
    let written = match &alone {
        Ok(()) => write_again(&log),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        Err(_) => return alone.map_err(map),
    };
    if alone.is_ok() {
        connection.execute_batch("ROLLBACK").map_err(map)?;
    }
    connection.busy_timeout(timeout).map_err(map)?;
    written.map_err(|error| io(&error, "the store's log cannot be written", &log))?;
    // SQLite syncs the folder of a new log, too, but does not say when that fails.
    let folder = path.parent().unwrap_or(Path::new("."));
    match sync_folder(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
            Err(io(&error, "the store's folder cannot be synced", folder))
        }
        _ => Ok(()),
    }
}

/// Writes every byte of the log over itself: a sync alone does not write what an earlier sync
/// has failed to.
fn write_again(log: &Path) -> std::io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        bytes.clear();
        file.seek(SeekFrom::Start(at))?;
        (&file).take(STEP as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return if at == 0 { Ok(()) } else { file.sync_all() };
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&bytes)?;
        at += bytes.len() as u64;
    }
}
