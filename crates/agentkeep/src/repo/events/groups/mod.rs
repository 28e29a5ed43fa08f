//! Groups: several workers share a topic, each event is leased to one of them.

mod intents;
mod state;

use std::time::Duration;

use serde::Serialize;

pub(super) use self::state::needed;

use self::intents::{Dead, End, Ending, Handed, Open, SkipTrimmed, lost};
use self::state::{Delivery, GroupState, delivery_key, group_key, is_the_same, of_group};
use super::look::{NONE, Range, Seen, look};
use super::topic::{event, trimmed};
use crate::driver::Find;
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{StoredEvent, document};
use crate::repo::plan::Intent;
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{DEAD_LETTERS, DELIVERIES, Key, Value, check_id};

/// How often a change is tried while other workers are at it.
const ATTEMPTS: u32 = 20;
/// Most events leased at once.
const MOST: usize = 1_000;
/// Bytes of events after which one call puts no more aside.
const DEAD_BYTES: usize = 16 << 20;

/// How a group hands out events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOptions {
    /// How long a worker has an event before another may get it.
    pub timeout: Duration,
    /// How often an event is handed out before it is put aside.
    pub max_deliveries: u32,
}

impl Default for GroupOptions {
    /// 30 seconds, 5 deliveries.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_deliveries: 5 }
    }
}

/// A group of workers that share a topic.
#[derive(Debug, Clone)]
pub struct Group {
    space: Space,
    topic: String,
    name: String,
}

/// An event that a worker has for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leased {
    /// The event.
    #[serde(flatten)]
    pub event: StoredEvent,
    /// How often it has been handed out, this time included.
    pub deliveries: u32,
    /// Until when it is this worker's, in milliseconds since 1970.
    pub until: i64,
    /// The lease's version: who has lost the lease has an old one.
    #[serde(skip)]
    version: u64,
}

/// An event that a group has put aside. As JSON: `{topic, group, cursor, reason, deliveries, time,
/// event}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its cursor.
    pub cursor: String,
    /// Why it was put aside.
    pub reason: String,
    /// How often it was handed out.
    pub deliveries: u32,
    /// When it was put aside, in milliseconds since 1970.
    pub time: i64,
    /// Its content; `null` when it was trimmed before it was done, or leaves no room for the rest: then
    /// the reason says so, and the topic has it under the cursor.
    pub event: Json,
}

/// What is told of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfo {
    /// Its name.
    pub group: String,
    /// How many events have not been handed out yet.
    pub waiting: u64,
    /// How many are with a worker.
    pub leased: u64,
    /// How many were put aside.
    pub dead: u64,
}

impl Group {
    /// The group of this name; made if it is not there, beginning at the first event that is kept.
    pub(super) async fn open(
        space: &Space,
        topic: &str,
        group: &str,
        options: GroupOptions,
    ) -> Result<Self> {
        let timeout = i64::try_from(options.timeout.as_millis()).unwrap_or(i64::MAX);
        if timeout == 0 || options.max_deliveries == 0 {
            return Err(Error::new(Kind::InvalidInput, "a group needs time and deliveries")
                .advice("give a timeout of at least 1 ms and at least 1 delivery"));
        }
        let opened = Self { space: space.clone(), topic: topic.to_owned(), name: group.to_owned() };
        let intent =
            Open { group: opened.clone(), timeout, max_deliveries: options.max_deliveries };
        opened.again(|| intent.clone()).await?;
        Ok(opened)
    }

    /// Leases up to `limit` events (1 to 1,000) to a worker: those whose time with another worker
    /// has run out first, then new ones, in order. None when there is nothing.
    ///
    /// # Errors
    /// `InvalidId`, `InvalidInput` for a limit out of range; `Trimmed` when a hard limit has taken
    /// events that the group had not had.
    pub async fn receive(&self, worker: &str, limit: usize) -> Result<Vec<Leased>> {
        check_id("worker", worker)?;
        if !(1..=MOST).contains(&limit) {
            return Err(Error::new(Kind::InvalidInput, format!("the limit is {limit}"))
                .advice(format!("ask for 1 to {MOST} events")));
        }
        for attempt in 1.. {
            match self.lease(worker, limit).await {
                Err(error) if error.kind() == Kind::Conflict && attempt < ATTEMPTS => {}
                leased => return leased,
            }
        }
        Ok(Vec::new())
    }

