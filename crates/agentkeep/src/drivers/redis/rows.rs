//! Rows: how records, entries, heads and blobs stand in texts, and come back from them.
//!
//! Facts first, separated by U+001F, which no fact can hold; then a line feed and the body. The
//! checksum is over what the writer knows before the server gives versions, numbers and times.

use crate::driver::{Entry, Hash, Head, Record};
use crate::drivers::kernel::{blob_body, stream_body};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{BLOBS, EntryId, Key, Log, Namespace, STREAMS, Stream, Table, Turn, checksum};

pub(super) const SEPARATOR: char = '\u{1f}';
/// Digits of an entry's number, which a stored entry begins with.
const DIGITS: usize = 19;

pub(super) fn damaged(place: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, "a stored value is damaged")
        .at(place.to_string())
        .advice("run check, and restore the store from a backup")
}

/// The list of blobs that something refers to: distinct and in order.
pub(super) fn refs_text(refs: &[Hash]) -> String {
    let distinct: std::collections::BTreeSet<Hash> = refs.iter().copied().collect();
    let names: Vec<String> = distinct.iter().map(|hash| hash.to_hex()).collect();
    names.join(",")
}

fn refs_from(text: &str) -> Option<Vec<Hash>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|name| Hash::from_hex(name).ok()).collect()
}

fn sum(parts: [&str; 6]) -> u32 {
    checksum(parts.iter().map(|part| part.as_bytes()))
}

/// A record without its version, which comes before.
pub(super) fn record_tail(
    namespace: &str,
    key: &Key,
    turn: &str,
    refs: &str,
    body: &Json,
) -> String {
    let sum = sum([namespace, key.table().name, key.encoded(), turn, refs, body.as_str()]);
    format!("\u{1f}{turn}\u{1f}{refs}\u{1f}{sum:08x}\n{body}")
}

/// An entry without its number and time, which come before.
pub(super) fn entry_tail(
    names: (&str, &str, &str),
    (id, turn): (&str, &str),
    refs: &str,
    body: &Json,
) -> String {
    let size = 4 + id.len() + turn.len() + refs.len() + body.len() + 10;
    let mut tail = String::with_capacity(size);
    for part in ["\u{1f}\u{1f}", id, "\u{1f}", turn, "\u{1f}"] {
        tail.push_str(part);
    }
    push_rewritten(&mut tail, names, refs, body);
    tail
}

/// What a rewritten entry ends in. Its id and turn stay as they are.
pub(super) fn rewritten_tail(names: (&str, &str, &str), refs: &str, body: &Json) -> String {
    let mut tail = String::new();
    push_rewritten(&mut tail, names, refs, body);
    tail
}

fn push_rewritten(
    tail: &mut String,
    (namespace, log, stream): (&str, &str, &str),
    refs: &str,
    body: &Json,
) {
    let sum = sum([namespace, log, stream, "", refs, body.as_str()]);
    let mut hex = [0; 8];
    data_encoding::HEXLOWER.encode_mut(&sum.to_be_bytes(), &mut hex);
    for part in [refs, "\u{1f}", std::str::from_utf8(&hex).unwrap_or_default(), "\n"] {
        tail.push_str(part);
    }
    tail.push_str(body.as_str());
}

/// The facts and the body of a row.
fn split(row: &[u8]) -> Option<(Vec<&str>, &str)> {
    let text = std::str::from_utf8(row).ok()?;
    let (facts, body) = text.split_once('\n')?;
    Some((facts.split(SEPARATOR).collect(), body))
}

/// A record as the driver gives it.
pub(super) fn record(namespace: &Namespace, key: Key, row: &[u8]) -> Result<Record> {
    let found = match key.table().name {
        name if name == STREAMS.name => stream_record(&key, row),
        name if name == BLOBS.name => blob_record(&key, row),
        _ => plain_record(namespace.as_str(), &key, row),
    };
    let (version, body, turn, refs) = found.ok_or_else(|| damaged(&key))?;
    let body = match body {
        Told::Made(json) => json,
        Told::Stored(text) => Json::from_stored(text).map_err(|error| error.at(key.to_string()))?,
    };
    Ok(Record { key, body, version, turn, refs })
}

