//! The file of a record: its body over several lines, with our member at the end.

use std::fmt::Write as _;

use serde::Deserialize;

use super::changes::{BlobChange, Place, StreamValue};
use super::{escape, line, pretty, seal};
use crate::driver::{Hash, Put, Record, Save};
use crate::drivers::kernel::Stored;
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{Key, Namespace, Table, Turn};

#[derive(Deserialize)]
struct Meta {
    key: Vec<String>,
    version: u64,
    turn: Option<String>,
    #[serde(default)]
    refs: Vec<String>,
    /// Of a stream's record: where its lines are.
    file: Option<u32>,
    start: Option<u64>,
    end: Option<u64>,
}

/// The text of a record's file.
pub(super) fn write(namespace: &Namespace, record: &Record, place: Option<Place>) -> String {
    let parts: Vec<Json> = record.key.parts().map(Json::string).collect();
    let mut meta = format!("\"key\":{},\"version\":{}", Json::array(&parts), record.version);
    if let Some(turn) = &record.turn {
        meta.push_str(",\"turn\":");
        meta.push_str(Json::string(turn.as_str()).as_str());
    }
    line::push_refs(&mut meta, &record.refs);
    if let Some(Place { file, start, end }) = place {
        let _ = write!(meta, ",\"file\":{file},\"start\":{start},\"end\":{end}");
    }
    pretty::pretty(&seal::seal(&context(namespace, record.key.table()), &record.body, &meta))
}

/// The file's name for the record with this key.
pub(super) fn name(key: &Key) -> String {
    escape::joined(key.parts()) + ".json"
}

/// A checksum is right only in the folder that the record belongs in.
fn context<'a>(namespace: &'a Namespace, table: &'a Table) -> [&'a [u8]; 2] {
    [namespace.as_str().as_bytes(), table.name.as_bytes()]
}

/// What a record's file says: the record, and for a stream's record where the lines are.
///
/// # Errors
/// `Corrupt`.
pub(super) fn read(
    namespace: &Namespace,
    table: &'static Table,
    bytes: &[u8],
) -> Result<(Stored, Option<Place>)> {
    let damaged = || Error::new(Kind::Corrupt, "it is damaged");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let canonical = Json::parse(text).map_err(|error| damaged().caused_by(error))?;
    let (body, meta) = seal::open(&context(namespace, table), canonical.as_str())?;
    let meta: Meta = serde_json::from_str(&meta).map_err(|error| damaged().caused_by(error))?;
    let parts: Vec<&str> = meta.key.iter().map(String::as_str).collect();
    let record = Record {
        key: Key::from_parts(table, &parts)?,
        body,
        version: meta.version,
        turn: meta.turn.as_deref().map(Turn::new).transpose()?,
        refs: line::refs(&meta.refs)?,
    };
    let place = match (meta.file, meta.start, meta.end) {
        (Some(file), Some(start), Some(end)) => Some(Place { file, start, end }),
        _ => None,
    };
    Ok((stored(record)?, place))
}

/// A record with its indexed fields.
pub(super) fn stored(record: Record) -> Result<Stored> {
    let fields = Put::new(record.key.clone(), record.body.clone(), Save::Any)?.fields;
    Ok(Stored::new(record, fields))
}

/// What the record of a stream says of it.
pub(super) fn stream_value(stored: &Stored, place: Place) -> Option<StreamValue> {
    let body = stored.body();
    let number = |name: &str| u64::try_from(body.member(name)?.to_i64()?).ok();
    Some(StreamValue {
        birth: u64::from_str_radix(&body.member("birth")?.to_text()?, 16).ok()?,
        first: number("first")?,
        last: number("last")?,
        count: number("count")?,
        bytes: number("bytes")?,
        updated: body.member("updated")?.to_i64()?,
        version: stored.record.version,
        place,
    })
}

/// What the record of a blob says of it.
pub(super) fn blob_value(stored: &Stored) -> Option<(Hash, BlobChange)> {
    let body = stored.body();
    let number = |name: &str| u64::try_from(body.member(name)?.to_i64()?).ok();
    let change = BlobChange {
        size: number("size")?,
        references: number("references")?,
        unreferenced_since: body.member("unreferencedSince").and_then(|since| since.to_i64()),
        version: stored.record.version,
    };
    Some((Hash::from_hex(stored.record.key.first()).ok()?, change))
}

/// The parts of the key that a record's file names, whether it is sound or not.
pub(super) fn key_of(bytes: &[u8]) -> Option<Vec<String>> {
    let json = Json::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    json.member("_agentkeep")?.member("key")?.to().ok()
}
