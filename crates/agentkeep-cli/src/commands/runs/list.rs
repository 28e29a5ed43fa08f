//! `runs list`.

use std::process::ExitCode;

use agentkeep::{Json, Result, RunFilter, RunInfo};

use crate::args::Global;
use crate::args::runs::List;
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::time::{Clock, took};
use crate::output::timeline::{duration, tokens};

/// Lists runs.
pub(super) async fn run(global: &Global, args: &List) -> Outcome {
    let store = open_namespace(global).await?;
    let filter = RunFilter {
        status: args.status,
        since: args.since,
        before: args.before,
        error: args.error.clone(),
    };
    let page = async |list: agentkeep::List| {
        if args.abandoned {
            store.runs().abandoned(&list).await
        } else {
            store.runs().list(&filter, &list).await
        }
    };
    let runs: Vec<RunInfo> = listing::collect(args.how.limit, page).await?;
    store.close().await?;
    if global.json {
        let documents: Vec<Json> = runs.iter().map(Json::of).collect::<Result<_>>()?;
        listing::print_records(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.how.long);
    let headings = ["run", "status", "steps", "tokens", "started", "took", "holder", "error"];
    let mut columns = Columns::new(&headings, args.how.long).right(2).right(3).right(5);
    for info in &runs {
        let usage = info.usage.as_ref().and_then(tokens);
        columns.row([
            info.run_id.clone(),
            info.status.name().to_owned(),
            info.steps.to_string(),
            usage.map_or("-".to_owned(), |tokens| tokens.to_string()),
            clock.show(info.started_at),
            duration(info).map_or("-".to_owned(), took),
            columns.brief(info.owner.clone()),
            columns.brief(info.error.clone()),
        ]);
    }
    listing::print_table(columns, runs.len(), "run")
}
