//! Links of turns.

use super::agent::RegisteredAgent;
use super::hash::{
    StaticHashes, collect_tool_static_hashes, invocation_fingerprint, resolve_runtime_tool_refs,
    runtime_hash,
};
use super::tool::{Affordances, ToolSpec};
use crate::error::Result;
use crate::json::Json;
use crate::model::{CapabilityLink, ToolRef};

/// What a link is made of besides the agent and its tools.
#[derive(Debug, Clone, Default)]
pub struct LinkOptions {
    /// What the agent was invoked with.
    pub invocation: Option<Json>,
    /// Which of its members are fingerprinted; all, when there are none.
    pub invocation_allow: Vec<String>,
    /// Bindings of tools at run time, by name.
    pub augments: Vec<(String, String)>,
}

/// A link for an agent with these tools: Khora's `createCapabilityLink`. `refs` are taken as they
/// are, if they are given.
///
/// # Errors
/// `InvalidInput` for a number beyond the range of `f64` in what is hashed.
pub fn create_capability_link<'a>(
    (agent_id, agent_name, static_hash): (&str, &str, &str),
    enabled: &[&str],
    hashes: &StaticHashes,
    spec: impl Fn(&str) -> Option<&'a ToolSpec>,
    refs: Option<Vec<ToolRef>>,
    options: &LinkOptions,
) -> Result<CapabilityLink> {
    let resolved = resolve_runtime_tool_refs(enabled, hashes, spec, &options.augments)?;
    let allow: Vec<&str> = options.invocation_allow.iter().map(String::as_str).collect();
    let invocation_hash = match &options.invocation {
        Some(invocation) => invocation_fingerprint(invocation, &allow)?,
        None => None,
    };
    Ok(CapabilityLink {
        agent_id: agent_id.to_owned(),
        agent_name: agent_name.to_owned(),
        static_hash: static_hash.to_owned(),
        runtime_hash: runtime_hash(&resolved)?,
        tool_refs: refs.unwrap_or(resolved),
        invocation_hash,
    })
}

/// The link of a turn in which an agent had these affordances.
///
/// # Errors
/// As for [`create_capability_link`].
pub fn link_of(
    agent: &RegisteredAgent,
    affordances: &Affordances,
    options: &LinkOptions,
) -> Result<CapabilityLink> {
    let hashes = collect_tool_static_hashes(agent.root())?;
    let names: Vec<&str> = affordances.tools.iter().map(ToolSpec::name).collect();
    let specs: std::collections::HashMap<&str, &ToolSpec> =
        affordances.tools.iter().map(|tool| (tool.name(), tool)).collect();
    let of = (agent.id(), agent.name(), agent.static_hash());
    create_capability_link(of, &names, &hashes, |name| specs.get(name).copied(), None, options)
}
