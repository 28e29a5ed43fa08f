//! The rows of a queue database, some at a time.

use std::collections::HashMap;

use agentkeep::driver::MAX_BODY;
use agentkeep::{Json, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;

use crate::import::bytes::MAX_TEXT;
use crate::import::sqlite::{columns, damaged, text_of};

/// Rows read at once, and bytes of them: a queue that is no larger comes in by one commit.
const ROWS: usize = 5_000;
const BYTES: usize = 16 << 20;

/// A copy of the database, open.
#[derive(Debug)]
pub(crate) struct Rows {
    connection: Connection,
    /// What the column with the cursors is called.
    cursor: &'static str,
    /// The same among the consumers; `None` when there are none.
    acked: Option<&'static str>,
    /// Of cursors that stand twice in a topic, the row that counts.
    twice: Twice,
    /// Keeps the copy for as long as it is open.
    _folder: TempDir,
}

/// By topic and cursor, the row that counts.
type Twice = HashMap<(Vec<u8>, Vec<u8>), i64>;

/// One event as it stands there.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) topic: Result<String, String>,
    pub(super) cursor: Result<String, String>,
    pub(super) event: Result<String, String>,
    pub(super) timestamp: Json,
    /// False when the cursor stands there twice, and this row is the later one.
    pub(super) counts: bool,
}

/// How far a consumer has come in a topic.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) consumer: Result<String, String>,
    pub(super) topic: Result<String, String>,
    pub(super) cursor: Result<String, String>,
    /// The last row that it is done with, by the order of publishing.
    pub(super) upto: i64,
}

/// The name of the column with the cursors: newer AgentX calls it `offset`.
pub(crate) fn cursor_column(
    connection: &Connection,
    table: &str,
    others: &[&str],
) -> rusqlite::Result<Option<&'static str>> {
    let names = columns(connection, table)?;
    let has = |name: &str| names.iter().any(|column| column == name);
    if !others.iter().all(|name| has(name)) {
        return Ok(None);
    }
    Ok(["cursor", "offset"].into_iter().find(|name| has(name)))
}

impl Rows {
    pub(super) fn open(
        connection: Connection,
        folder: TempDir,
        cursor: &'static str,
        acked: Option<&'static str>,
    ) -> Result<Self> {
        let mut rows = Self { connection, cursor, acked, twice: HashMap::new(), _folder: folder };
        rows.twice = rows.find_twice().map_err(damaged)?;
        Ok(rows)
    }

    fn find_twice(&self) -> rusqlite::Result<Twice> {
        let sql = format!(
            "SELECT CAST(topic AS BLOB), CAST(\"{0}\" AS BLOB), min(rowid) FROM queue_entries \
             WHERE topic IS NOT NULL AND \"{0}\" IS NOT NULL \
             GROUP BY topic, \"{0}\" HAVING count(*) > 1",
            self.cursor
        );
        let mut statement = self.connection.prepare(&sql)?;
        let found = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        found.collect()
    }

    /// How many bytes the events have.
    pub(super) fn size(&self) -> Result<u64> {
        let sql = "SELECT ifnull(sum(octet_length(event)), 0) FROM queue_entries";
        let size: i64 = self.connection.query_row(sql, [], |row| row.get(0)).map_err(damaged)?;
        Ok(size.max(0).cast_unsigned())
    }