enum Told<'a> {
    Made(Json),
    Stored(&'a str),
}

type Facts<'a> = (u64, Told<'a>, Option<Turn>, Vec<Hash>);

fn plain_record<'a>(namespace: &str, key: &Key, row: &'a [u8]) -> Option<Facts<'a>> {
    let (facts, body) = split(row)?;
    let [version, turn, refs, crc] = facts.as_slice() else { return None };
    // The record of a namespace is that namespace's own, whoever reads it.
    let namespace = if key.table().name.starts_with('_') { key.first() } else { namespace };
    let expected = sum([namespace, key.table().name, key.encoded(), turn, refs, body]);
    if u32::from_str_radix(crc, 16) != Ok(expected) {
        return None;
    }
    Some((version.parse().ok()?, Told::Stored(body), turn_from(turn).ok()?, refs_from(refs)?))
}

/// No text is no turn; the error is for what is none.
fn turn_from(text: &str) -> Result<Option<Turn>> {
    Some(text).filter(|text| !text.is_empty()).map(Turn::new).transpose()
}

fn stream_record<'a>(key: &Key, row: &[u8]) -> Option<Facts<'a>> {
    let (head, version) = head(row)?;
    Some((version, Told::Made(stream_body(key, &head)), None, Vec::new()))
}

fn blob_record<'a>(key: &Key, row: &[u8]) -> Option<Facts<'a>> {
    let blob = blob(row)?;
    let hash = Hash::from_hex(key.first()).ok()?;
    let body = blob_body(hash, blob.size, blob.references, blob.unreferenced_since);
    Some((blob.version, Told::Made(body), None, Vec::new()))
}

/// What is known of a blob.
pub(super) struct BlobRow {
    pub(super) size: u64,
    pub(super) references: u64,
    pub(super) unreferenced_since: Option<i64>,
    version: u64,
}

pub(super) fn blob(row: &[u8]) -> Option<BlobRow> {
    let text = std::str::from_utf8(row).ok()?;
    let facts: Vec<&str> = text.split(SEPARATOR).collect();
    let [size, references, since, version] = facts.as_slice() else { return None };
    let since = Some(since).filter(|since| !since.is_empty()).map(|since| since.parse());
    Some(BlobRow {
        size: size.parse().ok()?,
        references: references.parse().ok()?,
        unreferenced_since: since.transpose().ok()?,
        version: version.parse().ok()?,
    })
}

/// The head of a stream and the version of its record.
pub(super) fn head(row: &[u8]) -> Option<(Head, u64)> {
    let text = std::str::from_utf8(row).ok()?;
    let facts: Vec<&str> = text.split(SEPARATOR).collect();
    let [birth, first, last, count, bytes, updated, version, _, _] = facts.as_slice() else {
        return None;
    };
    let head = Head {
        birth: u64::from_str_radix(birth, 16).ok()?,
        first: first.parse().ok()?,
        last: last.parse().ok()?,
        count: count.parse().ok()?,
        bytes: bytes.parse().ok()?,
        updated: updated.parse().ok()?,
    };
    Some((head, version.parse().ok()?))
}

/// How many entries of the stream carry a turn, and how many refer to blobs.
pub(super) fn tallies(row: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(row).ok()?;
    let mut last = text.rsplit(SEPARATOR);
    let referring = last.next()?.parse().ok()?;
    Some((last.next()?.parse().ok()?, referring))
}

/// An entry as the driver gives it.
pub(super) fn entry(
    namespace: &Namespace,
    log: &Log,
    stream: &Stream,
    row: &[u8],
) -> Result<Entry> {
    let place = || {
        let number = row.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.map_or("?", |digits| digits.trim_start_matches('0'));
        format!("{} {stream:?} entry {number}", log.name)
    };
    let names = (namespace.as_str(), log.name, stream.as_str());
    let (mut entry, body) = entry_facts(names, stream, row).ok_or_else(|| damaged(place()))?;
    entry.body = Json::from_stored(body).map_err(|error| error.at(place()))?;
    Ok(entry)
}

