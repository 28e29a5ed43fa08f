//! Taking in a whole data set, all or none, however large it is.
//!
//! The caller gives everything twice, in the same order. The first time it is only compared with
//! what is there; then [`begin`](Load::begin) says what will be done, and the second time it is
//! written: in one commit if that holds it, else in many (see `imports`). What is there already
//! with the same content is left alone, so a load can be repeated, also after a kill.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;

use super::add::AddIntent;
use super::definitions;
use super::imports::{self, Run, Stage};
use super::lineage::{Lineage, Segment};
use super::lists::Kept;
use super::parents::Parents;
use super::pending::Pending;
use super::save::{Savable, SaveIntent, SaveOptions};
use super::view::View;
use crate::driver::{Expect, Operation, Put, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{Container, Image, Message, Session, StoredMessage};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{Key, Stream, Turn};

/// Most operations of a load that comes in with one commit, and of each commit of a larger one.
const STEP: usize = 4_000;
/// Most bytes of such a commit.
const STEP_BYTES: usize = 8 << 20;
/// Messages read at once from a session that is there already.
const LOOK: u64 = 2_000;
/// How often a long load says that it has not been given up.
const RENEW: Duration = Duration::from_hours(1);

/// Takes in a data set. Parents may be missing.
#[derive(Debug)]
pub struct Load {
    space: Space,
    run: Run,
    unit: Unit,
    mode: Mode,
    /// True when there is nothing in the namespace to compare with.
    blank: bool,
    /// How far an earlier run of the same import has come.
    resumed: Option<Stage>,
    /// At what stage the import was listed, and when.
    listed: Option<(Stage, Instant)>,
    loaded: Loaded,
    /// What the unit holds; while looking, what is new at all.
    operations: usize,
    bytes: usize,
    session: Option<Current>,
}

/// What a load does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// Containers.
    pub containers: Tally,
    /// Images.
    pub images: Tally,
    /// Sessions.
    pub sessions: Tally,
    /// Messages.
    pub messages: Tally,
    /// Definitions that are no images.
    pub definitions: Tally,
}

/// How many of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Taken in.
    pub new: u64,
    /// There already, with the same content.
    pub unchanged: u64,
    /// There already, with other content: left alone.
    pub differing: u64,
}

/// What the store has of something that is to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Nothing.
    New,
    /// The same.
    Same,
    /// Something else.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Look,
    /// Everything is there.
    Nothing,
    One,
    Many,
}

/// What an earlier, interrupted run of the same import has written is new and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Missing,
    Mine,
    Same,
    Other,
}

/// The session whose messages are being given.
#[derive(Debug)]
struct Current {
    id: String,
    /// What it holds already, if it was there.
    known: Option<Known>,
    /// True when it was there before the import.
    grows: bool,
}

#[derive(Debug)]
struct Known {
    lineage: Arc<Lineage>,
    /// Messages without an id, by the hash of their text: how many there are of each.
    nameless: HashMap<[u8; 16], (u32, bool)>,
    /// The place with which the next message is compared first.
    at: u64,
}

impl From<Found> for Met {
    fn from(found: Found) -> Self {
        match found {
            Found::Missing | Found::Mine => Self::New,
            Found::Same => Self::Same,
            Found::Other => Self::Other,
        }
    }
}

impl Tally {
    fn count(&mut self, found: Found) {
        match Met::from(found) {
            Met::New => self.new += 1,
            Met::Same => self.unchanged += 1,
            Met::Other => self.differing += 1,
        }
    }
}

impl Load {
    pub(crate) async fn new(space: Space, import: &Turn) -> Result<Self> {
        let pending = Pending::load(&space).await?;
        pending.as_seen_by(import.as_str()).refuse_locked()?;
        let resumed = pending.import(import.as_str()).map(|own| own.stage);
        if resumed == Some(Stage::Undoing) {
            let message = format!("the import {import} is being undone");
            return Err(Error::new(Kind::Conflict, message).advice("undo it again, then import"));
        }
        let resumed = resumed.filter(|stage| *stage != Stage::Opening);
        let blank = resumed.is_none() && imports::is_empty(&space).await?;
        let run = Run::new(import);
        let unit = Unit::new(space.clone()).turn(import).run_of(&run);
        Ok(Self {
            space,
            run,
            unit,
            mode: Mode::Look,
            blank,
            resumed,
            listed: None,
            loaded: Loaded::default(),
            operations: 0,
            bytes: 0,
            session: None,
        })
    }

