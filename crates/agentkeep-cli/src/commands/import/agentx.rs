//! `import agentx`.

use std::process::ExitCode;

use crate::args::{Global, ImportAgentx};
use crate::commands::{Outcome, open};
use crate::import::agentx;
use crate::output;

/// Takes in an AgentX store.
pub(crate) async fn run(global: &Global, args: &ImportAgentx) -> Outcome {
    // First the source: a wrong path should not make a store.
    let source = agentx::open(&args.path)?;
    let store = open(global).await?;
    let report = agentx::take(&store, source.as_ref(), &args.path, args.dry_run).await?;
    store.close().await?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.shown())?;
    }
    Ok(ExitCode::SUCCESS)
}
