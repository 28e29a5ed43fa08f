//! Tools, toolkits and policies: what an agent could do, as code and as plain data.

mod abort;
mod call;
mod composable;
mod context;
mod evaluate;
mod gate;
mod hooks;
mod instructions;
mod policy;
mod results;
mod schema;
mod spec;
mod wire;

pub use self::abort::{AbortController, AbortSignal, Aborted};
pub use self::composable::{Composable, DynamicToolkit, Tool, Toolkit};
pub use self::context::ToolContext;
pub use self::evaluate::{Evaluated, evaluate};
pub use self::gate::{Gate, PolicyMode, Refused, gate_tool};
pub use self::hooks::{Phase, PipelineHooks, PolicyEvaluated, ToolExecuted};
pub use self::instructions::{Affordances, assemble_instructions, evaluate_agent};
pub use self::policy::{ExecuteBinding, Policy};
pub use self::results::PolicyResults;
pub use self::schema::InputSchema;
pub use self::spec::ToolSpec;
pub use self::wire::ToolWire;
pub(crate) use self::wire::list_of;

/// How handlers and checks fail: any error, or a text (`Err("no".into())`).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
