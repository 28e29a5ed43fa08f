//! `schema ...`.

mod print;
mod upgrade;

use super::Outcome;
use crate::args::{Global, Schema};

/// Runs the command that was written.
pub(crate) async fn run(global: &Global, args: &Schema) -> Outcome {
    match args {
        Schema::Print(args) => print::run(global, args),
        Schema::Upgrade => upgrade::run(global).await,
    }
}
