//! `namespaces list`.

use std::process::ExitCode;

use agentkeep::NamespaceInfo;

use super::document;
use crate::args::{Global, ListNamespaces};
use crate::commands::{Outcome, listing, open_existing};
use crate::output::table::Columns;
use crate::output::time::Clock;

/// Lists namespaces.
pub(super) async fn run(global: &Global, args: &ListNamespaces) -> Outcome {
    let store = open_existing(global).await?;
    let found =
        listing::collect(args.list.limit, async |list| store.namespaces().list(&list).await);
    let namespaces: Vec<NamespaceInfo> = found.await?;
    store.close().await?;
    if global.json {
        let documents: Vec<_> = namespaces.iter().map(document).collect();
        listing::print_records(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.list.long);
    let mut columns = Columns::new(&["namespace", "title", "tags", "created"], args.list.long);
    for info in &namespaces {
        columns.row([
            info.name().to_owned(),
            columns.brief(info.title()),
            listing::tags(&info.tags()),
            clock.show(info.created_at()),
        ]);
    }
    listing::print_table(columns, namespaces.len(), "namespace")
}
