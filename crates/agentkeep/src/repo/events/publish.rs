//! Publishing.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;

use super::cursor::{Cursor, Issuer};
use super::meets::kept;
use super::topic::Topic;
use crate::driver::{Expect, NewEntry, Outcome};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::Event;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::unit::Unit;
use crate::schema::{EVENT_KEYS, EntryId, Key};

/// What publishing one event answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The event's cursor.
    pub cursor: Cursor,
    /// True when an event with its idempotency key was there before: nothing was changed.
    pub duplicate: bool,
}

/// Adds events to a topic.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) events: Vec<Event>,
}

/// Tells, after the commit, which numbers an intent's events got.
#[derive(Debug)]
pub(crate) struct PublishReceipt {
    issuer: Issuer,
    /// The append among the operations.
    operation: usize,
    events: Vec<Placed>,
}

#[derive(Debug, Clone, Copy)]
enum Placed {
    /// An entry of the append.
    Entry(usize),
    /// It was there before, under this number.
    Known(u64),
}

impl PublishReceipt {
    pub(crate) fn published(&self, outcomes: &[Outcome], replayed: bool) -> Vec<Published> {
        let numbers = match outcomes.get(self.operation) {
            Some(Outcome::Appended { numbers }) => numbers.as_slice(),
            _ => &[],
        };
        let told = self.events.iter().filter_map(|placed| {
            let (number, duplicate) = match placed {
                Placed::Known(number) => (*number, true),
                Placed::Entry(entry) => (*numbers.get(*entry)?, replayed),
            };
            Some(Published { cursor: self.issuer.cursor(number), duplicate })
        });
        told.collect()
    }
}

#[async_trait]
impl Intent for Publish {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let keyed = self.events.iter().any(|event| event.key().is_some());
        let topic = plan.topic(&self.topic, keyed).await?;
        let issuer = topic.issuer(plan.space);
        let known = if keyed { self.known(plan, &topic).await? } else { HashMap::new() };
        let (entries, mut events) = self.entries(&known)?;
        let mut operation = usize::MAX;
        if !entries.is_empty() {
            let (place, start) = plan.publish(&topic, entries, plan.known())?;
            operation = place;
            for placed in &mut events {
                if let Placed::Entry(entry) = placed {
                    *entry += start;
                }
            }
        }
        plan.published.push(PublishReceipt { issuer, operation, events });
        Ok(())
    }

    fn only_appends(&self) -> bool {
        self.events.iter().any(|event| event.key().is_some())
    }
}

/// What is known of an event that was published under a key.
pub(super) struct Earlier {
    pub(super) number: u64,
    pub(super) digest: [u8; 32],
}

impl Publish {
    /// The keys that are known of events which have been trimmed, and, if the plan must be
    /// careful, of those that are there: those are else left to the driver.
    async fn known(&self, plan: &mut Plan<'_>, topic: &Topic) -> Result<HashMap<EntryId, Earlier>> {
        let ids: Vec<EntryId> =
            self.events.iter().filter_map(|event| event.key().cloned()).collect();
        let mut known = HashMap::new();
        let keys: Vec<Key> =
            ids.iter().map(|id| key_of(&self.topic, id)).collect::<Result<Vec<_>>>()?;
        let found = plan.space.get_many(&keys).await?;
        for ((id, key), record) in ids.iter().zip(keys).zip(found) {
            match record {
                Some(record) => drop(known.insert(id.clone(), Earlier::of(&record.body)?)),
                // It may be trimmed by the time of the commit.
                None => plan.expect(Expect::Version(key, 0), Guard::Retry),
            }
        }
        if plan.careful {
            known.extend(kept(plan.space, &topic.stream()?, ids).await?);
        }
        Ok(known)
    }

    fn entries(&self, known: &HashMap<EntryId, Earlier>) -> Result<(Vec<NewEntry>, Vec<Placed>)> {
        let (mut entries, mut placed) = (Vec::<NewEntry>::new(), Vec::new());
        let mut new: HashMap<&EntryId, usize> = HashMap::new();
        for event in &self.events {
            if let Some(earlier) = event.key().and_then(|id| known.get(id)) {
                self.same(event, earlier.digest == digest(event.body()))?;
                placed.push(Placed::Known(earlier.number));
                continue;
            }
            if let Some(&entry) = event.key().and_then(|id| new.get(id)) {
                self.same(event, entries[entry].body == *event.body())?;
                placed.push(Placed::Entry(entry));
                continue;
            }
            if let Some(id) = event.key() {
                new.insert(id, entries.len());
            }
            placed.push(Placed::Entry(entries.len()));
            let (id, refs) = (event.key().cloned(), event.refs().to_vec());
            entries.push(NewEntry { id, body: event.body().clone(), refs });
        }
        Ok((entries, placed))
    }

    fn same(&self, event: &Event, same: bool) -> Result<()> {
        if same {
            return Ok(());
        }
        let key = event.key().map(EntryId::as_str).unwrap_or_default();
        let message = format!("another event was published under the key {key:?}");
        Err(Error::new(Kind::IdempotencyConflict, message)
            .at(format!("topic {:?}", self.topic))
            .advice("give the new event another key"))
    }
}

impl Earlier {
    pub(super) fn of(body: &Json) -> Result<Self> {
        let digest = body.member("digest").and_then(|digest| {
            let digest = blake3::Hash::from_hex(digest.to_text()?).ok()?;
            Some(*digest.as_bytes())
        });
        let number = body.member("number").and_then(|number| u64::try_from(number.to_i64()?).ok());
        match (number, digest) {
            (Some(number), Some(digest)) => Ok(Self { number, digest }),
            _ => Err(Error::new(Kind::Corrupt, "the record of an event's key is damaged")),
        }
    }
}

/// The record of a key whose event has been trimmed.
pub(super) fn key_of(topic: &str, id: &EntryId) -> Result<Key> {
    Key::new(&EVENT_KEYS, [topic, id.as_str()])
}

pub(super) fn digest(body: &Json) -> [u8; 32] {
    *blake3::hash(body.as_str().as_bytes()).as_bytes()
}

/// Events for topics within a unit of work.
#[derive(Debug)]
pub struct UnitEvents<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitEvents<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Publishes an event when the unit is committed: all of it happens, or nothing.
    pub fn publish(&mut self, topic: &str, event: Event) -> &mut Self {
        self.publish_many(topic, vec![event])
    }

    /// Publishes events, in order.
    pub fn publish_many(&mut self, topic: &str, events: Vec<Event>) -> &mut Self {
        self.unit.push(Publish { topic: topic.to_owned(), events });
        self
    }
}
