//! The unit of work: several changes, one commit, one turn.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::capabilities::UnitCapabilities;
use super::conversations::imports::Run;
use super::conversations::{Added, UnitContainers, UnitImages, UnitMessages, UnitSessions};
use super::events::{PublishReceipt, Published, UnitEvents};
use super::plan::{self, AddReceipt, Finished, Guard, Held, Intent, Placed, Plan};
use super::runs::UnitRuns;
use super::space::Space;
use super::transcripts::UnitTranscripts;
use crate::driver::{Batch, Committed, Expect, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::{DELETIONS, Key, OperationId, Turn};

/// How often a unit looks again when what it read has changed by the time of the commit.
const ATTEMPTS: u32 = 5;

/// Collects changes of one namespace and commits them at once, all or none.
///
/// It only collects: it does not read its own writes, except that a session which it saves can
/// be given messages. At most 10,000 operations.
///
/// ```
/// # use agentkeep::{Container, Image, Message, Session, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> agentkeep::Result<()> {
/// # let store = Store::open("memory:").await?;
/// let mut unit = store.unit();
/// unit.containers().save(Container::new("acme")?);
/// unit.images().save(Image::new("img", "acme", "Helper")?);
/// unit.sessions().save(Session::new("chat", "img", "acme")?);
/// unit.messages("chat").add(Message::user("Hello!")?);
/// unit.commit().await?;
/// assert_eq!(store.messages("chat").count().await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Unit {
    space: Space,
    turn: Option<Turn>,
    operation: Option<OperationId>,
    run: Option<Run>,
    intents: Vec<Box<dyn Intent>>,
}

/// What a unit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The store's time of the commit, milliseconds since 1970.
    pub time: i64,
    /// True when nothing was written now: the operation id, or all messages, were known.
    pub replayed: bool,
    /// Where the added messages are, for each `add` and `add_many` in order.
    pub added: Vec<Vec<Added>>,
    /// The cursors of the published events, for each `publish` and `publish_many` in order.
    pub published: Vec<Vec<Published>>,
    /// True when something that was to be deleted was there.
    pub deleted: bool,
}

impl Unit {
    pub(crate) fn new(space: Space) -> Self {
        Self { space, turn: None, operation: None, run: None, intents: Vec::new() }
    }

    /// Everything in the unit carries this turn.
    #[must_use]
    pub fn turn(mut self, turn: &Turn) -> Self {
        self.turn = Some(turn.clone());
        self
    }

    /// Committing the same unit again under this id, even after `OutcomeUnknown`, changes nothing and
    /// says so ([`Done::replayed`]), without the places and cursors of the first time.
    #[must_use]
    pub fn operation(mut self, operation: &OperationId) -> Self {
        self.operation = Some(operation.clone());
        self
    }

