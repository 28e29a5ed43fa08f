//! A row as a snapshot, its members in the order in which the original gives them.

use agentkeep::{Json, ObjectEditor, RunSnapshot};
use rusqlite::types::Value;

use super::rows::{COLUMNS, Row};
use crate::import::bytes::{reason_of, to_json};
use crate::import::report::List;

/// The member that keeps what an id was.
const ORIGIN: &str = "_origin";

/// The run of a row with what is to be told about it, or why there is none.
pub(super) fn of(row: &Row) -> Result<(RunSnapshot, Vec<(List, String)>), String> {
    let Some(values) = &row.values else {
        return Err(format!("it has {} bytes, more than a run can have", row.bytes()));
    };
    let (mut editor, mut notes) = (ObjectEditor::default(), Vec::new());
    let mut original = None;
    for ((column, member), value) in COLUMNS.iter().zip(values) {
        let within = |reason: String| format!("its {column}: {reason}");
        let json = match (*member, value) {
            (_, Value::Null) => continue,
            ("runId", value) => {
                let (id, told) = text(value).map_err(within)?;
                notes.extend(told.map(|told| (List::Altered, within(told))));
                let usable = usable(&id);
                if usable != id {
                    notes.push((List::EscapedIds, format!("runId is taken as {usable:?}")));
                    original = Some(id);
                }
                Json::string(&usable)
            }
            ("history" | "plan" | "trace" | "usage", value) => {
                let (text, told) = text(value).map_err(within)?;
                notes.extend(told.map(|told| (List::Altered, within(told))));
                let (json, told) = to_json(&text).map_err(within)?;
                notes.extend(told.map(|told| (List::Altered, within(told))));
                json
            }
            (_, Value::Integer(number)) => Json::integer(*number),
            (_, Value::Real(number)) => Json::of(number).map_err(|error| reason_of(&error))?,
            (_, value) => {
                let (text, told) = text(value).map_err(within)?;
                notes.extend(told.map(|told| (List::Altered, within(told))));
                Json::string(&text)
            }
        };
        editor.set(member, &json);
    }
    if let Some(original) = original {
        let mut origin = ObjectEditor::default();
        origin.set("id", &Json::string(&original));
        editor.set(ORIGIN, &origin.finish());
    }
    let run = RunSnapshot::from_json(editor.finish()).map_err(|error| reason_of(&error))?;
    Ok((run, notes))
}

/// A text, and what was replaced in it. NULs stay, also those at which the original cuts.
fn text(value: &Value) -> Result<(String, Option<String>), String> {
    let bytes = match value {
        Value::Text(text) => text.as_bytes(),
        Value::Blob(bytes) => bytes,
        Value::Null => return Err("it is NULL, not text".to_owned()),
        Value::Integer(_) | Value::Real(_) => return Err("it is a number, not text".to_owned()),
    };
    Ok(match String::from_utf8_lossy(bytes) {
        std::borrow::Cow::Borrowed(text) => (text.to_owned(), None),
        std::borrow::Cow::Owned(text) => {
            (text, Some("what was no UTF-8 replaced by U+FFFD".to_owned()))
        }
    })
}

/// The id itself when it keeps the rule for ids of runs; else one that is always the same for it.
fn usable(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=128).contains(&id.len()) && id.chars().all(fits) {
        return id.to_owned();
    }
    let readable: String = id.chars().take(100).map(|c| if fits(c) { c } else { '_' }).collect();
    let hash = blake3::hash(id.as_bytes()).to_hex();
    format!("{readable}-{}", &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_against_the_rule_get_one_of_their_own() {
        assert_eq!(usable("a-B_9"), "a-B_9");
        let (slash, space) = (usable("a/b"), usable("a b"));
        assert!(slash.starts_with("a_b-") && space.starts_with("a_b-") && slash != space);
        assert_eq!(usable("").len(), 17);
        assert!(usable(&"研".repeat(300)).len() <= 128);
    }
}
