//! What the model is told of an agent's tools.

use super::{Failure, PolicyResults, ToolContext, ToolSpec, evaluate};
use crate::capabilities::RegisteredAgent;
use crate::capabilities::hash::ecma_trim;
use crate::capabilities::telemetry;

/// What an agent has in one turn, and what its model is told.
#[derive(Debug, Clone)]
pub struct Affordances {
    /// The tools.
    pub tools: Vec<ToolSpec>,
    /// The whole text for the model.
    pub instructions: String,
    /// Names that more than one allowed tool had: see
    /// [`Evaluated::hidden`](crate::capabilities::Evaluated::hidden).
    pub hidden: Vec<String>,
}

/// The text of an evaluation, and below it a block for each tool whose text is not in it: Khora's
/// `assembleToolkitAgentInstructions`. `tools` are names and texts.
pub fn assemble_instructions<'a>(
    evaluated: &str,
    tools: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let merged = ecma_trim(evaluated);
    let mut blocks: Vec<String> = Vec::new();
    if !merged.is_empty() {
        blocks.push(merged.to_owned());
    }
    let mut tools: Vec<(&str, &str)> = tools.into_iter().collect();
    tools.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    for (name, text) in tools {
        let text = ecma_trim(text);
        if !text.is_empty() && !merged.contains(text) {
            blocks.push(format!("## {name}\n{text}"));
        }
    }
    blocks.join("\n\n")
}

/// What an agent has in this context: Khora's `evaluateRegisteredAgentAffordances`, in a span.
///
/// # Errors
/// As for [`evaluate`].
pub async fn evaluate_agent(
    agent: &RegisteredAgent,
    context: &ToolContext,
    results: &PolicyResults,
) -> Result<Affordances, Failure> {
    telemetry::evaluating(evaluated(agent, context, results)).await
}

async fn evaluated(
    agent: &RegisteredAgent,
    context: &ToolContext,
    results: &PolicyResults,
) -> Result<Affordances, Failure> {
    let evaluated = evaluate(agent.root(), context, results).await?;
    let tools = evaluated.tools.iter().map(|tool| (tool.name(), tool.instructions()));
    let assembled = assemble_instructions(&evaluated.instructions, tools);
    let lines = agent.instructions().iter().map(|line| ecma_trim(line));
    let mut texts: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if !assembled.is_empty() {
        texts.push(&assembled);
    }
    let instructions = texts.join("\n\n");
    Ok(Affordances { tools: evaluated.tools, instructions, hidden: evaluated.hidden })
}
