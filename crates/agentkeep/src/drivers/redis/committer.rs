//! Commits: each is one call of a script. What only appends to streams that are there goes by the
//! append script, with those that come meanwhile; anything else, and what that script leaves, goes
//! by the commit script, a call each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::appending::plain;
use super::calling::{Call, Calling, Failure, KEPT};
use super::encode::{self, Sending};
use super::errors::{ended, unknown};
use super::full::gives_back;
use super::grouping::{self, Asked, Part, Waiting};
use super::keys::{Space, calls, namespaces};
use super::link::Link;
use super::queue::{Entered, Queue};
use super::scripts::{Script, Scripts};
use super::seen::Seen;
use super::slots::{Slot, Slots};
use crate::driver::{Batch, Committed, Hub, Operation};
use crate::drivers::server::answer::answer;
use crate::error::{Kind, Result};
use crate::schema::{Namespace, Schema};

/// How often it is put off that the server forgets a client's slots.
const PUT_OFF: Duration = Duration::from_mins(10);
/// Namespaces remembered at most.
const NAMESPACES: usize = 10_000;
/// So many commits of callers who are alone go by the commit script after one that the append
/// script left.
const UNUSUAL: u64 = 16;

/// What commits need.
pub(super) struct Committer {
    pub(super) schema: &'static Schema,
    pub(super) link: Arc<Link>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) channel: String,
    pub(super) hub: Hub,
    /// Tells this client from all others.
    client: String,
    slots: Slots,
    named: Mutex<HashMap<Namespace, Named>>,
    pub(super) streams: Seen,
    unusual: AtomicU64,
    /// The time of the last commit.
    time: AtomicI64,
}

