//! The SQLite file: one table of keys and values. An event queue is an SQLite file, too.
//!
//! Keys are normalised by AgentX, which loses information, so ids are taken from the records. The
//! index rows (`idx:...`) are redundant and can be stale; they are left aside.

use std::path::Path;

use agentkeep::Result;
use rusqlite::Connection;
use tempfile::TempDir;

use super::not_agentx;
use crate::import::agentx::Data;
use crate::import::agentx::queue::{self, Found};
use crate::import::agentx::source::{Bytes, Catalogue, Sort, Source, key_of};
use crate::import::sqlite::{self, check_whole, damaged, has_table, text_of};

/// A copy of the file, open.
#[derive(Debug)]
pub(crate) struct Sqlite {
    pub(super) connection: Connection,
    /// False when its texts have to be turned into UTF-8.
    utf8: bool,
    /// Keeps the copy for as long as it is open.
    _folder: TempDir,
}

/// Copies the file and looks what it is, and whether it is whole.
pub(super) fn open(path: &Path) -> Result<Data> {
    let (connection, folder) = sqlite::open(path)?;
    if !has_table(&connection, "kv_storage")? && has_table(&connection, "queue_entries")? {
        check_whole(&connection)?;
        return match queue::recognise(connection, folder)? {
            Found::Queue(rows) => Ok(Data::Queue(rows)),
            Found::OtherShape => Err(not_agentx(
                "an SQLite file whose table queue_entries is not that of an AgentX event queue",
            )),
        };
    }
    check_shape(&connection)?;
    check_whole(&connection)?;
    let encoding: String =
        connection.pragma_query_value(None, "encoding", |row| row.get(0)).map_err(damaged)?;
    let sqlite = Sqlite { connection, utf8: encoding == "UTF-8", _folder: folder };
    Ok(Data::Values(Box::new(sqlite)))
}

impl Sqlite {
    /// Over a copy that was made here, in which texts are kept as they came.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn over(connection: Connection, folder: TempDir) -> Self {
        Self { connection, utf8: true, _folder: folder }
    }
}

impl Source for Sqlite {
    fn form(&self) -> &'static str {
        "AgentX SQLite file"
    }

    fn list(&self, into: &Catalogue<'_>) -> Result<()> {
        let sql = "SELECT rowid, key, octet_length(value) FROM kv_storage ORDER BY key";
        let mut statement = self.connection.prepare(sql).map_err(damaged)?;
        let mut rows = statement.query([]).map_err(damaged)?;
        while let Some(row) = rows.next().map_err(damaged)? {
            let id: i64 = row.get(0).map_err(damaged)?;
            let bytes: Option<i64> = row.get(2).map_err(damaged)?;
            match row.get_ref(1).map(text_of).map_err(damaged)? {
                Ok(key) => into.keyed(&key, id, bytes.unwrap_or(0))?,
                Err(reason) => into.other(&format!("the key in row {id}"), &reason)?,
            }
        }
        if has_table(&self.connection, "queue_entries")? {
            into.other("the table queue_entries", "a queue has a file of its own in AgentX")?;
        }
        Ok(())
    }

    fn open(&self, _place: &str, at: i64, _bytes: i64) -> Result<Bytes<'_>> {
        let sql = "SELECT typeof(value) FROM kv_storage WHERE rowid = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(damaged)?;
        let kind: String = statement.query_row([at], |row| row.get(0)).map_err(damaged)?;
        match kind.as_str() {
            "text" if !self.utf8 => {
                let sql = "SELECT value FROM kv_storage WHERE rowid = ?1";
                let text = self.connection.query_row(sql, [at], |row| row.get_ref(0).map(text_of));
                Ok(text.map_err(damaged)?.map(|text| {
                    Box::new(std::io::Cursor::new(text.into_bytes())) as Box<dyn std::io::Read>
                }))
            }
            "text" | "blob" => {
                let blob = self.connection.blob_open("main", "kv_storage", "value", at, true);
                Ok(Ok(Box::new(blob.map_err(damaged)?)))
            }
            "null" => Ok(Err("it is NULL, not text".to_owned())),
            _ => Ok(Err("it is a number, not text".to_owned())),
        }
    }

    fn home(&self, sort: Sort, id: &str) -> Option<String> {
        Some(key_of(sort, id))
    }

    fn place_of_messages(&self, session: &str) -> String {
        key_of(Sort::Messages, session)
    }
}

fn check_shape(connection: &Connection) -> Result<()> {
    if !has_table(connection, "kv_storage")? {
        return Err(not_agentx("an SQLite file without the table kv_storage"));
    }
    match connection.prepare("SELECT rowid, key, value FROM kv_storage") {
        Ok(_) => Ok(()),
        Err(error) => Err(not_agentx("an SQLite file whose table kv_storage has no key and value")
            .caused_by(error)),
    }
}
