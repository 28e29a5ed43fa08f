//! A tool as an evaluation leaves it: allowed, and ready to be called.

use std::fmt;
use std::sync::Arc;

use super::composable::Handler;
use super::{InputSchema, PipelineHooks, Policy, Tool, ToolContext, ToolWire};
use crate::capabilities::hash::sort_by_collation;

/// A tool that an agent has in one turn.
#[derive(Clone)]
pub struct ToolSpec {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) schema: InputSchema,
    pub(crate) instructions: String,
    pub(crate) policy_ids: Vec<String>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) handler: Arc<Handler>,
    /// What a call has that gives no context.
    pub(crate) context: ToolContext,
    pub(crate) hooks: PipelineHooks,
}

impl ToolSpec {
    pub(crate) fn of(tool: &Tool, context: ToolContext, hooks: PipelineHooks) -> Self {
        let mut policies = tool.policies.clone();
        sort_by_collation(&mut policies, Policy::id);
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            schema: tool.schema.clone(),
            instructions: tool.instructions.join("\n\n"),
            policy_ids: policies.iter().map(|policy| policy.id().to_owned()).collect(),
            policies,
            handler: Arc::clone(&tool.handler),
            context,
            hooks,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What it takes.
    pub fn schema(&self) -> &InputSchema {
        &self.schema
    }

    /// What the model is told of it.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// The ids of its policies, in order.
    pub fn policy_ids(&self) -> &[String] {
        &self.policy_ids
    }

    /// Its policies, by id.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The plain data of it.
    pub fn to_wire(&self) -> ToolWire {
        ToolWire {
            name: self.name.clone(),
            description: self.description.clone().unwrap_or_default(),
            instructions: self.instructions.clone(),
            input_schema: self.schema.projection(),
            policy_ids: self.policy_ids.clone(),
        }
    }
}

impl fmt::Debug for ToolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolSpec({:?}, {:?})", self.name, self.policy_ids)
    }
}
