//! From what a caller wants to one batch: reads what must be read, collects operations and
//! preconditions, and knows which failed precondition means "look again" and which is an answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::capabilities::Latest;
use super::conversations::Collected;
use super::conversations::collect;
use super::conversations::imports;
use super::conversations::lineage::Lineage;
use super::conversations::pending::Pending;
use super::events::{PublishReceipt, Topic};
use super::few::Few;
use super::runs::{PlannedRun, RunRecord};
use super::space::Space;
use crate::driver::{
    Append, Batch, Committed, Expect, Known, NewEntry, Operation, Outcome, Put, Record, Save,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{EVENTS, Key, MESSAGES, Stream};

/// One thing that a caller wants done. Planned anew for each attempt.
#[async_trait]
pub(crate) trait Intent: Send + Sync + std::fmt::Debug {
    /// Adds its operations and preconditions.
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()>;

    /// Whether it does nothing but append what, if all of it is there already, is this again. See
    /// [`Plan::known`].
    fn only_appends(&self) -> bool {
        false
    }

    /// What is worth doing once it is committed, but not worth an error.
    async fn committed(&self, _space: &Space, _committed: &Committed) {}

    /// What it asks for, without what planning reads: stands for it under an operation id.
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// What a failed precondition means.
#[derive(Debug)]
pub(crate) enum Guard {
    /// What was read is stale: plan again.
    Retry,
    /// It answers the caller.
    Answer(Error),
}

/// A lineage within a plan.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    key: Key,
    pub(crate) lineage: Arc<Lineage>,
    /// The version read; 0 when this plan creates it.
    version: u64,
    changed: bool,
    /// Where its append stands among the operations.
    append: Option<usize>,
}

/// A topic within a plan.
#[derive(Debug)]
struct PlannedTopic {
    topic: Arc<Topic>,
    /// True when this plan makes or changes its record.
    changed: bool,
    /// Where its append stands among the operations.
    append: Option<usize>,
}

/// Tells, after the commit, where messages went.
#[derive(Debug)]
pub(crate) struct AddReceipt {
    /// The append among the operations, and which of its entries are this intent's.
    pub(crate) operation: usize,
    /// For each message of the intent: its entry in the append, or its index if it was there.
    pub(crate) messages: Vec<Placed>,
    /// The conversation's length before the append's stream.
    pub(crate) before: u64,
}

/// Where one message of an intent is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Placed {
    /// An entry of the append.
    Entry(usize),
    /// It was in the conversation before, at this index.
    Known(u64),
}