    /// What there is to do, as far as everything has been given once.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// True when an interrupted run of the same import is taken up.
    pub fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// True once it is being written in more than one commit.
    pub fn comes_in_many(&self) -> bool {
        self.mode == Mode::Many
    }

    /// Takes in a container.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn container(&mut self, container: Container) -> Result<Met> {
        let found = self.record(container).await?;
        self.tally(|loaded| &mut loaded.containers, found);
        Ok(found.into())
    }

    /// Takes in an image.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn image(&mut self, image: Image) -> Result<Met> {
        let found = self.record(image).await?;
        self.tally(|loaded| &mut loaded.images, found);
        Ok(found.into())
    }

    /// Takes in a definition that is no image.
    ///
    /// # Errors
    /// `InvalidId`; what the driver says.
    pub async fn definition(&mut self, kind: &str, id: &str, body: &Json) -> Result<Met> {
        let key = definitions::key(kind, id)?;
        let found = self.compare(&key, body).await?;
        if found == Found::Missing {
            self.weigh(1, body.len());
            if self.writes() {
                self.unit.push(PutDefinition { put: definitions::put(kind, id, body)? });
                self.step().await?;
            }
        }
        self.tally(|loaded| &mut loaded.definitions, found);
        Ok(found.into())
    }

    /// Takes in a session; its messages follow. Into a session that is there already, messages
    /// that it does not have are added.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn session(&mut self, session: Session) -> Result<Met> {
        let key = Session::key(session.id())?;
        let found = self.compare(&key, session.json()).await?;
        self.tally(|loaded| &mut loaded.sessions, found);
        let id = session.id().to_owned();
        let known = if found == Found::Missing {
            self.weigh(2, session.json().len());
            if self.writes() {
                self.unit.push(Create { session, stream: Stream::unique("messages") });
                self.step().await?;
            }
            None
        } else {
            self.known(&id).await?
        };
        let grows = matches!(found, Found::Same | Found::Other);
        self.session = Some(Current { id, known, grows });
        Ok(found.into())
    }

    /// Takes in more messages of the session that was given last; answers what the session has of
    /// each. Ids may not repeat within a session.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn messages(&mut self, messages: Vec<Message>) -> Result<Vec<Met>> {
        let Some(mut current) = self.session.take() else {
            let error = Error::new(Kind::InvalidInput, "messages of no session");
            return Err(error.advice("give their session first"));
        };
        let found = self.compare_messages(&mut current, &messages).await?;
        let mut new = Vec::new();
        for (message, found) in messages.into_iter().zip(&found) {
            self.tally(|loaded| &mut loaded.messages, *found);
            if *found == Found::Missing {
                self.weigh(1, message.json().len());
                new.push(message);
            }
        }
        if !new.is_empty() && current.grows {
            self.weigh(2, 0);
        }
        if !new.is_empty() && self.writes() {
            if current.grows {
                self.unit.push(NoteGrowth {
                    import: self.run.import.clone(),
                    session: current.id.clone(),
                });
            }
            self.unit.push(AddIntent { session: current.id.clone(), messages: new });
            self.step().await?;
        }
        self.session = Some(current);
        Ok(found.into_iter().map(Met::from).collect())
    }

    /// Ends the look: from now on everything is given again and written. False when there is
    /// nothing to write. With `keep`, what is there with other content stays as it is.
    ///
    /// # Errors
    /// `Conflict` when something is there with other content, unless it is to be kept: nothing
    /// has been changed then.
    pub async fn begin(&mut self, keep: bool) -> Result<bool> {
        let Loaded { containers, images, sessions, messages, definitions } = &self.loaded;
        let tallies = [containers, images, sessions, messages, definitions];
        let sum = |count: fn(&Tally) -> u64| tallies.map(count).iter().sum::<u64>();
        let differing = sum(|tally| tally.differing);
        if differing > 0 && !keep {
            let message = format!("the store has {differing} of them with other content");
            return Err(Error::new(Kind::Conflict, message).retryable(false).advice(
                "nothing was changed; load into another namespace, or keep what is there",
            ));
        }
        let fits = self.operations <= STEP && self.bytes <= STEP_BYTES;
        self.mode = match self.resumed {
            Some(stage) => {
                imports::set_stage(&self.space, &self.run, Some(stage)).await?;
                self.listed = Some((stage, Instant::now()));
                Mode::Many
            }
            None if sum(|tally| tally.new) == 0 => Mode::Nothing,
            None if fits => Mode::One,
            None => {
                let stage = imports::open(&self.space, &self.run).await?;
                self.listed = Some((stage, Instant::now()));
                self.blank = stage == Stage::Staged;
                Mode::Many
            }
        };
        self.run.begun = self.mode == Mode::Many;
        (self.operations, self.bytes, self.session) = (0, 0, None);
        Ok(self.mode != Mode::Nothing)
    }

    /// Ends the load: all of it is there from now on.
    ///
    /// # Errors
    /// `Conflict` when somebody else made something of it meanwhile. A load that comes in with
    /// one commit, or is staged, has changed nothing then; it can be begun again.
    pub async fn finish(mut self) -> Result<Loaded> {
        self.flush().await?;
        if self.mode == Mode::Many {
            imports::set_stage(&self.space, &self.run, None).await?;
        }
        Ok(self.loaded)
    }

    fn writes(&self) -> bool {
        matches!(self.mode, Mode::One | Mode::Many)
    }

    fn tally(&mut self, kind: impl Fn(&mut Loaded) -> &mut Tally, found: Found) {
        if self.mode == Mode::Look {
            kind(&mut self.loaded).count(found);
        }
    }

    fn weigh(&mut self, operations: usize, bytes: usize) {
        self.operations = self.operations.saturating_add(operations);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Commits what has gathered, if that is enough.
    async fn step(&mut self) -> Result<()> {
        let full = self.operations >= STEP || self.bytes >= STEP_BYTES;
        if self.mode == Mode::Many && full { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.unit.is_empty() {
            let next = Unit::new(self.space.clone()).turn(&self.run.import).run_of(&self.run);
            std::mem::replace(&mut self.unit, next).run_of(&self.run).commit().await?;
            (self.operations, self.bytes) = (0, 0);
        }
        if let Some((stage, since)) = self.listed
            && since.elapsed() > RENEW
        {
            imports::set_stage(&self.space, &self.run, Some(stage)).await?;
            self.listed = Some((stage, Instant::now()));
        }
        Ok(())
    }

    fn found(&self, record: Option<&Record>, body: &Json) -> Found {
        match record {
            None => Found::Missing,
            Some(record) if record.body != *body => Found::Other,
            Some(record) if self.is_mine(record.turn.as_ref().map(Turn::as_str)) => Found::Mine,
            Some(_) => Found::Same,
        }
    }

    fn is_mine(&self, turn: Option<&str>) -> bool {
        self.resumed.is_some() && turn == Some(self.run.import.as_str())
    }

    async fn compare(&self, key: &Key, body: &Json) -> Result<Found> {
        if self.blank {
            return Ok(Found::Missing);
        }
        Ok(self.found(self.space.get(key).await?.as_ref(), body))
    }

    async fn record<T: Savable>(&mut self, value: T) -> Result<Found> {
        let found = self.compare(&T::key(value.id())?, value.json()).await?;
        if found == Found::Missing {
            self.weigh(1, value.json().len());
            if self.writes() {
                let options = SaveOptions { save: Save::Create, parents: Parents::MayBeMissing };
                self.unit.push(SaveIntent { value, options });
                self.step().await?;
            }
        }
        Ok(found)
    }

    /// What a session holds that is there already.
    async fn known(&self, id: &str) -> Result<Option<Known>> {
        let Some((lineage, _)) = Lineage::load(&self.space, id).await? else { return Ok(None) };
        let view = View::of(&self.space, id, (*lineage).clone());
        let (mut nameless, mut at) = (HashMap::new(), 0);
        loop {
            let gone = || Error::new(Kind::Conflict, "messages were taken away meanwhile");
            let some = view.range(at, at + LOOK).await?.ok_or_else(gone)?;
            for stored in some.iter().filter(|stored| stored.message.id().is_none()) {
                let mine = self.is_mine(stored.turn.as_deref());
                let place = nameless.entry(digest(&stored.message)).or_insert((0, mine));
                place.0 += 1;
            }
            if (some.len() as u64) < LOOK {
                return Ok(Some(Known { lineage, nameless, at: 0 }));
            }
            at += LOOK;
        }
    }

    async fn compare_messages(
        &self,
        current: &mut Current,
        messages: &[Message],
    ) -> Result<Vec<Found>> {
        let Some(known) = &mut current.known else {
            return Ok(vec![Found::Missing; messages.len()]);
        };
        let view = View::of(&self.space, &current.id, (*known.lineage).clone());
        let mut found = self.in_step(&view, known, messages).await?;
        let is_sought = |(message, found): &(&Message, &Option<Found>)| {
            found.is_none() && message.id().is_some()
        };
        let sought = messages.iter().zip(&found).filter(is_sought);
        let ids: Vec<_> = sought.filter_map(|(message, _)| message.entry_id()).cloned().collect();
        let stored = if ids.is_empty() { Vec::new() } else { view.by_ids(&ids).await? };
        // Where the rest may go on in step.
        if let Some(last) = stored.iter().map(|stored| stored.index).max() {
            known.at = known.at.max(last + 1);
        }
        let by_id: HashMap<_, _> =
            stored.iter().filter_map(|stored| Some((stored.message.id()?, stored))).collect();
        for (message, found) in messages.iter().zip(&mut found).filter(|(_, found)| found.is_none())
        {
            *found = Some(match message.id() {
                Some(id) => by_id.get(id).map_or(Found::Missing, |old| {
                    if old.message.json() == message.json() { self.same(old) } else { Found::Other }
                }),
                None => match known.nameless.get_mut(&digest(message)) {
                    Some((left, mine)) if *left > 0 => {
                        *left -= 1;
                        if *mine { Found::Mine } else { Found::Same }
                    }
                    _ => Found::Missing,
                },
            });
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Compares with the messages at the same places, which are read one after the other: what
    /// has come in before mostly stands there. `None` for those that differ or have no id.
    async fn in_step(
        &self,
        view: &View<'_>,
        known: &mut Known,
        messages: &[Message],
    ) -> Result<Vec<Option<Found>>> {
        let mut found = vec![None; messages.len()];
        let there = view.range(known.at, known.at + messages.len() as u64).await?;
        for ((message, stored), found) in
            messages.iter().zip(there.unwrap_or_default()).zip(&mut found)
        {
            let same = stored.message.entry_id() == message.entry_id()
                && stored.message.json() == message.json();
            if same {
                known.at = stored.index + 1;
                // Those without an id go by how many there are of each, in their order.
                *found = message.id().is_some().then(|| self.same(&stored));
            }
        }
        Ok(found)
    }

    fn same(&self, stored: &StoredMessage) -> Found {
        if self.is_mine(stored.turn.as_deref()) { Found::Mine } else { Found::Same }
    }
}

fn digest(message: &Message) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(message.json().as_str().as_bytes()).as_bytes()[..16]);
    digest
}

/// Makes a session with a stream of its own.
#[derive(Debug)]
struct Create {
    session: Session,
    stream: Stream,
}

#[async_trait]
impl Intent for Create {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let id = self.session.id();
        let key = Session::key(id)?;
        let meanwhile = Error::new(Kind::Conflict, "somebody else made the session meanwhile")
            .at(key.to_string())
            .advice("load again");
        plan.expect(Expect::Absent(key.clone()), Guard::Answer(meanwhile));
        plan.put(key, self.session.json().clone(), Save::Any)?;
        let segment = Segment { stream: self.stream.clone(), from: 1, to: None };
        plan.create_lineage(id, Lineage { segments: vec![segment], ..Lineage::default() });
        Ok(())
    }
}

#[derive(Debug)]
struct PutDefinition {
    put: Put,
}

#[async_trait]
impl Intent for PutDefinition {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        plan.push(Operation::Put(self.put.clone()));
        Ok(())
    }
}

/// Notes that the import adds to a session which was there before: undoing takes its messages
/// out of that session.
#[derive(Debug)]
struct NoteGrowth {
    import: Turn,
    session: String,
}

#[async_trait]
impl Intent for NoteGrowth {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let key = definitions::key(self.import.as_str(), &self.session)?;
        if plan.writes(&key) {
            return Ok(());
        }
        plan.put(key, Json::assembled("{}".to_owned()), Save::Any)
    }
}
