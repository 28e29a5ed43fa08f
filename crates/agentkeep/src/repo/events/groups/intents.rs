//! The commits of groups.

use async_trait::async_trait;

use super::state::{Delivery, GroupState, delivery_key, group_key};
use super::{Group, Leased};
use crate::driver::{Expect, MAX_BODY, Operation, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{StoredEvent, document};
use crate::repo::events::cursor::Cursor;
use crate::repo::events::look::{NONE, look, trims_key};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{DEAD_LETTERS, Key};

/// So many characters of a reason are kept where the whole is too long.
const REASON: usize = 10_000;

pub(super) fn lost(cursor: &Cursor) -> Error {
    Error::new(Kind::LeaseLost, "the event is not this worker's any more")
        .at(format!("event {cursor}"))
        .advice("what was done for it may be done again by another worker")
}

/// Makes a group, or gives it other options.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) group: Group,
    pub(super) timeout: i64,
    pub(super) max_deliveries: u32,
}

#[async_trait]
impl Intent for Open {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let Group { topic, name: group, .. } = &self.group;
        plan.topic(topic, false).await?;
        let key = group_key(topic, group)?;
        let record = plan.get(&key).await?;
        let version = record.as_ref().map_or(0, |record| record.version);
        plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
        let old = record.map(|record| record.body.to::<GroupState>()).transpose()?;
        let next = if let Some(old) = &old { old.next } else { claim(plan, topic, group).await? };
        let state = GroupState {
            topic: topic.clone(),
            group: group.clone(),
            next,
            timeout_ms: self.timeout,
            max_deliveries: self.max_deliveries,
        };
        if old.as_ref() == Some(&state) {
            return Ok(());
        }
        plan.put(key, Json::of(&state)?, Save::Any)
    }
}

/// Claims what the topic keeps, against a trim at the same time: answers where it begins.
async fn claim(plan: &mut Plan<'_>, topic: &str, group: &str) -> Result<u64> {
    let seen = look(plan.space, topic, NONE, None).await?;
    let trims = trims_key(topic)?;
    let known = seen.as_ref().map_or(0, |seen| seen.trims);
    plan.expect(Expect::Version(trims.clone(), known), Guard::Retry);
    let mut body = ObjectEditor::default();
    body.set("claimedBy", &Json::string(group));
    plan.put(trims, body.finish(), Save::Any)?;
    Ok(seen.map_or(1, |seen| seen.ends().0))
}

/// What one worker gets, in one commit.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) group: Group,
    pub(super) state: GroupState,
    /// The version of the group's record.
    pub(super) version: u64,
    /// What was there before, in the order of the first ones given.
    pub(super) again: Vec<u64>,
    pub(super) given: Vec<(StoredEvent, Delivery)>,
    pub(super) dead: Vec<Dead>,
}

impl Handed {
    pub(super) fn of(group: &Group, state: GroupState, version: u64) -> Self {
        Self {
            group: group.clone(),
            state,
            version,
            again: Vec::new(),
            given: Vec::new(),
            dead: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.dead.is_empty()
    }
}

/// Another worker was faster.
fn faster() -> Guard {
    Guard::Answer(Error::new(Kind::Conflict, "another worker was faster"))
}

#[async_trait]
impl Intent for Handed {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let Group { topic, name: group, .. } = &self.group;
        let key = group_key(topic, group)?;
        plan.expect(Expect::Version(key.clone(), self.version), faster());
        plan.put(key, Json::of(&self.state)?, Save::Any)?;
        for (place, (_, delivery)) in self.given.iter().enumerate() {
            let key = delivery_key(topic, group, delivery.number)?;
            let version = self.again.get(place).copied().unwrap_or(0);
            plan.expect(Expect::Version(key.clone(), version), faster());
            plan.put(key, Json::of(delivery)?, Save::Any)?;
        }
        for dead in &self.dead {
            let Dead { version, old, .. } = dead;
            let key = delivery_key(topic, group, old.number)?;
            plan.expect(Expect::Version(key, *version), faster());
            dead.put_aside(plan)?;
        }
        Ok(())
    }
}

/// A delivery that becomes a dead letter.
#[derive(Debug)]
pub(super) struct Dead {
    cursor: Cursor,
    body: Json,
    version: u64,
    old: Delivery,
    reason: String,
}

