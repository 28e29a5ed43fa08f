//! Commits: each is one call of the script; those that come together go over one connection, and
//! the server writes them to its disk together.
//!
//! A call that was sent and not answered is sent again as it was: the server keeps, for each client
//! and each of its slots, the number of the last call and what it answered, in the same write. So it
//! happens once, however often it arrives. Who gives up takes the number away from it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::encode::{Call, Sending};
use super::errors::{late, strange};
use super::keys::{Space, namespaces};
use super::link::{Failed, Link, called};
use super::scripts::Scripts;
use crate::driver::{Batch, Committed, Hub, Operation};
use crate::drivers::server::answer::answer;
use crate::drivers::server::patience::{ATTEMPTS, GRACE, pause};
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, Schema};

/// The server forgets a client's slots after so long: longer than any call can be under way.
const KEPT: Duration = Duration::from_hours(4);
/// How often that is put off.
const PUT_OFF: Duration = Duration::from_mins(10);
/// Namespaces remembered at most.
const NAMESPACES: usize = 10_000;

/// What commits need.
pub(super) struct Committer {
    pub(super) schema: &'static Schema,
    pub(super) link: Arc<Link>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) channel: String,
    pub(super) hub: Hub,
    /// Tells this client from all others.
    pub(super) client: String,
    slots: Mutex<Slots>,
    /// Namespaces whose names are in the store's list, and when their slots were put off.
    named: Mutex<HashMap<Namespace, Instant>>,
    /// The time of the last commit.
    time: AtomicI64,
}

#[derive(Default)]
struct Slots {
    /// Those in which nothing is under way, with the number of the last call.
    free: Vec<(usize, u64)>,
    made: usize,
}

/// A slot, for one commit.
struct Slot<'a> {
    slots: &'a Mutex<Slots>,
    place: usize,
    number: u64,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.push((self.place, self.number));
    }
}

impl Committer {
    pub(super) fn new(
        schema: &'static Schema,
        link: Arc<Link>,
        scripts: Arc<Scripts>,
        channel: String,
        hub: Hub,
    ) -> Self {
        let client = uuid::Uuid::new_v4().simple().to_string();
        let (slots, named, time) = (Mutex::default(), Mutex::default(), AtomicI64::new(0));
        Self { schema, link, scripts, channel, hub, client, slots, named, time }
    }

