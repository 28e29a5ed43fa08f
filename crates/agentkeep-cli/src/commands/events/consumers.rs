//! `events ack`, `events seek`, `events forget`.

use std::process::ExitCode;

use agentkeep::{Cursor, Error, Kind, Store};
use serde::Serialize;

use super::start;
use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output::{self, text};

#[derive(Debug, Serialize)]
struct Placed<'a> {
    consumer: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    acked: Option<Cursor>,
}

/// Acknowledges.
pub(super) async fn ack(global: &Global, consumer: &str, topic: &str, cursor: &str) -> Outcome {
    let store = open_namespace(global).await?;
    store.events().ack(consumer, topic, cursor).await?;
    placed(global, store, consumer, topic).await
}

/// Puts a consumer elsewhere.
pub(super) async fn seek(global: &Global, consumer: &str, topic: &str, to: &str) -> Outcome {
    let store = open_namespace(global).await?;
    store.events().seek(consumer, topic, start(to)).await?;
    placed(global, store, consumer, topic).await
}

/// Says where the consumer is now.
async fn placed(global: &Global, store: Store, consumer: &str, topic: &str) -> Outcome {
    let acked = store.events().cursor(consumer, topic).await?;
    store.close().await?;
    if global.json {
        output::print_json(&Placed { consumer, topic, acked })?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = match acked {
        Some(cursor) => format!("after {cursor}"),
        None => "before the first event".to_owned(),
    };
    output::tell(&text::one_line(&format!("Consumer {consumer:?} is {place} of {topic:?}.")));
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct Forgotten<'a> {
    consumer: &'a str,
    topics: u64,
}

/// Takes a consumer off every topic.
pub(super) async fn forget(global: &Global, consumer: &str, yes: bool) -> Outcome {
    let store = open_namespace(global).await?;
    let what = format!("take consumer {consumer:?} off every topic");
    if !yes && !output::asks_yes(&format!("This will {what}. Go on?"))? {
        store.close().await?;
        return Err(Error::new(Kind::InvalidInput, format!("nothing was done; this would {what}"))
            .advice("add --yes to do it"));
    }
    let topics = store.events().forget(consumer).await?;
    store.close().await?;
    if topics == 0 {
        return Err(Error::new(Kind::NotFound, "there is no such consumer")
            .at(format!("consumer {consumer:?}"))
            .advice("agentkeep events consumers TOPIC names those of a topic"));
    }
    if global.json {
        output::print_json(&Forgotten { consumer, topics })?;
    } else {
        let topics = text::counted(topics, "topic");
        output::tell(&text::one_line(&format!("Took consumer {consumer:?} off {topics}.")));
    }
    Ok(ExitCode::SUCCESS)
}
