//! Consumers: how far each has come in a topic.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, Issuer, unknown};
use super::look::{NONE, Seen, consumer_key, look, trims_key};
use super::topic::{Topic, ahead, trimmed};
use crate::driver::{Expect, Find, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::document;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{CONSUMERS, Value};

/// How often a change is tried while others change the same consumer.
const ATTEMPTS: u32 = 20;

/// What is kept of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) topic: String,
    pub(super) consumer: String,
    /// The number of the last acknowledged event; what comes after is kept for it.
    pub(super) acked: u64,
    pub(super) seen: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) forgotten: Option<i64>,
}

/// What is told of a consumer. As JSON: `{consumer, acked?, lag, seen, forgotten?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerInfo {
    /// Its name.
    pub consumer: String,
    /// The last event that it has acknowledged; `None` before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked: Option<Cursor>,
    /// How many events after that there are.
    pub lag: u64,
    /// When it was last seen, in milliseconds since 1970.
    pub seen: i64,
    /// When it was forgotten for not having been seen; then nothing is kept for it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<i64>,
}

/// Where a consumer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// There, unless it is further already.
    Forward(String),
    /// Exactly there.
    Exactly(String),
    /// Before the first event that is kept.
    Beginning,
    /// After the last one.
    End,
    /// Where it is; if it is new, before the first event.
    Registered,
    /// Where it is, if it is there.
    Touched,
}

impl State {
    pub(super) fn of_record(record: &Record) -> Result<Self> {
        record.body.to().map_err(|error| error.at(record.key.to_string()))
    }

    pub(super) fn to_json(&self) -> Result<Json> {
        Json::of(self)
    }
}

/// Moves a consumer.
pub(super) async fn place(space: &Space, consumer: &str, topic: &str, to: To) -> Result<()> {
    if !is_needed(space, consumer, topic, &to).await? {
        return Ok(());
    }
    for attempt in 1.. {
        let intent =
            Place { consumer: consumer.to_owned(), topic: topic.to_owned(), to: to.clone() };
        match Unit::new(space.clone()).with(intent).commit().await {
            Err(error) if error.kind() == Kind::Conflict && attempt < ATTEMPTS => {}
            done => return done.map(|_| ()),
        }
    }
    Ok(())
}

/// False for an acknowledgement of what has been acknowledged, which need not be written.
async fn is_needed(space: &Space, consumer: &str, topic: &str, to: &To) -> Result<bool> {
    let seen = look(space, topic, NONE, Some(consumer)).await?;
    match (seen, to) {
        (Some(seen), to) => {
            let state = seen.consumer.as_ref().map(State::of_record).transpose()?;
            let now = target(&seen, state.as_ref(), to)?;
            Ok(match (to, state) {
                (To::Forward(_), Some(state)) => state.forgotten.is_some() || now != state.acked,
                (To::Touched, state) => state.is_some_and(|state| state.forgotten.is_none()),
                _ => true,
            })
        }
        (None, To::Forward(cursor) | To::Exactly(cursor)) => Err(unknown(cursor)),
        (None, To::Touched) => Ok(false),
        (None, To::Beginning | To::End | To::Registered) => Ok(true),
    }
}

/// The number that the consumer has acknowledged afterwards.
fn target(seen: &Seen, state: Option<&State>, to: &To) -> Result<u64> {
    let (first, last) = seen.ends();
    let issued = |cursor: &str| match seen.issuer.number(seen.topic.name(), cursor)? {
        0 => Err(unknown(cursor)),
        number if number > last => Err(ahead(seen.topic.name(), last)),
        number => Ok(number),
    };
    let living = state.filter(|state| state.forgotten.is_none());
    Ok(match to {
        To::Forward(cursor) => issued(cursor)?.max(living.map_or(0, |state| state.acked)),
        To::Exactly(cursor) => {
            let number = issued(cursor)?;
            if number + 1 < first {
                return Err(trimmed(seen.topic.name(), first, number + 1));
            }
            number
        }
        To::Beginning => first - 1,
        To::End => last,
        To::Registered | To::Touched => state.map_or(first - 1, |state| state.acked),
    })
}

#[derive(Debug)]
struct Place {
    consumer: String,
    topic: String,
    to: To,
}

#[async_trait]
impl Intent for Place {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let seen = look(plan.space, &self.topic, NONE, Some(&self.consumer)).await?;
        let key = consumer_key(&self.topic, &self.consumer)?;
        let (record, acked, trims) = if let Some(seen) = &seen {
            plan.expect(Expect::Version(Topic::key(&self.topic)?, seen.version), Guard::Retry);
            let state = seen.consumer.as_ref().map(State::of_record).transpose()?;
            (seen.consumer.as_ref(), target(seen, state.as_ref(), &self.to)?, seen.trims)
        } else if let To::Forward(cursor) | To::Exactly(cursor) = &self.to {
            return Err(unknown(cursor));
        } else {
            plan.topic(&self.topic, false).await?;
            (None, 0, 0)
        };
        let old = record.map(State::of_record).transpose()?;
        let version = record.map_or(0, |record| record.version);
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        // Who claims events that were not kept for it must not meet a trim.
        if old.as_ref().is_none_or(|old| old.forgotten.is_some() || acked < old.acked) {
            let trims_key = trims_key(&self.topic)?;
            plan.expect(Expect::Version(trims_key.clone(), trims), Guard::Retry);
            let mut body = ObjectEditor::default();
            body.set("claimedBy", &Json::string(&self.consumer));
            plan.put(trims_key, body.finish(), Save::Any)?;
        }
        let state = State {
            topic: self.topic.clone(),
            consumer: self.consumer.clone(),
            acked,
            seen: document::now(),
            forgotten: None,
        };
        plan.put(key, state.to_json()?, Save::Any)
    }
}

/// All consumers of a topic, by name.
pub(super) async fn of_topic(space: &Space, topic: &str) -> Result<Vec<Record>> {
    let find = Find::by(&CONSUMERS, "by_topic")?.equal(Value::text(topic));
    space.find_all(find).await
}

pub(super) fn info(issuer: &Issuer, record: &Record, last: u64) -> Result<ConsumerInfo> {
    let state = State::of_record(record)?;
    Ok(ConsumerInfo {
        acked: (state.acked > 0).then(|| issuer.cursor(state.acked)),
        lag: last.saturating_sub(state.acked),
        consumer: state.consumer,
        seen: state.seen,
        forgotten: state.forgotten,
    })
}

/// Takes a consumer off every topic.
pub(super) async fn forget(space: &Space, consumer: &str) -> Result<u64> {
    consumer_key("any", consumer)?;
    let find = Find::by(&CONSUMERS, "by_name")?.equal(Value::text(consumer));
    let records = space.find_all(find).await?;
    let mut forgotten = 0;
    for some in records.chunks(1_000) {
        let mut unit = Unit::new(space.clone());
        unit.push(Forget { records: some.to_vec() });
        unit.commit().await?;
        forgotten += some.len() as u64;
    }
    Ok(forgotten)
}

#[derive(Debug)]
struct Forget {
    records: Vec<Record>,
}

#[async_trait]
impl Intent for Forget {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        for record in &self.records {
            plan.push(crate::driver::Operation::Delete(record.key.clone()));
        }
        Ok(())
    }
}

/// What is told when a consumer has no place in a topic.
pub(super) fn not_registered(consumer: &str, topic: &str) -> Error {
    Error::new(Kind::NotFound, format!("{consumer:?} is no consumer of this topic"))
        .at(format!("topic {topic:?}"))
        .advice("subscribe as this consumer, or acknowledge an event, first")
}
