//! Taking in a whole data set, all or none, however large it is.
//!
//! The caller gives everything twice, in the same order. The first time it is only compared with
//! what is there; then [`begin`](Load::begin) says what will be done, and the second time it is
//! written: in one commit if that holds it, else in many (see `imports`). What is there already
//! with the same content is left alone, so a load can be repeated, also after a kill.

mod intents;
mod known;
mod met;
mod runs;
mod threads;

use std::time::{Duration, Instant};

use self::intents::{Create, NoteGrowth, PutDefinition};
use self::known::Current;
use self::met::Found;
use self::threads::Thread;
use super::add::AddIntent;
use super::definitions;
use super::imports::{self, Run, Stage};
use super::lists::Kept;
use super::parents::Parents;
use super::pending::Pending;
use super::save::{Savable, SaveIntent, SaveOptions};
use crate::driver::{Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{Container, Image, Message, Session};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{Key, Stream, Turn};

pub use met::{Loaded, Met, Tally};

/// Most operations of a load that comes in with one commit, and of each commit of a larger one.
const STEP: usize = 4_000;
/// Most bytes of such a commit.
const STEP_BYTES: usize = 8 << 20;
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
    thread: Option<Thread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Look,
    /// Everything is there.
    Nothing,
    One,
    Many,
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
            thread: None,
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
        let Loaded { containers, images, sessions, messages, definitions, .. } = &self.loaded;
        let Loaded { runs, threads, entries, .. } = &self.loaded;
        let tallies = [containers, images, sessions, messages, definitions, runs, threads, entries];
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
        (self.operations, self.bytes, self.session, self.thread) = (0, 0, None, None);
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
        self.gather_thread();
        if !self.unit.is_empty() {
            let next = Unit::new(self.space.clone()).turn(&self.run.import).run_of(&self.run);
            std::mem::replace(&mut self.unit, next).run_of(&self.run).commit().await?;
            (self.operations, self.bytes) = (0, 0);
            self.mark_threads().await;
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
}
