//! `transcripts list`.

use std::process::ExitCode;

use agentkeep::{Json, Result};

use crate::args::{Global, ListArgs};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::text;
use crate::output::time::Clock;

/// Lists threads.
pub(super) async fn run(global: &Global, args: &ListArgs) -> Outcome {
    let store = open_namespace(global).await?;
    let mut threads = store.transcripts().threads().await?;
    store.close().await?;
    let most = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    threads.truncate(most);
    if global.json {
        let documents: Vec<Json> = threads.iter().map(Json::of).collect::<Result<_>>()?;
        listing::print_records(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.long);
    let mut columns = Columns::new(&["thread", "entries", "size", "updated"], args.long);
    columns = columns.right(1).right(2);
    for info in &threads {
        columns.row([
            info.thread.clone(),
            info.entries.to_string(),
            text::bytes(info.bytes),
            clock.show(Some(info.updated)),
        ]);
    }
    listing::print_table(columns, threads.len(), "thread")
}