    /// Rows after this one, in the order of publishing; none at the end.
    pub(super) fn after(&self, id: i64) -> Result<Vec<Row>> {
        let sql = format!(
            "SELECT rowid, topic, \"{}\", octet_length(event), \
             CASE WHEN octet_length(event) <= {MAX_TEXT} THEN event END, timestamp \
             FROM queue_entries WHERE rowid > ?1 ORDER BY rowid LIMIT {ROWS}",
            self.cursor
        );
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut found = statement.query([id])?;
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while let Some(row) = found.next()? {
                let row = self.row(row)?;
                let more = row.event.as_ref().map_or(0, String::len);
                if bytes + more > BYTES && !rows.is_empty() {
                    break;
                }
                bytes += more;
                rows.push(row);
            }
            Ok(rows)
        };
        read().map_err(damaged)
    }

    fn row(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let id = row.get(0)?;
        let length: Option<i64> = row.get(3)?;
        let too_long =
            length.filter(|length| usize::try_from(*length).is_ok_and(|length| length > MAX_TEXT));
        let event = match too_long {
            Some(length) => Err(format!("it has {length} bytes, more than {MAX_BODY}")),
            None => text_of(row.get_ref(4)?),
        };
        let (topic, cursor) = (text_of(row.get_ref(1)?), text_of(row.get_ref(2)?));
        let counts = match (&topic, &cursor, self.twice.is_empty()) {
            (Ok(topic), Ok(cursor), false) => {
                let place = (topic.clone().into_bytes(), cursor.clone().into_bytes());
                self.twice.get(&place).is_none_or(|first| *first == id)
            }
            _ => true,
        };
        Ok(Row { id, topic, cursor, event, timestamp: json_of(row.get_ref(5)?), counts })
    }

    /// How far each consumer has come.
    pub(super) fn acked(&self) -> Result<Vec<Acked>> {
        let Some(column) = self.acked else { return Ok(Vec::new()) };
        let sql =
            format!("SELECT consumer_id, topic, \"{column}\" FROM queue_consumers ORDER BY 1, 2");
        let read = || -> rusqlite::Result<Vec<Acked>> {
            let mut statement = self.connection.prepare(&sql)?;
            let mut found = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = found.next()? {
                let [consumer, topic, cursor] =
                    [text_of(row.get_ref(0)?), text_of(row.get_ref(1)?), text_of(row.get_ref(2)?)];
                let upto = match (&topic, &cursor) {
                    (Ok(topic), Ok(cursor)) => self.upto(topic, cursor)?,
                    _ => 0,
                };
                all.push(Acked { consumer, topic, cursor, upto });
            }
            Ok(all)
        };
        read().map_err(damaged)
    }

    /// The row of the cursor. When that event is gone, the last one before whatever comes after it
    /// by AgentX's order, which is that of the text: rather one again than one lost.
    fn upto(&self, topic: &str, cursor: &str) -> rusqlite::Result<i64> {
        if !is_cursor(cursor) {
            return Ok(0);
        }
        let one = |sql: String, cursor: Option<&str>| -> rusqlite::Result<Option<i64>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let found = match cursor {
                Some(cursor) => statement.query_row([topic, cursor], |row| row.get(0)).optional(),
                None => statement.query_row([topic], |row| row.get(0)).optional(),
            };
            found.map(Option::flatten)
        };
        let from = |what: &str, rule: &str| {
            format!("SELECT {what} FROM queue_entries WHERE topic = ?1 {rule}")
        };
        let column = self.cursor;
        let exact = from("min(rowid)", &format!("AND \"{column}\" = ?2"));
        if let Some(row) = one(exact, Some(cursor))? {
            return Ok(row);
        }
        let next = from("min(rowid)", &format!("AND \"{column}\" > ?2"));
        if let Some(row) = one(next, Some(cursor))? {
            return Ok(row - 1);
        }
        Ok(one(from("max(rowid)", ""), None)?.unwrap_or(0))
    }
}

/// Whether a text has the form of AgentX's cursors.
pub(super) fn is_cursor(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    text.split_once('-').is_some_and(|(time, sequence)| plain(time) && plain(sequence))
}

/// A value as it stands.
fn json_of(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Integer(number) => Json::integer(number),
        ValueRef::Real(number) => Json::of(&number).unwrap_or_else(|_| Json::null()),
        ValueRef::Null => Json::null(),
        ValueRef::Text(_) | ValueRef::Blob(_) => {
            text_of(value).map_or_else(|_| Json::null(), |text| Json::string(&text))
        }
    }
}
