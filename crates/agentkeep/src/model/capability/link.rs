//! Links: what an agent was and could do in one turn, by hashes.

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};

/// A tool that an agent had, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolRef {
    /// The name under which it had it.
    pub tool_key: String,
    /// The hash of the tool.
    pub tool_hash: String,
}

/// What an agent was and could do in one turn: Khora's `CapabilityLink`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityLink {
    /// The agent.
    pub agent_id: String,
    /// Its name.
    pub agent_name: String,
    /// What it is, whatever the turn.
    pub static_hash: String,
    /// Which tools it had.
    pub runtime_hash: String,
    /// The tools.
    pub tool_refs: Vec<ToolRef>,
    /// What it was invoked with, if that was fingerprinted.
    pub invocation_hash: Option<String>,
}

fn missing(field: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("{field} of the link is missing or no text"))
        .advice(format!("make {field} a text"))
}

impl ToolRef {
    /// As JSON.
    pub fn to_json(&self) -> Json {
        let mut one = ObjectEditor::default();
        one.set("toolKey", &Json::string(&self.tool_key));
        one.set("toolHash", &Json::string(&self.tool_hash));
        one.finish()
    }

    /// From JSON; other members are left out.
    ///
    /// # Errors
    /// `InvalidInput` for a missing or wrong member.
    pub fn from_json(json: &Json) -> Result<Self> {
        let text = |field: &str| json.member(field).and_then(|text| text.to_text());
        match (text("toolKey"), text("toolHash")) {
            (Some(tool_key), Some(tool_hash)) => Ok(Self { tool_key, tool_hash }),
            _ => Err(Error::new(Kind::InvalidInput, "a tool reference lacks toolKey or toolHash")
                .advice("give each reference the texts toolKey and toolHash")),
        }
    }

    /// A list of references as JSON.
    pub fn list_to_json(refs: &[Self]) -> Json {
        let refs: Vec<Json> = refs.iter().map(Self::to_json).collect();
        Json::array(&refs)
    }

    /// A list of references from JSON.
    ///
    /// # Errors
    /// `InvalidInput` when it is no list of references.
    pub fn list_from_json(json: &Json) -> Result<Vec<Self>> {
        if json.is_array() {
            return json.elements().map(|one| Self::from_json(&one)).collect();
        }
        Err(Error::new(Kind::InvalidInput, "toolRefs is no list")
            .advice("give a list of {toolKey, toolHash}"))
    }
}

impl CapabilityLink {
    /// As JSON, members in Khora's order.
    pub fn to_json(&self) -> Json {
        let mut link = ObjectEditor::default();
        link.set("agentId", &Json::string(&self.agent_id));
        link.set("agentName", &Json::string(&self.agent_name));
        link.set("staticHash", &Json::string(&self.static_hash));
        link.set("runtimeHash", &Json::string(&self.runtime_hash));
        link.set("toolRefs", &ToolRef::list_to_json(&self.tool_refs));
        if let Some(hash) = &self.invocation_hash {
            link.set("invocationHash", &Json::string(hash));
        }
        link.finish()
    }

    /// From JSON, also from a stored row; other members are left out, absent `toolRefs` count as
    /// none.
    ///
    /// # Errors
    /// `InvalidInput` for a missing or wrong member.
    pub fn from_json(json: &Json) -> Result<Self> {
        let optional = |field: &str| json.member(field).filter(|value| !value.is_null());
        let text = |field: &str| {
            json.member(field).and_then(|text| text.to_text()).ok_or_else(|| missing(field))
        };
        Ok(Self {
            agent_id: text("agentId")?,
            agent_name: text("agentName")?,
            static_hash: text("staticHash")?,
            runtime_hash: text("runtimeHash")?,
            tool_refs: match optional("toolRefs") {
                Some(refs) => ToolRef::list_from_json(&refs)?,
                None => Vec::new(),
            },
            invocation_hash: match optional("invocationHash") {
                Some(hash) => Some(hash.to_text().ok_or_else(|| missing("invocationHash"))?),
                None => None,
            },
        })
    }
}