impl Dead {
    /// One that was handed out often enough.
    pub(super) fn of(event: &StoredEvent, record: &Record, old: Delivery) -> Self {
        let reason = old.reason.clone().unwrap_or_else(|| "its time ran out".to_owned());
        let (cursor, body) = (event.cursor.clone(), event.body.clone());
        Self { cursor, body, version: record.version, old, reason }
    }

    /// One whose event is there no more.
    pub(super) fn trimmed(cursor: Cursor, record: &Record, old: Delivery) -> Self {
        let reason = "it was trimmed before it was done".to_owned();
        Self { cursor, body: Json::null(), version: record.version, old, reason }
    }

    fn put_aside(&self, plan: &mut Plan<'_>) -> Result<()> {
        let old = &self.old;
        plan.push(Operation::Delete(delivery_key(&old.topic, &old.group, old.number)?));
        let number = format!("{:020}", old.number);
        let key = Key::new(&DEAD_LETTERS, [&old.topic, &old.group, &number])?;
        let mut body = self.letter(&self.reason, &self.body);
        if body.len() > MAX_BODY {
            let reason: String = self.reason.chars().take(REASON).collect();
            let reason =
                format!("{reason} (its {} bytes leave no room for them here)", self.body.len());
            body = self.letter(&reason, &Json::null());
        }
        plan.put(key, body, Save::Any)
    }

    fn letter(&self, reason: &str, event: &Json) -> Json {
        let (old, mut body) = (&self.old, ObjectEditor::default());
        body.set("topic", &Json::string(&old.topic))
            .set("group", &Json::string(&old.group))
            .set("number", &Json::integer(i64::try_from(old.number).unwrap_or(i64::MAX)))
            .set("cursor", &Json::string(self.cursor.as_str()))
            .set("reason", &Json::string(reason))
            .set("deliveries", &Json::integer(i64::from(old.deliveries)))
            .set("time", &Json::integer(document::now()))
            .set("event", event);
        body.finish()
    }
}

/// The group goes on from the first event that is kept.
#[derive(Debug)]
pub(super) struct SkipTrimmed {
    pub(super) group: Group,
}

#[async_trait]
impl Intent for SkipTrimmed {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let Group { topic, name: group, .. } = &self.group;
        let key = group_key(topic, group)?;
        let Some(record) = plan.get(&key).await? else { return Ok(()) };
        plan.expect(Expect::Version(key.clone(), record.version), Guard::Retry);
        let mut state: GroupState = record.body.to()?;
        state.next = state.next.max(claim(plan, topic, group).await?);
        plan.put(key, Json::of(&state)?, Save::Any)
    }
}

/// How a lease ends.
#[derive(Debug, Clone)]
pub(super) enum End {
    Done,
    Back(String),
    Longer,
}

#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) group: Group,
    pub(super) leased: Leased,
    pub(super) end: End,
}

#[async_trait]
impl Intent for Ending {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let Group { topic, name: group, .. } = &self.group;
        let key = delivery_key(topic, group, self.leased.event.number)?;
        let gone = || lost(&self.leased.event.cursor);
        let record = plan.get(&key).await?.ok_or_else(gone)?;
        if record.version != self.leased.version {
            return Err(gone());
        }
        plan.expect(Expect::Version(key.clone(), record.version), Guard::Answer(gone()));
        let old: Delivery = record.body.to()?;
        let state = plan.get(&group_key(topic, group)?).await?.ok_or_else(gone)?;
        let state: GroupState = state.body.to()?;
        match &self.end {
            End::Done => drop(plan.push(Operation::Delete(key))),
            End::Back(reason) if old.deliveries >= state.max_deliveries => {
                let old = Delivery { reason: Some(reason.clone()), ..old };
                Dead::of(&self.leased.event, &record, old).put_aside(plan)?;
            }
            End::Back(reason) => {
                let given_back = Delivery { until: 0, reason: Some(reason.clone()), ..old };
                plan.put(key, Json::of(&given_back)?, Save::Any)?;
            }
            End::Longer => {
                let until = document::now().saturating_add(state.timeout_ms);
                plan.put(key, Json::of(&Delivery { until, ..old })?, Save::Any)?;
            }
        }
        Ok(())
    }
}
