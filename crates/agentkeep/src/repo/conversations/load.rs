//! Taking in a whole data set: messages are staged in streams that nothing refers to, then one
//! commit switches all of it on.
//!
//! An interrupted load leaves nothing but staged streams, which are collected after a day. What
//! is there already with the same content is left alone, so that a load can be repeated.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;

use super::add::AddIntent;
use super::lineage::{Lineage, Segment};
use super::lists::{self, Kept};
use super::messages::Messages;
use super::parents::Parents;
use super::save::{Savable, SaveIntent, SaveOptions};
use super::sweep;
use crate::driver::{Append, Batch, Expect, Known, NewEntry, Operation, Save};
use crate::error::{Error, Kind, Result};
use crate::model::{Container, Image, Message, Session};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{GARBAGE, Key, MESSAGES, Stream};

/// Messages staged in one commit.
const STEP: usize = 2_000;
/// Bytes staged in one commit.
const STEP_BYTES: usize = 16 << 20;

/// Takes in a data set, all or none. Parents may be missing.
#[derive(Debug)]
pub struct Load {
    space: Space,
    unit: Unit,
    dry: bool,
    loaded: Loaded,
}

/// What a load did, or would do.
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
    /// What was there with other content and stayed as it was.
    pub kept: Vec<String>,
}

/// How many of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Taken in.
    pub new: u64,
    /// There already, with the same content.
    pub unchanged: u64,
    /// There already, with other content: left alone.
    pub differing: u64,
}

enum Met {
    New,
    Same,
    Other,
}

impl Tally {
    fn count(&mut self, met: &Met) {
        match met {
            Met::New => self.new += 1,
            Met::Same => self.unchanged += 1,
            Met::Other => self.differing += 1,
        }
    }
}

impl Load {
    pub(crate) fn new(space: Space) -> Self {
        let unit = Unit::new(space.clone());
        Self { space, unit, dry: false, loaded: Loaded::default() }
    }

