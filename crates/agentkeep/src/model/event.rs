//! Events.

use serde::Serialize;

use crate::driver::Hash;
use crate::error::Result;
use crate::json::Json;
use crate::repo::Cursor;
use crate::schema::EntryId;

/// An event to publish: any JSON.
///
/// ```
/// use agentkeep::Event;
/// let event = Event::of(&serde_json::json!({"type": "text_delta", "text": "Hel"}))?;
/// let once = Event::of("order placed")?.with_key("order-17")?;
/// # Ok::<(), agentkeep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    body: Json,
    key: Option<EntryId>,
    refs: Vec<Hash>,
}

impl Event {
    /// An event with this content.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON form or is nested too deep.
    pub fn of<T: Serialize + ?Sized>(body: &T) -> Result<Self> {
        Ok(Self::from_json(Json::of(body)?))
    }

    /// An event with this content, kept text for text.
    pub fn from_json(body: Json) -> Self {
        Self { body, key: None, refs: Vec::new() }
    }

    /// Publishing another event with the same idempotency key in the same topic changes nothing
    /// and answers the first one's cursor, for at least 24 hours and 100,000 events of the topic.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn with_key(mut self, key: &str) -> Result<Self> {
        self.key = Some(EntryId::new(key)?);
        Ok(self)
    }

    /// Its content.
    pub fn body(&self) -> &Json {
        &self.body
    }

    /// Its idempotency key.
    pub fn key(&self) -> Option<&EntryId> {
        self.key.as_ref()
    }

    pub(crate) fn refs(&self) -> &[Hash] {
        &self.refs
    }
}

/// An event as it is kept. As JSON: `{topic, cursor, timestamp, turn?, key?, event}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredEvent {
    /// Its topic.
    pub topic: String,
    /// Its place in the topic: later events have larger cursors, byte by byte.
    pub cursor: Cursor,
    /// Its number in the topic: 1, 2, 3, ..., without gaps.
    #[serde(skip)]
    pub number: u64,
    /// The store's time of publishing, milliseconds since 1970.
    #[serde(rename = "timestamp")]
    pub time: i64,
    /// The turn that published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    /// Its idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its content.
    #[serde(rename = "event")]
    pub body: Json,
}
