//! Containers.

use super::document::{self, document};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};

document!(
    /// An isolation boundary that groups images: a user, a team, a workspace.
    ///
    /// As JSON: `{"containerId", "createdAt", "updatedAt", "config"?, ...}`.
    Container,
    "container",
    "containerId"
);

impl Container {
    /// A new container, created now.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn new(id: &str) -> Result<Self> {
        let now = Json::integer(document::now());
        let mut editor = ObjectEditor::default();
        editor.set("containerId", &Json::string(id));
        editor.set("createdAt", &now).set("updatedAt", &now);
        Self::from_json(editor.finish())
    }

    fn check(json: &Json) -> Result<()> {
        let [created, updated] = json.raw_members(["createdAt", "updatedAt"]);
        document::optional_number("container", "createdAt", created)?;
        document::optional_number("container", "updatedAt", updated)
    }
}
