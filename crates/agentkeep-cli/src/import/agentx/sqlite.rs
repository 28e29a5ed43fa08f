//! The SQLite file: one table of keys and values.
//!
//! Keys are normalised by AgentX, which loses information, so ids are taken from the records. The
//! index rows (`idx:...`) are redundant and can be stale; they are left aside.

use std::path::Path;

use agentkeep::{Error, Kind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tempfile::TempDir;

use super::source::{Sort, Source, Value};
use super::{copy, not_agentx};
use crate::import::report::Note;

/// A copy of the file, open.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    rows: Vec<Row>,
    others: Vec<Note>,
    /// Keeps the copy for as long as it is open.
    _folder: TempDir,
}

#[derive(Debug)]
struct Row {
    id: i64,
    key: String,
}

impl Sqlite {
    /// Copies the file and looks at its keys.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (folder, copy) = copy::copy(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(copy, flags).map_err(damaged)?;
        // Foreign schemas must not run anything.
        connection.pragma_update(None, "trusted_schema", false).map_err(damaged)?;
        check_shape(&connection)?;
        check_whole(&connection)?;
        let (rows, others) = keys(&connection)?;
        Ok(Self { connection, rows, others, _folder: folder })
    }

    fn value(&self, row: &Row) -> Result<Value> {
        let sql = "SELECT value FROM kv_storage WHERE rowid = ?1";
        let text = self.connection.query_row(sql, [row.id], |row| row.get_ref(0).map(text_of));
        Ok(Value { place: row.key.clone(), text: text.map_err(damaged)? })
    }
}

impl Source for Sqlite {
    fn form(&self) -> &'static str {
        "AgentX SQLite file"
    }

    fn records(&self, sort: Sort) -> Result<Vec<Value>> {
        let rows = self.rows.iter().filter(|row| is_of(&row.key, name(sort)));
        rows.map(|row| self.value(row)).collect()
    }

    fn place_of(&self, sort: Sort, id: &str) -> Option<String> {
        Some(normalised(&format!("{}:{id}", name(sort))))
    }

    fn place_of_messages(&self, session: &str) -> String {
        normalised(&format!("{MESSAGES}:{session}"))
    }

    fn all_messages(&self) -> Vec<String> {
        let keys = self.rows.iter().map(|row| &row.key);
        keys.filter(|key| is_of(key, MESSAGES)).cloned().collect()
    }

    fn messages(&self, place: &str) -> Result<Option<Value>> {
        let row = self.rows.iter().find(|row| row.key == place && is_of(&row.key, MESSAGES));
        row.map(|row| self.value(row)).transpose()
    }

    fn others(&self) -> Vec<Note> {
        self.others.clone()
    }
}

/// The first part of the keys of a sort.
fn name(sort: Sort) -> &'static str {
    match sort {
        Sort::Container => "containers",
        Sort::Image => "images",
        Sort::Session => "sessions",
    }
}

const MESSAGES: &str = "messages";

/// Whether a key has this first part; alone it stands for ids of which nothing is left.
fn is_of(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The key that AgentX uses for a key: cut at the first `?`, `/` and `\` to `:`, runs of `:` to
/// one, one dropped at either end.
fn normalised(key: &str) -> String {
    let key = key.split('?').next().unwrap_or_default();
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        let c = if matches!(c, '/' | '\\') { ':' } else { c };
        if c != ':' || !out.ends_with(':') {
            out.push(c);
        }
    }
    let out = out.strip_prefix(':').unwrap_or(&out);
    out.strip_suffix(':').unwrap_or(out).to_owned()
}

/// The text of a value, or why it has none.
fn text_of(value: ValueRef<'_>) -> Result<String, String> {
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
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'kv_storage'";
    let found: Option<i64> =
        connection.query_row(sql, [], |row| row.get(0)).optional().map_err(damaged)?;
    if found.is_none() {
        return Err(not_agentx("an SQLite file without the table kv_storage"));
    }
    match connection.prepare("SELECT rowid, key, value FROM kv_storage") {
        Ok(_) => Ok(()),
        Err(error) => Err(not_agentx("an SQLite file whose table kv_storage has no key and value")
            .caused_by(error)),
    }
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

fn damaged(error: rusqlite::Error) -> Error {
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

/// All keys in order, and what has a key of no kind that is taken.
fn keys(connection: &Connection) -> Result<(Vec<Row>, Vec<Note>)> {
    let (mut taken, mut others) = (Vec::new(), Vec::new());
    let mut statement =
        connection.prepare("SELECT rowid, key FROM kv_storage ORDER BY key").map_err(damaged)?;
    let mut rows = statement.query([]).map_err(damaged)?;
    while let Some(row) = rows.next().map_err(damaged)? {
        let id: i64 = row.get(0).map_err(damaged)?;
        let key = match row.get_ref(1).map(text_of).map_err(damaged)? {
            Ok(key) => key,
            Err(reason) => {
                others.push(Note::new(format!("the key in row {id}"), reason));
                continue;
            }
        };
        let records = [Sort::Container, Sort::Image, Sort::Session].map(name);
        if records.iter().any(|name| is_of(&key, name)) || is_of(&key, MESSAGES) {
            taken.push(Row { id, key });
        } else if !is_of(&key, "idx") {
            others.push(Note::new(key, "not one of the kinds that are taken"));
        }
    }
    Ok((taken, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_normalised_as_agentx_does() {
        for (key, expected) in [
            ("messages:q?one", "messages:q"),
            ("messages:a/b\\c", "messages:a:b:c"),
            ("messages:a//b::c", "messages:a:b:c"),
            ("messages::x", "messages:x"),
            ("messages:x:", "messages:x"),
            ("messages:x::", "messages:x"),
            ("messages:?", "messages"),
            ("messages:a b%2F", "messages:a b%2F"),
        ] {
            assert_eq!(normalised(key), expected, "{key}");
        }
    }
}
