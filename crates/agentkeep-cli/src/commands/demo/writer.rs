//! The second process of the demo: several writers add to one conversation until it is killed.
//!
//! It says on stdout `begin ID` before each call and `kept ID FINGERPRINT` after it, each with one
//! write, so that whoever reads knows exactly what was acknowledged and what was under way.

use std::io::Write as _;

use agentkeep::{Error, Kind, Result, Store};

use super::messages::{fingerprint, sealed};
use crate::args::{DemoWriter, Global};
use crate::commands::{Outcome, open};
use crate::output::io_error;

/// So many messages are enough for any demo: a writer that nobody kills ends some day.
const MOST: u32 = 10_000;

/// Adds messages until the end of the process.
pub(crate) async fn run(global: &Global, args: &DemoWriter) -> Outcome {
    let store = open(global).await?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..args.writers {
        let (store, session) = (store.clone(), args.session.clone());
        writers.spawn(async move { write(&store, &session, writer).await });
    }
    while let Some(ended) = writers.join_next().await {
        ended.map_err(|error| {
            Error::new(Kind::Unavailable, "a writer of the demo stopped").caused_by(error)
        })??;
    }
    Ok(std::process::ExitCode::SUCCESS)
}

async fn write(store: &Store, session: &str, writer: u32) -> Result<()> {
    for number in 0..MOST {
        let message = sealed(writer, number)?;
        let id = message.id().unwrap_or_default().to_owned();
        let fingerprint = fingerprint(message.json());
        say(&format!("begin {id}\n"))?;
        store.messages(session).add(message).await?;
        say(&format!("kept {id} {fingerprint}\n"))?;
    }
    Ok(())
}

/// One system call: the line is in the pipe wholly or not at all.
pub(super) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| io_error("nobody listens to the writer", error))
}