    /// Changes of containers.
    pub fn containers(&mut self) -> UnitContainers<'_> {
        UnitContainers::new(self)
    }

    /// Changes of images.
    pub fn images(&mut self) -> UnitImages<'_> {
        UnitImages::new(self)
    }

    /// Changes of sessions.
    pub fn sessions(&mut self) -> UnitSessions<'_> {
        UnitSessions::new(self)
    }

    /// Messages for a session.
    pub fn messages(&mut self, session_id: &str) -> UnitMessages<'_> {
        UnitMessages::new(self, session_id)
    }

    /// Events to publish.
    pub fn events(&mut self) -> UnitEvents<'_> {
        UnitEvents::new(self)
    }

    /// What is done to runs.
    pub fn runs(&mut self) -> UnitRuns<'_> {
        UnitRuns::new(self)
    }

    /// Entries for transcripts.
    pub fn transcripts(&mut self) -> UnitTranscripts<'_> {
        UnitTranscripts::new(self)
    }

    /// What agents were and could do.
    pub fn capabilities(&mut self) -> UnitCapabilities<'_> {
        UnitCapabilities::new(self)
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn push(&mut self, intent: impl Intent + 'static) {
        self.intents.push(Box::new(intent));
    }

    /// The unit is part of a run of an import.
    pub(crate) fn run_of(mut self, run: &Run) -> Self {
        self.run = Some(run.clone());
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    pub(crate) fn with(mut self, intent: impl Intent + 'static) -> Self {
        self.push(intent);
        self
    }

    /// Commits everything, or nothing.
    ///
    /// # Errors
    /// What the single changes would give; `Conflict` (retryable) when others kept changing what
    /// the unit has to read, five times in a row; `TooLarge` past 10,000 operations or 64 MiB.
    pub async fn commit(self) -> Result<Done> {
        boxed(self).await
    }

    async fn committed(self) -> Result<Done> {
        let fingerprint = self.operation.is_some().then(|| self.fingerprint());
        let mut careful = false;
        for attempt in 1..=ATTEMPTS {
            let (batch, planned) = match self.planned(careful, attempt > 1).await {
                Ok(planned) => planned,
                // In a box, as all that is rare: a future is as large as what it may wait for.
                Err(error) => return Box::pin(self.replay_or(error, fingerprint)).await,
            };
            let Committing { written, guards, receipts, published } = planned;
            let appends = !receipts.is_empty() || !published.is_empty();
            match self.space.commit(self.stamped(batch, fingerprint)).await {
                Ok(committed) if committed.replayed && self.operation.is_some() => {
                    return Ok(replayed(&committed));
                }
                Ok(committed) => {
                    plan::remember(&self.space, written, &committed);
                    for intent in &self.intents {
                        intent.committed(&self.space, &committed).await;
                    }
                    return Ok(done(&committed, &receipts, &published));
                }
                // Some of an append's ids are known: look which; also when others have added them since
                // that was looked at.
                Err(error)
                    if error.kind() == Kind::AlreadyExists
                        && error.expectation().is_none()
                        && appends
                        && attempt < ATTEMPTS =>
                {
                    careful = true;
                }
                Err(error) => retry_or_answer(error, guards)?,
            }
            self.space.forget_all();
            self.pause(attempt).await;
        }
        Err(Error::new(Kind::Conflict, "others kept changing what this change depends on")
            .advice(format!("nothing was changed in {ATTEMPTS} attempts; try again")))
    }

    /// In a function of its own, so that the plan's room is free again while it is committed.
    async fn planned(&self, careful: bool, again: bool) -> Result<(Batch, Committing)> {
        let mut plan = Plan::new(&self.space, careful)
            .of(&self.intents)
            .again(again)
            .within(self.run.as_ref());
        for intent in &self.intents {
            intent.plan(&mut plan).await?;
        }
        let mut finished = plan.finish()?;
        let written = finished.take_remember();
        let Finished { batch, guards, receipts, published, .. } = finished;
        Ok((batch, Committing { written, guards, receipts, published }))
    }

    fn stamped(&self, mut batch: Batch, fingerprint: Option<[u8; 32]>) -> Batch {
        batch.turn.clone_from(&self.turn);
        batch.operation.clone_from(&self.operation);
        batch.fingerprint = fingerprint;
        batch
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}", self.turn).as_bytes());
        for intent in &self.intents {
            let text = intent.describe();
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// A short wait, different for each caller, so that two who collided do not collide again.
    async fn pause(&self, attempt: u32) {
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        let pause = Duration::from_micros(random * u64::from(attempt * attempt) * 8);
        self.space.ages().sleep(pause).await;
    }

    /// A repeated operation may not be plannable any more (what it deletes is gone). A batch that
    /// cannot apply, under its operation id, tells whether it was done.
    async fn replay_or(&self, error: Error, fingerprint: Option<[u8; 32]>) -> Result<Done> {
        if self.operation.is_none() {
            return Err(error);
        }
        let mut batch = Batch::new(self.space.namespace().clone());
        batch.operation.clone_from(&self.operation);
        batch.fingerprint = fingerprint;
        batch.expect(Expect::Version(Key::new(&DELETIONS, ["never"])?, u64::MAX));
        match self.space.commit(batch).await {
            Ok(committed) => Ok(replayed(&committed)),
            Err(other) if other.kind() == Kind::IdempotencyConflict => Err(other),
            Err(_) => Err(error),
        }
    }
}

/// What must be known of a batch while it is committed.
struct Committing {
    written: Vec<(usize, Key, Held)>,
    guards: Vec<Guard>,
    receipts: Vec<AddReceipt>,
    published: Vec<PublishReceipt>,
}

/// In a box of this crate, as [`crate::urls::open`] says why.
#[inline(never)]
fn boxed(unit: Unit) -> BoxFuture<'static, Result<Done>> {
    Box::pin(unit.committed())
}

/// `Ok` when the failed precondition means "look again".
fn retry_or_answer(error: Error, mut guards: Vec<Guard>) -> Result<()> {
    match error.expectation() {
        Some(place) if place < guards.len() => match guards.swap_remove(place) {
            Guard::Retry => Ok(()),
            Guard::Answer(answer) => Err(answer),
        },
        _ => Err(error),
    }
}

fn replayed(committed: &Committed) -> Done {
    Done {
        time: committed.time,
        replayed: true,
        added: Vec::new(),
        published: Vec::new(),
        deleted: deleted(committed),
    }
}

fn done(committed: &Committed, receipts: &[AddReceipt], published: &[PublishReceipt]) -> Done {
    let cursors =
        published.iter().map(|one| one.published(&committed.outcomes, committed.replayed));
    let added = receipts.iter().map(|receipt| {
        let numbers = match committed.outcomes.get(receipt.operation) {
            Some(Outcome::Appended { numbers }) => numbers.as_slice(),
            _ => &[],
        };
        let index = |placed: &Placed| match placed {
            Placed::Known(index) => Added { index: *index, duplicate: true },
            Placed::Entry(entry) => {
                let number = numbers.get(*entry).copied().unwrap_or(1);
                Added { index: receipt.before + number - 1, duplicate: committed.replayed }
            }
        };
        receipt.messages.iter().map(index).collect()
    });
    Done {
        time: committed.time,
        replayed: committed.replayed,
        added: added.collect(),
        published: cursors.collect(),
        deleted: deleted(committed),
    }
}

fn deleted(committed: &Committed) -> bool {
    committed.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Deleted { existed: true }))
}
