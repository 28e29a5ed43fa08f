//! Events: a durable queue for each topic, without gaps.

mod consumers;
mod cursor;
mod epochs;
mod groups;
mod limits;
mod look;
mod meets;
mod position;
mod publish;
mod restored;
mod retention;
mod subscribe;
mod topic;
mod topics;
mod upkeep;

use serde::Serialize;

pub use self::consumers::ConsumerInfo;
pub use self::cursor::Cursor;
pub use self::groups::{DeadLetter, Group, GroupInfo, GroupOptions, Leased};
pub use self::limits::{Bounds, Retention};
pub(crate) use self::publish::{Publish, PublishReceipt};
pub use self::publish::{Published, UnitEvents};
pub use self::restored::Restored;
pub use self::retention::Retained;
pub(crate) use self::retention::keep_trimming;
pub use self::subscribe::{Start, Subscription};
pub(crate) use self::topic::Topic;
pub use self::topics::Topics;

use self::consumers::{State, To};
use self::cursor::{claimed_number, unknown};
use self::look::{NONE, Range, look};
use self::topic::{ahead, event, trimmed};
use super::conversations::Met;
use super::conversations::pending::Pending;
use super::pages::{List, Page};
use super::space::Space;
use super::unit::Unit;
use crate::driver::{Find, MAX_LIMIT};
use crate::error::{Error, Kind, Result};
use crate::model::{Event, StoredEvent};
use crate::schema::{EVENTS, Key, STREAMS, TOPICS, check_id};

/// The events of one namespace.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    space: &'a Space,
}

/// Events that were recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// The events, in order.
    pub events: Vec<StoredEvent>,
    /// True when there are more after these.
    pub more: bool,
}

