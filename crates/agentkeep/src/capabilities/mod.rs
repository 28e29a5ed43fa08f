//! What an agent was and could do: hashes byte for byte as Khora's, tools and policies, the capture
//! of a turn, and the host of sessions.

mod agent;
mod capture;
mod diff;
mod hash;
mod host;
mod link;
pub mod telemetry;
mod tool;

pub use self::agent::RegisteredAgent;
pub use self::capture::{
    CaptureOptions, CapturedTurn, EnvKeys, HydrateError, PolicySnapshot, affordances_to_wire,
    capture_turn, compute_full_capability_link, hydrate_affordances,
};
pub use self::diff::{
    AffordancePolicyIdsDiff, CapabilityDiff, CapabilityLinksDiff, DiffSource, FieldChanged,
    HashChanged, Labels, PoliciesDiff, PolicyChanged, PolicyIdsChanged, PolicyResult,
    PolicyResultsDiff, ToolRefsDiff, capability_diff, diff_affordance_policy_ids,
    diff_capability_links, diff_policy_results, diff_tool_refs,
    explain_capability_link_relationship, format_hash_short, format_hash_short_with,
};
pub use self::hash::{
    StaticHashes, agent_payload, canonical_json, collate, collect_tool_static_hashes,
    hash_agent_static, hash_plain_object, hash_runtime_tool_binding, hash_static, hash_tool_spec,
    hash_tool_wire, invocation_fingerprint, normalize_invocation_context,
    resolve_runtime_tool_refs, runtime_hash, runtime_payload, runtime_tool_binding_payload,
    static_payload, tool_spec_payload, tool_wire_payload,
};
pub use self::host::{
    AgentRegistry, AgentSession, Attribution, ContextLayer, RegisterOptions, Resolver, RunArgs,
    Runner, SessionContext, SessionError, SessionHooks, SessionOptions, Stage, StageEvent,
};
pub use self::link::{LinkOptions, create_capability_link, link_of};
pub use self::tool::{
    AbortController, AbortSignal, Aborted, Affordances, Composable, DynamicToolkit, Evaluated,
    ExecuteBinding, Failure, Gate, InputSchema, Phase, PipelineHooks, Policy, PolicyEvaluated,
    PolicyMode, PolicyResults, Refused, Tool, ToolContext, ToolExecuted, ToolSpec, ToolWire,
    Toolkit, assemble_instructions, evaluate, evaluate_agent, gate_tool,
};
