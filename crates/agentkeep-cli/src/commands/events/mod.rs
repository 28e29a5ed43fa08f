//! `events ...`.

pub(crate) mod amounts;
mod consumers;
mod lists;
mod publish;
mod retention;
mod tail;

use agentkeep::Start;

use super::Outcome;
use crate::args::Global;
use crate::args::events::Events;

/// Runs the command that was written.
pub(crate) async fn run(global: &Global, args: &Events) -> Outcome {
    match args {
        Events::Publish(args) => publish::run(global, args).await,
        Events::Tail(args) => tail::run(global, args).await,
        Events::Topics { list } => lists::topics(global, list).await,
        Events::Consumers { topic, list } => lists::consumers(global, topic, list).await,
        Events::Ack { consumer, topic, cursor } => {
            consumers::ack(global, consumer, topic, cursor).await
        }
        Events::Seek { consumer, topic, to } => consumers::seek(global, consumer, topic, to).await,
        Events::Forget { consumer, yes } => consumers::forget(global, consumer, *yes).await,
        Events::Retention(args) => retention::run(global, args).await,
    }
}

/// Where to begin, as it is written.
fn start(written: &str) -> Start {
    match written {
        "beginning" => Start::Beginning,
        "now" => Start::Now,
        cursor => Start::After(cursor.to_owned()),
    }
}
