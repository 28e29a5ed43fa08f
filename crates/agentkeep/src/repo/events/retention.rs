//! Retention: what is too old or too much goes from the front of a topic.

use async_trait::async_trait;
use serde::Serialize;

use super::consumers::{self, State};
use super::limits::{Bounds, Retention};
use super::look::{NONE, Range, Seen, consumer_key, look, trims_key};
use super::publish::{digest, key_of};
use super::topic::Topic;
use super::upkeep::{self, Lease};
use crate::driver::{Expect, Find, Operation, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::repo::clock::{Allowed, INTERVAL};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::{Space, WeakSpace};
use crate::repo::unit::Unit;
use crate::schema::{EVENT_KEYS, EVENTS, Key, NAMESPACES, Namespace, TOPICS, Value};

/// Events that leave in one commit.
const STEP: u64 = 5_000;
/// How long an idempotency key is held after its event has been trimmed.
const KEYS_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// How many of a topic's keys are held however old they are.
const KEYS_HELD: usize = 100_000;
/// How long a store must have been open before an absent consumer is forgotten.
const BEFORE_FORGETTING: std::time::Duration = std::time::Duration::from_hours(1);

/// What a run of retention did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retained {
    /// True when another process was at it: nothing was done here.
    pub elsewhere: bool,
    /// Events that went.
    pub trimmed: u64,
    /// Topics and consumers that were forgotten for not having been seen.
    pub forgotten: Vec<(String, String)>,
}

/// Runs retention now and then until the store is closed or nobody has it any more.
pub(crate) fn keep_trimming(space: &Space) {
    let space = space.weak();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(trim_for_ever(space));
    }
}

async fn trim_for_ever(mut weak: WeakSpace) {
    loop {
        let Some(space) = weak.get() else { return };
        match everywhere(&space).await {
            Err(error) if error.kind() == Kind::Closed => return,
            // What fails is tried again; a reader or writer will be told of the same trouble.
            _ => drop(space),
        }
        if tokio::time::timeout(INTERVAL, weak.ended()).await.is_ok() {
            return;
        }
    }
}

