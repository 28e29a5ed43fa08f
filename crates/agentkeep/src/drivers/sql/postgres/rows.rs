//! Rows: how records, heads and entries come back from columns.

use tokio_postgres::Row;

use crate::driver::{Entry, Hash, Head, Record};
use crate::drivers::kernel::{blob_body, stream_body};
use crate::drivers::sql::shape::quoted;
use crate::error::{Error, Kind};
use crate::json::Json;
use crate::schema::{BLOBS, EntryId, Key, STREAMS, Stream, Table, Turn};

use super::connections::Failed;

type Decoded<T> = std::result::Result<T, Failed>;

/// The columns of a record, in the order in which [`record`] takes them.
pub(super) fn record_columns(table: &Table, alias: &str) -> String {
    let key: Vec<String> = table.key.iter().map(|key| format!("{alias}.{}", quoted(key))).collect();
    let key = format!("ARRAY[{}]::text[]", key.join(", "));
    let c = |column: &str| format!("{alias}.{column}");
    if table.name == STREAMS.name {
        return format!(
            "{key}, {}, NULL::text, NULL::text, NULL::text, ARRAY[{}, {}, {}, {}, {}, {}]::bigint[]",
            c("version"),
            c("birth"),
            c("first"),
            c("last"),
            c("count"),
            c("bytes"),
            c("updated")
        );
    }
    if table.name == BLOBS.name {
        return format!(
            "{key}, {}, NULL::text, NULL::text, NULL::text, ARRAY[{}, {}, {}]::bigint[]",
            c("version"),
            c("size"),
            c("reference_count"),
            c("unreferenced_since")
        );
    }
    format!(
        "{key}, {}, {}, {}, {}::text, NULL::bigint[]",
        c("version"),
        c("turn"),
        c("refs"),
        c("body")
    )
}

fn damaged(place: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, "a stored row is damaged")
        .at(place.to_string())
        .advice("run check, and restore the store from a backup")
}

/// A record from [`record_columns`], from column `at` on.
pub(super) fn record(table: &'static Table, row: &Row, at: usize) -> Decoded<Record> {
    let parts: Vec<&str> = row.try_get(at)?;
    let key = Key::from_parts(table, &parts).map_err(|_| damaged(table.name))?;
    let version = row.try_get::<_, i64>(at + 1)?.cast_unsigned();
    if table.name == STREAMS.name || table.name == BLOBS.name {
        let facts: Vec<Option<i64>> = row.try_get(at + 5)?;
        let body = if table.name == STREAMS.name {
            head(&facts).map(|head| stream_body(&key, &head))
        } else {
            blob_told(&parts, &facts)
        };
        let body = body.ok_or_else(|| damaged(&key))?;
        return Ok(Record { key, body, version, turn: None, refs: Vec::new() });
    }
    let (turn, refs): (Option<&str>, Option<&str>) = (row.try_get(at + 2)?, row.try_get(at + 3)?);
    let body: &str = row.try_get(at + 4)?;
    Ok(Record {
        body: Json::from_stored(body).map_err(|error| error.at(key.to_string()))?,
        version,
        turn: turn.map(Turn::new).transpose().map_err(|_| damaged(&key))?,
        refs: refs_from(refs).ok_or_else(|| damaged(&key))?,
        key,
    })
}

fn blob_told(parts: &[&str], facts: &[Option<i64>]) -> Option<Json> {
    let ([hash], [Some(size), Some(references), since]) = (parts, facts) else { return None };
    let hash = Hash::from_hex(hash).ok()?;
    Some(blob_body(hash, size.cast_unsigned(), references.cast_unsigned(), *since))
}

/// A head from `birth, first, last, count, bytes, updated`.
pub(super) fn head(facts: &[Option<i64>]) -> Option<Head> {
    let [Some(birth), Some(first), Some(last), Some(count), Some(bytes), Some(updated)] = facts
    else {
        return None;
    };
    Some(Head {
        birth: birth.cast_unsigned(),
        first: first.cast_unsigned(),
        last: last.cast_unsigned(),
        count: count.cast_unsigned(),
        bytes: bytes.cast_unsigned(),
        updated: *updated,
    })
}

/// The list of blobs that a row refers to; `None` for what is no such list.
pub(super) fn refs_from(text: Option<&str>) -> Option<Vec<Hash>> {
    let Some(text) = text else { return Some(Vec::new()) };
    let list = Json::from_stored(text).ok()?;
    list.elements().map(|name| Hash::from_hex(&name.to_text()?).ok()).collect()
}

/// The columns of an entry, in the order in which [`entry`] takes them.
pub(super) const ENTRY_COLUMNS: &str =
    "e.seq, e.id, e.body::text, e.time, e.turn, e.rewritten, e.refs";

/// An entry from [`ENTRY_COLUMNS`], from column `at` on.
pub(super) fn entry(stream: &Stream, row: &Row, at: usize) -> Decoded<Entry> {
    let number = row.try_get::<_, i64>(at)?.cast_unsigned();
    let place = || format!("stream {stream:?} entry {number}");
    let (id, turn): (Option<&str>, Option<&str>) = (row.try_get(at + 1)?, row.try_get(at + 4)?);
    let body: &str = row.try_get(at + 2)?;
    Ok(Entry {
        stream: stream.clone(),
        number,
        id: id.map(EntryId::new).transpose().map_err(|_| damaged(place()))?,
        body: Json::from_stored(body).map_err(|error| error.at(place()))?,
        time: row.try_get(at + 3)?,
        turn: turn.map(Turn::new).transpose().map_err(|_| damaged(place()))?,
        rewritten: row.try_get(at + 5)?,
        refs: refs_from(row.try_get(at + 6)?).ok_or_else(|| damaged(place()))?,
    })
}

/// A stream's name from a column.
pub(super) fn stream(row: &Row, at: usize) -> Decoded<Stream> {
    Ok(Stream::new(row.try_get(at)?).map_err(|_| damaged("_streams"))?)
}
