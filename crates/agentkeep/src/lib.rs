//! agentkeep keeps what an AI agent must not lose.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
pub mod drivers;
mod error;
mod json;
pub mod schema;

pub use error::{Error, Kind, Result};
pub use json::{Json, MAX_DEPTH, ObjectEditor, Problem, ScanError};
