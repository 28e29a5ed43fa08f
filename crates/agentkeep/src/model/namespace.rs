//! What is kept about a namespace.

use std::fmt;

use super::document;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};

/// A tenant, user or project, as its record tells: the user's own fields, among them `title`,
/// `tags`, `metadata` and `createdAt`. A namespace that a first write made has none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct NamespaceInfo {
    name: String,
    json: Json,
}

impl NamespaceInfo {
    /// A namespace of this name, created now.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn new(name: &str) -> Result<Self> {
        let mut editor = ObjectEditor::default();
        editor.set("createdAt", &Json::integer(document::now()));
        Self::from_json(name, editor.finish())
    }

    /// A namespace with a record of its own, kept as it is. Members that begin with `$` are the
    /// store's.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` when it is no object, a field has the wrong type or a member
    /// begins with `$`.
    pub fn from_json(name: &str, json: Json) -> Result<Self> {
        crate::schema::check_id("namespace", name)?;
        let place = |error: Error| error.at(format!("namespace {name:?}"));
        document::object("namespace", &json).map_err(place)?;
        let [title, tags, created] = json.raw_members(["title", "tags", "createdAt"]);
        document::optional_text("namespace", "title", title).map_err(place)?;
        document::optional_tags("namespace", tags).map_err(place)?;
        document::optional_number("namespace", "createdAt", created).map_err(place)?;
        if let Some((member, _)) = json.members().find(|(member, _)| member.starts_with('$')) {
            let message = format!("the member {member:?} of a namespace is the store's");
            return Err(place(Error::new(Kind::InvalidInput, message))
                .advice("give it a name that does not begin with $"));
        }
        Ok(Self::stored(name, json))
    }

    /// As it is stored.
    pub(crate) fn stored(name: &str, json: Json) -> Self {
        Self { name: name.to_owned(), json }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole record as JSON.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its title, if it has one.
    pub fn title(&self) -> Option<String> {
        self.json.member("title")?.to_text()
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<String> {
        let tags = self.json.member("tags").unwrap_or_else(Json::null);
        tags.elements().filter_map(|tag| tag.to_text()).collect()
    }

    /// When it was created, in milliseconds since 1970, if it says so.
    pub fn created_at(&self) -> Option<i64> {
        document::millis(&self.json, "createdAt")
    }
}

impl fmt::Debug for NamespaceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {:?} {}", self.name, self.json)
    }
}
