//! Ids that our rule refuses: they come in under another, which is always the same for them.

use std::fmt::Write as _;

use agentkeep::schema::check_id;
use agentkeep::{Json, ObjectEditor};

use crate::import::report::List;

/// So much of the original stands before the hash, in bytes.
const PREFIX: usize = 200;
/// The member that keeps what an id was.
const ORIGIN: &str = "_origin";

/// The id under which `original` is taken; `None` when it can stay.
pub(super) fn escaped(original: &str) -> Option<String> {
    if check_id("foreign", original).is_ok() {
        return None;
    }
    let mut id = String::new();
    for c in original.chars() {
        let mut shown = String::new();
        if c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(shown, "%{byte:02X}");
            }
        } else {
            shown.push(c);
        }
        if id.len() + shown.len() > PREFIX {
            break;
        }
        id.push_str(&shown);
    }
    let hash = blake3::hash(original.as_bytes()).to_hex();
    let _ = write!(id, "~{}", &hash[..16]);
    Some(id)
}

/// A record with usable ids.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) json: Json,
    /// The record's id as it was.
    pub(super) original: String,
    pub(super) notes: Vec<(List, String)>,
}

/// Gives a record usable ids: its own in `field`, and those of what it refers to. References
/// follow by themselves, for the new id depends on nothing but the old one.
pub(super) fn usable(
    json: Json,
    field: &str,
    required: &[&str],
    optional: &[&str],
) -> Result<Named, String> {
    let original = match json.member(field) {
        None => return Err(format!("it has no {field}")),
        Some(id) => id.to_text().ok_or_else(|| format!("its {field} is no string"))?,
    };
    let mut changed = Vec::new();
    for name in std::iter::once(&field).chain(required).chain(optional) {
        let text = json.member(name).and_then(|id| id.to_text());
        let Some(text) = text.filter(|text| !(text.is_empty() && optional.contains(name))) else {
            continue;
        };
        if let Some(id) = escaped(&text) {
            changed.push((*name, text, id));
        }
    }
    if changed.is_empty() {
        return Ok(Named { json, original, notes: Vec::new() });
    }
    let mut editor = ObjectEditor::of(&json);
    let before = json.member(ORIGIN).filter(Json::is_object);
    let mut origin = before.as_ref().map(ObjectEditor::of).unwrap_or_default();
    let mut notes = Vec::new();
    for (name, text, id) in changed {
        editor.set(name, &Json::string(&id));
        let member = if name == field { "id" } else { name };
        origin.set(member, &Json::string(&text));
        notes.push((List::EscapedIds, format!("{name} {} is taken as {id:?}", brief(&text))));
    }
    editor.set(ORIGIN, &origin.finish());
    Ok(Named { json: editor.finish(), original, notes })
}

fn brief(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    #[test]
    fn what_is_refused_gets_a_readable_id_of_its_own() {
        assert_eq!(escaped("fine ~ % 研究"), None);
        let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
        assert_eq!(escaped("").unwrap(), format!("~{}", hash("")));
        assert_eq!(escaped("a\nb\u{85}").unwrap(), format!("a%0Ab%C2%85~{}", hash("a\nb\u{85}")));
        let long = "é".repeat(200);
        let id = escaped(&long).unwrap();
        assert_eq!(id, format!("{}~{}", "é".repeat(100), hash(&long)));
        for text in ["", "a\n", long.as_str(), &"\u{1}".repeat(500)] {
            assert!(check_id("x", &escaped(text).unwrap()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn the_original_stays_and_references_follow() {
        let json =
            Json::parse(r#"{"sessionId":"a\n","imageId":"i\t","x":1,"_origin":{"y":2}}"#).unwrap();
        let named = usable(json, "sessionId", &["imageId"], &[]).unwrap();
        let (own, image) = (escaped("a\n").unwrap(), escaped("i\t").unwrap());
        let wanted = format!(
            r#"{{"sessionId":"{own}","imageId":"{image}","x":1,"_origin":{{"y":2,"id":"a\n","imageId":"i\t"}}}}"#
        );
        assert_eq!(named.json.as_str(), wanted);
        assert_eq!((named.original.as_str(), named.notes.len()), ("a\n", 2));
    }
}
