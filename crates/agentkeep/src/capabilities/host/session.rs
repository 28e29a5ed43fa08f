//! One session of an agent, and its starts.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::context::{ContextLayer, SessionContext};
use super::error::SessionError;
use super::hooks::{RunArgs, Runner, SessionHooks, Stage, StageEvent};
use super::registry::{AgentRegistry, Attribution, Entry};
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::capture::{CapturedTurn, capture_turn};
use crate::capabilities::telemetry;
use crate::capabilities::tool::{AbortSignal, Failure, ToolContext};
use crate::json::{Json, ObjectEditor};
use crate::model::LinkRow;
use crate::repo::TurnAttribution;
use crate::schema::Turn;

/// What a session has of its own.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Hooks, called after those of the registration.
    pub hooks: SessionHooks,
    /// Parts of the context, which win over those of the registration.
    pub context: Vec<ContextLayer>,
    /// What does the work, in place of the registration's runner.
    pub run: Option<Runner>,
    /// The session's id; one is made when turns are attributed and there is none.
    pub session_id: Option<String>,
    /// Tells when starts are no longer wanted.
    pub signal: Option<AbortSignal>,
    /// How long a run may take.
    pub deadline: Option<Duration>,
}

/// A session of an agent. Starting it again puts a new context together; only one start at a time.
#[derive(Debug)]
pub struct AgentSession {
    registry: AgentRegistry,
    entry: Arc<Entry>,
    options: SessionOptions,
    deadline: Option<Duration>,
    /// The hooks that are set on the session itself, called last.
    own: SessionHooks,
    running: AtomicBool,
}

/// Lets the next start in, however this one ends.
struct Started<'a>(&'a AtomicBool);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl AgentSession {
    pub(super) fn new(
        registry: AgentRegistry,
        entry: Arc<Entry>,
        mut options: SessionOptions,
        deadline: Option<Duration>,
    ) -> Self {
        if registry.attribution().is_some() {
            options.session_id.get_or_insert_with(|| crate::model::new_id("session"));
        }
        let (own, running) = (SessionHooks::default(), AtomicBool::new(false));
        Self { registry, entry, options, deadline, own, running }
    }

    /// Its id, if it has one.
    pub fn session_id(&self) -> Option<&str> {
        self.options.session_id.as_deref()
    }

    /// The agent.
    pub fn agent(&self) -> &Arc<RegisteredAgent> {
        &self.entry.agent
    }

