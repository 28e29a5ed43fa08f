//! `transcripts ...`.

mod export;
mod list;
mod show;

use agentkeep::{Error, Kind, Result, Store};

use super::Outcome;
use crate::args::Global;
use crate::args::transcripts::Transcripts;

/// Runs the command that was written.
pub(crate) async fn run(global: &Global, args: &Transcripts) -> Outcome {
    match args {
        Transcripts::List { list } => list::run(global, list).await,
        Transcripts::Show(args) => show::run(global, args).await,
        Transcripts::Export { thread, file, yes } => {
            export::run(global, thread, file.as_deref(), *yes).await
        }
    }
}

/// The number of a thread's last entry.
async fn end(store: &Store, thread: &str) -> Result<u64> {
    let last = store.transcripts().last(thread, 1).await?;
    last.first().map(|entry| entry.number).ok_or_else(|| {
        Error::new(Kind::NotFound, "there is no such thread")
            .at(format!("thread {thread:?}"))
            .advice("agentkeep transcripts list names them all")
    })
}
