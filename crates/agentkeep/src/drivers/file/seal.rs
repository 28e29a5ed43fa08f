//! The form of everything that is kept as JSON text: the value itself with one last member,
//! `_agentkeep`, that holds what belongs to the store and a checksum over all before it.
//!
//! A value that is no object, or that has such a member of its own, stands under `value`.

use crate::error::{Error, Kind, Result};
use crate::json::Json;

const MARK: &str = "\"_agentkeep\":";
const WRAPPED: &str = "{\"value\":";
/// What stands before the checksum, in the meta of a wrapped value.
const FLAG: &str = ",\"wrapped\":true";
const SUM: &str = ",\"crc\":\"";
/// Eight hexadecimal digits, then `"}}`.
const AFTER_SUM: usize = 8 + 3;

/// The text of `body` with `meta`, members of an object without its braces. `context` is what the
/// text does not say and what must fit all the same.
pub(super) fn seal(context: &[&[u8]], body: &Json, meta: &str) -> String {
    let text = body.as_str();
    let wrapped =
        !body.is_object() || (text.contains(MARK) && body.raw_member("_agentkeep").is_some());
    let mut out = String::with_capacity(text.len() + meta.len() + 64);
    if wrapped {
        out.push_str(WRAPPED);
        out.push_str(text);
        out.push(',');
    } else {
        out.push_str(&text[..text.len() - 1]);
        if out.len() > 1 {
            out.push(',');
        }
    }
    out.push_str(MARK);
    out.push('{');
    out.push_str(meta);
    if wrapped {
        out.push_str(FLAG);
    }
    let sum = checksum(context, &out);
    out.push_str(SUM);
    out.push_str(&hex(sum));
    out.push_str("\"}}");
    out
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
    if digits != hex(checksum(context, signed)) {
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

fn hex(sum: u32) -> String {
    format!("{sum:08x}")
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
