//! The gate before a tool is executed.

use std::collections::HashMap;
use std::fmt;

use super::evaluate::{Asked, ask, denial};
use super::{
    AbortSignal, Aborted, ExecuteBinding, Failure, Phase, PipelineHooks, PolicyResults, ToolSpec,
};
use crate::json::Json;

/// What the results of a snapshot of policies mean later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMode {
    /// They hold: a policy that is bound to the snapshot and not in it denies.
    Authoritative,
    /// They help: what is not in it is asked.
    #[default]
    Hint,
}

impl PolicyMode {
    /// Its name in envelopes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authoritative => "authoritative",
            Self::Hint => "hint",
        }
    }
}

/// What the gate goes by.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The environment now.
    pub env: Json,
    /// What policies said when the tool was evaluated; live policies write into it.
    pub results: Option<PolicyResults>,
    /// What a stored snapshot says, by policy id.
    pub snapshot: HashMap<String, bool>,
    /// What the snapshot means.
    pub mode: PolicyMode,
    /// Who is told.
    pub hooks: PipelineHooks,
    /// Whether the call is still wanted.
    pub abort: Option<AbortSignal>,
}

/// Why a tool may not be executed.
#[derive(Debug)]
pub enum Refused {
    /// It is no longer wanted.
    Aborted(Aborted),
    /// A policy denies it.
    Denied {
        /// Which.
        policy_id: String,
        /// True when the snapshot holds and does not have the policy.
        not_in_snapshot: bool,
    },
    /// A hook failed.
    Hook(Failure),
}

impl Gate {
    /// A gate that asks every policy.
    pub fn new(env: Json) -> Self {
        Self {
            env,
            results: None,
            snapshot: HashMap::new(),
            mode: PolicyMode::Hint,
            hooks: PipelineHooks::default(),
            abort: None,
        }
    }
}

/// Whether a tool may be executed now: Khora's `gateToolPoliciesAtExecute`. Stops at the first
/// policy that denies.
///
/// # Errors
/// [`Refused`].
pub async fn gate_tool(spec: &ToolSpec, gate: &Gate) -> Result<(), Refused> {
    if let Some(abort) = &gate.abort {
        abort.check().map_err(Refused::Aborted)?;
    }
    for policy in &spec.policies {
        let denied = |not_in_snapshot| Refused::Denied {
            policy_id: policy.id().to_owned(),
            not_in_snapshot,
        };
        if policy.binding() == ExecuteBinding::Snapshot {
            let evaluated = gate.results.as_ref().and_then(|results| results.get(policy));
            match evaluated.or_else(|| gate.snapshot.get(policy.id()).copied()) {
                Some(true) => continue,
                Some(false) => return Err(denied(false)),
                None if gate.mode == PolicyMode::Authoritative => return Err(denied(true)),
                None => {}
            }
        }
        let asked = Asked { phase: Phase::Execute, tool: Some(&spec.name), composable: None };
        let answer = ask(policy, &gate.env, None, gate.results.as_ref(), &gate.hooks, asked).await;
        if !answer.map_err(Refused::Hook)? {
            return Err(denied(false));
        }
    }
    Ok(())
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(aborted) => aborted.fmt(f),
            Self::Denied { policy_id, not_in_snapshot } => {
                f.write_str(&denial(policy_id))?;
                if *not_in_snapshot {
                    f.write_str(" (authoritative snapshot, no cached result)")?;
                }
                Ok(())
            }
            Self::Hook(_) => f.write_str("a hook failed"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Hook(failure) => Some(&**failure),
            _ => None,
        }
    }
}
