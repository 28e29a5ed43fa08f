//! `capabilities ...`.

mod diff;
mod lineage;
mod lists;
mod show;

use crate::args::Global;
use crate::args::capabilities::Capabilities;
use crate::commands::Outcome;

/// Runs `capabilities ...`.
pub(super) async fn run(global: &Global, args: &Capabilities) -> Outcome {
    match args {
        Capabilities::Agents { list } => lists::agents(global, list).await,
        Capabilities::Links { agent, list } => lists::links(global, agent, list).await,
        Capabilities::Show { id } => show::run(global, id).await,
        Capabilities::Lineage { session } => lineage::run(global, session).await,
        Capabilities::Diff(args) => diff::run(global, args).await,
    }
}
