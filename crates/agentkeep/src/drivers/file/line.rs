//! The line of an entry: its own text with our member at the end.

use serde::Deserialize;

use super::seal;
use crate::driver::{Entry, Hash};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{EntryId, Stream, Turn};

#[derive(Deserialize)]
struct Meta {
    seq: u64,
    id: Option<String>,
    time: i64,
    turn: Option<String>,
    rewritten: Option<i64>,
    #[serde(default)]
    refs: Vec<String>,
}

/// Adds the line, with its end, of an entry of the stream with this birth token. Every append comes
/// here, so nothing is put together elsewhere first.
pub(super) fn push(out: &mut String, birth: u64, entry: &Entry) {
    seal::push(out, &[&birth.to_le_bytes()], &entry.body, |meta| {
        let mut digits = itoa::Buffer::new();
        meta.push_str("\"seq\":");
        meta.push_str(digits.format(entry.number));
        if let Some(id) = &entry.id {
            meta.push_str(",\"id\":");
            Json::push_string(meta, id.as_str());
        }
        meta.push_str(",\"time\":");
        meta.push_str(digits.format(entry.time));
        if let Some(turn) = &entry.turn {
            meta.push_str(",\"turn\":");
            Json::push_string(meta, turn.as_str());
        }
        if let Some(rewritten) = entry.rewritten {
            meta.push_str(",\"rewritten\":");
            meta.push_str(digits.format(rewritten));
        }
        push_refs(meta, &entry.refs);
    });
    out.push('\n');
}

/// Room for the line of an entry, so that the text of many seldom has to move.
pub(super) fn room(entry: &Entry) -> usize {
    entry.body.len() + entry.id.as_ref().map_or(0, |id| id.as_str().len()) + 2 * seal::ROOM
}

/// Adds the member that names blobs, if there are any.
pub(super) fn push_refs(meta: &mut String, refs: &[Hash]) {
    if refs.is_empty() {
        return;
    }
    let names: Vec<String> = refs.iter().map(|hash| format!("\"{hash}\"")).collect();
    meta.push_str(",\"refs\":[");
    meta.push_str(&names.join(","));
    meta.push(']');
}

pub(super) fn refs(names: &[String]) -> Result<Vec<Hash>> {
    names.iter().map(|name| Hash::from_hex(name)).collect()
}

/// The entry that a line, without its end, is of.
///
/// # Errors
/// `Corrupt`.
pub(super) fn read(stream: &Stream, birth: u64, line: &[u8]) -> Result<Entry> {
    let damaged = || Error::new(Kind::Corrupt, "it is damaged");
    let text = std::str::from_utf8(line).map_err(|_| damaged())?;
    let (body, meta) = seal::open(&[&birth.to_le_bytes()], text)?;
    let meta: Meta = serde_json::from_str(&meta).map_err(|_| damaged())?;
    Ok(Entry {
        stream: stream.clone(),
        number: meta.seq,
        id: meta.id.as_deref().map(EntryId::new).transpose()?,
        body,
        time: meta.time,
        turn: meta.turn.as_deref().map(Turn::new).transpose()?,
        rewritten: meta.rewritten,
        refs: refs(&meta.refs)?,
    })
}

/// The number, the id and the turn of a line, without checking it.
pub(super) fn scan(line: &[u8]) -> Option<(u64, Option<String>, Option<String>)> {
    let meta = seal::meta(std::str::from_utf8(line).ok()?)?;
    let meta: Meta = serde_json::from_str(meta).ok()?;
    Some((meta.seq, meta.id, meta.turn))
}