    /// The worker is done with the event: it is not handed out again.
    ///
    /// # Errors
    /// `LeaseLost` when the event has been handed out again, or put aside, since.
    pub async fn ack(&self, leased: &Leased) -> Result<()> {
        self.end(leased, End::Done).await
    }

    /// The worker gives the event back at once, with the reason: others may have it, or, after the
    /// last delivery, it is put aside.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn nack(&self, leased: &Leased, reason: &str) -> Result<()> {
        self.end(leased, End::Back(reason.to_owned())).await
    }

    /// The worker needs more time: the lease begins anew.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn extend(&self, leased: &mut Leased) -> Result<()> {
        self.end(leased, End::Longer).await?;
        let key = delivery_key(&self.topic, &self.name, leased.event.number)?;
        let record = self.space.get(&key).await?.ok_or_else(|| lost(&leased.event.cursor))?;
        let delivery: Delivery = record.body.to()?;
        // It may have run out again, and be another worker's.
        if delivery.deliveries != leased.deliveries {
            return Err(lost(&leased.event.cursor));
        }
        leased.until = delivery.until;
        leased.version = record.version;
        Ok(())
    }

    /// Goes on from the first event that is kept, after `Trimmed`; answers how many were lost.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn skip_trimmed(&self) -> Result<u64> {
        let (before, _) = self.state().await?;
        self.again(|| SkipTrimmed { group: self.clone() }).await?;
        let (after, _) = self.state().await?;
        Ok(after.next.saturating_sub(before.next))
    }

    /// What was put aside, in order.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let find = of_group(Find::by(&DEAD_LETTERS, "by_group")?, &self.topic, &self.name);
        let records = self.space.find_all(find).await?;
        records.iter().map(|record| dead_letter(&record.body)).collect()
    }

    /// How far the group is.
    ///
    /// # Errors
    /// `NotFound` when it was deleted.
    pub async fn info(&self) -> Result<GroupInfo> {
        let (state, _) = self.state().await?;
        let seen = look(&self.space, &self.topic, NONE, None).await?;
        let (_, last) = seen.map_or((1, 0), |seen| seen.ends());
        let count = async |table| -> Result<u64> {
            let find = of_group(Find::by(table, "by_group")?, &self.topic, &self.name);
            Ok(self.space.find_all(find).await?.len() as u64)
        };
        Ok(GroupInfo {
            group: self.name.clone(),
            waiting: (last + 1).saturating_sub(state.next),
            leased: count(&DELIVERIES).await?,
            dead: count(&DEAD_LETTERS).await?,
        })
    }

    async fn state(&self) -> Result<(GroupState, u64)> {
        let record = self.space.get(&group_key(&self.topic, &self.name)?).await?;
        let record = record.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no group {:?}", self.name))
                .at(format!("topic {:?}", self.topic))
        })?;
        Ok((record.body.to()?, record.version))
    }

    /// Commits an intent, again while others are faster.
    async fn again<I: Intent + 'static>(&self, intent: impl Fn() -> I) -> Result<()> {
        for attempt in 1.. {
            match Unit::new(self.space.clone()).with(intent()).commit().await {
                Err(error)
                    if error.kind() == Kind::Conflict
                        && error.is_retryable()
                        && attempt < ATTEMPTS => {}
                done => return done.map(|_| ()),
            }
        }
        Ok(())
    }

    async fn lease(&self, worker: &str, limit: usize) -> Result<Vec<Leased>> {
        let (state, version) = self.state().await?;
        let now = document::now();
        let until = now.saturating_add(state.timeout_ms);
        let mut handed = Handed::of(self, state, version);
        self.expired(now, until, worker, limit, &mut handed).await?;
        if handed.given.len() < limit {
            self.fresh(until, worker, limit - handed.given.len(), &mut handed).await?;
        }
        if handed.is_empty() {
            return Ok(Vec::new());
        }
        let given = handed.given.clone();
        Unit::new(self.space.clone()).with(handed).commit().await?;
        let keys: Vec<Key> = given
            .iter()
            .map(|(_, delivery)| delivery_key(&self.topic, &self.name, delivery.number))
            .collect::<Result<_>>()?;
        let records = self.space.get_many(&keys).await?;
        let leased = given.into_iter().zip(records).filter_map(|((event, delivery), record)| {
            // One that has run out meanwhile is another worker's.
            let record = record.filter(|record| is_the_same(record, &delivery))?;
            let (deliveries, until) = (delivery.deliveries, delivery.until);
            Some(Leased { event, deliveries, until, version: record.version })
        });
        Ok(leased.collect())
    }

    /// What has run out: to be handed out again, or put aside.
    async fn expired(
        &self,
        now: i64,
        until: i64,
        worker: &str,
        limit: usize,
        handed: &mut Handed,
    ) -> Result<()> {
        let mut find = of_group(Find::by(&DELIVERIES, "by_until")?, &self.topic, &self.name);
        find.range.1 = std::ops::Bound::Included(Value::integer(now));
        find.limit = limit;
        let mut dead = 0;
        for record in self.space.find(&find).await?.records {
            // The next call puts more aside.
            if dead > DEAD_BYTES {
                break;
            }
            let old: Delivery = record.body.to()?;
            let range = Range { from: old.number, limit: 1, reverse: false };
            let Some(seen) = look(&self.space, &self.topic, range, None).await? else { break };
            let entry = seen.entries.into_iter().next();
            let Some(entry) = entry.filter(|entry| entry.number == old.number) else {
                let cursor = seen.issuer.cursor(old.number);
                handed.dead.push(Dead::trimmed(cursor, &record, old));
                continue;
            };
            let event = event(&seen.issuer, entry);
            if old.deliveries >= handed.state.max_deliveries {
                dead += event.body.len();
                handed.dead.push(Dead::of(&event, &record, old));
                continue;
            }
            handed.again.push(record.version);
            let deliveries = old.deliveries + 1;
            let worker = worker.to_owned();
            handed.given.push((event, Delivery { worker, until, deliveries, reason: None, ..old }));
        }
        Ok(())
    }

    async fn fresh(
        &self,
        until: i64,
        worker: &str,
        limit: usize,
        handed: &mut Handed,
    ) -> Result<()> {
        let range = Range { from: handed.state.next, limit, reverse: false };
        let Some(seen) = look(&self.space, &self.topic, range, None).await? else { return Ok(()) };
        let (first, _) = seen.ends();
        if handed.state.next < first {
            return Err(trimmed(&self.topic, first, handed.state.next)
                .advice("skip_trimmed goes on from the first event that is kept"));
        }
        let Seen { issuer, entries, .. } = seen;
        for entry in entries {
            handed.state.next = entry.number + 1;
            let delivery = Delivery {
                topic: self.topic.clone(),
                group: self.name.clone(),
                number: entry.number,
                worker: worker.to_owned(),
                until,
                deliveries: 1,
                reason: None,
            };
            handed.given.push((event(&issuer, entry), delivery));
        }
        Ok(())
    }

    async fn end(&self, leased: &Leased, end: End) -> Result<()> {
        let ending = Ending { group: self.clone(), leased: leased.clone(), end };
        self.again(|| ending.clone()).await
    }
}

fn dead_letter(body: &Json) -> Result<DeadLetter> {
    let damaged = || Error::new(Kind::Corrupt, "a dead letter is damaged");
    let text = |name| body.member(name).and_then(|text| text.to_text()).ok_or_else(damaged);
    let number = |name| body.member(name).and_then(|number| number.to_i64()).ok_or_else(damaged);
    Ok(DeadLetter {
        cursor: text("cursor")?,
        reason: text("reason")?,
        deliveries: u32::try_from(number("deliveries")?).map_err(|_| damaged())?,
        time: number("time")?,
        event: body.member("event").ok_or_else(damaged)?,
    })
}
