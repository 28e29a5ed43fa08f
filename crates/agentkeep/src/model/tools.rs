//! Tool calls and results, in the forms in which agents write them.
//!
//! Known forms: subtype `tool_call`/`tool_result` with a list of `{id, name, arguments}` or
//! `{id, output}`; subtype `tool-call` with member `toolCall`, `tool-result` with `toolCallId`
//! and `toolResult`; parts of type `tool-call`, `tool_call`, `tool_use`, `tool-result`,
//! `tool_result` within a message's content.

use super::{Content, Message};
use crate::json::Json;

/// A tool call in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result names.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What the tool was given.
    pub input: Json,
}

/// A tool's answer in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// The call that it answers.
    pub call_id: String,
    /// What the tool answered.
    pub output: Json,
}

impl Message {
    /// The tool calls that the message makes.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let own = self.json().member("toolCall");
        let all_parts = self.subtype().as_deref() == Some("tool_call");
        let parts = self.parts().into_iter().filter(|part| {
            all_parts || matches!(kind(part).as_str(), "tool-call" | "tool_call" | "tool_use")
        });
        own.into_iter().chain(parts).filter_map(|part| call(&part)).collect()
    }

    /// The tool results that the message holds.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let call_id = text(self.json(), "toolCallId");
        let own = self.json().member("toolResult").and_then(|part| {
            let call_id = call_id.clone().or_else(|| text(&part, "id"))?;
            Some(ToolResult { call_id, output: output(&part) })
        });
        let all_parts = self.subtype().as_deref() == Some("tool_result");
        let parts = self.parts().into_iter().filter(|part| {
            all_parts || matches!(kind(part).as_str(), "tool-result" | "tool_result")
        });
        own.into_iter().chain(parts.filter_map(|part| result(&part))).collect()
    }

    fn parts(&self) -> Vec<Json> {
        match self.content() {
            Content::Parts(parts) => parts,
            _ => Vec::new(),
        }
    }
}

fn kind(part: &Json) -> String {
    text(part, "type").unwrap_or_default()
}

fn text(json: &Json, field: &str) -> Option<String> {
    json.member(field).and_then(|value| value.to_text())
}

fn first_text(json: &Json, fields: [&str; 4]) -> Option<String> {
    fields.iter().find_map(|field| text(json, field))
}

fn call(part: &Json) -> Option<ToolCall> {
    let id = first_text(part, ["toolCallId", "tool_call_id", "id", "callId"])?;
    let name = first_text(part, ["name", "toolName", "tool_name", "tool"]).unwrap_or_default();
    let input = ["arguments", "input", "args"].iter().find_map(|field| part.member(field));
    Some(ToolCall { id, name, input: input.unwrap_or_else(Json::null) })
}

fn result(part: &Json) -> Option<ToolResult> {
    let call_id = first_text(part, ["toolCallId", "tool_call_id", "tool_use_id", "id"])?;
    Some(ToolResult { call_id, output: output(part) })
}

fn output(part: &Json) -> Json {
    let found = ["output", "result", "content"].iter().find_map(|field| part.member(field));
    found.unwrap_or_else(Json::null)
}
