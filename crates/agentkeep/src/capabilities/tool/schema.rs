//! What a tool takes.

use crate::json::{Json, ObjectEditor};

/// The schema of a tool's input, as hashes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSchema {
    /// A JSON schema: hashed whole.
    Json(Json),
    /// A schema of which only this is known: nothing else of it is hashed.
    Standard {
        /// Who made the library.
        vendor: String,
        /// The version of the Standard Schema convention.
        version: i64,
    },
    /// One that projects to nothing: the hash does not speak of it.
    Nothing,
}

impl InputSchema {
    /// What stands for the schema in hashes and envelopes: Khora's `schemaToHashInput`.
    pub fn projection(&self) -> Option<Json> {
        match self {
            Self::Json(json) => Some(json.clone()),
            Self::Standard { vendor, version } => {
                let mut standard = ObjectEditor::default();
                standard.set("vendor", &Json::string(vendor));
                standard.set("version", &Json::integer(*version));
                Some(standard.finish())
            }
            Self::Nothing => None,
        }
    }
}

impl From<Json> for InputSchema {
    fn from(json: Json) -> Self {
        Self::Json(json)
    }
}
