//! The SQLite file: one table of keys and values. An event queue is an SQLite file, too.
//!
//! Keys are normalised by AgentX, which loses information, so ids are taken from the records. The
//! index rows (`idx:...`) are redundant and can be stale; they are left aside.

use std::path::Path;

use agentkeep::{Error, Kind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tempfile::TempDir;

use super::{copy, not_agentx};
use crate::import::agentx::Data;
use crate::import::agentx::queue::{self, Found};
use crate::import::agentx::source::{Bytes, Catalogue, Sort, Source, key_of};

/// A copy of the file, open.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    /// False when its texts have to be turned into UTF-8.
    utf8: bool,
    /// Keeps the copy for as long as it is open.
    _folder: TempDir,
}

/// Copies the file and looks what it is, and whether it is whole.
pub(super) fn open(path: &Path) -> Result<Data> {
    let (folder, copy) = copy::copy(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(damaged)?;
    // Foreign schemas must not run anything.
    connection.pragma_update(None, "trusted_schema", false).map_err(damaged)?;
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

/// The text of a value, or why it has none.
pub(in crate::import::agentx) fn text_of(value: ValueRef<'_>) -> Result<String, String> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|error| {
                format!("it is no UTF-8 at byte {}", error.utf8_error().valid_up_to())
            })
        }
        ValueRef::Null => Err("it is NULL, not text".to_owned()),
        ValueRef::Integer(_) | ValueRef::Real(_) => Err("it is a number, not text".to_owned()),
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

fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let found: Option<i64> =
        connection.query_row(sql, [name], |row| row.get(0)).optional().map_err(damaged)?;
    Ok(found.is_some())
}

/// A damaged file could leave records out without a word.
fn check_whole(connection: &Connection) -> Result<()> {
    let finding: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if finding == "ok" {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("the source is a damaged SQLite file: {finding}"))
        .advice(REPAIR))
}

const REPAIR: &str = "restore it from a backup, or repair it with `sqlite3 FILE .recover`";

pub(in crate::import::agentx) fn damaged(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            Kind::Corrupt
        }
        _ => Kind::Unavailable,
    };
    let advice = if kind == Kind::Corrupt { REPAIR } else { "try again" };
    Error::new(kind, format!("the source cannot be read: {error}"))
        .retryable(false)
        .advice(advice)
        .caused_by(error)
}