/// Every namespace in which a run is due.
async fn everywhere(space: &Space) -> Result<()> {
    let mut find = Find::by(&NAMESPACES, "key")?.limit(1_000);
    loop {
        let found = space.find(&find).await?;
        for record in found.records {
            let space = space.sibling(Namespace::new(record.key.first())?);
            let first = space.find(&Find::by(&TOPICS, "key")?.limit(1)).await?;
            if !first.records.is_empty() && upkeep::is_due(&space).await? {
                // One namespace's trouble (it is being deleted, say) is not another's.
                match run(&space).await {
                    Err(error) if error.kind() == Kind::Closed => return Err(error),
                    _ => {}
                }
            }
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Runs retention in a namespace.
pub(super) async fn run(space: &Space) -> Result<Retained> {
    let mut retained = Retained::default();
    let Some(mut lease) = Lease::take(space).await? else {
        return Ok(Retained { elsewhere: true, ..retained });
    };
    let default = upkeep::default_retention(space).await?;
    let mut find = Find::by(&TOPICS, "by_name")?.limit(1_000);
    let mut failed = None;
    loop {
        let found = space.find(&find).await?;
        for record in &found.records {
            lease.renew(space).await?;
            let of_topic = async |retained: &mut Retained| {
                one(space, &Topic::of_record(record)?, &default, &lease, retained).await
            };
            // One topic's trouble is not another's.
            match of_topic(&mut retained).await {
                Err(error) if error.kind() == Kind::Closed => return Err(error),
                done => failed = failed.or(done.err()),
            }
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => break,
        }
    }
    lease.end(space).await?;
    failed.map_or(Ok(retained), Err)
}

async fn one(
    space: &Space,
    topic: &Topic,
    default: &Retention,
    lease: &Lease,
    retained: &mut Retained,
) -> Result<()> {
    let name = topic.name();
    let rule = topic.retention.unwrap_or(*default);
    forget(space, name, &rule, retained).await?;
    let allowed = space.ages().allowed(space.namespace(), name);
    let by_age = match (look(space, name, NONE, None).await?, allowed) {
        (None, _) => return Ok(()),
        (_, Allowed::Everything) => u64::MAX,
        (_, Allowed::Nothing) => 0,
        (Some(seen), Allowed::Half) => {
            let half = seen.head.as_ref().map_or(0, |head| head.count / 2);
            nth(space, &seen, half).await?
        }
    };
    loop {
        let trim = Trim { topic: name.to_owned(), rule, by_age, lease: lease.clone() };
        let Some(seen) = look(space, name, NONE, None).await? else { return Ok(()) };
        if trim.before(space, &seen).await? <= seen.ends().0 {
            break;
        }
        Unit::new(space.clone()).with(trim).commit().await?;
        let after = look(space, name, NONE, None).await?;
        let count = |seen: &Seen| seen.head.as_ref().map_or(0, |head| head.first);
        retained.trimmed += after.as_ref().map_or(0, count).saturating_sub(count(&seen));
    }
    drop_keys(space, name).await
}

/// The number after the first `count` events that are kept.
async fn nth(space: &Space, seen: &Seen, count: u64) -> Result<u64> {
    let Some(head) = &seen.head else { return Ok(1) };
    if head.last + 1 - head.first == head.count {
        return Ok(head.first + count.min(head.count));
    }
    let (mut left, mut from) = (count, head.first);
    while left > 0 {
        let limit = usize::try_from(left.min(STEP)).unwrap_or(1);
        let range = Range { from, limit, reverse: false };
        let Some(page) = look(space, seen.topic.name(), range, None).await? else { break };
        let Some(last) = page.entries.last() else { break };
        left -= page.entries.len() as u64;
        from = last.number + 1;
    }
    Ok(from)
}

#[derive(Debug)]
struct Trim {
    topic: String,
    rule: Retention,
    /// Nothing from here on goes by age in this run.
    by_age: u64,
    lease: Lease,
}

impl Trim {
    /// The first number that stays for now.
    async fn before(&self, space: &Space, seen: &Seen) -> Result<u64> {
        let (first, last) = seen.ends();
        let mut needed = last + 1;
        for record in consumers::of_topic(space, &self.topic).await? {
            let state = State::of_record(&record)?;
            if state.forgotten.is_none() {
                needed = needed.min(state.acked + 1);
            }
        }
        needed = needed.min(super::groups::needed(space, &self.topic).await?);
        let soft = self.beyond(space, seen, &self.rule.keep).await?.min(needed);
        let hard = self.beyond(space, seen, &self.rule.hard).await?;
        Ok(soft.max(hard).clamp(first, first + STEP))
    }

    /// The first number within the bounds, as far as one step goes.
    async fn beyond(&self, space: &Space, seen: &Seen, bounds: &Bounds) -> Result<u64> {
        let (first, _) = seen.ends();
        let Some(head) = &seen.head else { return Ok(first) };
        let mut before = first;
        if let Some(count) = bounds.count.filter(|count| *count < head.count) {
            before = before.max(nth(space, seen, (head.count - count).min(STEP)).await?);
        }
        if let Some(bytes) = bounds.bytes.filter(|bytes| *bytes < head.bytes) {
            before = before.max(past_bytes(space, seen, head.bytes - bytes).await?);
        }
        if let Some(age) = bounds.age_ms {
            let end = space.ages().now().saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
            before = before.max(past_age(space, seen, end).await?.min(self.by_age));
        }
        Ok(before)
    }
}

/// The number after so many bytes from the front, as far as one step goes.
async fn past_bytes(space: &Space, seen: &Seen, bytes: u64) -> Result<u64> {
    let (first, _) = seen.ends();
    let range = Range { from: first, limit: 1_000, reverse: false };
    let page = look(space, seen.topic.name(), range, None).await?;
    let (mut before, mut passed) = (first, 0);
    for entry in page.iter().flat_map(|page| &page.entries) {
        if passed >= bytes {
            break;
        }
        passed += entry.body.len() as u64;
        before = entry.number + 1;
    }
    Ok(before)
}

/// The number after the last event that is as old as `end`. Times may stand out of order where a
/// clock was wrong: what is before an old event is old, too.
async fn past_age(space: &Space, seen: &Seen, end: i64) -> Result<u64> {
    let (first, last) = seen.ends();
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let range = Range { from: middle, limit: 1, reverse: false };
        let page = look(space, seen.topic.name(), range, None).await?;
        let Some(entry) = page.and_then(|page| page.entries.into_iter().next()) else { break };
        if entry.number >= high {
            high = middle;
        } else if entry.time <= end {
            low = entry.number + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[async_trait]
impl Intent for Trim {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let taken = Error::new(Kind::LeaseLost, "another process runs retention now");
        plan.expect(self.lease.expectation()?, Guard::Answer(taken));
        let Some(seen) = look(plan.space, &self.topic, NONE, None).await? else { return Ok(()) };
        plan.expect(Expect::Version(Topic::key(&self.topic)?, seen.version), Guard::Retry);
        // A consumer that is registered or goes back meanwhile changes this record.
        let trims = trims_key(&self.topic)?;
        plan.expect(Expect::Version(trims.clone(), seen.trims), Guard::Retry);
        let before = self.before(plan.space, &seen).await?;
        let (first, _) = seen.ends();
        if before <= first {
            return Ok(());
        }
        if seen.topic.is_keyed() {
            self.hold_keys(plan, first, before).await?;
        }
        let mut body = ObjectEditor::default();
        body.set("first", &Json::integer(i64::try_from(before).unwrap_or(i64::MAX)));
        plan.put(trims, body.finish(), Save::Any)?;
        plan.push(Operation::Trim { log: &EVENTS, stream: seen.topic.stream()?, before });
        Ok(())
    }
}

impl Trim {
    /// Keeps the idempotency keys of what goes.
    async fn hold_keys(&self, plan: &mut Plan<'_>, first: u64, before: u64) -> Result<()> {
        let limit = usize::try_from(before - first).unwrap_or(1).max(1);
        let range = Range { from: first, limit, reverse: false };
        let page = look(plan.space, &self.topic, range, None).await?;
        for entry in page.into_iter().flat_map(|page| page.entries) {
            let Some(id) = entry.id.filter(|_| entry.number < before) else { continue };
            let mut body = ObjectEditor::default();
            let digest = blake3::Hash::from_bytes(digest(&entry.body)).to_hex();
            body.set("topic", &Json::string(&self.topic))
                .set("number", &Json::integer(i64::try_from(entry.number).unwrap_or(i64::MAX)))
                .set("digest", &Json::string(&digest))
                .set("time", &Json::integer(entry.time));
            plan.put(key_of(&self.topic, &id)?, body.finish(), Save::Any)?;
        }
        Ok(())
    }
}

/// Lets idempotency keys go that are old and not among the newest.
async fn drop_keys(space: &Space, topic: &str) -> Result<()> {
    let old = space.ages().now() - KEYS_FOR_MS;
    let mut find = Find::by(&EVENT_KEYS, "by_time")?.equal(Value::text(topic)).limit(5_000);
    find.reverse = true;
    let mut held = 0;
    loop {
        let found = space.find(&find).await?;
        let over = (held + found.records.len()).saturating_sub(KEYS_HELD);
        held += found.records.len();
        let young = found.records.len() - over.min(found.records.len());
        let time = |body: &Json| body.member("time").and_then(|time| time.to_i64());
        let going: Vec<Key> = found.records[young..]
            .iter()
            .filter(|record| time(&record.body).is_some_and(|time| time < old))
            .map(|record| record.key.clone())
            .collect();
        if !going.is_empty() {
            Unit::new(space.clone()).with(DropKeys { keys: going }).commit().await?;
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(()),
        }
    }
}

#[derive(Debug)]
struct DropKeys {
    keys: Vec<Key>,
}

#[async_trait]
impl Intent for DropKeys {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        for key in &self.keys {
            plan.push(Operation::Delete(key.clone()));
        }
        Ok(())
    }
}

/// Forgets consumers that have not been seen for too long.
async fn forget(
    space: &Space,
    topic: &str,
    rule: &Retention,
    retained: &mut Retained,
) -> Result<()> {
    let Some(patience) = rule.forget_after_ms else { return Ok(()) };
    let patience_for = std::time::Duration::from_millis(patience);
    if space.ages().open_for() < patience_for.min(BEFORE_FORGETTING) {
        return Ok(());
    }
    let end = space.ages().now().saturating_sub(i64::try_from(patience).unwrap_or(i64::MAX));
    for record in consumers::of_topic(space, topic).await? {
        let state = State::of_record(&record)?;
        if state.forgotten.is_some() || state.seen > end {
            continue;
        }
        let consumer = state.consumer.clone();
        let forgotten = State { forgotten: Some(space.ages().now()), ..state };
        let intent =
            Forgotten { topic: topic.to_owned(), state: forgotten, version: record.version };
        match Unit::new(space.clone()).with(intent).commit().await {
            // It has been seen just now.
            Err(error) if error.kind() == Kind::Conflict => {}
            Err(error) => return Err(error),
            Ok(_) => retained.forgotten.push((topic.to_owned(), consumer)),
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Forgotten {
    topic: String,
    state: State,
    version: u64,
}

#[async_trait]
impl Intent for Forgotten {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let key = consumer_key(&self.topic, &self.state.consumer)?;
        let seen = Error::new(Kind::Conflict, "the consumer was seen again");
        plan.expect(Expect::Version(key.clone(), self.version), Guard::Answer(seen));
        plan.put(key, self.state.to_json()?, Save::Any)
    }
}
