//! An event of theirs as one of ours.

use agentkeep::{Event, Json, ObjectEditor};

use super::rows::Row;
use crate::import::bytes::{check_size, to_json};
use crate::import::ids;
use crate::import::report::List;

/// The member that keeps where an event comes from: `{cursor, timestamp}`.
const ORIGIN: &str = "_origin";

/// An event that can be taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) row: i64,
    /// Its topic here, and there.
    pub(super) topic: String,
    pub(super) original: String,
    pub(super) event: Event,
    pub(super) notes: Vec<(List, String)>,
}

/// The event of a row, or why there is none.
pub(super) fn of(row: Row) -> Result<Taken, String> {
    let within = |what: &str| {
        let what = what.to_owned();
        move |reason: String| format!("its {what}: {reason}")
    };
    let original = row.topic.map_err(within("topic"))?;
    let cursor = row.cursor.map_err(within("cursor"))?;
    if !row.counts {
        return Err(format!("an earlier event has its cursor {cursor:?}"));
    }
    let (json, replaced) = to_json(&row.event?)?;
    let mut notes: Vec<_> =
        replaced.into_iter().map(|replaced| (List::Altered, replaced)).collect();
    let body = with_origin(&json, &cursor, &row.timestamp)?;
    check_size(&body)?;
    // The cursor as the key: importing again publishes nothing again.
    let key = ids::escaped(&cursor);
    let event = Event::from_json(body)
        .with_key(key.as_deref().unwrap_or(&cursor))
        .map_err(|error| error.message().to_owned())?;
    let topic = ids::escaped(&original);
    if let Some(topic) = &topic {
        notes.push((List::EscapedIds, format!("its topic is taken as {topic:?}")));
    }
    let topic = topic.unwrap_or_else(|| original.clone());
    Ok(Taken { row: row.id, topic, original, event, notes })
}

/// The event with its origin. What is no object, or has a member of that name already, stands
/// whole under `event`, and the origin says so.
fn with_origin(json: &Json, cursor: &str, timestamp: &Json) -> Result<Json, String> {
    let mut origin = ObjectEditor::default();
    origin.set("cursor", &Json::string(cursor)).set("timestamp", timestamp);
    if json.is_object() && json.raw_member(ORIGIN).is_none() {
        return Ok(ObjectEditor::of(json).set(ORIGIN, &origin.finish()).finish());
    }
    origin.set("wrapped", &Json::of(&true).map_err(|error| error.to_string())?);
    let mut wrapped = ObjectEditor::default();
    let body = wrapped.set("event", json).set(ORIGIN, &origin.finish()).finish();
    // One level deeper than it was.
    Json::parse(body.as_str()).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    #[test]
    fn what_an_event_was_can_be_told() {
        for (theirs, ours) in [
            (r#"{"a":1.0}"#, r#"{"a":1.0,"_origin":{"cursor":"c-0","timestamp":7}}"#),
            ("{}", r#"{"_origin":{"cursor":"c-0","timestamp":7}}"#),
            (r#""x""#, r#"{"event":"x","_origin":{"cursor":"c-0","timestamp":7,"wrapped":true}}"#),
            (
                r#"{"_origin":1}"#,
                r#"{"event":{"_origin":1},"_origin":{"cursor":"c-0","timestamp":7,"wrapped":true}}"#,
            ),
        ] {
            let json = Json::parse(theirs).unwrap();
            let body = with_origin(&json, "c-0", &Json::integer(7)).unwrap();
            assert_eq!(body.as_str(), ours);
        }
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(with_origin(&Json::parse(&deep).unwrap(), "c-0", &Json::null()).is_err());
    }
}
