//! Who is told of policies and tools as they run.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::Failure;
use crate::json::Json;

type Told<T> = dyn Fn(T) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// Where a policy was evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// For a toolkit and all that belongs to it.
    Toolkit,
    /// For a tool alone.
    Tool,
    /// For a toolkit that is made when it is asked for.
    DynamicToolkit,
    /// Before a tool was executed.
    Execute,
}

impl Phase {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Toolkit => "toolkit",
            Self::Tool => "tool",
            Self::DynamicToolkit => "dynamicToolkit",
            Self::Execute => "execute",
        }
    }
}

/// A policy was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEvaluated {
    /// True when it allowed.
    pub ok: bool,
    /// Which policy.
    pub policy_id: String,
    /// Why not, when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The environment that it looked at.
    pub env: Json,
    /// Where.
    pub phase: Phase,
    /// The tool that it was evaluated for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// The toolkit that it was evaluated for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composable_name: Option<String>,
}

/// A tool was executed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolExecuted {
    /// True when it answered.
    pub ok: bool,
    /// Which tool.
    pub tool_name: String,
    /// What it was given.
    pub input: Json,
    /// What it answered, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Why not, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// The environment.
    pub env: Json,
}

/// Handlers that are told, in order; each is awaited. One that fails ends the evaluation or the
/// call that it was told of.
#[derive(Clone, Default)]
pub struct PipelineHooks {
    policies: Vec<Arc<Told<PolicyEvaluated>>>,
    tools: Vec<Arc<Told<ToolExecuted>>>,
}

impl PipelineHooks {
    /// The same, and `handler` is told of each policy.
    #[must_use]
    pub fn on_policy_evaluated<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(PolicyEvaluated) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.policies.push(Arc::new(move |event| Box::pin(handler(event))));
        self
    }

    /// The same, and `handler` is told of each tool.
    #[must_use]
    pub fn on_tool_executed<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(ToolExecuted) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.tools.push(Arc::new(move |event| Box::pin(handler(event))));
        self
    }

    /// These, then those.
    #[must_use]
    pub fn then(&self, others: &Self) -> Self {
        let mut merged = self.clone();
        merged.policies.extend(others.policies.iter().cloned());
        merged.tools.extend(others.tools.iter().cloned());
        merged
    }

    /// True when nobody is told.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.tools.is_empty()
    }

    pub(crate) fn tells_of_policies(&self) -> bool {
        !self.policies.is_empty()
    }

    pub(crate) async fn policy_evaluated(&self, event: &PolicyEvaluated) -> Result<(), Failure> {
        for handler in &self.policies {
            handler(event.clone()).await?;
        }
        Ok(())
    }

    pub(crate) async fn tool_executed(&self, event: &ToolExecuted) -> Result<(), Failure> {
        for handler in &self.tools {
            handler(event.clone()).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for PipelineHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipelineHooks({} + {})", self.policies.len(), self.tools.len())
    }
}
