//! Topics: what is kept of each beside its events.

use std::sync::Arc;

use super::cursor::Issuer;
use super::epochs::Epochs;
use super::limits::Retention;
use crate::driver::{Entry, Head, Record};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::StoredEvent;
use crate::repo::space::Space;
use crate::schema::{Key, Stream, TOPICS, Turn, check_id};

/// A topic's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    name: String,
    epochs: Epochs,
    /// True once an event with an idempotency key was published.
    keyed: bool,
    pub(super) retention: Option<Retention>,
}

impl Topic {
    /// A new one.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), epochs: Epochs::new(), keyed: false, retention: None }
    }

    pub(crate) fn key(name: &str) -> Result<Key> {
        check_id("topic", name)?;
        Key::new(&TOPICS, [name])
    }

    pub(crate) fn of_record(record: &Record) -> Result<Self> {
        let body = &record.body;
        let damaged = || {
            Error::new(Kind::Corrupt, "the topic's record is damaged").at(record.key.to_string())
        };
        let name = body.member("topic").and_then(|value| value.to_text());
        Ok(Self {
            name: name.ok_or_else(damaged)?,
            epochs: Epochs::of_json(body).ok_or_else(damaged)?,
            keyed: body.raw_member("keyed") == Some("true"),
            retention: body.member("retention").map(|json| json.to()).transpose()?,
        })
    }

    pub(crate) fn to_json(&self) -> Result<Json> {
        let mut editor = ObjectEditor::default();
        editor.set("topic", &Json::string(&self.name));
        self.epochs.write(&mut editor);
        if self.keyed {
            editor.set("keyed", &Json::of(&true)?);
        }
        if let Some(retention) = &self.retention {
            editor.set("retention", &Json::of(retention)?);
        }
        Ok(editor.finish())
    }

    /// From memory, or as it is now: a commit must check the version.
    pub(crate) async fn cached(space: &Space, name: &str) -> Result<Option<(Arc<Self>, u64)>> {
        match space.remembered::<Self>(&Self::key(name)?) {
            Some(found) => Ok(Some(found)),
            None => Self::load(space, name).await,
        }
    }

    /// As it is now.
    pub(super) async fn load(space: &Space, name: &str) -> Result<Option<(Arc<Self>, u64)>> {
        let key = Self::key(name)?;
        let Some(record) = space.get(&key).await? else { return Ok(None) };
        let topic = Arc::new(Self::of_record(&record)?);
        space.remember(key, Arc::clone(&topic), record.version);
        Ok(Some((topic, record.version)))
    }

    pub(crate) fn issuer(&self, space: &Space) -> Issuer {
        Issuer::new(space.driver().describe(), space.namespace(), &self.name, &self.epochs)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed
    }

    pub(crate) fn with_keys(&self) -> Self {
        Self { keyed: true, ..self.clone() }
    }

    pub(super) fn with_retention(&self, retention: Option<Retention>) -> Self {
        Self { retention, ..self.clone() }
    }

    pub(super) fn in_next_epoch(self, last: u64) -> Self {
        Self { epochs: self.epochs.next(last), ..self }
    }

    pub(super) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    pub(crate) fn stream(&self) -> Result<Stream> {
        Stream::new(&self.name)
    }
}

/// The event that an entry is.
pub(super) fn event(issuer: &Issuer, entry: Entry) -> StoredEvent {
    StoredEvent {
        topic: entry.stream.as_str().to_owned(),
        cursor: issuer.cursor(entry.number),
        number: entry.number,
        time: entry.time,
        turn: entry.turn.as_ref().map(Turn::to_string),
        key: entry.id.as_ref().map(ToString::to_string),
        body: entry.body,
    }
}

/// The number of the first and last event; 1 and 0 for a topic that has none yet.
pub(super) fn ends(head: Option<&Head>) -> (u64, u64) {
    head.map_or((1, 0), |head| (head.first, head.last))
}

/// What is told of events that have been trimmed.
pub(super) fn trimmed(topic: &str, first: u64, wanted: u64) -> Error {
    let message = format!("event {wanted} has been trimmed; the first one kept is {first}");
    Error::new(Kind::Trimmed, message)
        .number(first)
        .at(format!("topic {topic:?}"))
        .advice("go on from the beginning of what is kept, and treat the rest as lost")
}

/// What is told of a cursor beyond the end.
pub(super) fn ahead(topic: &str, last: u64) -> Error {
    let message = format!("the topic's events end at {last}: the cursor is from a lost future");
    Error::new(Kind::CursorAhead, message)
        .number(last + 1)
        .at(format!("topic {topic:?}"))
        .advice("the store was restored from before; go on from its end")
}

/// What is told of a place in a history that a restore took back after `last`.
pub(super) fn lost(topic: &str, last: u64) -> Error {
    let message = format!(
        "a restore took back what came after event {last}: the cursor is from a lost future"
    );
    Error::new(Kind::CursorAhead, message)
        .number(last + 1)
        .at(format!("topic {topic:?}"))
        .advice("what has this number now is another event; go on after the last common one")
}
