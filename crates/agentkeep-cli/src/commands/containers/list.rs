//! `containers list`.

use std::process::ExitCode;

use agentkeep::Container;

use crate::args::{Global, ListContainers};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::time::Clock;

/// Lists containers.
pub(crate) async fn run(global: &Global, args: &ListContainers) -> Outcome {
    let store = open_namespace(global).await?;
    let found =
        listing::collect(args.list.limit, async |list| store.containers().list(&list).await);
    let containers: Vec<Container> = found.await?;
    store.close().await?;
    if global.json {
        listing::print_records(containers.iter().map(Container::json))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.list.long);
    let mut columns = Columns::new(&["container", "created", "updated"], args.list.long);
    for container in &containers {
        let times = [container.created_at(), container.updated_at()].map(|time| clock.show(time));
        let [created, updated] = times;
        columns.row([container.id().to_owned(), created, updated]);
    }
    listing::print_table(columns, containers.len(), "container")
}