/// A namespace whose name is in the store's list.
struct Named {
    /// When it was put off last that the slots are forgotten: by a commit that was written.
    put_off: Option<Instant>,
    queue: Arc<Queue<Waiting>>,
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
        Self {
            schema,
            link,
            scripts,
            channel,
            hub,
            client,
            slots: Slots::default(),
            named: Mutex::default(),
            streams: Seen::default(),
            unusual: AtomicU64::new(0),
            time: AtomicI64::new(0),
        }
    }

    /// What sends is in boxes: most callers wait for somebody else to send, and a future is as large as
    /// the largest it may wait for.
    pub(super) async fn commit(self: &Arc<Self>, batch: Batch) -> Result<Committed> {
        self.link.refuse_if_closed()?;
        let (keep, queue) = self.name(&batch).await?;
        let deadline = self.link.deadline();
        let there = |append| self.streams.has(&batch.namespace, append);
        let Some(queue) = queue.filter(|_| plain(&batch).is_some_and(there)) else {
            return Box::pin(self.alone(batch, keep, deadline)).await;
        };
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { asked: Asked { batch, keep, deadline }, tell };
        let part = match queue.enter(waiting, grouping::give_back) {
            Entered::Alone(Waiting { asked, .. }, _alone) => {
                let fewer = |left: u64| left.checked_sub(1);
                if self.unusual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
                    Part::Left(asked)
                } else {
                    let mut parts = Box::pin(grouping::together(self, vec![asked])).await;
                    let part = parts.pop();
                    if matches!(part, Some(Part::Left(_))) {
                        self.unusual.store(UNUSUAL, Ordering::Relaxed);
                    }
                    part.unwrap_or_else(|| Part::Done(Err(ended())))
                }
            }
            Entered::Runs(runner) => {
                tokio::spawn(grouping::run(Arc::clone(self), runner));
                told.await.unwrap_or_else(|_| Part::Done(Err(ended())))
            }
            Entered::Waits => told.await.unwrap_or_else(|_| Part::Done(Err(ended()))),
        };
        match part {
            Part::Done(answer) => answer,
            Part::Left(Asked { batch, keep, deadline }) => {
                Box::pin(self.alone(batch, keep, deadline)).await
            }
        }
    }

    /// By the commit script.
    async fn alone(&self, batch: Batch, keep: bool, deadline: Instant) -> Result<Committed> {
        let slot = self.slots.take();
        let base = self.link.options.base.as_str();
        let space = Space::new(base, &batch.namespace);
        let sending = self.sending(&slot, keep, batch.operation.is_some().then(|| batch.digest()));
        let clustered = self.link.is_clustered();
        let call = encode::commit(self.schema, (base, &space), clustered, &sending, &batch)?;
        let mut text = self.call(&self.scripts.commit, &call, &space, &slot, deadline).await;
        if matches!(&text, Err(Failure::Refused(error)) if error.kind() == Kind::NoSpace)
            && gives_back(&batch)
        {
            let script = &self.scripts.commit_when_full;
            text = self.call(script, &call, &space, &slot, deadline).await;
        }
        let text = text.map_err(|failure| match failure {
            Failure::Not(error) | Failure::Refused(error) => error,
            Failure::Unknown => unknown(batch.operation.as_ref()),
        })?;
        let committed = answer(&text, &batch, 1)??;
        if !committed.replayed {
            self.committed(&batch, &committed, None);
            if keep {
                self.put_off(&batch.namespace);
            }
        }
        Ok(committed)
    }

    /// The head is that of the stream, if it is known.
    pub(super) fn committed(&self, batch: &Batch, committed: &Committed, head: Option<&str>) {
        self.time.fetch_max(committed.time, Ordering::Relaxed);
        self.streams.committed(batch, head);
        self.hub.committed(batch);
    }

    /// A commit was written that told the server how long to keep the slots.
    pub(super) fn put_off(&self, namespace: &Namespace) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = named.get_mut(namespace) {
            named.put_off = Some(Instant::now());
        }
    }

    pub(super) fn slot(&self) -> Slot<'_> {
        self.slots.take()
    }

    pub(super) fn sending(
        &self,
        slot: &Slot<'_>,
        keep: bool,
        digest: Option<[u8; 32]>,
    ) -> Sending<'_> {
        Sending {
            client: &self.client,
            slot: slot.place,
            number: slot.number,
            keep: keep.then(|| u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX)),
            time: self.time.load(Ordering::Relaxed),
            channel: &self.channel,
            digest,
        }
    }

    pub(super) async fn call(
        &self,
        script: &Script,
        call: &Call<'_>,
        space: &Space,
        slot: &Slot<'_>,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let calls = space.of(&calls(&self.client));
        let (link, scripts) = (&self.link, &self.scripts);
        Calling { link, scripts, script, call, slot, calls, deadline }.answer().await
    }

    /// The keys that a commit of the batch names.
    #[cfg(feature = "conformance")]
    pub(super) fn keys_of(&self, batch: &Batch) -> Result<Vec<String>> {
        let base = self.link.options.base.as_str();
        let space = Space::new(base, &batch.namespace);
        let (client, channel) = (self.client.as_str(), self.channel.as_str());
        let sending =
            Sending { client, slot: 0, number: 0, keep: None, time: 0, channel, digest: None };
        let mut call = encode::commit(self.schema, (base, &space), true, &sending, batch)?;
        call.keys.extend(grouping::keys_of(&space, &sending, batch));
        Ok(call.keys)
    }

    /// Puts the namespace into the store's list before it can have anything. Answers whether the
    /// client's slots in it have to be put off, and where those wait who append.
    async fn name(&self, batch: &Batch) -> Result<(bool, Option<Arc<Queue<Waiting>>>)> {
        {
            let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Named { put_off, queue }) = named.get(&batch.namespace) {
                let due = put_off.is_none_or(|put_off| put_off.elapsed() > PUT_OFF);
                return Ok((due, Some(Arc::clone(queue))));
            }
        }
        let makes = |operation: &Operation| {
            matches!(operation, Operation::Put(_) | Operation::Append(_) | Operation::PutBlob(_))
        };
        if !batch.operations.iter().any(makes) {
            return Ok((true, None));
        }
        let mut cmd = redis::cmd("ZADD");
        cmd.arg(namespaces(&self.link.options.base)).arg(0).arg(batch.namespace.as_str());
        if let Err(error) = Box::pin(self.link.command(&cmd)).await {
            // A server whose memory is full does not say that it is there already.
            let mut there = redis::cmd("ZSCORE");
            there.arg(namespaces(&self.link.options.base)).arg(batch.namespace.as_str());
            let is_full = error.kind() == Kind::NoSpace;
            if !is_full || Box::pin(self.link.command(&there)).await? == redis::Value::Nil {
                return Err(error);
            }
        }
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMESPACES {
            named.clear();
        }
        let new = || Named { put_off: None, queue: Arc::default() };
        let queue = Arc::clone(&named.entry(batch.namespace.clone()).or_insert_with(new).queue);
        Ok((true, Some(queue)))
    }
}
