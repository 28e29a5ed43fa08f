//! SQLite files of other programs: copied, looked through for damage, and read.

mod copy;

use std::path::Path;

use agentkeep::{Error, Kind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tempfile::TempDir;

/// How every SQLite file begins.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

/// Copies the file and opens the copy, which goes away with the folder.
pub(crate) fn open(path: &Path) -> Result<(Connection, TempDir)> {
    let (folder, copy) = copy::copy(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(damaged)?;
    // Foreign schemas must not run anything.
    connection.pragma_update(None, "trusted_schema", false).map_err(damaged)?;
    Ok((connection, folder))
}

/// The text of a value, or why it has none.
pub(crate) fn text_of(value: ValueRef<'_>) -> Result<String, String> {
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

pub(crate) fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let found: Option<i64> =
        connection.query_row(sql, [name], |row| row.get(0)).optional().map_err(damaged)?;
    Ok(found.is_some())
}

/// The names of a table's columns.
pub(crate) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// A damaged file could leave records out without a word.
pub(crate) fn check_whole(connection: &Connection) -> Result<()> {
    let finding: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if finding == "ok" {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("the source is a damaged SQLite file: {finding}"))
        .advice(REPAIR))
}

const REPAIR: &str = "restore it from a backup, or repair it with `sqlite3 FILE .recover`";

pub(crate) fn damaged(error: rusqlite::Error) -> Error {
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