/// What is told of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub topic: String,
    /// How many events are kept.
    pub events: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// The first event that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Cursor>,
    /// The newest event, kept or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Cursor>,
    /// When something last changed, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<i64>,
    /// How long events are kept, if the topic has a rule of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Publishes an event: it is kept, and has its place, when this answers. It goes by the topic's
    /// [`Retention`], by default after 24 hours, when no consumer that is registered waits for it.
    ///
    /// # Errors
    /// `InvalidId` for the topic; `IdempotencyConflict` when another event has its key; `TooLarge`;
    /// what the driver says. Then nothing was published.
    pub async fn publish(&self, topic: &str, event: Event) -> Result<Cursor> {
        let published = self.publish_many(topic, vec![event]).await?;
        let first = published.into_iter().next();
        first.map(|published| published.cursor).ok_or_else(|| {
            Error::new(Kind::Corrupt, "the driver answered without the event's number")
        })
    }

    /// Publishes events in order and in one commit: all or none. Answers for each its cursor, and
    /// whether it was there before.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_many(&self, topic: &str, events: Vec<Event>) -> Result<Vec<Published>> {
        check_id("topic", topic)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let intent = Publish { topic: topic.to_owned(), events };
        let done = Unit::new(self.space.clone()).with(intent).commit().await;
        let done = done.map_err(|error| error.during("events.publish"))?;
        Ok(done.published.into_iter().flatten().collect())
    }

    /// What publishing these events would meet: nothing (as for each without a key), the same event
    /// under its key, or another one.
    ///
    /// # Errors
    /// `InvalidId`; what the driver says.
    pub async fn meets(&self, topic: &str, events: &[Event]) -> Result<Vec<Met>> {
        meets::meets(self.space, topic, events).await
    }

    /// Follows topics: first what is kept, then what comes, in order within each topic, each event
    /// once, also what other processes publish.
    ///
    /// # Errors
    /// `InvalidId`, `UnknownCursor`, `CursorAhead`, `Trimmed` when what comes after the start is
    /// there no more.
    pub async fn subscribe(&self, topics: impl Into<Topics>, start: Start) -> Result<Subscription> {
        let subscribed = subscribe::subscribe(self.space, topics.into(), start).await;
        subscribed.map_err(|error| error.during("events.subscribe"))
    }

    /// Events after a cursor, or from the first one kept: 1 to 10,000 of them. A topic that is not
    /// there has none.
    ///
    /// # Errors
    /// `InvalidInput` for a limit out of range; `UnknownCursor`, `CursorAhead`; `Trimmed` when the
    /// event after the cursor is there no more.
    pub async fn recover(
        &self,
        topic: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Recovered> {
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::new(Kind::InvalidInput, format!("the limit is {limit}"))
                .during("events.recover")
                .advice(format!("ask for 1 to {MAX_LIMIT} events")));
        }
        let from = after.map(claimed_number).transpose()?.unwrap_or(0).saturating_add(1);
        let range = Range { from, limit, reverse: false };
        let Some(seen) = look(self.space, topic, range, None).await? else {
            let nothing = Recovered { events: Vec::new(), more: false };
            return after.map_or(Ok(nothing), |cursor| Err(unknown(cursor)));
        };
        if let Some(cursor) = after {
            let number = seen.issuer.number(topic, cursor)?;
            let (first, last) = seen.ends();
            if number > last {
                return Err(ahead(topic, last));
            }
            if number + 1 < first {
                return Err(trimmed(topic, first, number + 1));
            }
        }
        let events = seen.entries.into_iter().map(|entry| event(&seen.issuer, entry)).collect();
        Ok(Recovered { events, more: seen.more })
    }

    /// Notes that a consumer is done with everything up to an event; only forward. A consumer that
    /// is not registered is.
    ///
    /// # Errors
    /// `UnknownCursor`, `CursorAhead`, `InvalidId`.
    pub async fn ack(&self, consumer: &str, topic: &str, cursor: impl AsRef<str>) -> Result<()> {
        let to = To::Forward(cursor.as_ref().to_owned());
        let acked = consumers::place(self.space, consumer, topic, to).await;
        acked.map_err(|error| error.during("events.ack"))
    }

    /// Puts a consumer after an event, forward or back; it is registered if it was not.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `Trimmed` when what comes after is there no more.
    pub async fn seek(&self, consumer: &str, topic: &str, to: Start) -> Result<()> {
        let to = match to {
            Start::Beginning => To::Beginning,
            Start::Now => To::End,
            Start::After(cursor) => To::Exactly(cursor),
            Start::Consumer(_) | Start::Position(_) => {
                return Err(Error::new(Kind::InvalidInput, "a consumer cannot be put there")
                    .advice("say the beginning, now, or after a cursor"));
            }
        };
        let sought = consumers::place(self.space, consumer, topic, to).await;
        sought.map_err(|error| error.during("events.seek"))
    }

    /// The last event that a consumer has acknowledged; `None` before the first.
    ///
    /// # Errors
    /// `NotFound` for one that is not registered, or has been forgotten.
    pub async fn cursor(&self, consumer: &str, topic: &str) -> Result<Option<Cursor>> {
        let missing = || consumers::not_registered(consumer, topic);
        let seen = look(self.space, topic, NONE, Some(consumer)).await?.ok_or_else(missing)?;
        let state = State::of_record(seen.consumer.as_ref().ok_or_else(missing)?)?;
        if state.forgotten.is_some() {
            return Err(missing());
        }
        Ok((state.acked > 0).then(|| seen.issuer.cursor(state.acked)))
    }

    /// The consumers of a topic, by name, also forgotten ones.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn consumers(&self, topic: &str) -> Result<Vec<ConsumerInfo>> {
        let Some(seen) = look(self.space, topic, NONE, None).await? else {
            return Ok(Vec::new());
        };
        let (_, last) = seen.ends();
        let records = consumers::of_topic(self.space, topic).await?;
        records.iter().map(|record| consumers::info(&seen.issuer, record, last)).collect()
    }

    /// Takes a consumer off every topic; answers of how many.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn forget(&self, consumer: &str) -> Result<u64> {
        consumers::forget(self.space, consumer).await
    }

    /// The group of workers of this name; made if it is not there, beginning at the first event
    /// that is kept. Other options than before hold from now on, for all its workers.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a timeout or number of deliveries of 0.
    pub async fn group(&self, topic: &str, group: &str, options: GroupOptions) -> Result<Group> {
        check_id("topic", topic)?;
        Group::open(self.space, topic, group, options).await
    }

    /// How long a topic's events are kept: its own rule, or the namespace's.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn retention(&self, topic: &str) -> Result<Retention> {
        let seen = look(self.space, topic, NONE, None).await?;
        match seen.and_then(|seen| seen.topic.retention) {
            Some(retention) => Ok(retention),
            None => upkeep::default_retention(self.space).await,
        }
    }

    /// Gives a topic a rule of its own, or (`None`) takes it away. It takes effect with the next
    /// run, every 5 minutes.
    ///
    /// # Errors
    /// `InvalidInput` for a bound of 0; `InvalidId`.
    pub async fn set_retention(&self, topic: &str, retention: Option<Retention>) -> Result<()> {
        retention.as_ref().map_or(Ok(()), Retention::check)?;
        let intent = upkeep::SetRule { topic: topic.to_owned(), retention };
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }

    /// The rule for topics that have none of their own.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn default_retention(&self) -> Result<Retention> {
        upkeep::default_retention(self.space).await
    }

    /// Gives the rule for topics that have none of their own.
    ///
    /// # Errors
    /// `InvalidInput` for a bound of 0.
    pub async fn set_default_retention(&self, retention: &Retention) -> Result<()> {
        retention.check()?;
        let intent = upkeep::SetDefault { retention: *retention };
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }

    /// Runs retention now: what is beyond its bounds goes. A store that was opened from its URL does
    /// this at once and every 5 minutes.
    ///
    /// # Errors
    /// What the driver says; `LeaseLost` when another process took over.
    pub async fn retain(&self) -> Result<Retained> {
        retention::run(self.space).await.map_err(|error| error.during("events.retain"))
    }

    /// To be called once, after the store has been put back from a backup and before anything is
    /// published: cursors that were given after the backup are `CursorAhead` from then on, with the
    /// first number that is another event's. Otherwise they are only until new events have got that
    /// far, and are then taken for current ones. What was given before stays good. Close the
    /// subscriptions of this namespace first: they go on giving cursors of the epoch before.
    ///
    /// # Errors
    /// `Conflict` when others publish all the time; what the driver says. Can be repeated.
    pub async fn restored(&self) -> Result<Restored> {
        restored::restored(self.space).await.map_err(|error| error.during("events.restored"))
    }

    /// A page of the topics, by name.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn topics(&self, list: &List) -> Result<Page<TopicInfo>> {
        if Pending::load(self.space).await?.hides_all() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let find = Find::by(&TOPICS, "by_name")?.limit(list.limit());
        let found = self.space.find(&find.after(list.continuation()?)).await?;
        let topics: Vec<Topic> =
            found.records.iter().map(Topic::of_record).collect::<Result<_>>()?;
        let heads: Vec<Key> = topics
            .iter()
            .map(|topic| Key::new(&STREAMS, [EVENTS.name, topic.name()]))
            .collect::<Result<_>>()?;
        let heads = self.space.get_many(&heads).await?;
        let infos = topics.iter().zip(heads).map(|(topic, head)| {
            let number = |name: &str| {
                let value = head.as_ref()?.body.member(name)?;
                u64::try_from(value.to_i64()?).ok()
            };
            let issuer = topic.issuer(self.space);
            let events = number("count").unwrap_or(0);
            TopicInfo {
                topic: topic.name().to_owned(),
                events,
                bytes: number("bytes").unwrap_or(0),
                first: number("first").filter(|_| events > 0).map(|first| issuer.cursor(first)),
                last: number("last").filter(|last| *last > 0).map(|last| issuer.cursor(last)),
                updated: number("updated").and_then(|time| i64::try_from(time).ok()),
                retention: topic.retention,
            }
        });
        Ok(Page { items: infos.collect(), next: found.next.map(|next| next.token()) })
    }
}
