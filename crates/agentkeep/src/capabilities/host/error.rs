//! How a session's start fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::capabilities::tool::{Aborted, Failure};
use crate::json::Json;

/// Why a start of a session failed. Clones are the same failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SessionError {
    /// It is no longer wanted.
    Aborted(Aborted),
    /// No agent of this id is registered with its live part.
    NotRegistered(String),
    /// Neither the session nor the registration has a runner.
    NoRunner(String),
    /// Another start of the session is under way.
    Running,
    /// The runner, a hook or a resolver failed.
    Failed(Arc<Failure>),
    /// The runner panicked.
    Panicked(String),
    /// The runner took longer than it may.
    Deadline(Duration),
    /// The run ended, but what was to be kept of the turn could not be kept.
    NotKept {
        /// What the runner gave, if it did.
        output: Option<Json>,
        /// Why.
        error: Arc<crate::Error>,
    },
}

impl From<Failure> for SessionError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Arc::new(failure))
    }
}

impl From<Aborted> for SessionError {
    fn from(aborted: Aborted) -> Self {
        Self::Aborted(aborted)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(aborted) => aborted.fmt(f),
            Self::NotRegistered(id) => write!(f, "agent not registered: {id}"),
            Self::NoRunner(id) => {
                write!(f, "agent {id} has no runner: give one to the session or the registration")
            }
            Self::Running => f.write_str("the session has been started and has not ended yet"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Panicked(message) => write!(f, "the runner panicked: {message}"),
            Self::Deadline(limit) => write!(f, "the runner took longer than {limit:?}"),
            Self::NotKept { .. } => f.write_str("the run ended, but its turn could not be kept"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its own line is shown already.
            Self::Failed(failure) => failure.source(),
            Self::NotKept { error, .. } => Some(&**error),
            _ => None,
        }
    }
}
