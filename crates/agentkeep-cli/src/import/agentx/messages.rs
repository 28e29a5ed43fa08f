//! A message list of the source as our messages.

use std::collections::HashSet;

use agentkeep::{Json, Message};
use serde_json::value::RawValue;

use super::records::{check_size, text_to_json};
use super::source::Value;
use crate::import::report::{Note, Notes};

/// The messages that can be taken, in order. The list is cut without touching the messages'
/// text, so that a damaged one costs only itself.
pub(super) fn read(value: Value, notes: &mut Notes) -> Vec<Message> {
    let place = value.place;
    let elements = value.text.and_then(|text| elements(&text));
    let elements = match elements {
        Ok(elements) => elements,
        Err(reason) => {
            notes.not_taken.push(Note::new(place, reason));
            return Vec::new();
        }
    };
    let mut seen = HashSet::new();
    let mut messages = Vec::with_capacity(elements.len());
    for (i, element) in elements.iter().enumerate() {
        let place = format!("{place}[{i}]");
        match message(element, &place, notes) {
            Ok(message) => messages.push(with_unique_id(message, &place, &mut seen, notes)),
            Err(reason) => notes.not_taken.push(Note::new(place, reason)),
        }
    }
    messages
}

/// How many messages a list has, if it is one.
pub(super) fn count(value: &Value) -> Result<usize, String> {
    elements(value.text.as_ref().map_err(Clone::clone)?).map(|elements| elements.len())
}

fn elements(text: &str) -> Result<Vec<Box<RawValue>>, String> {
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            "it is no list of messages".to_owned()
        } else {
            format!("not JSON: {error}")
        }
    })
}

fn message(element: &RawValue, place: &str, notes: &mut Notes) -> Result<Message, String> {
    let json: Json = text_to_json(element.get(), place, notes)?;
    if !json.is_object() {
        return Err("the message is no JSON object".to_owned());
    }
    check_size(&json)?;
    Ok(Message::foreign(json).0)
}

/// An id names one message of its session; what has none, or another's, is kept without.
fn with_unique_id(
    message: Message,
    place: &str,
    seen: &mut HashSet<String>,
    notes: &mut Notes,
) -> Message {
    let reason = match message.id() {
        Some(id) if seen.insert(id.to_owned()) => return message,
        Some(id) => format!("an earlier message has the id {id:?}"),
        None if message.json().raw_member("id").is_some() => {
            "its id breaks the rule for ids".into()
        }
        None => "it has no id".to_owned(),
    };
    notes.without_entry_id.push(Note::new(place, reason));
    message.without_entry_id()
}
