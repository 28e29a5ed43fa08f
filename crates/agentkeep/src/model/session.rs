//! Sessions.

use super::document::{self, described, document};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};

document!(
    /// A conversation.
    ///
    /// As JSON: `{"sessionId", "imageId", "containerId", "title"?, "tags"?, "metadata"?,
    /// "createdAt", "updatedAt", ...}`.
    Session,
    "session",
    "sessionId"
);
described!(Session);

impl Session {
    /// A new session of an image, created now.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn new(id: &str, image_id: &str, container_id: &str) -> Result<Self> {
        let now = Json::integer(document::now());
        let mut editor = ObjectEditor::default();
        editor.set("sessionId", &Json::string(id));
        editor.set("imageId", &Json::string(image_id));
        editor.set("containerId", &Json::string(container_id));
        editor.set("createdAt", &now).set("updatedAt", &now);
        Self::from_json(editor.finish())
    }

    fn check(json: &Json) -> Result<()> {
        let fields = ["imageId", "containerId", "title", "createdAt", "updatedAt", "tags"];
        let [image, container, title, created, updated, tags] = json.raw_members(fields);
        document::required_id("session", "imageId", image)?;
        document::required_id("session", "containerId", container)?;
        document::optional_text("session", "title", title)?;
        document::optional_number("session", "createdAt", created)?;
        document::optional_number("session", "updatedAt", updated)?;
        document::optional_tags("session", tags)
    }

    /// The image that it belongs to.
    pub fn image_id(&self) -> String {
        self.text("imageId")
    }

    /// The container that it belongs to.
    pub fn container_id(&self) -> String {
        self.text("containerId")
    }

    fn text(&self, field: &str) -> String {
        self.json.member(field).and_then(|value| value.to_text()).unwrap_or_default()
    }
}
