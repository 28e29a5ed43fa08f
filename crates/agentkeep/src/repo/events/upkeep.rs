//! Who runs retention: one process at a time, by a lease whose version fences every trim.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::limits::Retention;
use crate::driver::{Batch, Expect, Operation, Outcome, Put, Save};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::repo::clock::INTERVAL;
use crate::repo::plan::{Intent, Plan};
use crate::repo::space::Space;
use crate::schema::{Key, UPKEEP};

/// How long a run is left alone by others.
const LEASE_MS: i64 = 60_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Duty {
    owner: String,
    until: i64,
    ran_at: i64,
}

/// The right to trim, as long as the record has this version.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    owner: String,
    pub(super) version: u64,
}

fn key() -> Result<Key> {
    Key::new(&UPKEEP, ["retention"])
}

fn default_key() -> Result<Key> {
    Key::new(&UPKEEP, ["retention-default"])
}

/// True when a run is due: none has ended within an interval, by the wall clock.
pub(super) async fn is_due(space: &Space) -> Result<bool> {
    let Some(record) = space.get(&key()?).await? else { return Ok(true) };
    let duty: Duty = record.body.to()?;
    let since = space.ages().wall().saturating_sub(duty.ran_at);
    Ok(!(0..i64::try_from(INTERVAL.as_millis()).unwrap_or(i64::MAX)).contains(&since))
}

impl Lease {
    /// Takes the right to trim; `None` while another process has it.
    pub(super) async fn take(space: &Space) -> Result<Option<Self>> {
        let record = space.get(&key()?).await?;
        let now = space.ages().wall();
        let (duty, version) = match &record {
            Some(record) => (record.body.to::<Duty>()?, record.version),
            None => (Duty::default(), 0),
        };
        // A lease that ends in a far future was given by a clock that has gone back since.
        if (now..now.saturating_add(LEASE_MS)).contains(&(duty.until - 1)) {
            return Ok(None);
        }
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let mut lease = Self { owner, version };
        let duty = Duty { owner: lease.owner.clone(), until: now + LEASE_MS, ran_at: duty.ran_at };
        match lease.write(space, &duty).await {
            Ok(()) => Ok(Some(lease)),
            Err(error) if error.kind() == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds it for longer.
    pub(super) async fn renew(&mut self, space: &Space) -> Result<()> {
        let now = space.ages().wall();
        let duty = Duty { owner: self.owner.clone(), until: now + LEASE_MS, ran_at: 0 };
        self.write(space, &duty).await
    }

    /// Gives it back after a run.
    pub(super) async fn end(mut self, space: &Space) -> Result<()> {
        let ran_at = space.ages().wall();
        self.write(space, &Duty { owner: String::new(), until: 0, ran_at }).await
    }

    async fn write(&mut self, space: &Space, duty: &Duty) -> Result<()> {
        let mut batch = Batch::new(space.namespace().clone());
        batch.expect(Expect::Version(key()?, self.version));
        batch.push(Operation::Put(Put::new(key()?, Json::of(duty)?, Save::Any)?));
        match space.commit(batch).await?.outcomes.first() {
            Some(Outcome::Put { version }) => self.version = *version,
            _ => return Err(Error::new(Kind::Corrupt, "the driver answered without a version")),
        }
        Ok(())
    }

    /// What a trim depends on.
    pub(super) fn expectation(&self) -> Result<Expect> {
        Ok(Expect::Version(key()?, self.version))
    }
}

/// How long events are kept where a topic has no rule of its own.
pub(super) async fn default_retention(space: &Space) -> Result<Retention> {
    let record = space.get(&default_key()?).await?;
    record.map_or_else(|| Ok(Retention::default()), |record| record.body.to())
}

/// Gives a topic a rule of its own.
#[derive(Debug)]
pub(super) struct SetRule {
    pub(super) topic: String,
    pub(super) retention: Option<Retention>,
}

#[async_trait]
impl Intent for SetRule {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let topic = plan.topic(&self.topic, false).await?;
        plan.set_topic(topic.with_retention(self.retention));
        Ok(())
    }
}

/// Gives the namespace a rule.
#[derive(Debug)]
pub(super) struct SetDefault {
    pub(super) retention: Retention,
}

#[async_trait]
impl Intent for SetDefault {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        plan.put(default_key()?, Json::of(&self.retention)?, Save::Any)
    }
}