/// The batch under construction.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) space: &'a Space,
    /// True when an append was refused because some of its ids were known: look before appending.
    pub(crate) careful: bool,
    /// True when nothing but appends is planned, each with ids.
    only_appends: bool,
    /// True when an earlier plan met something that it had not looked for, or too early: what is
    /// mostly not there is looked for only now.
    pub(crate) again: bool,
    /// The import that the plan belongs to: it may write where it has staged.
    import: Option<&'a imports::Run>,
    batch: Batch,
    guards: Vec<Guard>,
    lineages: Few<Planned>,
    topics: Few<PlannedTopic>,
    /// In boxes: few plans have any.
    runs: Few<Box<PlannedRun>>,
    created: BTreeSet<Key>,
    pending: Option<Arc<Pending>>,
    pub(crate) receipts: Vec<AddReceipt>,
    pub(crate) published: Vec<PublishReceipt>,
    remember: Vec<(usize, Held)>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(space: &'a Space, careful: bool) -> Self {
        Self {
            space,
            careful,
            only_appends: false,
            again: false,
            import: None,
            batch: Batch::new(space.namespace().clone()),
            guards: Vec::new(),
            lineages: Few::default(),
            topics: Few::default(),
            runs: Few::default(),
            created: BTreeSet::new(),
            pending: None,
            receipts: Vec::new(),
            published: Vec::new(),
            remember: Vec::new(),
        }
    }

    /// The same for these intents, all of them.
    pub(crate) fn of(mut self, intents: &[Box<dyn Intent>]) -> Self {
        self.only_appends = intents.iter().all(|intent| intent.only_appends());
        self
    }

    /// What an append does about ids that are known. Answering them leaves the whole batch out: so only where
    /// nothing else is in it. Otherwise it is refused, and the next plan, a careful one, leaves out what is known.
    pub(crate) fn known(&self) -> Known {
        if self.only_appends && !self.careful { Known::Answer } else { Known::Refuse }
    }

    /// The same after a plan that did not fit what was there.
    pub(crate) fn again(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// The same as part of a run of an import.
    pub(crate) fn within(mut self, import: Option<&'a imports::Run>) -> Self {
        self.import = import;
        self
    }

    /// One record as it is now.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.space.get(key).await
    }

    pub(crate) fn expect(&mut self, expect: Expect, guard: Guard) {
        self.batch.expect(expect);
        self.guards.push(guard);
    }

    /// True when this plan expects the record to be there already, whichever it is.
    pub(crate) fn expects_record(&self, key: &Key) -> bool {
        let expected = |expect: &Expect| matches!(expect, Expect::Exists(known) if known == key);
        self.batch.expect.iter().any(expected)
    }

    /// The parent must exist, unless this plan creates it.
    pub(crate) fn expect_parent(&mut self, key: Key, missing: Error) {
        if !self.created.contains(&key) {
            self.expect(Expect::Exists(key), Guard::Answer(missing));
        }
    }

    pub(crate) fn push(&mut self, operation: Operation) -> usize {
        self.batch.push(operation);
        self.batch.operations.len() - 1
    }

    pub(crate) fn put(&mut self, key: Key, body: Json, save: Save) -> Result<()> {
        self.created.insert(key.clone());
        self.push(Operation::Put(Put::new(key, body, save)?));
        Ok(())
    }

    /// What the operation just planned writes is to be remembered.
    pub(crate) fn hold(&mut self, held: Held) {
        let place = self.batch.operations.len() - 1;
        self.remember.push((place, held));
    }

    /// A run as this plan leaves it so far; to be put back.
    pub(crate) fn take_run(&mut self, id: &str) -> Option<PlannedRun> {
        self.runs.remove(id).map(|run| *run)
    }

    pub(crate) fn put_run(&mut self, id: &str, run: PlannedRun) {
        self.runs.insert(id, Box::new(run));
    }

    /// True when this plan writes the record already.
    pub(crate) fn writes(&self, key: &Key) -> bool {
        self.created.contains(key)
    }

    /// The deletions under way, which must not change until the commit.
    pub(crate) async fn pending(&mut self) -> Result<Arc<Pending>> {
        if let Some(pending) = &self.pending {
            return Ok(Arc::clone(pending));
        }
        let mut pending = Pending::cached(self.space).await?;
        pending.refuse_if_held(self.space.namespace())?;
        if !pending.imports.is_empty() || self.import.is_some() {
            // In a box, as all that is rare: a future is as large as the largest it may wait for.
            pending = Box::pin(imports::let_in(self.space, pending, self.import)).await?;
        }
        self.expect(Expect::Version(Pending::key()?, pending.version()), Guard::Retry);
        self.pending = Some(Arc::clone(&pending));
        Ok(pending)
    }

    /// As [`pending`](Self::pending), after finishing what is under way: whoever makes or
    /// deletes something must not meet what a deletion has still to take away.
    pub(crate) async fn settled(&mut self) -> Result<Arc<Pending>> {
        if self.pending.is_none() && !Pending::cached(self.space).await?.roots.is_empty() {
            Box::pin(collect::roots(self.space, &mut Collected::default())).await?;
        }
        self.pending().await
    }

    /// Lists the deletions under way anew.
    pub(crate) fn set_pending(&mut self, pending: Pending) -> Result<()> {
        let put = Put::new(Pending::key()?, pending.to_json(), Save::Any)?;
        let place = self.push(Operation::Put(put));
        self.remember.push((place, Held::Pending(pending)));
        Ok(())
    }

    /// The lineage of a session as this plan leaves it so far; `None` when there is no session.
    pub(crate) async fn lineage(&mut self, session: &str) -> Result<Option<&mut Planned>> {
        if !self.lineages.contains(session) {
            let key = Lineage::key(session)?;
            let Some((lineage, version)) = Lineage::cached(self.space, &key).await? else {
                return Ok(None);
            };
            let planned = Planned { key, lineage, version, changed: false, append: None };
            self.lineages.insert(session, planned);
        }
        Ok(self.lineages.get_mut(session))
    }

    /// The lineage of a session that this plan creates.
    pub(crate) fn create_lineage(&mut self, session: &str, lineage: Lineage) -> Result<()> {
        let (key, lineage) = (Lineage::key(session)?, Arc::new(lineage));
        let planned = Planned { key, lineage, version: 0, changed: true, append: None };
        self.lineages.insert(session, planned);
        Ok(())
    }

    /// Gives a session's lineage another content.
    pub(crate) fn set_lineage(&mut self, session: &str, lineage: impl Into<Arc<Lineage>>) {
        if let Some(planned) = self.lineages.get_mut(session) {
            planned.lineage = lineage.into();
            planned.changed = true;
        }
    }

    /// The lineage goes with its session.
    pub(crate) fn delete_lineage(&mut self, session: &str) {
        let Some(planned) = self.lineages.remove(session) else { return };
        self.expect(Expect::Version(planned.key.clone(), planned.version), Guard::Retry);
        self.push(Operation::Delete(planned.key));
    }

    /// Adds entries to the end of a session: answers the operation and where they begin in it.
    pub(crate) fn append(
        &mut self,
        session: &str,
        stream: &Stream,
        entries: Vec<NewEntry>,
        known: Known,
    ) -> (usize, usize) {
        let place = self.lineages.get(session).and_then(|planned| planned.append);
        if let Some(place) = place
            && let Some(Operation::Append(append)) = self.batch.operations.get_mut(place)
        {
            let start = append.entries.len();
            append.entries.extend(entries);
            return (place, start);
        }
        let append = Append { log: &MESSAGES, stream: stream.clone(), entries, known, start: None };
        let place = self.push(Operation::Append(append));
        if let Some(planned) = self.lineages.get_mut(session) {
            planned.append = Some(place);
        }
        (place, 0)
    }

    /// Adds one entry to a stream that no session goes on with.
    pub(crate) fn append_elsewhere(&mut self, stream: &Stream, entry: NewEntry, known: Known) {
        let (stream, entries) = (stream.clone(), vec![entry]);
        let append = Append { log: &MESSAGES, stream, entries, known, start: None };
        self.push(Operation::Append(append));
    }

    /// A topic, made by this plan if it is not there. With `keyed`, it is noted that it has events
    /// with idempotency keys.
    pub(crate) async fn topic(&mut self, name: &str, keyed: bool) -> Result<Arc<Topic>> {
        if !self.topics.contains(name) {
            let key = Topic::key(name)?;
            let (topic, version) = match Topic::cached(self.space, name).await? {
                Some(found) => found,
                None => (Arc::new(Topic::new(name)), 0),
            };
            self.expect(Expect::Version(key, version), Guard::Retry);
            let changed = version == 0;
            let planned = PlannedTopic { topic, changed, append: None };
            self.topics.insert(name, planned);
        }
        let planned =
            self.topics.get_mut(name).ok_or_else(|| Error::new(Kind::NotFound, "topic"))?;
        if keyed && !planned.topic.is_keyed() {
            planned.topic = Arc::new(planned.topic.with_keys());
            planned.changed = true;
        }
        Ok(Arc::clone(&planned.topic))
    }

    /// Gives a topic of this plan another record.
    pub(crate) fn set_topic(&mut self, topic: Topic) {
        if let Some(planned) = self.topics.get_mut(topic.name()) {
            planned.topic = Arc::new(topic);
            planned.changed = true;
        }
    }

    /// Adds entries to a topic of this plan: answers the operation and where they begin in it.
    pub(crate) fn publish(
        &mut self,
        topic: &Topic,
        entries: Vec<NewEntry>,
        known: Known,
    ) -> Result<(usize, usize)> {
        let planned = self.topics.get(topic.name());
        if let Some(place) = planned.and_then(|planned| planned.append)
            && let Some(Operation::Append(append)) = self.batch.operations.get_mut(place)
        {
            let start = append.entries.len();
            append.entries.extend(entries);
            if known == Known::Answer {
                append.known = known;
            }
            return Ok((place, start));
        }
        let stream = topic.stream()?;
        let append = Append { log: &EVENTS, stream, entries, known, start: None };
        let place = self.push(Operation::Append(append));
        if let Some(planned) = self.topics.get_mut(topic.name()) {
            planned.append = Some(place);
        }
        Ok((place, 0))
    }

    /// The batch, what its preconditions mean, and what to remember once it is committed.
    pub(crate) fn finish(mut self) -> Result<Finished> {
        for (_, planned) in self.lineages.take_all() {
            self.expect(Expect::Version(planned.key.clone(), planned.version), Guard::Retry);
            if planned.changed {
                let put = Put::new(planned.key, planned.lineage.to_json(), Save::Any)?;
                let place = self.push(Operation::Put(put));
                self.remember.push((place, Held::Lineage(planned.lineage)));
            }
        }
        for (name, planned) in self.topics.take_all() {
            if planned.changed {
                let put = Put::new(Topic::key(&name)?, planned.topic.to_json()?, Save::Any)?;
                let place = self.push(Operation::Put(put));
                self.remember.push((place, Held::Topic(planned.topic)));
            }
        }
        for (id, planned) in self.runs.take_all() {
            planned.finish(&id, &mut self)?;
        }
        let Self { batch, guards, receipts, published, remember, .. } = self;
        Ok(Finished { batch, guards, receipts, published, remember })
    }
}

