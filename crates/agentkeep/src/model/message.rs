//! Messages.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::attachment::Attachment;
use super::document;
use crate::driver::Hash;
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::schema::{EntryId, check_id};

/// One message of a conversation, kept as the JSON that it was given as.
///
/// As JSON: `{"id"?, "subtype", "content"?, "timestamp"?, ...}`. Subtypes are open text; `user`,
/// `assistant`, `tool_call`, `tool_result` and `error` are the usual ones, and `tool-call` and
/// `tool-result` occur. The content is a string, a list of parts, or absent.
///
/// ```
/// use agentkeep::{Content, Message};
/// let message = Message::user("Hello!")?;
/// assert_eq!(message.subtype().as_deref(), Some("user"));
/// assert_eq!(message.content(), Content::Text("Hello!".into()));
/// # Ok::<(), agentkeep::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    json: Json,
    id: Option<EntryId>,
    refs: Vec<Hash>,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// None given, or `null`.
    Absent,
    /// A text.
    Text(String),
    /// Structured parts.
    Parts(Vec<Json>),
    /// Anything else.
    Other(Json),
}

impl Message {
    /// A new message of any subtype, with an id of its own and the time of now.
    ///
    /// # Errors
    /// `InvalidInput` when the content has no JSON form or is nested too deep.
    pub fn new<C: Serialize + ?Sized>(subtype: &str, content: &C) -> Result<Self> {
        let id = format!("msg_{}", uuid::Uuid::now_v7().simple());
        let mut editor = ObjectEditor::default();
        editor.set("id", &Json::string(&id));
        editor.set("subtype", &Json::string(subtype));
        editor.set("content", &Json::of(content)?);
        editor.set("timestamp", &Json::integer(document::now()));
        Self::from_json(editor.finish())
    }

    /// What the user said.
    pub fn user(text: &str) -> Result<Self> {
        Self::new("user", text)
    }

    /// What the agent said.
    pub fn assistant(text: &str) -> Result<Self> {
        Self::new("assistant", text)
    }

    /// A call of a tool.
    pub fn tool_call(call_id: &str, name: &str, arguments: &Json) -> Result<Self> {
        let call = serde_json::json!({ "id": call_id, "name": name });
        let mut editor = ObjectEditor::of(&Json::of(&call)?);
        editor.set("arguments", arguments);
        Self::new("tool_call", &[editor.finish()])
    }

    /// What a tool answered.
    pub fn tool_result(call_id: &str, output: &Json) -> Result<Self> {
        let mut editor = ObjectEditor::default();
        editor.set("id", &Json::string(call_id)).set("output", output);
        Self::new("tool_result", &[editor.finish()])
    }

    /// A failure that is part of the conversation.
    pub fn error(text: &str) -> Result<Self> {
        Self::new("error", text)
    }

    /// Reads a message from JSON, which is kept as it is.
    ///
    /// # Errors
    /// `InvalidInput` when it is no object or `subtype` or `timestamp` have the wrong type;
    /// `InvalidId` when `id` is there and breaks the rule for ids.
    pub fn from_json(json: Json) -> Result<Self> {
        document::object("message", &json)?;
        let [id, subtype, timestamp] = json.raw_members(["id", "subtype", "timestamp"]);
        document::optional_text("message", "subtype", subtype)?;
        document::optional_number("message", "timestamp", timestamp)?;
        let id = match id {
            None | Some("null") => None,
            found => Some(EntryId::new(&document::required_id("message", "id", found)?)?),
        };
        Ok(Self { json, id, refs: Vec::new() })
    }

    /// Takes foreign JSON as it is; an `id` that cannot be used is kept in the JSON only. True
    /// when the message has a usable id.
    pub fn foreign(json: Json) -> (Self, bool) {
        let id = json.member("id").and_then(|id| id.to_text());
        let id = id.filter(|id| check_id("message", id).is_ok());
        let id = id.and_then(|id| EntryId::new(&id).ok());
        let usable = id.is_some();
        (Self { json, id, refs: Vec::new() }, usable)
    }

    /// A message as it is stored: the entry's own id counts, not the JSON's.
    pub(crate) fn stored(json: Json, id: Option<EntryId>, refs: Vec<Hash>) -> Self {
        Self { json, id, refs }
    }

    /// The same without an id that the store would have to keep unique.
    #[must_use]
    pub fn without_entry_id(mut self) -> Self {
        self.id = None;
        self
    }

    /// The same with member `field` set to `value`.
    ///
    /// # Errors
    /// As for [`from_json`](Self::from_json).
    pub fn with<V: Serialize + ?Sized>(self, field: &str, value: &V) -> Result<Self> {
        let mut editor = ObjectEditor::of(&self.json);
        editor.set(field, &Json::of(value)?);
        let refs = self.refs;
        Ok(Self { refs, ..Self::from_json(editor.finish())? })
    }

    /// The same with an attachment: noted in the list `attachments`, and its bytes kept for as
    /// long as the message is. The bytes themselves are given to
    /// [`Attachments::put`](crate::Attachments::put) first.
    pub fn attach(self, attachment: &Attachment) -> Result<Self> {
        let mut list: Vec<Json> =
            self.json.member("attachments").iter().flat_map(Json::elements).collect();
        list.push(Json::of(attachment)?);
        let mut message = self.with("attachments", &list)?;
        message.refs.push(attachment.hash());
        Ok(message)
    }

    /// The whole as JSON.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its id, unique within the session.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(EntryId::as_str)
    }

    pub(crate) fn entry_id(&self) -> Option<&EntryId> {
        self.id.as_ref()
    }

    /// The blobs that it refers to.
    pub fn refs(&self) -> &[Hash] {
        &self.refs
    }

    /// Its subtype.
    pub fn subtype(&self) -> Option<String> {
        self.json.member("subtype").and_then(|subtype| subtype.to_text())
    }

    /// Its time as it says itself, in milliseconds since 1970.
    pub fn timestamp(&self) -> Option<i64> {
        document::millis(&self.json, "timestamp")
    }

    /// Its content.
    pub fn content(&self) -> Content {
        match self.json.member("content") {
            None => Content::Absent,
            Some(content) if content.is_null() => Content::Absent,
            Some(content) if content.is_array() => Content::Parts(content.elements().collect()),
            Some(content) => content.to_text().map_or(Content::Other(content), Content::Text),
        }
    }

    /// The attachments that it notes.
    pub fn attachments(&self) -> Vec<Attachment> {
        let list = self.json.member("attachments");
        list.iter().flat_map(Json::elements).filter_map(|entry| entry.to().ok()).collect()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.json)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::from_json(json).map_err(serde::de::Error::custom)
    }
}

/// A message where it stands in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its place in the conversation, counted from 0.
    pub index: u64,
    /// The store's time of the commit that added it, milliseconds since 1970.
    pub time: i64,
    /// The turn that added it.
    pub turn: Option<String>,
    /// True when it has been edited since.
    pub edited: bool,
    /// The message.
    pub message: Message,
}
