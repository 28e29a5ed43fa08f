//! Foreign data: a folder for each origin, and what the imports have in common.

pub(crate) mod agentrylab;
pub(crate) mod agentx;
mod bytes;
mod cut;
mod ids;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod runs;
mod scratch;
mod sqlite;
pub(crate) mod stop;
pub(crate) mod take;
