//! What tools and policies are evaluated in.

use super::{AbortSignal, PipelineHooks};
use crate::json::{Json, ObjectEditor};

/// The environment of an evaluation or a call. Only plain data of it is ever stored.
#[derive(Debug, Clone)]
pub struct ToolContext {
    /// What policies look at: any JSON.
    pub env: Json,
    /// The namespace that the agent works in, as the host names it.
    pub namespace: Option<String>,
    /// The agent's id.
    pub agent_id: Option<String>,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// Tells when the work is no longer wanted.
    pub abort: Option<AbortSignal>,
    /// Told of everything, after the hooks of the composables.
    pub hooks: PipelineHooks,
}

impl ToolContext {
    /// A context with this environment alone.
    pub fn new(env: Json) -> Self {
        Self {
            env,
            namespace: None,
            agent_id: None,
            agent_name: None,
            abort: None,
            hooks: PipelineHooks::default(),
        }
    }

    /// The plain data of it: Khora's `toolkitContextToWire`. Of `env`, when it is an object, only
    /// the members in `allow` (all, for `None`).
    pub fn to_wire(&self, allow: Option<&[&str]>) -> Json {
        let mut wire = ObjectEditor::default();
        match allow {
            Some(allow) if self.env.is_object() => {
                let mut kept = ObjectEditor::default();
                for (key, value) in self.env.members() {
                    if allow.contains(&key.as_str()) {
                        kept.set(&key, &value);
                    }
                }
                wire.set("env", &kept.finish());
            }
            // What is no object cannot be told from a secret.
            Some(_) => {
                wire.set("env", &Json::null());
            }
            None => {
                wire.set("env", &self.env);
            }
        }
        let named = [
            ("namespace", &self.namespace),
            ("agentId", &self.agent_id),
            ("agentName", &self.agent_name),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                wire.set(name, &Json::string(value));
            }
        }
        wire.finish()
    }
}
