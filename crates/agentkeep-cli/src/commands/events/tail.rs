//! `events tail`.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use agentkeep::{Cursor, Json, List, Result, Start, Store, StoredEvent, Subscription, Topics};

use super::start;
use crate::args::Global;
use crate::args::events::Tail;
use crate::commands::{Outcome, listing, open, open_namespace};
use crate::output::time::Clock;
use crate::output::{self, text};

/// Longest event that is shown in full, unless all is asked for.
const BRIEF: usize = 100;
/// What has been shown is acknowledged when nothing comes for so long, or so much has come.
const PAUSE: Duration = Duration::from_millis(50);
const MOST: usize = 1_000;
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Shows events.
pub(super) async fn run(global: &Global, args: &Tail) -> Outcome {
    // Who waits for events may be there before the store is.
    let store = if args.follow { open(global).await? } else { open_namespace(global).await? };
    let topics = match &args.below {
        Some(prefix) => Topics::below(prefix),
        None if args.topics.len() == 1 => Topics::from(&args.topics[0]),
        None => Topics::list(args.topics.clone()),
    };
    let from = match (&args.consumer, &args.from) {
        (Some(consumer), _) => Start::Consumer(consumer.clone()),
        (None, from) => from.as_deref().map_or(Start::Beginning, start),
    };
    let subscription = store.events().subscribe(topics, from.clone()).await?;
    let mut shown = Shown { store: &store, global, args, unacked: BTreeMap::new(), count: 0 };
    if args.follow {
        shown.follow(subscription).await?;
    } else {
        let ends = ends(&store, args, &from).await?;
        if ends.is_empty() {
            output::tell("No events.");
        }
        shown.until(subscription, ends).await?;
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// The newest event of each topic that has any to show.
async fn ends(store: &Store, args: &Tail, from: &Start) -> Result<HashMap<String, Cursor>> {
    let mut ends = HashMap::new();
    for topic in
        listing::collect(None, async |list: List| store.events().topics(&list).await).await?
    {
        let Some(last) = topic.last else { continue };
        let is_meant = match &args.below {
            Some(prefix) => is_below(&topic.topic, prefix.trim_end_matches('/')),
            None => args.topics.contains(&topic.topic),
        };
        if !is_meant {
            continue;
        }
        let some = match from {
            Start::Beginning => topic.events > 0,
            Start::After(cursor) => cursor.as_str() < last.as_str(),
            Start::Consumer(consumer) => {
                let consumers = store.events().consumers(&topic.topic).await?;
                consumers.iter().any(|info| info.consumer == *consumer && info.lag > 0)
            }
            Start::Now | Start::Position(_) => false,
        };
        if some {
            ends.insert(topic.topic, last);
        }
    }
    Ok(ends)
}

fn is_below(topic: &str, prefix: &str) -> bool {
    let rest = topic.strip_prefix(prefix);
    prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is shown, and acknowledged then.
struct Shown<'a> {
    store: &'a Store,
    global: &'a Global,
    args: &'a Tail,
    /// The last event of each topic that is not acknowledged yet.
    unacked: BTreeMap<String, Cursor>,
    count: usize,
}

impl Shown<'_> {
    /// Goes on until the store is closed.
    async fn follow(&mut self, mut subscription: Subscription) -> Result<()> {
        loop {
            let next = if self.unacked.is_empty() {
                subscription.next().await
            } else {
                let Ok(next) = tokio::time::timeout(PAUSE, subscription.next()).await else {
                    self.acknowledge().await?;
                    continue;
                };
                next
            };
            let Some(event) = next else { return self.acknowledge().await };
            self.show(event?).await?;
        }
    }

    /// Ends with what was there.
    async fn until(
        &mut self,
        mut subscription: Subscription,
        mut ends: HashMap<String, Cursor>,
    ) -> Result<()> {
        while !ends.is_empty() {
            let Some(event) = subscription.next().await else { break };
            let event = event?;
            if ends.get(&event.topic).is_some_and(|end| event.cursor >= *end) {
                ends.remove(&event.topic);
            }
            self.show(event).await?;
        }
        self.acknowledge().await
    }

    async fn show(&mut self, event: StoredEvent) -> Result<()> {
        if self.global.json {
            output::print_raw(&format!("{}\n", Json::of(&event)?))?;
        } else {
            output::print(&self.line(&event))?;
        }
        if self.args.ack {
            self.unacked.insert(event.topic, event.cursor);
            self.count += 1;
            if self.count >= MOST {
                self.acknowledge().await?;
            }
        }
        Ok(())
    }

    fn line(&self, event: &StoredEvent) -> String {
        let time = Clock::new(self.args.long).show(Some(event.time));
        let topic = text::one_line(&event.topic);
        let body = event.body.as_str();
        if self.args.long {
            let (cursor, body) = (&event.cursor, text::one_line(body));
            return format!("{DIM}{time}  {cursor}{RESET}  {topic}  {body}\n");
        }
        let body = text::one_line(&text::shortened(body, BRIEF));
        format!("{DIM}{time}{RESET}  {topic}  {body}\n")
    }

    async fn acknowledge(&mut self) -> Result<()> {
        self.count = 0;
        let Some(consumer) = &self.args.consumer else { return Ok(()) };
        while let Some((topic, cursor)) = self.unacked.pop_first() {
            self.store.events().ack(consumer, &topic, cursor).await?;
        }
        Ok(())
    }
}
