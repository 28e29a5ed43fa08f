//! A live database, copied in pages into a file of its own: so that its connection need not wait
//! for the import, and what is read twice is the same both times.

use agentkeep::Result;
use rusqlite::Connection;
use tempfile::TempDir;

use super::sqlite::Sqlite;
use crate::import::agentx::source::{Bytes, Catalogue, Sort, Source, key_of};
use crate::import::sqlite::damaged;
use crate::output::io_error;

/// The copy while it is made: a table of AgentX's keys and values, as its SQLite file has it.
#[derive(Debug)]
pub(super) struct Copying {
    connection: Connection,
    folder: TempDir,
}

impl Copying {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("agentkeep-").tempdir();
        let folder = folder.map_err(|error| io_error("the source cannot be copied", error))?;
        let connection = Connection::open(folder.path().join("source.db")).map_err(damaged)?;
        let tables = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
                      CREATE TABLE kv_storage(key PRIMARY KEY, value); \
                      CREATE TABLE left_out(key PRIMARY KEY, reason); BEGIN";
        connection.execute_batch(tables).map_err(damaged)?;
        Ok(Self { connection, folder })
    }

    /// One value; the same key again is the same value read again.
    pub(super) fn value(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO kv_storage(key, value) VALUES (?1, ?2)";
        let mut statement = self.connection.prepare_cached(sql).map_err(damaged)?;
        statement.execute((key, value)).map(|_| ()).map_err(damaged)
    }

    /// What is not taken, and why.
    #[cfg(feature = "redis")]
    pub(super) fn other(&mut self, key: &str, reason: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO left_out(key, reason) VALUES (?1, ?2)";
        let mut statement = self.connection.prepare_cached(sql).map_err(damaged)?;
        statement.execute((key, reason)).map(|_| ()).map_err(damaged)
    }

    pub(super) fn finish(self, form: &'static str) -> Result<Live> {
        self.connection.execute_batch("COMMIT").map_err(damaged)?;
        let rows = Sqlite::over(self.connection, self.folder);
        Ok(Live { form, rows })
    }
}

/// The copy.
#[derive(Debug)]
pub(super) struct Live {
    form: &'static str,
    rows: Sqlite,
}

impl Source for Live {
    fn form(&self) -> &'static str {
        self.form
    }

    fn list(&self, into: &Catalogue<'_>) -> Result<()> {
        self.rows.list(into)?;
        let sql = "SELECT key, reason FROM left_out ORDER BY key";
        let mut statement = self.rows.connection.prepare(sql).map_err(damaged)?;
        let mut rows = statement.query([]).map_err(damaged)?;
        while let Some(row) = rows.next().map_err(damaged)? {
            let (key, reason): (String, String) = row.try_into().map_err(damaged)?;
            into.other(&key, &reason)?;
        }
        Ok(())
    }

    fn open(&self, place: &str, at: i64, bytes: i64) -> Result<Bytes<'_>> {
        self.rows.open(place, at, bytes)
    }

    fn home(&self, sort: Sort, id: &str) -> Option<String> {
        Some(key_of(sort, id))
    }

    fn place_of_messages(&self, session: &str) -> String {
        key_of(Sort::Messages, session)
    }
}
