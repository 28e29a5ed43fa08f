//! The form of everything that is kept as JSON text: the value itself with one last member,
//! `_agentkeep`, that holds what belongs to the store and a checksum over all before it.
//!
//! A value that is no object, or that has such a member of its own, stands under `value`.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::error::{Error, Kind, Result};
use crate::json::Json;

const MARK: &str = "\"_agentkeep\":";
static FIND_MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
const WRAPPED: &str = "{\"value\":";
/// What stands before the checksum, in the meta of a wrapped value.
const FLAG: &str = ",\"wrapped\":true";
const SUM: &str = ",\"crc\":\"";
/// Eight hexadecimal digits, then `"}}`.
const AFTER_SUM: usize = 8 + 3;
/// Bytes that [`push`] adds beside the body and the meta, at most.
pub(super) const ROOM: usize = 64;

/// The text of `body` with `meta`, members of an object without its braces. `context` is what the
/// text does not say and what must fit all the same.
pub(super) fn seal(context: &[&[u8]], body: &Json, meta: &str) -> String {
    let mut out = String::with_capacity(body.len() + meta.len() + ROOM);
    push(&mut out, context, body, |out| out.push_str(meta));
    out
}

/// Adds to `out` what [`seal`] gives; `meta` adds its members.
pub(super) fn push(
    out: &mut String,
    context: &[&[u8]],
    body: &Json,
    meta: impl FnOnce(&mut String),
) {
    let (start, text) = (out.len(), body.as_str());
    let marked = || FIND_MARK.find(text.as_bytes()).is_some();
    let wrapped = !body.is_object() || (marked() && body.raw_member("_agentkeep").is_some());
    if wrapped {
        out.push_str(WRAPPED);
        out.push_str(text);
        out.push(',');
    } else {
        out.push_str(&text[..text.len() - 1]);
        if text.len() > "{}".len() {
            out.push(',');
        }
    }
    out.push_str(MARK);
    out.push('{');
    meta(out);
    if wrapped {
        out.push_str(FLAG);
    }
    let sum = checksum(context, &out[start..]);
    out.push_str(SUM);
    out.extend(hex(sum));
    out.push_str("\"}}");
}

/// The body and the meta, as an object, of a text that [`seal`] made.
///
/// # Errors
/// `Corrupt` when a single byte is another.
pub(super) fn open(context: &[&[u8]], text: &str) -> Result<(Json, String)> {
    parts(context, text)
        .ok_or_else(|| Error::new(Kind::Corrupt, "its checksum does not fit: it is damaged"))
}

fn parts(context: &[&[u8]], text: &str) -> Option<(Json, String)> {
    let (signed, sum) = text.split_at_checked(text.len().checked_sub(SUM.len() + AFTER_SUM)?)?;
    let digits = sum.strip_prefix(SUM)?.strip_suffix("\"}}")?;
    if !digits.chars().eq(hex(checksum(context, signed))) {
        return None;
    }
    let at = signed.rfind(MARK)?;
    let (before, meta) = (&signed[..at], &signed[at + MARK.len()..]);
    let (body, meta) = if let Some(meta) = meta.strip_suffix(FLAG) {
        (before.strip_prefix(WRAPPED)?.strip_suffix(',')?.to_owned(), format!("{meta}}}"))
    } else {
        let open = before.strip_suffix(',').unwrap_or(before);
        (format!("{open}}}"), format!("{meta}}}"))
    };
    // The checksum says that this is what was sealed, and only canonical text is.
    Some((Json::assembled(body), meta))
}

/// The meta of a text that [`seal`] made, as an object, without checking it.
pub(super) fn meta(text: &str) -> Option<&str> {
    let at = text.rfind(MARK)?;
    text[at + MARK.len()..].strip_suffix('}')
}

fn checksum(context: &[&[u8]], text: &str) -> u32 {
    crate::schema::checksum(context.iter().copied().chain([text.as_bytes()]))
}

fn hex(sum: u32) -> impl Iterator<Item = char> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (0..8).rev().map(move |place| char::from(DIGITS[(sum >> (4 * place)) as usize & 15]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_back_and_nothing_else_does() {
        for body in [
            "{}",
            r#"{"a":1}"#,
            r#"{"a":{"_agentkeep":1},"b":[1,"{\"_agentkeep\":{"]}"#,
            r#"{"_agentkeep":{"seq":2,"crc":"00000000"}}"#,
            r#"{"value":1}"#,
            "[1]",
            "null",
            r#"",\"_agentkeep\":{""#,
        ] {
            let json = Json::parse(body).unwrap();
            let text = seal(&[b"here"], &json, r#""seq":1,"turn":",\"wrapped\":true""#);
            Json::parse(&text).unwrap();
            let (back, meta) = open(&[b"here"], &text).unwrap();
            assert_eq!(back.as_str(), body);
            assert_eq!(meta, r#"{"seq":1,"turn":",\"wrapped\":true"}"#);
            assert!(open(&[b"there"], &text).is_err());
            for i in 0..text.len() {
                for bit in 0..8 {
                    let mut bytes = text.clone().into_bytes();
                    bytes[i] ^= 1 << bit;
                    let Ok(changed) = String::from_utf8(bytes) else { continue };
                    assert!(open(&[b"here"], &changed).is_err(), "{changed}");
                }
            }
        }
    }
}
