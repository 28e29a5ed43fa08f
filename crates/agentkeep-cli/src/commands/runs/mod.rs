//! `runs ...`.

mod claim;
mod list;
mod show;

use agentkeep::{Error, Kind};

use super::Outcome;
use crate::args::Global;
use crate::args::runs::Runs;

/// Runs the command that was written.
pub(crate) async fn run(global: &Global, args: &Runs) -> Outcome {
    match args {
        Runs::List(args) => list::run(global, args).await,
        Runs::Show { id, long } => show::run(global, id, *long).await,
        Runs::ResumeInfo { id } => claim::resume_info(global, id).await,
        Runs::Claim { id, owner, ttl } => claim::run(global, id, owner, *ttl).await,
    }
}

fn not_found(id: &str) -> Error {
    Error::new(Kind::NotFound, "there is no such run")
        .at(format!("run {id:?}"))
        .advice("agentkeep runs list names them all")
}