fn entry_facts<'a>(
    (namespace, log, name): (&str, &str, &str),
    stream: &Stream,
    row: &'a [u8],
) -> Option<(Entry, &'a str)> {
    let (facts, body) = split(row)?;
    let [first, rewritten, id, turn, refs, crc] = facts.as_slice() else { return None };
    if u32::from_str_radix(crc, 16) != Ok(sum([namespace, log, name, "", refs, body])) {
        return None;
    }
    let (number, time) = (first.get(..DIGITS)?, first.get(DIGITS..)?);
    let id = Some(id).filter(|id| !id.is_empty()).map(|id| EntryId::new(id));
    let rewritten = Some(rewritten).filter(|time| !time.is_empty()).map(|time| time.parse());
    let entry = Entry {
        stream: stream.clone(),
        number: number.parse().ok()?,
        id: id.transpose().ok()?,
        body: Json::null(),
        time: time.parse().ok()?,
        turn: turn_from(turn).ok()?,
        rewritten: rewritten.transpose().ok()?,
        refs: refs_from(refs)?,
    };
    Some((entry, body))
}

/// The number of an entry as all entries begin with it.
pub(super) fn digits(number: u64) -> String {
    // Nothing comes behind the largest number of 19 digits.
    let mut buffer = itoa::Buffer::new();
    let plain = buffer.format(number.min(9_999_999_999_999_999_999));
    let mut padded = "0".repeat(DIGITS.saturating_sub(plain.len()));
    padded.push_str(plain);
    padded
}

/// The place of a record in an index: the encoded values, the encoded key, the key's length. No
/// character of a key is as small as the length's first byte, so the order is that of the keys.
pub(super) fn place(mut values: Vec<u8>, key: &str) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    values.extend_from_slice(key.as_bytes());
    values.extend(length.to_be_bytes());
    values
}

/// All places of a record in the index by turn and those of its table, as the commit takes them:
/// which index, how long, the place.
pub(super) fn places(
    key: &Key,
    fields: &[crate::schema::FieldValue],
    turn: Option<&Turn>,
) -> Vec<u8> {
    let table: &'static Table = key.table();
    let indexes: &'static [crate::schema::Index] = table.indexes;
    let mut packed = Vec::new();
    for (i, index) in std::iter::once(&crate::schema::BY_TURN).chain(indexes).enumerate() {
        for values in crate::schema::index_entries(table, index, fields, turn) {
            let place = place(values, key.encoded());
            packed.push(u8::try_from(i).unwrap_or(u8::MAX));
            packed.extend(u16::try_from(place.len()).unwrap_or(u16::MAX).to_be_bytes());
            packed.extend(place);
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Namespace;

    #[test]
    fn what_was_changed_is_told() {
        let (namespace, stream) = (Namespace::default(), Stream::new("s").unwrap());
        let log = &crate::schema::MESSAGES;
        let body = Json::parse(r#"{"a":"x\ny"}"#).unwrap();
        let tail = entry_tail(("default", "messages", "s"), ("id", "t"), "", &body);
        let row = format!("{}17{tail}", digits(3));
        let found = entry(&namespace, log, &stream, row.as_bytes()).unwrap();
        assert_eq!((found.number, found.time, found.body), (3, 17, body));
        for (from, to) in [("\"a\"", "\"b\""), ("\u{1f}id\u{1f}", "\u{1f}"), ("\n", "")] {
            let changed = row.replacen(from, to, 1);
            let error = entry(&namespace, log, &stream, changed.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{from:?}");
        }
    }

    #[test]
    fn places_with_the_same_values_are_in_the_order_of_their_keys() {
        let keys = ["a", "a\u{1f}", "a\u{1f}b", "a ", "ab", "b"];
        let places: Vec<Vec<u8>> = keys.iter().map(|key| place(vec![4, 0, 0], key)).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}
