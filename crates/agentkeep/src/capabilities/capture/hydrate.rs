//! From stored affordances back to tools that can be called, for a replay.

use std::fmt;
use std::future::Future;

use crate::capabilities::hash::hash_tool_wire;
use crate::capabilities::tool::{Affordances, Failure, ToolSpec, ToolWire};
use crate::error::Error;
use crate::json::Json;

/// Why stored affordances could not be brought back.
#[derive(Debug)]
pub enum HydrateError {
    /// They are no affordances.
    Wire(Error),
    /// The tool that was bound has another name.
    OtherName {
        /// The name of the tool that was bound.
        bound: String,
        /// The name asked for.
        expected: String,
    },
    /// A tool could not be bound.
    Bind(Failure),
}

impl fmt::Display for HydrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(_) => f.write_str("the affordances are no affordances"),
            Self::OtherName { bound, expected } => write!(
                f,
                "hydrateAffordances: bindTool returned ToolSpec with name {}, expected {}",
                Json::string(bound),
                Json::string(expected)
            ),
            Self::Bind(_) => f.write_str("a tool could not be bound"),
        }
    }
}

impl std::error::Error for HydrateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Wire(error) => Some(error),
            Self::OtherName { .. } => None,
            Self::Bind(failure) => Some(&**failure),
        }
    }
}

/// The tools of stored affordances (`{instructions, tools}`), each bound by `bind`, which is given
/// the plain data and its hash: Khora's `hydrateAffordances`.
///
/// # Errors
/// [`HydrateError`].
pub async fn hydrate_affordances<F, R>(wire: &Json, bind: F) -> Result<Affordances, HydrateError>
where
    F: Fn(ToolWire, String) -> R,
    R: Future<Output = Result<ToolSpec, Failure>>,
{
    let mut tools = Vec::new();
    for (expected, tool) in wire.member("tools").iter().flat_map(Json::members) {
        let plain = ToolWire::from_json(&tool).map_err(HydrateError::Wire)?;
        let hash = hash_tool_wire(&plain).map_err(HydrateError::Wire)?;
        let bound = bind(plain, hash).await.map_err(HydrateError::Bind)?;
        if bound.name() != expected {
            let bound = bound.name().to_owned();
            return Err(HydrateError::OtherName { bound, expected });
        }
        tools.push(bound);
    }
    let instructions = wire.member("instructions").and_then(|text| text.to_text());
    let instructions = instructions.unwrap_or_default();
    Ok(Affordances { tools, instructions, hidden: Vec::new() })
}
