//! Calling a tool.

use std::time::Instant;

use super::hooks::ToolExecuted;
use super::{Failure, ToolContext, ToolSpec};
use crate::json::Json;

impl ToolSpec {
    /// Calls the tool and tells of it. Without a context it has the environment that it was
    /// evaluated in. The input is not checked against the schema, nor are the policies asked again:
    /// [`gate_tool`](crate::capabilities::gate_tool) does that.
    ///
    /// # Errors
    /// What the tool or a hook gives.
    pub async fn call(&self, input: Json, context: Option<ToolContext>) -> Result<Json, Failure> {
        let context = context.unwrap_or_else(|| self.context.clone());
        let env = context.env.clone();
        let began = Instant::now();
        let done = (self.handler)(input.clone(), context).await;
        let event = |result: &Result<Json, Failure>| ToolExecuted {
            ok: result.is_ok(),
            tool_name: self.name.clone(),
            input: input.clone(),
            output: result.as_ref().ok().cloned(),
            error: result.as_ref().err().map(ToString::to_string),
            duration_ms: began.elapsed().as_secs_f64() * 1000.0,
            env: env.clone(),
        };
        let told = self.hooks.tool_executed(&event(&done)).await;
        match (done, told) {
            // Who counts on the first event learns that the call failed in the end.
            (Ok(_), Err(failure)) => {
                let failed = Err(failure);
                self.hooks.tool_executed(&event(&failed)).await?;
                failed
            }
            (Err(_), Err(failure)) => Err(failure),
            (done, Ok(())) => done,
        }
    }
}
