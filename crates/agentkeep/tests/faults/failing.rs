//! The child whose disk fails.

use crate::child::Task;

pub(crate) async fn work(_task: &Task) {}
