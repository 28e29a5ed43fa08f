//! The rows, each a JSON object that is kept as it is.

use super::long::{Long, Members};
use super::{CapabilityLink, ToolRef};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::document;
use crate::schema::check_id;

/// The version of the envelopes that this crate makes, and the only one that there is.
pub const ENVELOPE_VERSION: &str = "1";

fn wrong(what: &str, field: &str, expected: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        format!("{field} of the {what} is missing or has the wrong type"),
    )
    .advice(format!("make {field} {expected}"))
}

/// The member of a row.
fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    let named = members.iter().find(|(key, _)| key[1..key.len() - 1] == *name);
    named.map(|(_, value)| *value)
}

/// What all rows have in common.
fn check(what: &str, id: &str, texts: &[&str], json: &Json, members: &Members<'_>) -> Result<()> {
    document::object(what, json)?;
    match member(members, id).map(Json::text_of) {
        None => {}
        Some(Some(given)) if given.is_empty() => {}
        Some(Some(given)) => check_id(id, &given)?,
        Some(None) => return Err(wrong(what, id, "a text, or leave it out")),
    }
    for field in texts {
        let text = member(members, field).and_then(Json::text_of);
        let Some(given) = text else { return Err(wrong(what, field, "a text")) };
        // They are keys or names of streams.
        if matches!(*field, "agentId" | "sessionId" | "fromLinkId" | "toLinkId" | "staticHash") {
            check_id(field, &given)?;
        }
    }
    if member(members, "_ts_created").is_none_or(|time| time.parse::<i64>().is_err()) {
        return Err(wrong(what, "_ts_created", "a whole number of milliseconds since 1970"));
    }
    match member(members, "metadata") {
        Some(metadata) if metadata != "null" && !metadata.starts_with('{') => {
            Err(wrong(what, "metadata", "an object, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// A row: a JSON object with an id, kept with all its members.
macro_rules! row {
    ($(#[$doc:meta])* $type:ident, $what:literal, $id:literal, $prefix:literal,
     [$($text:literal),*], [$($null:literal),*]) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $type {
            json: Json,
            /// Found when the row was checked, so that nobody goes over it again.
            long: Long,
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.json == other.json
            }
        }

        impl Eq for $type {}

        impl $type {
            pub(crate) const ID: &'static str = $id;
            /// Ids that the store gives begin so.
            pub(crate) const PREFIX: &'static str = $prefix;

            /// Reads it from JSON; unknown members are kept. The id may be missing or empty: the
            /// store then gives one.
            ///
            /// # Errors
            /// `InvalidInput` for a missing or wrong member, `InvalidId`.
            pub fn from_json(json: Json) -> Result<Self> {
                let (members, long) = Self::look(&json);
                check($what, $id, &[$($text),*], &json, &members)?;
                let nulls: &[&str] = &[$($null),*];
                if nulls.iter().any(|field| member(&members, field) == Some("null")) {
                    return Self::from_json(without_nulls(&json, nulls));
                }
                Self::check(&json, &members)?;
                Ok(Self { json, long })
            }

            pub(crate) fn stored(json: Json) -> Self {
                Self { json, long: Long::default() }
            }

            /// What is known of long values in it.
            pub(crate) fn long(&self) -> &Long {
                &self.long
            }

            /// The whole as JSON.
            pub fn json(&self) -> &Json {
                &self.json
            }

            /// Its id, if it has one.
            pub fn id(&self) -> Option<String> {
                self.text($id).filter(|id| !id.is_empty())
            }

            /// When it was made, as the writer says, in milliseconds since 1970.
            pub fn created(&self) -> i64 {
                self.json.member("_ts_created").and_then(|time| time.to_i64()).unwrap_or(0)
            }

            pub(crate) fn text(&self, field: &str) -> Option<String> {
                self.json.member(field).and_then(|text| text.to_text())
            }

            /// The same with this id.
            ///
            /// # Errors
            /// `InvalidId`.
            pub fn with_id(&self, id: &str) -> Result<Self> {
                let mut editor = ObjectEditor::of(&self.json);
                editor.set($id, &Json::string(id));
                Self::from_json(editor.finish())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($type), self.json)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                self.json.serialize(s)
            }
        }
    };
}

row!(
    /// An agent as it was registered: `{registrationId, agentId, staticHash, staticProps,
    /// _ts_created}`.
    RegistrationRow, "registration", "registrationId", "reg", ["agentId", "staticHash"], []
);
row!(
    /// What an agent was and could do in one turn of a session: `{linkId, sessionId, _ts_created,
    /// agentId, agentName, staticHash, runtimeHash, toolRefs?, invocationHash?, metadata?}`.
    LinkRow, "link", "linkId", "link",
    ["sessionId", "agentId", "agentName", "staticHash", "runtimeHash"],
    ["toolRefs", "metadata", "invocationHash"]
);
row!(
    /// Which tools an agent had: `{snapshotId, sessionId, _ts_created, runtimeHash, toolRefs,
    /// metadata?}`.
    RuntimeSnapshotRow, "runtime snapshot", "snapshotId", "snap", ["sessionId", "runtimeHash"],
    ["metadata"]
);
row!(
    /// The whole of what an agent was and could do: `{snapshotId, sessionId, _ts_created,
    /// schemaVersion, envelope, metadata?}`.
    EnvelopeRow, "envelope row", "snapshotId", "snap", ["sessionId", "schemaVersion"],
    ["metadata"]
);
row!(
    /// That one link came after another: `{transitionId, sessionId, fromLinkId, toLinkId,
    /// _ts_created, metadata?}`.
    TransitionRow, "transition", "transitionId", "trans", ["sessionId", "fromLinkId", "toLinkId"],
    ["metadata"]
);

/// `null` counts as absent.
fn without_nulls(json: &Json, fields: &[&str]) -> Json {
    let mut editor = ObjectEditor::of(json);
    for field in fields {
        if json.raw_member(field) == Some("null") {
            editor.remove(field);
        }
    }
    editor.finish()
}

/// The members of a row that has no envelope.
fn plain(json: &Json) -> (Members<'_>, Long) {
    (json.raw_pairs().collect(), Long::default())
}

fn check_refs(json: &Json) -> Result<()> {
    json.member("toolRefs").map_or(Ok(()), |refs| ToolRef::list_from_json(&refs).map(|_| ()))
}

impl RegistrationRow {
    fn look(json: &Json) -> (Members<'_>, Long) {
        plain(json)
    }

    fn check(_: &Json, members: &Members<'_>) -> Result<()> {
        match member(members, "staticProps") {
            Some(props) if props.starts_with('{') => Ok(()),
            _ => Err(wrong("registration", "staticProps", "an object")),
        }
    }

    /// The agent.
    pub fn agent_id(&self) -> String {
        self.text("agentId").unwrap_or_default()
    }

    /// Its static hash.
    pub fn static_hash(&self) -> String {
        self.text("staticHash").unwrap_or_default()
    }

    /// What is kept of the agent.
    pub fn static_props(&self) -> Json {
        self.json.member("staticProps").unwrap_or_else(Json::null)
    }
}

impl LinkRow {
    fn look(json: &Json) -> (Members<'_>, Long) {
        plain(json)
    }

    fn check(json: &Json, members: &Members<'_>) -> Result<()> {
        check_refs(json)?;
        match member(members, "invocationHash") {
            Some(hash) if Json::text_of(hash).is_none() => {
                Err(wrong("link", "invocationHash", "a text, or leave it out"))
            }
            _ => Ok(()),
        }
    }

    /// A row for a link of one turn of a session. `metadata` is an object.
    ///
    /// # Errors
    /// `InvalidId` for the session or the agent.
    pub fn of(
        link: &CapabilityLink,
        session_id: &str,
        created: i64,
        metadata: Option<&Json>,
    ) -> Result<Self> {
        let mut row = ObjectEditor::default();
        row.set(Self::ID, &Json::string(&new_id(Self::PREFIX)));
        row.set("sessionId", &Json::string(session_id));
        row.set("_ts_created", &Json::integer(created));
        for (name, value) in link.to_json().members() {
            row.set(&name, &value);
        }
        if let Some(metadata) = metadata {
            row.set("metadata", metadata);
        }
        Self::from_json(row.finish())
    }

    /// The session.
    pub fn session_id(&self) -> String {
        self.text("sessionId").unwrap_or_default()
    }

    /// The agent.
    pub fn agent_id(&self) -> String {
        self.text("agentId").unwrap_or_default()
    }

    /// The link in the row.
    ///
    /// # Errors
    /// `InvalidInput` when the row is damaged.
    pub fn link(&self) -> Result<CapabilityLink> {
        CapabilityLink::from_json(&self.json)
    }
}

impl RuntimeSnapshotRow {
    fn look(json: &Json) -> (Members<'_>, Long) {
        plain(json)
    }

    fn check(json: &Json, members: &Members<'_>) -> Result<()> {
        if member(members, "toolRefs").is_none() {
            return Err(wrong("runtime snapshot", "toolRefs", "a list"));
        }
        check_refs(json)
    }
}

impl EnvelopeRow {
    fn look(json: &Json) -> (Members<'_>, Long) {
        if json.is_object() { Long::of_row(json.as_str()) } else { plain(json) }
    }

    fn check(_: &Json, members: &Members<'_>) -> Result<()> {
        match member(members, "envelope") {
            Some(_) => Ok(()),
            None => Err(wrong("envelope row", "envelope", "JSON")),
        }
    }

    /// A row for an envelope. `metadata` is an object.
    ///
    /// # Errors
    /// `InvalidInput` for an envelope without a text `schemaVersion`, `InvalidId`.
    pub fn of(
        envelope: &Json,
        session_id: &str,
        created: i64,
        metadata: Option<&Json>,
    ) -> Result<Self> {
        let version = envelope.member("schemaVersion").and_then(|version| version.to_text());
        let version = version.ok_or_else(|| wrong("envelope", "schemaVersion", "a text"))?;
        let mut row = ObjectEditor::default();
        row.set(Self::ID, &Json::string(&new_id(Self::PREFIX)));
        row.set("sessionId", &Json::string(session_id));
        row.set("_ts_created", &Json::integer(created));
        row.set("schemaVersion", &Json::string(&version)).set("envelope", envelope);
        if let Some(metadata) = metadata {
            row.set("metadata", metadata);
        }
        Self::from_json(row.finish())
    }

    /// The version that the row says its envelope has.
    pub fn schema_version(&self) -> String {
        self.text("schemaVersion").unwrap_or_default()
    }

    /// The session.
    pub fn session_id(&self) -> String {
        self.text("sessionId").unwrap_or_default()
    }

    /// True for an envelope of a version that this crate knows; others are kept as they are, and
    /// nothing is read from them.
    pub fn is_known_version(&self) -> bool {
        let version = self.envelope().member("schemaVersion").and_then(|version| version.to_text());
        version.as_deref() == Some(ENVELOPE_VERSION)
    }

    /// The envelope, whatever its version.
    pub fn envelope(&self) -> Json {
        self.json.member("envelope").unwrap_or_else(Json::null)
    }
}

impl TransitionRow {
    fn look(json: &Json) -> (Members<'_>, Long) {
        plain(json)
    }

    fn check(_: &Json, members: &Members<'_>) -> Result<()> {
        match (member(members, "fromLinkId"), member(members, "toLinkId")) {
            (from, to) if from == to => {
                Err(Error::new(Kind::InvalidInput, "the transition leads from a link to itself")
                    .advice("give the link before and the link after"))
            }
            _ => Ok(()),
        }
    }

    /// A row for a transition. `metadata` is an object.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn of(
        from: &str,
        to: &str,
        session_id: &str,
        created: i64,
        metadata: Option<&Json>,
    ) -> Result<Self> {
        let mut row = ObjectEditor::default();
        row.set(Self::ID, &Json::string(&new_id(Self::PREFIX)));
        row.set("sessionId", &Json::string(session_id));
        row.set("fromLinkId", &Json::string(from)).set("toLinkId", &Json::string(to));
        row.set("_ts_created", &Json::integer(created));
        if let Some(metadata) = metadata {
            row.set("metadata", metadata);
        }
        Self::from_json(row.finish())
    }

    /// The session.
    pub fn session_id(&self) -> String {
        self.text("sessionId").unwrap_or_default()
    }

    /// The earlier link.
    pub fn from_link(&self) -> String {
        self.text("fromLinkId").unwrap_or_default()
    }

    /// The later link.
    pub fn to_link(&self) -> String {
        self.text("toLinkId").unwrap_or_default()
    }
}

/// An id that nobody has used, also after a restart.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}