    /// The same with a hook of its own for a stage, in place of the one before.
    #[must_use]
    pub fn on<F, R>(mut self, stage: Stage, hook: F) -> Self
    where
        F: Fn(StageEvent) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.own = self.own.on(stage, hook);
        self
    }

    /// Runs the agent: `on_start`, `on_before_context`, the context, `on_after_context`,
    /// `on_before_run`, the runner, `on_after_run`; when anything fails, `on_error`.
    ///
    /// # Errors
    /// What failed; when an `on_error` hook fails, what that gives.
    pub async fn start(&self, input: Json) -> Result<Json, SessionError> {
        self.start_with(input, None).await
    }

    /// As [`start`](Self::start), with a signal in place of the session's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        &self,
        input: Json,
        signal: Option<AbortSignal>,
    ) -> Result<Json, SessionError> {
        if self.running.swap(true, Ordering::AcqRel) {
            return Err(SessionError::Running);
        }
        let _until_it_ends = Started(&self.running);
        let signal = signal.or_else(|| self.options.signal.clone());
        let span = telemetry::session_span(self.agent(), self.session_id());
        let began = Instant::now();
        telemetry::session_began(&span);
        let mut context = None;
        let attempt = self.attempt(&input, signal.as_ref(), &mut context);
        let ended = telemetry::within(&span, attempt).await;
        telemetry::session_ended(&span, began.elapsed(), &ended);
        let Err(error) = ended else { return ended };
        let nothing = || SessionContext::new(&ObjectEditor::default().finish(), None);
        let context = context.unwrap_or_else(nothing);
        let mut event = self.event(Stage::Error, &input, Some(context));
        event.error = Some(error.clone());
        self.tell(event).await?;
        Err(error)
    }

    fn event(&self, stage: Stage, input: &Json, context: Option<SessionContext>) -> StageEvent {
        let (agent, input) = (Arc::clone(self.agent()), input.clone());
        StageEvent { stage, agent, input, context, output: None, error: None }
    }

    /// The registration's hook, the session's, its own.
    async fn tell(&self, event: StageEvent) -> Result<(), SessionError> {
        for hooks in [&self.entry.options.hooks, &self.options.hooks, &self.own] {
            hooks.tell(&event).await?;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        input: &Json,
        signal: Option<&AbortSignal>,
        put_together: &mut Option<SessionContext>,
    ) -> Result<Json, SessionError> {
        let wanted = || signal.map_or(Ok(()), AbortSignal::check);
        for stage in [Stage::Start, Stage::BeforeContext] {
            wanted()?;
            self.tell(self.event(stage, input, None)).await?;
        }
        wanted()?;
        let context = self.resolve(input, signal).await?;
        *put_together = Some(context.clone());
        for stage in [Stage::AfterContext, Stage::BeforeRun] {
            wanted()?;
            self.tell(self.event(stage, input, Some(context.clone()))).await?;
        }
        wanted()?;
        let runner = self.options.run.as_ref().or(self.entry.options.run.as_ref());
        let missing = || SessionError::NoRunner(self.agent().id().to_owned());
        let runner = runner.ok_or_else(missing)?;
        let turn = self.capture(&context).await?;
        let run = self.run(runner, input, &context, signal, turn.clone()).await;
        let output = self.attributed(turn, run).await?;
        let mut event = self.event(Stage::AfterRun, input, Some(context));
        event.output = Some(output.clone());
        self.tell(event).await?;
        Ok(output)
    }

    async fn resolve(
        &self,
        input: &Json,
        signal: Option<&AbortSignal>,
    ) -> Result<SessionContext, SessionError> {
        let context = SessionContext::new(&self.agent().static_context(), signal.cloned());
        for layer in self.entry.options.context.iter().chain(&self.options.context) {
            layer.put_in(self.agent(), input, &context).await?;
        }
        Ok(context)
    }

    async fn run(
        &self,
        runner: &Runner,
        input: &Json,
        context: &SessionContext,
        signal: Option<&AbortSignal>,
        turn: Option<Arc<CapturedTurn>>,
    ) -> Result<Json, SessionError> {
        let (agent, input) = (Arc::clone(self.agent()), input.clone());
        let args = RunArgs { agent, input, context: context.clone(), turn };
        // A runner that panics is dropped with all that it held.
        let run = AssertUnwindSafe(async { runner.run(args).await }).catch_unwind();
        let limited = async {
            match self.deadline {
                Some(limit) => tokio::time::timeout(limit, run)
                    .await
                    .map_err(|_| SessionError::Deadline(limit)),
                None => Ok(run.await),
            }
        };
        let ended = match signal {
            Some(signal) => signal.race(limited).await?,
            None => limited.await,
        };
        match ended? {
            Ok(done) => done.map_err(SessionError::from),
            Err(panic) => Err(SessionError::Panicked(message_of(&*panic))),
        }
    }

    /// What the agent can do in this turn, if that is to be kept.
    async fn capture(
        &self,
        context: &SessionContext,
    ) -> Result<Option<Arc<CapturedTurn>>, SessionError> {
        let Some(Attribution { capture, .. }) = self.registry.attribution() else {
            return Ok(None);
        };
        let mut tools = ToolContext::new(context.json());
        tools.agent_id = Some(self.agent().id().to_owned());
        tools.agent_name = Some(self.agent().name().to_owned());
        tools.abort = context.signal().cloned();
        let captured = capture_turn(self.agent(), &tools, capture).await?;
        telemetry::link_captured(&captured.link);
        Ok(Some(Arc::new(captured)))
    }

    /// Records the turn, however it ended, and answers as it ended.
    async fn attributed(
        &self,
        turn: Option<Arc<CapturedTurn>>,
        run: Result<Json, SessionError>,
    ) -> Result<Json, SessionError> {
        let (Some(turn), Some(Attribution { follows, .. })) = (turn, self.registry.attribution())
        else {
            return run;
        };
        let outcome = match &run {
            Ok(_) => "ok",
            Err(SessionError::Aborted(_)) => "cancelled",
            Err(_) => "error",
        };
        let kept = async {
            let op = self.registry.now();
            let session = self.session_id().unwrap_or_default();
            let mut metadata = ObjectEditor::default();
            metadata.set("outcome", &Json::string(outcome));
            let mut attribution = TurnAttribution::new(&op, session, &turn.link)?;
            attribution.link = LinkRow::of(&turn.link, session, op.now, Some(&metadata.finish()))?;
            let attribution = attribution.with_envelope(&turn.envelope)?.follows(follows.clone());
            let store = self.registry.store().tenant(&op)?;
            let named = Turn::unique();
            store.capabilities().record_turn_attribution(&op, &attribution, Some(&named)).await
        };
        match (kept.await, run) {
            (Ok(_), run) => run,
            // The output is not lost with its attribution.
            (Err(error), Ok(output)) => {
                let (output, error) = (Some(output), Arc::new(error));
                Err(SessionError::NotKept { output, error })
            }
            (Err(_), Err(error)) => Err(error),
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
