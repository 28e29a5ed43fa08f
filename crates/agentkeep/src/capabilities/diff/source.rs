//! What can be compared: a link, or an envelope.

use crate::capabilities::hash::as_members;
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{CapabilityLink, ENVELOPE_VERSION, ToolRef};

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffSource {
    /// The link.
    pub link: CapabilityLink,
    /// What policies said, if that is known.
    pub policies: Option<Vec<(String, bool)>>,
    /// The tools and the ids of their policies, if they are known.
    pub tools: Option<Vec<(String, Vec<String>)>>,
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, message).advice("give a link or an envelope as JSON")
}

impl DiffSource {
    /// Reads a link, also as a stored row, or an envelope of version 1. A text `schemaVersion` makes
    /// it an envelope.
    ///
    /// # Errors
    /// `InvalidInput` for anything else.
    pub fn from_json(json: &Json) -> Result<Self> {
        if !json.is_object() {
            let message = "Expected a JSON object (CapabilityLink or AgentSnapshotEnvelope).";
            return Err(refused(message));
        }
        match json.member("schemaVersion").and_then(|version| version.to_text()) {
            Some(version) if version == ENVELOPE_VERSION => Self::of_envelope(json),
            Some(version) => {
                let (mine, known) = (Json::string(&version), Json::string(ENVELOPE_VERSION));
                Err(refused(format!("Unsupported schemaVersion {mine} (expected {known}).")))
            }
            None => Ok(Self { link: link(json)?, policies: None, tools: None }),
        }
    }

    fn of_envelope(envelope: &Json) -> Result<Self> {
        let runtime = envelope.member("runtime");
        let of_runtime = |name: &str| runtime.as_ref().and_then(|runtime| runtime.member(name));
        let given = of_runtime("link").filter(Json::is_object);
        let missing = || refused("AgentSnapshotEnvelope requires runtime.link for comparison.");
        let given = given.ok_or_else(missing)?;
        let policy = of_runtime("policy").or_else(|| envelope.member("policy"));
        let results = policy.and_then(|policy| policy.member("results"));
        let tools = of_runtime("affordances").and_then(|affordances| affordances.member("tools"));
        Ok(Self {
            link: link(&given)?,
            policies: results.map(|results| {
                let of = |(id, ok): (String, Json)| (id, ok.as_str() == "true");
                let mut results: Vec<(String, bool)> = results.members().map(of).collect();
                as_members(&mut results, |(id, _)| id);
                results
            }),
            tools: tools.map(|tools| {
                let ids = |tool: &Json| {
                    let ids = tool.member("policyIds");
                    ids.iter().flat_map(Json::elements).filter_map(|id| id.to_text()).collect()
                };
                tools.members().map(|(name, tool)| (name, ids(&tool))).collect()
            }),
        })
    }

    /// True when anything is known of policies.
    pub fn has_policies(&self) -> bool {
        self.policies.is_some() || self.tools.is_some()
    }
}

/// A link, read leniently: only its id and two hashes must be there.
fn link(json: &Json) -> Result<CapabilityLink> {
    let text = |field: &str| json.member(field).and_then(|text| text.to_text());
    let (Some(agent_id), Some(static_hash), Some(runtime_hash)) =
        (text("agentId"), text("staticHash"), text("runtimeHash"))
    else {
        return Err(refused(
            "Expected a CapabilityLink (agentId, staticHash, runtimeHash) or \
             AgentSnapshotEnvelope (schemaVersion).",
        ));
    };
    let refs = json.member("toolRefs").filter(Json::is_array);
    Ok(CapabilityLink {
        agent_id,
        agent_name: text("agentName").unwrap_or_default(),
        static_hash,
        runtime_hash,
        tool_refs: refs.map_or(Ok(Vec::new()), |refs| ToolRef::list_from_json(&refs))?,
        invocation_hash: text("invocationHash"),
    })
}
