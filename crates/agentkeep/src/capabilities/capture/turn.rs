//! One evaluation, and everything that is kept of it.

use super::PolicySnapshot;
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::hash::as_members;
use crate::capabilities::link::{LinkOptions, link_of};
use crate::capabilities::tool::{
    Affordances, Failure, PolicyMode, PolicyResults, ToolContext, ToolSpec, evaluate_agent,
};
use crate::json::{Json, ObjectEditor};
use crate::model::{CapabilityLink, ENVELOPE_VERSION, ToolRef};

/// What is kept of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EnvKeys {
    /// Nothing: environments have secrets in them.
    #[default]
    None,
    /// The members of these names.
    Only(Vec<String>),
    /// Everything, as Khora does.
    All,
}

/// How a turn is captured.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// What the link is made of.
    pub link: LinkOptions,
    /// What the results of policies mean later.
    pub mode: PolicyMode,
    /// When the policies were asked, in milliseconds since 1970.
    pub captured_at: Option<i64>,
    /// Which bundle of policies it was.
    pub policy_bundle_id: Option<String>,
    /// Which version of the engine.
    pub policy_engine_version: Option<String>,
    /// What is kept of the environment.
    pub env: EnvKeys,
    /// Whether the envelope has the agent's static block.
    pub include_static: bool,
    /// The session's context, kept in the envelope.
    pub session_context: Option<Json>,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            link: LinkOptions::default(),
            mode: PolicyMode::Hint,
            captured_at: None,
            policy_bundle_id: None,
            policy_engine_version: None,
            env: EnvKeys::None,
            include_static: true,
            session_context: None,
        }
    }
}

/// What an agent was and could do in one turn: live tools, and plain data to keep.
#[derive(Debug, Clone)]
pub struct CapturedTurn {
    /// The tools and the text for the model.
    pub affordances: Affordances,
    /// What the policies said, for the gate before tools are executed.
    pub results: PolicyResults,
    /// The link.
    pub link: CapabilityLink,
    /// Khora's `AgentRuntimeSnapshot`.
    pub runtime: Json,
    /// Khora's `AgentSnapshotEnvelope`, version 1.
    pub envelope: Json,
}

fn failed(error: crate::Error) -> Failure {
    Box::new(error)
}

/// The link of a turn: Khora's `computeFullCapabilityLink`.
///
/// # Errors
/// What a hook or the maker of a dynamic toolkit gives; what cannot be hashed.
pub async fn compute_full_capability_link(
    agent: &RegisteredAgent,
    context: &ToolContext,
    options: &LinkOptions,
) -> Result<CapabilityLink, Failure> {
    let affordances = evaluate_agent(agent, context, &PolicyResults::default()).await?;
    link_of(agent, &affordances, options).map_err(failed)
}

/// Captures a turn by one evaluation: Khora's `captureAgentSnapshotEnvelope`, and with its
/// `runtime` `captureAgentRuntimeSnapshot`.
///
/// # Errors
/// As for [`compute_full_capability_link`].
pub async fn capture_turn(
    agent: &RegisteredAgent,
    context: &ToolContext,
    options: &CaptureOptions,
) -> Result<CapturedTurn, Failure> {
    let results = PolicyResults::default();
    let affordances = evaluate_agent(agent, context, &results).await?;
    let link = link_of(agent, &affordances, &options.link).map_err(failed)?;
    let policy = PolicySnapshot {
        captured_at: options.captured_at,
        policy_bundle_id: options.policy_bundle_id.clone(),
        policy_engine_version: options.policy_engine_version.clone(),
        ..PolicySnapshot::of(&results, options.mode)
    };
    let policy = policy.to_json();
    let mut runtime = ObjectEditor::default();
    runtime.set("link", &link.to_json());
    runtime.set("toolRefs", &ToolRef::list_to_json(&link.tool_refs));
    runtime.set("affordances", &affordances_to_wire(&affordances));
    runtime.set("policy", &policy);
    runtime.set("toolkitContext", &wire_context(context, &options.env));
    let runtime = runtime.finish();
    let mut envelope = ObjectEditor::default();
    envelope.set("schemaVersion", &Json::string(ENVELOPE_VERSION));
    if options.include_static {
        envelope.set("static", &agent.to_wire());
    }
    envelope.set("policy", &policy).set("runtime", &runtime);
    if let Some(context) = &options.session_context {
        envelope.set("context", context);
    }
    Ok(CapturedTurn { affordances, results, link, runtime, envelope: envelope.finish() })
}

/// The plain data of affordances: `{instructions, tools}`.
pub fn affordances_to_wire(affordances: &Affordances) -> Json {
    let mut tools: Vec<_> = affordances.tools.iter().map(ToolSpec::to_wire).collect();
    as_members(&mut tools, |tool| &tool.name);
    let mut by_name = ObjectEditor::default();
    for tool in &tools {
        by_name.set(&tool.name, &tool.to_json());
    }
    let mut wire = ObjectEditor::default();
    wire.set("instructions", &Json::string(&affordances.instructions));
    wire.set("tools", &by_name.finish());
    wire.finish()
}

fn wire_context(context: &ToolContext, env: &EnvKeys) -> Json {
    match env {
        EnvKeys::All => context.to_wire(None),
        EnvKeys::None => context.to_wire(Some(&[])),
        EnvKeys::Only(keys) => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            context.to_wire(Some(&keys))
        }
    }
}
