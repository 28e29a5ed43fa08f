//! What an agent was and could do: hashes byte for byte as Khora's, tools and policies, the capture
//! of a turn, and the host of sessions.

mod agent;
mod capture;
mod hash;
mod tool;

pub use self::agent::RegisteredAgent;
pub use self::capture::{HydrateError, PolicySnapshot, hydrate_affordances};
pub use self::hash::{
    StaticHashes, agent_payload, canonical_json, collate, collect_tool_static_hashes,
    hash_agent_static, hash_plain_object, hash_runtime_tool_binding, hash_static, hash_tool_spec,
    hash_tool_wire, invocation_fingerprint, normalize_invocation_context,
    resolve_runtime_tool_refs, runtime_hash, runtime_payload, runtime_tool_binding_payload,
    static_payload, tool_spec_payload, tool_wire_payload,
};
pub use self::tool::{
    AbortController, AbortSignal, Aborted, Affordances, Composable, DynamicToolkit, Evaluated,
    ExecuteBinding, Failure, Gate, InputSchema, Phase, PipelineHooks, Policy, PolicyEvaluated,
    PolicyMode, PolicyResults, Refused, Tool, ToolContext, ToolExecuted, ToolSpec, ToolWire,
    Toolkit, assemble_instructions, evaluate, evaluate_agent, gate_tool,
};
