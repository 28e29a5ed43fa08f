//! Entries of transcripts.

use std::fmt;

use serde::{Serialize, Serializer};

use super::document;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};

/// What happened in a thread: `{"t": float seconds, "iter", "agent_id", "role", "content",
/// "metadata", "actions", "latency_ms"?, ...}`, or with `error` in place of `content`. Key order,
/// number text and unknown fields are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct TranscriptEntry {
    json: Json,
}

impl TranscriptEntry {
    /// An entry of now.
    ///
    /// # Errors
    /// What [`from_json`](Self::from_json) refuses.
    pub fn new(iter: u64, agent_id: &str, role: &str, content: &Json) -> Result<Self> {
        #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
        let seconds = document::now() as f64 / 1000.0;
        let mut editor = ObjectEditor::default();
        editor.set("t", &Json::of(&seconds)?).set("iter", &Json::of(&iter)?);
        editor.set("agent_id", &Json::string(agent_id)).set("role", &Json::string(role));
        editor.set("content", content);
        editor.set("metadata", &Json::null()).set("actions", &Json::null());
        Self::from_json(editor.finish())
    }

    /// Reads it from JSON, which is kept as it is. No member is required: Agentry Lab's reader
    /// takes any object.
    ///
    /// # Errors
    /// `InvalidInput` when it is no object or a member has the wrong type.
    pub fn from_json(json: Json) -> Result<Self> {
        document::object("transcript entry", &json)?;
        let wrong = |field: &str, expected: &str| {
            Error::new(Kind::InvalidInput, format!("{field} of the entry has the wrong type"))
                .advice(format!("make it {expected}"))
        };
        let fields = ["t", "latency_ms", "agent_id", "role"];
        let [t, latency, agent, role] = json.raw_members(fields);
        document::optional_number("transcript entry", "t", t)?;
        document::optional_number("transcript entry", "latency_ms", latency)?;
        document::optional_text("transcript entry", "agent_id", agent)?;
        document::optional_text("transcript entry", "role", role)?;
        let present = |field: &str| json.member(field).filter(|value| !value.is_null());
        if present("iter").is_some_and(|iter| iter.to_i64().is_none()) {
            return Err(wrong("iter", "a whole number"));
        }
        for field in ["metadata", "actions"] {
            if present(field).is_some_and(|value| !value.is_object()) {
                return Err(wrong(field, "an object"));
            }
        }
        Ok(Self { json })
    }

    /// As another program wrote it: any object.
    ///
    /// # Errors
    /// `InvalidInput` when it is no object.
    pub fn foreign(json: Json) -> Result<Self> {
        document::object("transcript entry", &json)?;
        Ok(Self { json })
    }

    pub(crate) fn stored(json: Json) -> Self {
        Self { json }
    }

    /// The whole as JSON.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// The iteration that it belongs to.
    pub fn iteration(&self) -> Option<i64> {
        self.json.member("iter")?.to_i64()
    }

    /// Whose entry it is.
    pub fn agent_id(&self) -> Option<String> {
        self.json.member("agent_id")?.to_text()
    }

    /// In which role: agent, moderator, summarizer, advisor, user.
    pub fn role(&self) -> Option<String> {
        self.json.member("role")?.to_text()
    }

    /// The error, in place of a content.
    pub fn error(&self) -> Option<Json> {
        self.json.member("error").filter(|error| !error.is_null())
    }
}

impl fmt::Debug for TranscriptEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TranscriptEntry({})", self.json)
    }
}

impl Serialize for TranscriptEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// An entry with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredTranscriptEntry {
    /// Its number in the thread, from 1.
    pub number: u64,
    /// The entry.
    pub entry: TranscriptEntry,
    /// When it was stored, in milliseconds since 1970.
    pub time: i64,
}
