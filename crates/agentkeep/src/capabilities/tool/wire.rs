//! Tools as plain data.

use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};

/// The plain data of a tool that an agent had: Khora's `ToolSpecWire`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolWire {
    /// Its name.
    pub name: String,
    /// What it is for; empty when it does not say.
    pub description: String,
    /// What the model is told of it.
    pub instructions: String,
    /// What stands for its schema, if anything does.
    pub input_schema: Option<Json>,
    /// The ids of its policies.
    pub policy_ids: Vec<String>,
}

fn wrong(field: &str, expected: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("{field} of the tool has the wrong type"))
        .advice(format!("make it {expected}"))
}

/// The texts in a list.
fn texts(list: &Json) -> Option<Vec<String>> {
    list.is_array().then(|| list.elements().map(|one| one.to_text()).collect()).flatten()
}

/// A list of texts.
pub(crate) fn list_of(texts: &[String]) -> Json {
    let texts: Vec<Json> = texts.iter().map(|text| Json::string(text)).collect();
    Json::array(&texts)
}

impl ToolWire {
    /// As JSON, members in Khora's order.
    pub fn to_json(&self) -> Json {
        let mut wire = ObjectEditor::default();
        wire.set("name", &Json::string(&self.name));
        wire.set("description", &Json::string(&self.description));
        wire.set("instructions", &Json::string(&self.instructions));
        if let Some(schema) = &self.input_schema {
            wire.set("inputSchema", schema);
        }
        wire.set("policyIds", &list_of(&self.policy_ids));
        wire.finish()
    }

    /// From JSON; other members are left out.
    ///
    /// # Errors
    /// `InvalidInput` for a missing or wrong member.
    pub fn from_json(json: &Json) -> Result<Self> {
        let text = |field: &str| {
            json.member(field).and_then(|text| text.to_text()).ok_or_else(|| wrong(field, "a text"))
        };
        let ids = json.member("policyIds").and_then(|ids| texts(&ids));
        Ok(Self {
            name: text("name")?,
            description: text("description")?,
            instructions: text("instructions")?,
            input_schema: json.member("inputSchema"),
            policy_ids: ids.ok_or_else(|| wrong("policyIds", "a list of texts"))?,
        })
    }
}
