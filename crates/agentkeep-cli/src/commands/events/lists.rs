//! `events topics`, `events consumers`.

use std::process::ExitCode;

use agentkeep::{Json, Result, TopicInfo};

use crate::args::{Global, ListArgs};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::text;
use crate::output::time::Clock;

/// Lists topics.
pub(super) async fn topics(global: &Global, args: &ListArgs) -> Outcome {
    let store = open_namespace(global).await?;
    let found = listing::collect(args.limit, async |list| store.events().topics(&list).await);
    let topics: Vec<TopicInfo> = found.await?;
    store.close().await?;
    if global.json {
        let documents: Vec<Json> = topics.iter().map(Json::of).collect::<Result<_>>()?;
        listing::print_records(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.long);
    let headings = ["topic", "events", "size", "updated", "retention"];
    let mut columns = Columns::new(&headings, args.long).right(1).right(2);
    for info in &topics {
        let own = if info.retention.is_some() { "own" } else { "-" };
        columns.row([
            info.topic.clone(),
            info.events.to_string(),
            text::bytes(info.bytes),
            clock.show(info.updated),
            own.to_owned(),
        ]);
    }
    listing::print_table(columns, topics.len(), "topic")
}

/// Lists consumers.
pub(super) async fn consumers(global: &Global, topic: &str, args: &ListArgs) -> Outcome {
    let store = open_namespace(global).await?;
    let mut consumers = store.events().consumers(topic).await?;
    store.close().await?;
    let most = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    consumers.truncate(most);
    if global.json {
        let documents: Vec<Json> = consumers.iter().map(Json::of).collect::<Result<_>>()?;
        listing::print_records(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.long);
    let headings = ["consumer", "lag", "seen", "forgotten", "acked"];
    let mut columns = Columns::new(&headings, args.long).right(1);
    for info in &consumers {
        columns.row([
            info.consumer.clone(),
            info.lag.to_string(),
            clock.show(Some(info.seen)),
            clock.show(info.forgotten),
            info.acked.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        ]);
    }
    listing::print_table(columns, consumers.len(), "consumer")
}
