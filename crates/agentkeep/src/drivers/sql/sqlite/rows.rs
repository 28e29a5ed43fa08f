//! Rows: how records, heads and entries stand in columns, and back, their checksums verified.

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Row, ToSql};

use super::errors::map;
use super::sums::blob_sum;
use crate::driver::{Entry, Hash, Head, Record};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::schema::{
    BLOBS, EntryId, Key, NAMESPACES, Namespace, Number, STREAMS, Stream, Table, Turn, Value,
    checksum,
};

/// An indexed value as a parameter. SQLite orders NULL < numbers < text, as we do; false and true
/// stand below all numbers, which stop short of the largest `f64`.
pub(super) struct Indexed<'a>(pub(super) &'a Value);

impl ToSql for Indexed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Missing => ToSqlOutput::Owned(SqlValue::Null),
            Value::Bool(false) => ToSqlOutput::Owned(SqlValue::Real(f64::NEG_INFINITY)),
            Value::Bool(true) => ToSqlOutput::Owned(SqlValue::Real(f64::MIN)),
            Value::Number(Number::Integer(i)) => ToSqlOutput::Owned(SqlValue::Integer(*i)),
            Value::Number(Number::Real(r)) => ToSqlOutput::Owned(SqlValue::Real(*r)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// A column's value as an indexed value.
pub(super) fn indexed(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Missing,
        ValueRef::Integer(i) => Value::Number(Number::Integer(i)),
        ValueRef::Real(r) if r == f64::NEG_INFINITY => Value::Bool(false),
        ValueRef::Real(r) if r <= f64::MIN => Value::Bool(true),
        ValueRef::Real(r) => Value::Number(Number::from_f64(r)),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).ok()?.to_owned()),
        ValueRef::Blob(_) => return None,
    })
}

/// SQLite keeps 64 bits with a sign.
pub(super) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

/// The list of blobs that a row refers to, as text.
pub(super) fn refs_text(refs: &[Hash]) -> Option<String> {
    if refs.is_empty() {
        return None;
    }
    let names: Vec<String> = refs.iter().map(|hash| format!("\"{hash}\"")).collect();
    Some(format!("[{}]", names.join(",")))
}

pub(super) fn refs_from(text: Option<&str>) -> Result<Vec<Hash>> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let list = Json::from_stored(text)?;
    list.elements().map(|name| Hash::from_hex(&name.to_text().unwrap_or_default())).collect()
}

pub(super) fn record_sum(
    namespace: &Namespace,
    key: &Key,
    body: &str,
    version: u64,
    turn: Option<&str>,
    refs: Option<&str>,
) -> u32 {
    // A record of `_namespaces` is the same from every namespace.
    let scope = if key.table().name == NAMESPACES.name { "" } else { namespace.as_str() };
    checksum([
        scope.as_bytes(),
        key.encoded().as_bytes(),
        body.as_bytes(),
        &version.to_le_bytes(),
        turn.unwrap_or("").as_bytes(),
        refs.unwrap_or("").as_bytes(),
    ])
}

/// The checksum of an entry's row.
#[allow(clippy::too_many_arguments, reason = "one for each column")]
pub(super) fn entry_sum(
    stream_no: i64,
    number: u64,
    id: Option<&str>,
    body: &str,
    time: i64,
    turn: Option<&str>,
    rewritten: Option<i64>,
    refs: Option<&str>,
) -> u32 {
    checksum([
        &stream_no.to_le_bytes()[..],
        &number.to_le_bytes(),
        id.unwrap_or("").as_bytes(),
        body.as_bytes(),
        &time.to_le_bytes(),
        turn.unwrap_or("").as_bytes(),
        // "Never" is not the time 0, which differs from it by one bit in SQLite's file.
        rewritten.map(i64::to_le_bytes).as_ref().map_or(&[], |time| &time[..]),
        refs.unwrap_or("").as_bytes(),
    ])
}

pub(super) fn head_sum(
    namespace: &Namespace,
    log: &str,
    stream: &str,
    head: &Head,
    version: u64,
) -> u32 {
    let numbers = [head.birth, head.first, head.last, head.count, head.bytes, version];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    bytes.extend(head.updated.to_le_bytes());
    checksum([namespace.as_str().as_bytes(), log.as_bytes(), stream.as_bytes(), &bytes])
}

pub(super) fn damaged(place: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, "a stored row is damaged: its checksum does not fit")
        .at(place.to_string())
        .advice("run check, and restore the store from a backup")
}

/// A column as text; anything else is damage.
pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str> {
    let value = row.get_ref(column).map_err(map)?;
    value
        .as_str()
        .map_err(|error| Error::new(Kind::Corrupt, "a stored column is no text").caused_by(error))
}

pub(super) fn optional_text<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>> {
    match row.get_ref(column).map_err(map)? {
        ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    integer(row, column).map(i64::cast_unsigned)
}

pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    row.get_ref(column).map_err(map)?.as_i64().map_err(|error| {
        Error::new(Kind::Corrupt, "a stored column is no integer").caused_by(error)
    })
}

