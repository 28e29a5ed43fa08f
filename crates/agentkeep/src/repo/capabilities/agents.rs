//! Registrations of agents.

use async_trait::async_trait;

use super::kept::{Kept, body, damaged, plain};
use crate::driver::{Expect, Find, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::{OpContext, RegistrationRow};
use crate::repo::pages::{List, Page};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::schema::{AGENTS, CURRENT_AGENTS, Key, Value, check_id};

/// Registers an agent; `answer` gets the id.
#[derive(Debug)]
pub(super) struct Register {
    pub(super) op: OpContext,
    pub(super) row: RegistrationRow,
    pub(super) answer: super::Answer<String>,
}

fn current_key(agent_id: &str) -> Result<Key> {
    check_id("agent", agent_id)?;
    Key::new(&CURRENT_AGENTS, [agent_id])
}

fn current_hash(record: &crate::driver::Record) -> Result<String> {
    let hash = record.body.member("staticHash").and_then(|hash| hash.to_text());
    hash.ok_or_else(|| damaged(&record.key))
}

#[async_trait]
impl Intent for Register {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let (agent, hash) = (self.row.agent_id(), self.row.static_hash());
        let (key, current) = (Key::new(&AGENTS, [&agent, &hash])?, current_key(&agent)?);
        let keys = [key.clone(), current.clone()];
        let [known, latest] =
            <[_; 2]>::try_from(plan.space.get_many(&keys).await?).map_err(|_| damaged(&key))?;
        let version = |record: &Option<crate::driver::Record>| {
            record.as_ref().map_or(0, |record| record.version)
        };
        plan.expect(Expect::Version(key.clone(), version(&known)), Guard::Retry);
        plan.expect(Expect::Version(current.clone(), version(&latest)), Guard::Retry);
        if let Some(known) = &known {
            // The first row stays as it is.
            let id = plain::<RegistrationRow>(known)?.row.id();
            self.answer.put(id.ok_or_else(|| damaged(&key))?);
        } else {
            self.answer.put(self.row.id().unwrap_or_default());
            plan.put(key, body(self.row.json(), &self.op, &[]), Save::Any)?;
        }
        let is_latest = match &latest {
            Some(latest) => current_hash(latest)? == hash,
            None => false,
        };
        if !is_latest {
            let mut body = ObjectEditor::default();
            body.set("agentId", &Json::string(&agent)).set("staticHash", &Json::string(&hash));
            plan.put(current, body.finish(), Save::Any)?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("register {:?} {:?}", self.op, self.row)
    }
}

pub(super) async fn latest(space: &Space, agent_id: &str) -> Result<Option<Kept<RegistrationRow>>> {
    let key = current_key(agent_id)?;
    let Some(current) = space.get(&key).await? else { return Ok(None) };
    let hash = current_hash(&current)?;
    match space.get(&Key::new(&AGENTS, [agent_id, &hash])?).await? {
        Some(record) => plain(&record).map(Some),
        None => Err(damaged(&key)),
    }
}

/// All registrations of one agent, oldest first.
pub(super) async fn of_agent(
    space: &Space,
    agent_id: &str,
    list: &List,
) -> Result<Page<Kept<RegistrationRow>>> {
    check_id("agent", agent_id)?;
    let find = Find::by(&AGENTS, "by_agent")?.equal(Value::text(agent_id));
    let found = space.find(&find.limit(list.limit()).after(list.continuation()?)).await?;
    let items = found.records.iter().map(plain).collect::<Result<_>>()?;
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

/// The last registration of each agent, by id.
pub(super) async fn all(space: &Space, list: &List) -> Result<Page<Kept<RegistrationRow>>> {
    let find = Find::by(&CURRENT_AGENTS, "key")?;
    let found = space.find(&find.limit(list.limit()).after(list.continuation()?)).await?;
    let keys = found
        .records
        .iter()
        .map(|current| Key::new(&AGENTS, [current.key.first(), &current_hash(current)?]));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let records = if keys.is_empty() { Vec::new() } else { space.get_many(&keys).await? };
    let items = records.iter().flatten().map(plain).collect::<Result<_>>()?;
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}