    /// Writes nothing, only reports.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry = true;
        self
    }

    /// Takes in a container.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn container(&mut self, container: Container) -> Result<()> {
        let met = self.record(container).await?;
        self.loaded.containers.count(&met);
        Ok(())
    }

    /// Takes in an image.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn image(&mut self, image: Image) -> Result<()> {
        let met = self.record(image).await?;
        self.loaded.images.count(&met);
        Ok(())
    }

    /// Takes in a session with its messages. Into a session that is there already, messages that
    /// it does not have are added.
    ///
    /// # Errors
    /// `InvalidInput` when two messages have one id; what the driver says.
    pub async fn session(&mut self, session: Session, messages: Vec<Message>) -> Result<()> {
        refuse_repeated_ids(&session, &messages)?;
        let id = session.id().to_owned();
        if lists::get::<Session>(&self.space, &id).await?.is_some() {
            let met = self.record(session).await?;
            self.loaded.sessions.count(&met);
            return self.grow(id, messages).await;
        }
        self.loaded.sessions.new += 1;
        self.loaded.messages.new += messages.len() as u64;
        if !self.dry {
            let stream = self.stage(messages).await?;
            self.unit.push(SwitchOn { session, stream });
        }
        Ok(())
    }

    /// Switches everything on in one commit.
    ///
    /// # Errors
    /// `TooLarge` for more than 10,000 records; `Conflict` when somebody else made one of them
    /// meanwhile: nothing has been taken in then.
    pub async fn finish(self) -> Result<Loaded> {
        if !self.dry {
            self.unit.commit().await?;
        }
        Ok(self.loaded)
    }

    async fn record<T: Savable + PartialEq>(&mut self, value: T) -> Result<Met> {
        let met = match lists::get::<T>(&self.space, value.id()).await? {
            None => Met::New,
            Some((old, _)) if old == value => Met::Same,
            Some(_) => Met::Other,
        };
        if matches!(met, Met::Other) {
            self.loaded.kept.push(format!("{} {:?}", T::WHAT, value.id()));
        }
        if matches!(met, Met::New) && !self.dry {
            let options = SaveOptions { save: Save::Create, parents: Parents::MayBeMissing };
            self.unit.push(SaveIntent { value, options });
        }
        Ok(met)
    }

    /// Adds to a session what it does not have.
    async fn grow(&mut self, session: String, messages: Vec<Message>) -> Result<()> {
        let old = Messages::new(&self.space, &session).all().await?;
        let mut by_id = HashMap::new();
        let mut nameless: HashMap<&str, usize> = HashMap::new();
        for stored in &old {
            match stored.message.id() {
                Some(id) => drop(by_id.insert(id, stored.message.json())),
                None => *nameless.entry(stored.message.json().as_str()).or_default() += 1,
            }
        }
        let mut new = Vec::new();
        for message in messages {
            let met = match message.id() {
                Some(id) => match by_id.get(id) {
                    None => Met::New,
                    Some(old) if *old == message.json() => Met::Same,
                    Some(_) => Met::Other,
                },
                None => match nameless.get_mut(message.json().as_str()) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        Met::Same
                    }
                    _ => Met::New,
                },
            };
            self.loaded.messages.count(&met);
            match met {
                Met::New => new.push(message),
                Met::Same => {}
                Met::Other => {
                    let id = message.id().unwrap_or_default();
                    self.loaded.kept.push(format!("message {id:?} of session {session:?}"));
                }
            }
        }
        if !new.is_empty() && !self.dry {
            self.unit.push(AddIntent { session, messages: new });
        }
        Ok(())
    }

    /// Writes messages to a stream that is garbage until it is switched on.
    async fn stage(&self, messages: Vec<Message>) -> Result<Stream> {
        let stream = Stream::unique("messages");
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut first = true;
        for message in messages {
            bytes += message.json().len();
            let (body, refs) = (message.json().clone(), message.refs().to_vec());
            entries.push(NewEntry { id: message.entry_id().cloned(), body, refs });
            if entries.len() == STEP || bytes >= STEP_BYTES {
                self.stage_some(&stream, std::mem::take(&mut entries), first).await?;
                (bytes, first) = (0, false);
            }
        }
        if first || !entries.is_empty() {
            self.stage_some(&stream, entries, first).await?;
        }
        Ok(stream)
    }

    async fn stage_some(&self, stream: &Stream, entries: Vec<NewEntry>, first: bool) -> Result<()> {
        let mut batch = Batch::new(self.space.namespace().clone());
        if first {
            batch.push(Operation::Put(sweep::staged(stream)?));
        }
        if !entries.is_empty() {
            let (log, stream, known) = (&MESSAGES, stream.clone(), Known::Refuse);
            batch.push(Operation::Append(Append { log, stream, entries, known, start: None }));
        }
        self.space.commit(batch).await.map(|_| ())
    }
}

fn refuse_repeated_ids(session: &Session, messages: &[Message]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match messages.iter().filter_map(Message::id).find(|id| !seen.insert(*id)) {
        None => Ok(()),
        Some(id) => Err(Error::new(Kind::InvalidInput, format!("two messages have the id {id:?}"))
            .at(format!("session {:?}", session.id()))
            .advice("give each its own id, or load the second without an entry id")),
    }
}

/// Makes a session whose messages have been staged.
#[derive(Debug)]
struct SwitchOn {
    session: Session,
    stream: Stream,
}

#[async_trait]
impl Intent for SwitchOn {
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
        let lineage = Lineage { segments: vec![segment], ..Lineage::default() };
        plan.create_lineage(id, lineage);
        let note = Key::new(&GARBAGE, [self.stream.as_str()])?;
        let collected = Error::new(Kind::Conflict, "the staged messages have been collected")
            .at(format!("session {id:?}"))
            .advice("load again");
        plan.expect(Expect::Exists(note.clone()), Guard::Answer(collected));
        plan.push(Operation::Delete(note));
        Ok(())
    }
}
