//! The JSON backup: `{containers: [..], images: [..], sessions: [..], messages: {id: [..]}}`.
//!
//! It is cut into its records without touching their text, so that one damaged record costs only
//! itself.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use agentkeep::{Error, Json, Kind, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::source::{Sort, Source, Value};
use super::{EXPECTED, not_agentx};
use crate::import::report::Note;

/// A backup, cut into its records.
#[derive(Debug)]
pub(crate) struct Backup {
    containers: Vec<Value>,
    images: Vec<Value>,
    sessions: Vec<Value>,
    messages: BTreeMap<String, String>,
    others: Vec<Note>,
}

impl Backup {
    /// Cuts the text.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let text = String::from_utf8(bytes).map_err(|_| not_agentx("no text in UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.starts_with('{') {
            return Err(not_agentx("neither an SQLite file nor a JSON object"));
        }
        let members = members(text).map_err(|error| {
            Error::new(Kind::InvalidInput, format!("the source is no whole JSON: {error}"))
                .advice(EXPECTED)
                .caused_by(error)
        })?;
        let mut seen = HashSet::new();
        if let Some((twice, _)) = members.iter().find(|(name, _)| !seen.insert(name)) {
            return Err(Error::new(Kind::InvalidInput, format!("the backup has {twice:?} twice"))
                .advice(EXPECTED));
        }
        let of = |name: &str| {
            let found = members.iter().find(|(member, _)| member == name);
            found
                .map(|(_, text)| *text)
                .ok_or_else(|| not_agentx(&format!("a JSON object without the member {name:?}")))
        };
        let known = ["containers", "images", "sessions", "messages"];
        let other = members.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let mut others: Vec<Note> =
            other.map(|(name, _)| Note::new(name, "not one of the kinds that are taken")).collect();
        let messages = lists(of("messages")?, &mut others)?;
        Ok(Self {
            containers: list("containers", of("containers")?)?,
            images: list("images", of("images")?)?,
            sessions: list("sessions", of("sessions")?)?,
            messages,
            others,
        })
    }
}

impl Source for Backup {
    fn form(&self) -> &'static str {
        "AgentX JSON backup"
    }

    fn records(&self, sort: Sort) -> Result<Vec<Value>> {
        Ok(match sort {
            Sort::Container => self.containers.clone(),
            Sort::Image => self.images.clone(),
            Sort::Session => self.sessions.clone(),
        })
    }

    fn place_of(&self, _sort: Sort, _id: &str) -> Option<String> {
        None
    }

    fn place_of_messages(&self, session: &str) -> String {
        place(session)
    }

    fn all_messages(&self) -> Vec<String> {
        self.messages.keys().cloned().collect()
    }

    fn messages(&self, place: &str) -> Result<Option<Value>> {
        let text = self.messages.get(place);
        Ok(text.map(|text| Value { place: place.to_owned(), text: Ok(text.clone()) }))
    }

    fn others(&self) -> Vec<Note> {
        self.others.clone()
    }
}

fn place(session: &str) -> String {
    format!("messages[{session:?}]")
}

fn wrong_type(name: &str, expected: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the backup's member {name:?} is no {expected}"))
        .advice(EXPECTED)
}

fn list(name: &str, text: &str) -> Result<Vec<Value>> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| wrong_type(name, "list").caused_by(error))?;
    let value = |(i, element): (usize, &&RawValue)| Value {
        place: format!("{name}[{i}]"),
        text: Ok(element.get().to_owned()),
    };
    Ok(elements.iter().enumerate().map(value).collect())
}

/// The message lists by place. One whose session stands twice is nobody's.
fn lists(text: &str, others: &mut Vec<Note>) -> Result<BTreeMap<String, String>> {
    let members =
        members(text).map_err(|error| wrong_type("messages", "object").caused_by(error))?;
    let (mut lists, mut twice) = (BTreeMap::new(), HashSet::new());
    for (session, text) in members {
        let place = place(&session);
        if lists.insert(place.clone(), text.to_owned()).is_some() {
            twice.insert(place);
        }
    }
    for place in twice {
        lists.remove(&place);
        others.push(Note::new(place, "the same key stands there twice"));
    }
    Ok(lists)
}

/// The members of an object: decoded keys, and the values' own text.
fn members(text: &str) -> serde_json::Result<Vec<(String, &str)>> {
    let members: Members<'_> = serde_json::from_str(text)?;
    let decoded = |key: &RawValue| {
        let key = Json::parse_replacing_surrogates(key.get()).ok();
        key.and_then(|(key, _)| key.to_text()).unwrap_or_default()
    };
    Ok(members.0.into_iter().map(|(key, value)| (decoded(key), value.get())).collect())
}

struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_as_they_stand() {
        let text = "\u{feff}{\"containers\":[{\"a\" : 1.00}],\"images\":[],\"sessions\":[],
            \"messages\":{\"x\\ud800\":[1e5],\"d\":[],\"d\":[2]},\"more\":{}}";
        let backup = Backup::parse(text.into()).unwrap();
        let records = backup.records(Sort::Container).unwrap();
        assert_eq!(records[0].text.as_deref(), Ok("{\"a\" : 1.00}"));
        assert_eq!(backup.all_messages(), ["messages[\"x\u{fffd}\"]"]);
        assert_eq!(backup.others().len(), 2);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "[]",
            "{",
            "{}",
            "{\"containers\":[],\"images\":[],\"sessions\":[],\"messages\":[]}",
            "{\"containers\":{},\"images\":[],\"sessions\":[],\"messages\":{}}",
            "{\"containers\":[],\"containers\":[],\"images\":[],\"sessions\":[],\"messages\":{}}",
            "{\"containers\":[],\"images\":[],\"sessions\":[],\"messages\":{}} more",
        ] {
            let error = Backup::parse(text.into()).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{text}");
            assert!(error.to_string().contains("kv_storage"), "{text}: {error}");
        }
    }
}
