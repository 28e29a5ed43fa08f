//! `import agentx`.

use std::process::ExitCode;

use agentkeep::{Kind, Result, Store};

use crate::args::{Global, ImportAgentx};
use crate::commands::{Outcome, open, open_existing};
use crate::import::agentx::{self, Wish};
use crate::import::stop::Stop;
use crate::output;

/// Takes in an AgentX store.
pub(super) async fn run(global: &Global, args: &ImportAgentx) -> Outcome {
    // First the source: a wrong path should not make a store.
    let source = agentx::open(&args.path, Stop::listening()).await?;
    let store = if args.dry_run { open_dry(global).await? } else { open(global).await? };
    let wish = Wish { dry_run: args.dry_run, keep: args.keep };
    let report = agentx::take(&store, source, wish).await?;
    store.close().await?;
    if global.json {
        output::stream_json(&report)?;
    } else {
        output::print(&report.shown()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The store as it is; an empty one in memory where there is none yet, so that none is made.
async fn open_dry(global: &Global) -> Result<Store> {
    match open_existing(global).await {
        Err(error) if error.kind() == Kind::NotFound => {
            let global = Global { store: "memory:".to_owned(), ..global.clone() };
            open(&global).await
        }
        other => other,
    }
}
