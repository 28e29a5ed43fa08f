//! The registry of agents of one process, over a store that outlives it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::context::ContextLayer;
use super::error::SessionError;
use super::hooks::{Runner, SessionHooks};
use super::session::{AgentSession, SessionOptions};
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::capture::CaptureOptions;
use crate::error::Result;
use crate::model::{OpContext, RegistrationRow};
use crate::repo::{Follows, List};
use crate::store::Store;

type Op = dyn Fn() -> OpContext + Send + Sync;

/// What goes with an agent's registration: code, which is in this process alone.
#[derive(Debug, Clone, Default)]
pub struct RegisterOptions {
    /// Hooks of all its sessions.
    pub hooks: SessionHooks,
    /// Parts of the context of all its sessions.
    pub context: Vec<ContextLayer>,
    /// What does its work.
    pub run: Option<Runner>,
}

/// How turns are attributed without anybody's doing.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// How the turn is captured.
    pub capture: CaptureOptions,
    /// From which link a transition leads to the turn's.
    pub follows: Follows,
}

impl Default for Attribution {
    fn default() -> Self {
        Self { capture: CaptureOptions::default(), follows: Follows::Changed }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) agent: Arc<RegisteredAgent>,
    pub(super) options: RegisterOptions,
}

/// The agents that this process can run: Khora's `createAgentRegistry`. Registrations are kept in a
/// store; hooks, runners and tools are code, and supplied anew after a restart.
#[derive(Clone)]
pub struct AgentRegistry {
    store: Store,
    op: Arc<Op>,
    attribution: Option<Attribution>,
    deadline: Option<Duration>,
    overlay: Arc<Mutex<Vec<Arc<Entry>>>>,
    /// Registrations of one process come one after the other: overlay and store agree.
    registering: Arc<tokio::sync::Mutex<()>>,
}

impl AgentRegistry {
    /// A registry over a store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            op: Arc::new(OpContext::default),
            attribution: None,
            deadline: None,
            overlay: Arc::default(),
            registering: Arc::default(),
        }
    }

    /// A registry over a store in memory: for tests and first steps.
    ///
    /// # Errors
    /// What opening the store gives.
    pub async fn in_memory() -> Result<Self> {
        Ok(Self::new(Store::open("memory:").await?))
    }

    /// The same; who does what, for whom and when is asked for here.
    #[must_use]
    pub fn op_context(mut self, op: impl Fn() -> OpContext + Send + Sync + 'static) -> Self {
        self.op = Arc::new(op);
        self
    }

    /// The same; every turn is captured before it runs and recorded after it has ended, however it
    /// ended.
    #[must_use]
    pub fn attribute(mut self, attribution: Attribution) -> Self {
        self.attribution = Some(attribution);
        self
    }

    /// The same; a run that takes longer fails.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Arc<Entry>>) -> T) -> T {
        look(&mut self.overlay.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers an agent: first in the store, then in this process. Answers the static hash.
    ///
    /// # Errors
    /// What the store says: then the agent is as it was.
    pub async fn register(
        &self,
        agent: RegisteredAgent,
        options: RegisterOptions,
    ) -> Result<String> {
        let _one_at_a_time = self.registering.lock().await;
        let op = (self.op)();
        let row = agent.to_registration_row(&op)?;
        let store = self.store.tenant(&op)?;
        store.capabilities().upsert_registered_agent_snapshot(&op, &row).await?;
        let hash = agent.static_hash().to_owned();
        let entry = Arc::new(Entry { agent: Arc::new(agent), options });
        self.with(|overlay| {
            match overlay.iter_mut().find(|known| known.agent.id() == entry.agent.id()) {
                Some(known) => *known = entry,
                None => overlay.push(entry),
            }
        });
        Ok(hash)
    }

    fn entry(&self, agent_id: &str) -> Option<Arc<Entry>> {
        self.with(|overlay| overlay.iter().find(|entry| entry.agent.id() == agent_id).cloned())
    }

    /// An agent of this process.
    pub fn get(&self, agent_id: &str) -> Option<Arc<RegisteredAgent>> {
        self.entry(agent_id).map(|entry| Arc::clone(&entry.agent))
    }

    /// True when this process has the agent.
    pub fn has(&self, agent_id: &str) -> bool {
        self.entry(agent_id).is_some()
    }

    /// The ids of the agents of this process, in the order in which they were first registered.
    pub fn keys(&self) -> Vec<String> {
        self.with(|overlay| overlay.iter().map(|entry| entry.agent.id().to_owned()).collect())
    }

    /// The registrations in the store whose live part this process has not got: what a host has to
    /// supply after a restart. Also those whose live part is another one than was registered last.
    ///
    /// # Errors
    /// What the store says.
    pub async fn missing(&self) -> Result<Vec<RegistrationRow>> {
        let store = self.store.tenant(&(self.op)())?;
        let (mut missing, mut list) = (Vec::new(), List::default());
        loop {
            let page = store.capabilities().agents(&list).await?;
            missing.extend(page.items.into_iter().map(|kept| kept.row).filter(|row| {
                self.get(&row.agent_id())
                    .is_none_or(|agent| agent.static_hash() != row.static_hash())
            }));
            match page.next {
                Some(next) => list = List::default().after(&next),
                None => return Ok(missing),
            }
        }
    }

    /// A session of an agent as it is registered now: what is registered later does not concern it.
    ///
    /// # Errors
    /// `NotRegistered` when this process does not have the agent.
    pub fn create_session(
        &self,
        agent_id: &str,
        options: SessionOptions,
    ) -> Result<AgentSession, SessionError> {
        let missing = || SessionError::NotRegistered(agent_id.to_owned());
        let entry = self.entry(agent_id).ok_or_else(missing)?;
        let deadline = options.deadline.or(self.deadline);
        Ok(AgentSession::new(self.clone(), entry, options, deadline))
    }

    pub(super) fn attribution(&self) -> Option<&Attribution> {
        self.attribution.as_ref()
    }

    pub(super) fn now(&self) -> OpContext {
        (self.op)()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

impl fmt::Debug for AgentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentRegistry({:?})", self.keys())
    }
}
