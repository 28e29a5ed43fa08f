//! What is done once a store has been put back from a backup.

use async_trait::async_trait;
use serde::Serialize;

use super::topic::{Topic, ends};
use crate::driver::{Expect, Find, Read, Stretch, Which};
use crate::error::Result;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{EVENTS, Stream, TOPICS};

/// Topics that get their new epoch in one commit.
const TOGETHER: usize = 100;

/// What [`Events::restored`](super::Events::restored) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Topics that have begun a new epoch.
    pub topics: u64,
}

/// Begins a new epoch in every topic.
pub(super) async fn restored(space: &Space) -> Result<Restored> {
    let mut find = Find::by(&TOPICS, "key")?.limit(TOGETHER);
    let mut done = Restored::default();
    loop {
        let found = space.find(&find).await?;
        if !found.records.is_empty() {
            let topics = found.records.iter().map(|record| record.key.first().to_owned());
            let intent = Begin { topics: topics.collect() };
            done.topics += intent.topics.len() as u64;
            Unit::new(space.clone()).with(intent).commit().await?;
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(done),
        }
    }
}

/// Begins a new epoch in these topics.
#[derive(Debug)]
struct Begin {
    topics: Vec<String>,
}

#[async_trait]
impl Intent for Begin {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let streams = self.topics.iter().map(|topic| Stream::new(topic));
        let streams: Vec<Stream> = streams.collect::<Result<_>>()?;
        let stretch =
            |stream: &Stream| Stretch { stream: stream.clone(), from: u64::MAX, to: u64::MAX };
        let which = Which::Stretches(streams.iter().map(stretch).collect());
        let read = Read { log: &EVENTS, which, reverse: false, limit: 1 };
        let heads = plan.space.read(&read).await?.heads;
        for ((name, stream), head) in self.topics.iter().zip(streams).zip(heads) {
            let (_, last) = ends(head.as_ref());
            let topic = plan.topic(name, false).await?;
            // What is published before the commit has the old epoch's cursor.
            plan.expect(Expect::LogEnds(&EVENTS, stream, last), Guard::Retry);
            plan.set_topic(Topic::clone(&topic).in_next_epoch(last));
        }
        Ok(())
    }
}
