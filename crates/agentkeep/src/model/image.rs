//! Images.

use super::document::{self, described, document};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};

document!(
    /// An agent's definition together with its conversation, like an image of a container.
    ///
    /// As JSON: `{"imageId", "containerId", "sessionId"?, "name"?, "description"?,
    /// "systemPrompt"?, "parentImageId"?, "mcpServers"?, "title"?, "tags"?, "metadata"?,
    /// "createdAt", "updatedAt", ...}`.
    Image,
    "image",
    "imageId"
);
described!(Image);

impl Image {
    /// A new image in a container, created now.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn new(id: &str, container_id: &str, name: &str) -> Result<Self> {
        let now = Json::integer(document::now());
        let mut editor = ObjectEditor::default();
        editor.set("imageId", &Json::string(id));
        editor.set("containerId", &Json::string(container_id));
        editor.set("name", &Json::string(name));
        editor.set("createdAt", &now).set("updatedAt", &now);
        Self::from_json(editor.finish())
    }

    fn check(json: &Json) -> Result<()> {
        let texts = ["sessionId", "name", "parentImageId", "title"];
        let [s, n, p, t] = texts;
        let fields = [s, n, p, t, "containerId", "createdAt", "updatedAt", "tags"];
        let [s, n, p, t, container, created, updated, tags] = json.raw_members(fields);
        document::required_id("image", "containerId", container)?;
        for (field, found) in texts.into_iter().zip([s, n, p, t]) {
            document::optional_text("image", field, found)?;
        }
        document::optional_number("image", "createdAt", created)?;
        document::optional_number("image", "updatedAt", updated)?;
        document::optional_tags("image", tags)
    }

    /// The container that it is in.
    pub fn container_id(&self) -> String {
        self.text("containerId").unwrap_or_default()
    }

    /// The session of its conversation, if it names one.
    pub fn session_id(&self) -> Option<String> {
        self.text("sessionId")
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<String> {
        self.text("name")
    }

    /// The image that it was forked from, if any.
    pub fn parent_image_id(&self) -> Option<String> {
        self.text("parentImageId")
    }

    fn text(&self, field: &str) -> Option<String> {
        self.json.member(field).and_then(|value| value.to_text())
    }
}
