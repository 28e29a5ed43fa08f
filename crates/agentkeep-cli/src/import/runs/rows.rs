//! The rows of a runs file, one at a time.

use std::path::Path;

use agentkeep::Result;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;

use super::not_runs;
use crate::import::sqlite::{self, check_whole, columns, damaged, has_table};

const TABLE: &str = "agent_runs";
/// The columns and the members of a snapshot that they hold, in the order of snapshots.
pub(super) const COLUMNS: [(&str, &str); 14] = [
    ("run_id", "runId"),
    ("status", "status"),
    ("started_at", "startedAt"),
    ("completed_at", "completedAt"),
    ("input", "input"),
    ("history", "history"),
    ("plan", "plan"),
    ("trace", "trace"),
    ("usage", "usage"),
    ("step_index", "stepIndex"),
    ("iterations", "iterations"),
    ("revisions", "revisions"),
    ("result_text", "text"),
    ("error", "error"),
];
/// A row beyond this is told and not read: no commit could hold the run.
const LARGEST: i64 = 128 << 20;

/// A copy of the file, open.
#[derive(Debug)]
pub(super) struct Rows {
    connection: Connection,
    others: Vec<String>,
    /// Keeps the copy for as long as it is open.
    _folder: TempDir,
}

/// One run as it stands there.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) no: i64,
    /// In the order of [`COLUMNS`]; `None` when it is too large to be read.
    pub(super) values: Option<Vec<Value>>,
    id: String,
    size: u64,
}

impl Rows {
    /// Copies the file and looks what it is, and whether it is whole.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (connection, folder) = sqlite::open(path)?;
        if !has_table(&connection, TABLE)? {
            return Err(not_runs("an SQLite file without the table agent_runs"));
        }
        let there = columns(&connection, TABLE).map_err(damaged)?;
        let missing = COLUMNS.iter().find(|(column, _)| !there.iter().any(|name| name == column));
        if let Some((column, _)) = missing {
            let what = format!("an SQLite file whose table agent_runs has no column {column}");
            return Err(not_runs(&what));
        }
        if let Err(error) = connection.prepare("SELECT rowid FROM agent_runs") {
            let what = "an SQLite file whose table agent_runs has no row ids";
            return Err(not_runs(what).caused_by(error));
        }
        check_whole(&connection)?;
        let is_known = |name: &String| COLUMNS.iter().any(|(column, _)| column == name);
        let others = there.into_iter().filter(|name| !is_known(name)).collect();
        Ok(Self { connection, others, _folder: folder })
    }

    /// Columns that nobody knows.
    pub(super) fn others(&self) -> &[String] {
        &self.others
    }

    fn lengths() -> String {
        COLUMNS.map(|(column, _)| format!("ifnull(octet_length({column}), 0)")).join(" + ")
    }

    /// How many bytes the runs have.
    pub(super) fn size(&self) -> Result<u64> {
        let sql = format!("SELECT ifnull(sum({}), 0) FROM agent_runs", Self::lengths());
        let size: i64 = self.connection.query_row(&sql, [], |row| row.get(0)).map_err(damaged)?;
        Ok(size.max(0).cast_unsigned())
    }

    /// The row after this one; `None` at the end.
    pub(super) fn after(&self, no: i64) -> Result<Option<Row>> {
        let read = || -> rusqlite::Result<Option<Row>> {
            let sql = format!(
                "SELECT rowid, {}, substr(CAST(run_id AS BLOB), 1, 256) FROM agent_runs \
                 WHERE rowid > ?1 ORDER BY rowid LIMIT 1",
                Self::lengths()
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let first = |row: &rusqlite::Row<'_>| {
                let id: Option<Vec<u8>> = row.get(2)?;
                Ok((row.get(0)?, row.get(1)?, id.unwrap_or_default()))
            };
            let found: Option<(i64, i64, Vec<u8>)> = statement.query_row([no], first).optional()?;
            let Some((no, size, id)) = found else { return Ok(None) };
            let id = String::from_utf8_lossy(&id).into_owned();
            let values = if size > LARGEST { None } else { Some(self.values(no)?) };
            Ok(Some(Row { no, values, id, size: size.max(0).cast_unsigned() }))
        };
        read().map_err(damaged)
    }

    fn values(&self, no: i64) -> rusqlite::Result<Vec<Value>> {
        let names = COLUMNS.map(|(column, _)| column).join(", ");
        let sql = format!("SELECT {names} FROM agent_runs WHERE rowid = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_row([no], |row| {
            let value = |place| -> rusqlite::Result<Value> {
                // Texts as bytes: what is no UTF-8 in them is for us to tell.
                Ok(match row.get_ref(place)? {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => Value::Integer(number),
                    ValueRef::Real(number) => Value::Real(number),
                })
            };
            (0..COLUMNS.len()).map(value).collect()
        })
    }
}

impl Row {
    /// Where it stands.
    pub(super) fn place(&self) -> String {
        format!("run {:?}", self.id)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.size
    }

    /// All that is in it.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        let part = |value: &Value| match value {
            Value::Null => b"null".to_vec(),
            Value::Integer(n) => format!("integer {n}").into_bytes(),
            Value::Real(n) => format!("real {n:?}").into_bytes(),
            Value::Text(text) => [b"text ", text.as_bytes()].concat(),
            Value::Blob(bytes) => [b"text ", bytes.as_slice()].concat(),
        };
        match &self.values {
            Some(values) => values.iter().map(part).collect(),
            None => vec![self.id.clone().into_bytes(), self.size.to_le_bytes().to_vec()],
        }
    }
}