    fn slot(&self) -> Slot<'_> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, number) = slots.free.pop().unwrap_or_else(|| {
            slots.made += 1;
            (slots.made, 0)
        });
        Slot { slots: &self.slots, place, number: number + 1 }
    }

    pub(super) async fn commit(&self, batch: Batch) -> Result<Committed> {
        self.link.refuse_if_closed()?;
        let keep = self.name(&batch).await?;
        let slot = self.slot();
        let base = self.link.options.base.as_str();
        let space = Space::new(base, &batch.namespace);
        let sending = Sending {
            client: &self.client,
            slot: slot.place,
            number: slot.number,
            keep: keep.then(|| u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX)),
            time: self.time.load(Ordering::Relaxed),
            channel: &self.channel,
            digest: batch.operation.is_some().then(|| batch.digest()),
        };
        let place = (base, &space);
        let call = Call::new(self.schema, place, self.link.is_clustered(), &sending, &batch)?;
        let text = self.attempts(&call, &space, &slot, &batch).await?;
        let committed = answer(&text, &batch, 1)??;
        if !committed.replayed {
            self.time.fetch_max(committed.time, Ordering::Relaxed);
            self.hub.committed(&batch);
        }
        Ok(committed)
    }

    /// The keys that a commit of the batch names.
    #[cfg(feature = "conformance")]
    pub(super) fn keys_of(&self, batch: &Batch) -> Result<Vec<String>> {
        let base = self.link.options.base.as_str();
        let space = Space::new(base, &batch.namespace);
        let (client, channel) = (self.client.as_str(), self.channel.as_str());
        let sending =
            Sending { client, slot: 0, number: 0, keep: None, time: 0, channel, digest: None };
        Ok(Call::new(self.schema, (base, &space), true, &sending, batch)?.keys)
    }

    /// Puts the namespace into the store's list before it can have anything. Answers whether the
    /// client's slots in it have to be put off.
    async fn name(&self, batch: &Batch) -> Result<bool> {
        let now = Instant::now();
        {
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(put_off) = named.get_mut(&batch.namespace) {
                let due = now.duration_since(*put_off) > PUT_OFF;
                if due {
                    *put_off = now;
                }
                return Ok(due);
            }
        }
        let makes = |operation: &Operation| {
            matches!(operation, Operation::Put(_) | Operation::Append(_) | Operation::PutBlob(_))
        };
        if !batch.operations.iter().any(makes) {
            return Ok(true);
        }
        let mut cmd = redis::cmd("ZADD");
        cmd.arg(namespaces(&self.link.options.base)).arg(0).arg(batch.namespace.as_str());
        self.link.command(&cmd).await?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMESPACES {
            named.clear();
        }
        named.insert(batch.namespace.clone(), now);
        Ok(true)
    }

    /// Attempts until the call is answered or out of time.
    async fn attempts(
        &self,
        call: &Call<'_>,
        space: &Space,
        slot: &Slot<'_>,
        batch: &Batch,
    ) -> Result<String> {
        let deadline = self.link.deadline();
        let known = called(&self.scripts.commit, true, &call.keys, &call.arguments);
        let (mut made, mut sent) = (0, false);
        loop {
            made += 1;
            let mut answer = self.link.send(&known, true, deadline).await;
            if matches!(answer, Err(Failed::NoScript)) {
                let whole = called(&self.scripts.commit, false, &call.keys, &call.arguments);
                answer = self.link.send(&whole, true, deadline).await;
            }
            let error = match answer {
                Ok(value) => {
                    return redis::from_redis_value(value).map_err(|_| strange("a commit"));
                }
                Err(Failed::Late) => {
                    sent = true;
                    late()
                }
                Err(Failed::NotSent(error)) if !sent && !error.is_retryable() => return Err(error),
                // A closed store, too: what was sent may have happened.
                Err(Failed::Refused(error)) if !sent => return Err(error),
                Err(Failed::NoScript) => strange("a script"),
                Err(Failed::Lost(error)) => {
                    sent = true;
                    error
                }
                Err(Failed::NotSent(error) | Failed::Again(error) | Failed::Refused(error)) => {
                    error
                }
            };
            let out_of_time = Instant::now() + pause(made) > deadline || self.link.is_closed();
            if !sent && (made >= ATTEMPTS || out_of_time) {
                return Err(error);
            }
            if out_of_time {
                return self.resolve(space, slot, batch, deadline).await;
            }
            tokio::time::sleep(pause(made)).await;
        }
    }

    /// What became of the call; if it has not happened, it never will.
    async fn resolve(
        &self,
        space: &Space,
        slot: &Slot<'_>,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<String> {
        let deadline = deadline.max(Instant::now()) + GRACE;
        let keys = [space.of(&format!("calls:{}", self.client))];
        let arguments =
            [slot.place.to_string(), slot.number.to_string(), KEPT.as_millis().to_string()];
        let script = &self.scripts.resolve;
        let mut made = 0;
        while !self.link.is_closed() {
            made += 1;
            let mut answer =
                self.link.send(&called(script, true, &keys, &arguments), true, deadline).await;
            if matches!(answer, Err(Failed::NoScript)) {
                let whole = called(script, false, &keys, &arguments);
                answer = self.link.send(&whole, true, deadline).await;
            }
            if let Ok(value) = answer {
                let text: String =
                    redis::from_redis_value(value).map_err(|_| strange("a commit"))?;
                return match text.as_str() {
                    "void" => Err(late()),
                    "stale" => Err(unknown(batch)),
                    _ => Ok(text),
                };
            }
            if Instant::now() + pause(made) > deadline {
                break;
            }
            tokio::time::sleep(pause(made)).await;
        }
        Err(unknown(batch))
    }
}

fn unknown(batch: &Batch) -> Error {
    let error = Error::new(
        Kind::OutcomeUnknown,
        "the connection died in the middle of a commit, and the server cannot be asked",
    );
    match &batch.operation {
        Some(operation) => error.at(format!("operation {operation:?}")),
        None => error,
    }
    .advice("repeat it under its operation id; without one, look whether it is there")
}
