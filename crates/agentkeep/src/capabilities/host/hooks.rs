//! The stages of a start, and who is told of them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::context::SessionContext;
use super::error::SessionError;
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::capture::CapturedTurn;
use crate::capabilities::tool::Failure;
use crate::json::Json;

type Hook = dyn Fn(StageEvent) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;
type Run = dyn Fn(RunArgs) -> BoxFuture<'static, Result<Json, Failure>> + Send + Sync;

/// The stages of a start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It begins.
    Start,
    /// Before the context is put together.
    BeforeContext,
    /// After that.
    AfterContext,
    /// Before the runner.
    BeforeRun,
    /// After the runner gave an output.
    AfterRun,
    /// Something failed.
    Error,
}

/// What a hook is told.
#[derive(Debug, Clone)]
pub struct StageEvent {
    /// Which stage it is.
    pub stage: Stage,
    /// The agent.
    pub agent: Arc<RegisteredAgent>,
    /// What the start was given.
    pub input: Json,
    /// The context; at an error an empty one, if it was not put together yet. Not there before.
    pub context: Option<SessionContext>,
    /// What the runner gave.
    pub output: Option<Json>,
    /// What failed.
    pub error: Option<SessionError>,
}

/// What the runner is given.
#[derive(Debug, Clone)]
pub struct RunArgs {
    /// The agent.
    pub agent: Arc<RegisteredAgent>,
    /// What the start was given.
    pub input: Json,
    /// The context.
    pub context: SessionContext,
    /// What the agent can do in this turn, when turns are attributed.
    pub turn: Option<Arc<CapturedTurn>>,
}

/// One hook for each stage; a hook that is set again replaces the one before.
#[derive(Clone, Default)]
pub struct SessionHooks {
    hooks: [Option<Arc<Hook>>; 6],
}

/// Does an agent's work.
#[derive(Clone)]
pub struct Runner(Arc<Run>);

impl SessionHooks {
    /// The same with this hook for a stage.
    #[must_use]
    pub fn on<F, R>(mut self, stage: Stage, hook: F) -> Self
    where
        F: Fn(StageEvent) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.hooks[stage as usize] = Some(Arc::new(move |event| Box::pin(hook(event))));
        self
    }

    pub(super) async fn tell(&self, event: &StageEvent) -> Result<(), Failure> {
        match &self.hooks[event.stage as usize] {
            Some(hook) => hook(event.clone()).await,
            None => Ok(()),
        }
    }
}

impl Runner {
    /// A runner.
    pub fn new<F, R>(run: F) -> Self
    where
        F: Fn(RunArgs) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Json, Failure>> + Send + 'static,
    {
        Self(Arc::new(move |args| Box::pin(run(args))))
    }

    pub(super) async fn run(&self, args: RunArgs) -> Result<Json, Failure> {
        (self.0)(args).await
    }
}

impl fmt::Debug for SessionHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHooks({})", self.hooks.iter().flatten().count())
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runner")
    }
}
