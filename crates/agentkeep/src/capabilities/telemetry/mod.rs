//! What spans and logs are told: names and bounded values, without payloads unless asked for.

mod spans;

pub use self::spans::pipeline_hooks;
pub(crate) use self::spans::{
    evaluating, link_captured, session_began, session_ended, session_span, within,
};

use super::hash::sha256;
use crate::json::Json;
use crate::model::CapabilityLink;

/// Longest payload, in UTF-16 units.
const MAX_PAYLOAD: usize = 1024;
/// The members of an invocation context that are told by default.
pub const INVOCATION_KEYS: [&str; 8] = [
    "traceId",
    "sessionId",
    "messageId",
    "tenantId",
    "actorId",
    "subjectId",
    "personaSlug",
    "policyBundleId",
];

/// Attributes, by name: texts, numbers and truth values.
pub type Attributes = Vec<(String, Json)>;

/// Whether and how the payload of a tool is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// Not at all.
    #[default]
    None,
    /// As text, cut where it is long.
    Text,
    /// By its hash.
    Hash,
}

/// The texts, numbers and truth values among the members of an object, by the order of UTF-16
/// units: Khora's `toSpanAttributes`. `allow` names the members; `None` means all of them, an empty
/// list none.
pub fn span_attributes(value: &Json, prefix: &str, allow: Option<&[&str]>) -> Attributes {
    let told = |(name, value): &(String, Json)| {
        let first = value.as_str().as_bytes().first();
        let scalar = matches!(first, Some(b'"' | b't' | b'f' | b'-' | b'0'..=b'9'));
        scalar && allow.is_none_or(|allow| allow.contains(&name.as_str()))
    };
    let mut members: Vec<(String, Json)> = value.members().filter(told).collect();
    members.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
    members.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

/// What is told of an invocation context: [`INVOCATION_KEYS`].
pub fn invocation_attributes(context: &Json) -> Attributes {
    span_attributes(context, "invocation.", Some(&INVOCATION_KEYS))
}

/// What is told of a session's context: every text, number and truth value.
pub fn session_attributes(context: &Json) -> Attributes {
    span_attributes(context, "session.", None)
}

/// What is told of a link: the names of its tools, if `names`, and so many units of its hashes.
pub fn link_attributes(link: &CapabilityLink, names: bool, hash: Option<usize>) -> Attributes {
    let mut told = Attributes::new();
    if names {
        let names: Vec<&str> = link.tool_refs.iter().map(|one| one.tool_key.as_str()).collect();
        told.push(("agent.enabled_tools".to_owned(), Json::string(&names.join(","))));
    }
    if let Some(length) = hash.filter(|length| *length > 0) {
        let short = |hash: &str| {
            let units: Vec<u16> = hash.encode_utf16().take(length).collect();
            Json::string(&String::from_utf16_lossy(&units))
        };
        told.push(("agent.runtime_hash_short".to_owned(), short(&link.runtime_hash)));
        if let Some(invocation) = &link.invocation_hash {
            told.push(("agent.invocation_hash_short".to_owned(), short(invocation)));
        }
    }
    told
}

/// How payloads of tools are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadOptions {
    /// What the tool was given.
    pub input: Payload,
    /// What it answered.
    pub output: Payload,
    /// Longest text, in UTF-16 units.
    pub max: usize,
}

impl Default for PayloadOptions {
    /// Nothing is told.
    fn default() -> Self {
        Self { input: Payload::None, output: Payload::None, max: MAX_PAYLOAD }
    }
}

/// How a policy that allowed is told of; one that denied is always a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passed {
    /// As an event of the level `DEBUG`.
    #[default]
    Event,
    /// As a span before a tool is executed, else as an event: Khora's `execute-only`.
    ExecuteOnly,
    /// As a span: Khora's `spanOnPass`.
    Span,
}

/// What [`pipeline_hooks`] tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HookOptions {
    /// Payloads of tools.
    pub payloads: PayloadOptions,
    /// Policies that allowed.
    pub passed: Passed,
}

impl From<PayloadOptions> for HookOptions {
    fn from(payloads: PayloadOptions) -> Self {
        Self { payloads, ..Self::default() }
    }
}

/// What is told of a tool's payloads; `output` only when it answered. A hash covers the whole text.
pub fn payload_attributes(
    input: Option<&Json>,
    output: Option<&Json>,
    options: PayloadOptions,
) -> Attributes {
    let mut told = Attributes::new();
    for (name, value, how) in
        [("tool.input", input, options.input), ("tool.output", output, options.output)]
    {
        let Some(value) = value else { continue };
        match how {
            Payload::None => {}
            Payload::Text => {
                told.push((name.to_owned(), Json::string(&cut(value.as_str(), options.max))));
            }
            Payload::Hash => {
                told.push((format!("{name}_hash"), Json::string(&sha256(value.as_str()))));
            }
        }
    }
    told
}

fn cut(text: &str, max: usize) -> String {
    let units: Vec<u16> = text.encode_utf16().take(max.saturating_add(1)).collect();
    if units.len() <= max {
        return text.to_owned();
    }
    String::from_utf16_lossy(&units[..max]) + "\u{2026}"
}