/// A plan ready to commit.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) batch: Batch,
    /// What each precondition of the batch means, in order.
    pub(crate) guards: Vec<Guard>,
    pub(crate) receipts: Vec<AddReceipt>,
    pub(crate) published: Vec<PublishReceipt>,
    /// Puts whose records nearly every later write will depend on.
    pub(crate) remember: Vec<(usize, Held)>,
}

/// What is remembered of a record that was written.
#[derive(Debug)]
pub(crate) enum Held {
    Lineage(Arc<Lineage>),
    Pending(Pending),
    Topic(Arc<Topic>),
    Run(Arc<RunRecord>),
    /// Of a run whose record stays as it is, at this version.
    Steps(Key, Arc<RunRecord>, u64),
    /// By what it has in common with others.
    Link(Key, Arc<Latest>),
}

/// Takes what a commit wrote into the memory of the space: `written` are the records' keys, by
/// the places of their puts.
pub(crate) fn remember(space: &Space, written: Vec<(usize, Key, Held)>, committed: &Committed) {
    for (place, key, held) in written {
        match (committed.outcomes.get(place), held) {
            (Some(&Outcome::Put { version }), Held::Lineage(lineage)) => {
                space.remember(key, lineage, version);
            }
            (Some(&Outcome::Put { version }), Held::Pending(pending)) => {
                space.remember(key, Arc::new(pending.at_version(version)), version);
            }
            (Some(&Outcome::Put { version }), Held::Run(run)) => space.remember(key, run, version),
            (Some(Outcome::Appended { .. }), Held::Steps(_, run, version)) => {
                space.remember(key, run, version);
            }
            (Some(&Outcome::Put { version }), Held::Topic(topic)) => {
                space.remember(key, topic, version);
            }
            (Some(&Outcome::Put { version }), Held::Link(_, latest)) => {
                space.remember(key, latest, version);
            }
            _ => space.forget(&key),
        }
    }
}

impl Finished {
    /// The records to remember, with their keys, once the commit has given their versions.
    pub(crate) fn take_remember(&mut self) -> Vec<(usize, Key, Held)> {
        if self.remember.is_empty() {
            return Vec::new();
        }
        let remember = std::mem::take(&mut self.remember);
        let with_key = |(place, held)| match (self.batch.operations.get(place), &held) {
            (_, Held::Steps(key, ..) | Held::Link(key, _)) => Some((place, key.clone(), held)),
            (Some(Operation::Put(put)), _) => Some((place, put.key.clone(), held)),
            _ => None,
        };
        remember.into_iter().filter_map(with_key).collect()
    }
}
