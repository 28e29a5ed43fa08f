//! What an import must know of its whole source at once, kept in a temporary file that goes away
//! by itself: where each value stands, whose it is, and what is to be told about it.

use std::cell::Cell;

use agentkeep::{Error, Kind, Result};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::report::{List, Note};

const TABLES: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;
    PRAGMA temp_store = FILE;
    CREATE TABLE value(no INTEGER PRIMARY KEY, sort INTEGER NOT NULL, place TEXT NOT NULL,
      at INTEGER NOT NULL, bytes INTEGER, hash BLOB, messages INTEGER);
    CREATE INDEX value_place ON value(sort, place);
    CREATE INDEX value_no ON value(sort, no);
    CREATE TABLE record(sort INTEGER NOT NULL, id TEXT NOT NULL, value INTEGER NOT NULL,
      original TEXT NOT NULL, home TEXT, at_home INTEGER NOT NULL, PRIMARY KEY(sort, id))
      WITHOUT ROWID;
    CREATE TABLE owner(place TEXT PRIMARY KEY, value INTEGER NOT NULL, at_home INTEGER NOT NULL)
      WITHOUT ROWID;
    CREATE TABLE note(list INTEGER NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL);
    CREATE INDEX note_list ON note(list);
";

/// A database for one import.
#[derive(Debug)]
pub(crate) struct Scratch {
    connection: Connection,
    /// False while what is read has been told about already.
    tells: Cell<bool>,
}

fn failed(error: rusqlite::Error) -> Error {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let kind = if full { Kind::NoSpace } else { Kind::Unavailable };
    Error::new(kind, format!("the import's temporary file failed: {error}"))
        .retryable(false)
        .advice("give the temporary folder (TMPDIR) more room")
        .caused_by(error)
}

impl Scratch {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        // The empty name is SQLite's for a private file that is gone when it is closed.
        let connection = Connection::open("").map_err(failed)?;
        connection.execute_batch(TABLES).map_err(failed)?;
        connection.execute_batch("BEGIN").map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection, tells: Cell::new(true) })
    }

    /// Whether what is remarkable is noted.
    pub(crate) fn set_tells(&self, tells: bool) {
        self.tells.set(tells);
    }

    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(params).map_err(failed)
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_row(params, read).optional().map_err(failed)
    }

    pub(crate) fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        mut with: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            with(read(row).map_err(failed)?)?;
        }
        Ok(())
    }

    /// Notes something remarkable.
    pub(crate) fn note(
        &self,
        list: List,
        place: impl AsRef<str>,
        reason: impl AsRef<str>,
    ) -> Result<()> {
        if !self.tells.get() {
            return Ok(());
        }
        let sql = "INSERT INTO note(list, place, reason) VALUES (?1, ?2, ?3)";
        self.run(sql, (list as i64, place.as_ref(), reason.as_ref())).map(|_| ())
    }

    /// How many notes a list has.
    pub(crate) fn noted(&self, list: List) -> Result<u64> {
        let sql = "SELECT count(*) FROM note WHERE list = ?1";
        let count: Option<i64> = self.one(sql, [list as i64], |row| row.get(0))?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    /// The notes of a list in order, at most so many.
    pub(crate) fn notes(
        &self,
        list: List,
        limit: u64,
        with: impl FnMut(Note) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT place, reason FROM note WHERE list = ?1 ORDER BY rowid LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |row: &Row<'_>| Ok(Note { place: row.get(0)?, reason: row.get(1)? });
        self.each(sql, (list as i64, limit), read, with)
    }
}