pub(super) fn optional_integer(row: &Row<'_>, column: usize) -> Result<Option<i64>> {
    match row.get_ref(column).map_err(map)? {
        ValueRef::Null => Ok(None),
        _ => integer(row, column).map(Some),
    }
}

/// A record from the columns of [`select_columns`](super::ddl::select_columns).
pub(super) fn record(
    table: &'static Table,
    namespace: &Namespace,
    row: &Row<'_>,
) -> Result<Record> {
    if table.name == STREAMS.name {
        return stream_record(namespace, row);
    }
    if table.name == BLOBS.name {
        return blob_record(namespace, row);
    }
    let parts: Vec<&str> = (0..table.key.len()).map(|i| text(row, i)).collect::<Result<_>>()?;
    let key = Key::from_parts(table, &parts).map_err(|_| damaged(table.name))?;
    let at = table.key.len();
    let version = number(row, at)?;
    let (turn, refs) = (optional_text(row, at + 1)?, optional_text(row, at + 2)?);
    let body = text(row, at + 3)?;
    let sum = record_sum(namespace, &key, body, version, turn, refs);
    if i64::from(sum) != integer(row, at + 4)? {
        return Err(damaged(&key));
    }
    Ok(Record {
        body: Json::summed(body),
        version,
        turn: turn.map(Turn::new).transpose()?,
        refs: refs_from(refs)?,
        key,
    })
}

fn unsigned(value: u64) -> Json {
    Json::of(&value).unwrap_or_else(|_| Json::null())
}

/// A head from `birth, first, last, count, bytes, updated`, from column `at` on.
pub(super) fn head(row: &Row<'_>, at: usize) -> Result<Head> {
    Ok(Head {
        birth: number(row, at)?,
        first: number(row, at + 1)?,
        last: number(row, at + 2)?,
        count: number(row, at + 3)?,
        bytes: number(row, at + 4)?,
        updated: integer(row, at + 5)?,
    })
}

fn stream_record(namespace: &Namespace, row: &Row<'_>) -> Result<Record> {
    let (log, stream) = (text(row, 0)?, text(row, 1)?);
    let key = Key::new(&STREAMS, [log, stream]).map_err(|_| damaged(STREAMS.name))?;
    let head = head(row, 2)?;
    let version = number(row, 8)?;
    if i64::from(head_sum(namespace, log, stream, &head, version)) != integer(row, 9)? {
        return Err(damaged(&key));
    }
    let mut body = ObjectEditor::default();
    body.set("log", &Json::string(log)).set("stream", &Json::string(stream));
    body.set("birth", &Json::string(&format!("{:016x}", head.birth)));
    body.set("first", &unsigned(head.first)).set("last", &unsigned(head.last));
    body.set("count", &unsigned(head.count)).set("bytes", &unsigned(head.bytes));
    body.set("updated", &Json::integer(head.updated));
    Ok(Record { key, body: body.finish(), version, turn: None, refs: Vec::new() })
}

fn blob_record(namespace: &Namespace, row: &Row<'_>) -> Result<Record> {
    let hash = text(row, 0)?;
    let key = Key::new(&BLOBS, [hash]).map_err(|_| damaged(BLOBS.name))?;
    let (size, references, since) = (integer(row, 1)?, integer(row, 2)?, optional_integer(row, 3)?);
    let sum = blob_sum(namespace.as_str(), hash, size, references, since, integer(row, 4)?);
    if i64::from(sum) != integer(row, 5)? {
        return Err(damaged(&key));
    }
    let mut body = ObjectEditor::default();
    body.set("hash", &Json::string(hash)).set("size", &unsigned(number(row, 1)?));
    body.set("references", &unsigned(number(row, 2)?));
    if let Some(since) = since {
        body.set("unreferencedSince", &Json::integer(since));
    }
    Ok(Record { key, body: body.finish(), version: number(row, 4)?, turn: None, refs: Vec::new() })
}

/// The columns of an entry, in the order in which [`entry`] decodes them.
pub(super) const ENTRY_COLUMNS: &str = "seq, id, body, time, turn, rewritten, refs, crc";

/// An entry from [`ENTRY_COLUMNS`], from column `at` on.
pub(super) fn entry(stream: &Stream, stream_no: i64, row: &Row<'_>, at: usize) -> Result<Entry> {
    let seq = number(row, at)?;
    let (id, body) = (optional_text(row, at + 1)?, text(row, at + 2)?);
    let (time, turn) = (integer(row, at + 3)?, optional_text(row, at + 4)?);
    let (rewritten, refs) = (optional_integer(row, at + 5)?, optional_text(row, at + 6)?);
    let sum = entry_sum(stream_no, seq, id, body, time, turn, rewritten, refs);
    if i64::from(sum) != integer(row, at + 7)? {
        return Err(damaged(format!("stream {stream:?} entry {seq}")));
    }
    Ok(Entry {
        stream: stream.clone(),
        number: seq,
        id: id.map(EntryId::new).transpose()?,
        body: Json::summed(body),
        time,
        turn: turn.map(Turn::new).transpose()?,
        rewritten,
        refs: refs_from(refs)?,
    })
}
