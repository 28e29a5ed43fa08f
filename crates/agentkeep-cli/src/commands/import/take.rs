//! `import agentx`, `import agentrylab`, `import runs`.

use std::process::ExitCode;

use agentkeep::{Kind, Result, Store};

use crate::args::Global;
use crate::args::import::{ImportArgs, Origin};
use crate::commands::{Outcome, open, open_existing};
use crate::import::report::Report;
use crate::import::stop::Stop;
use crate::import::take::Wish;
use crate::import::{agentrylab, agentx, runs};
use crate::output;

/// Takes in what another program has kept.
pub(super) async fn run(global: &Global, origin: &Origin) -> Outcome {
    let stop = Stop::listening();
    // First the source: a wrong path should not make a store.
    let report = match origin {
        Origin::Agentx(args) => {
            let source = agentx::open(&args.path, stop).await?;
            taken(global, &args.how, async |store, wish| agentx::take(store, source, wish).await)
                .await?
        }
        Origin::Agentrylab(args) => {
            let source = agentrylab::open(&args.dir, stop)?;
            let take = async |store: &Store, wish| agentrylab::take(store, source, wish).await;
            taken(global, &args.how, take).await?
        }
        Origin::Runs(args) => {
            let source = runs::open(&args.path, stop)?;
            taken(global, &args.how, async |store, wish| runs::take(store, source, wish).await)
                .await?
        }
    };
    if global.json {
        output::stream_json(&report)?;
    } else {
        output::print(&report.shown()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn taken(
    global: &Global,
    args: &ImportArgs,
    take: impl AsyncFnOnce(&Store, Wish) -> Result<Report>,
) -> Result<Report> {
    let store = if args.dry_run { open_dry(global).await? } else { open(global).await? };
    let wish = Wish { dry_run: args.dry_run, keep: args.keep };
    let report = take(&store, wish).await?;
    store.close().await?;
    Ok(report)
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
