//! Foreign data: a folder for each origin, and what the imports have in common.

pub(crate) mod agentx;
mod cut;
pub(crate) mod progress;
pub(crate) mod report;
mod scratch;
pub(crate) mod stop;
