//! The one thread that writes. Commits that wait together become one group: one frame of the
//! journal, brought to the disk once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::checkpoint;
use super::draft::{Draft, Work};
use super::group::{self, Prepared};
use super::space::Space;
use super::store::{State, Store, closed, lock};
use crate::driver::{Batch, Committed, MAX_BATCH_BYTES, Operation};
use crate::drivers::{io_error, kernel};
use crate::error::{Error, Kind, Result};
use crate::schema::Namespace;

/// Commits in one group.
const GROUP: usize = 64;
/// Bytes of bodies and blobs after which a group takes no more commits.
const GROUP_BYTES: usize = MAX_BATCH_BYTES;
/// What is in the journal is brought into its place when the journal is so long,
const JOURNAL: u64 = 16 << 20;
/// or when nothing happened for so long.
const IDLE: Duration = Duration::from_secs(1);

type Answer = Result<Committed>;

#[derive(Debug)]
struct Asked {
    batch: Batch,
    digest: Option<[u8; 32]>,
    since: Instant,
    answer: oneshot::Sender<(Answer, Batch)>,
}

type Upkeep = Box<dyn FnOnce(&Store) + Send>;

enum Job {
    Commit(Box<Asked>),
    Upkeep(Upkeep),
    End,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    store: Arc<Store>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    pub(super) fn start(store: Arc<Store>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let mut work = Thread { store: Arc::clone(&store), queue, idle: false };
        let thread = std::thread::Builder::new()
            .name("agentkeep-writer".to_owned())
            .spawn(move || work.run())
            .map_err(|error| {
                Error::new(Kind::Unavailable, "the writer cannot be started").caused_by(error)
            })?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)), store })
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.store.still_open()?;
        self.refuse_if_poisoned()?;
        let digest = batch.operation.is_some().then(|| batch.digest());
        let (answer, answered) = oneshot::channel();
        let asked = Asked { batch, digest, since: Instant::now(), answer };
        self.jobs.send(Job::Commit(Box::new(asked))).map_err(|_| closed())?;
        answered.await.map_or_else(|_| Err(closed()), |(answer, _)| answer)
    }

    /// Does work on the writer's thread, between two groups.
    pub(super) async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.still_open()?;
        self.refuse_if_poisoned()?;
        let (answer, answered) = oneshot::channel();
        let run = move |store: &Store| drop(answer.send(work(store)));
        self.jobs.send(Job::Upkeep(Box::new(run))).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        if self.store.is_poisoned() { Err(poisoned()) } else { Ok(()) }
    }

    /// Tells the thread to end when it has done what is queued.
    pub(super) fn let_go(&self) {
        // It has ended already if nobody takes this.
        let _ = self.jobs.send(Job::End);
    }

    /// The thread, for whoever waits for its end first.
    pub(super) fn thread(&self) -> Option<JoinHandle<()>> {
        lock(&self.thread).take()
    }
}

fn poisoned() -> Error {
    Error::new(Kind::Poisoned, "the disk failed at an earlier commit")
        .advice("check the disk, then close the store and open it again")
}

struct Thread {
    store: Arc<Store>,
    queue: mpsc::Receiver<Job>,
    /// True when all that the journal has is in its place.
    idle: bool,
}

impl Thread {
    fn run(&mut self) {
        loop {
            let job = if self.idle {
                self.queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                self.queue.recv_timeout(IDLE)
            };
            let upkeep = match job {
                Ok(Job::Commit(asked)) => self.group(*asked),
                Ok(Job::Upkeep(work)) => Some(Job::Upkeep(work)),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.settle();
                    None
                }
                Ok(Job::End) | Err(mpsc::RecvTimeoutError::Disconnected) => Some(Job::End),
            };
            match upkeep {
                Some(Job::Upkeep(work)) => work(&self.store),
                Some(_) => break,
                None => {}
            }
        }
        // Whoever still waits in the queue learns by its end that the store is closed.
        let _ = checkpoint::last(&self.store);
    }

    /// Brings what is in the journal into its place; that can wait if somebody is in the way.
    fn settle(&mut self) {
        self.idle = true;
        if !self.store.is_poisoned()
            && let Ok(_held) = self.store.lock.hold(Instant::now())
        {
            let _ = checkpoint::run(&self.store);
        }
    }

    /// Commits what waits; answers what came up that is no commit.
    fn group(&mut self, first: Asked) -> Option<Job> {
        self.idle = false;
        let mut group = vec![first];
        let mut other = None;
        let mut bytes = group.first().map_or(0, |asked| weight(&asked.batch));
        while group.len() < GROUP && bytes < GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Job::Commit(asked)) => {
                    bytes += weight(&asked.batch);
                    group.push(*asked);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let answers = self.answers(&group);
        for (asked, answer) in group.into_iter().zip(answers) {
            // A caller that went away has its commit all the same.
            let _ = asked.answer.send((answer, asked.batch));
        }
        other
    }

    fn answers(&self, group: &[Asked]) -> Vec<Answer> {
        match self.commit(group) {
            Ok(answers) => answers,
            // Which of them it was is not known: each alone gets an answer of its own.
            Err(error) if group.len() > 1 && error.kind() != Kind::OutcomeUnknown => group
                .iter()
                .map(|asked| {
                    let mut answers = self.commit(std::slice::from_ref(asked))?;
                    answers.pop().unwrap_or_else(|| Err(closed()))
                })
                .collect(),
            Err(error) => {
                let unknown = error.kind() == Kind::OutcomeUnknown;
                let mut first = Some(error);
                group
                    .iter()
                    .map(|_| {
                        Err(first
                            .take()
                            .unwrap_or_else(|| if unknown { unsure() } else { poisoned() }))
                    })
                    .collect()
            }
        }
    }

    /// Commits a group: all that is not refused, or nothing.
    fn commit(&self, group: &[Asked]) -> Result<Vec<Answer>> {
        let store = &*self.store;
        if store.is_poisoned() {
            return Err(poisoned());
        }
        let since = group.first().map_or_else(Instant::now, |asked| asked.since);
        let _held = store.lock.hold(store.deadline(since))?;
        store.catch_up()?;
        for asked in group {
            store.bring_in(&asked.batch.namespace)?;
        }
        let (answers, prepared) = draft(store, group)?;
        let Some(prepared) = prepared else { return Ok(answers) };
        write(store, prepared)?;
        for (asked, answer) in group.iter().zip(&answers) {
            if answer.as_ref().is_ok_and(|committed| !committed.replayed) {
                store.hub.committed(&asked.batch);
            }
        }
        if store.state().position.end > JOURNAL {
            // What fails here fails again, and is told, at the next commit or when closing.
            let _ = checkpoint::run(store);
        }
        Ok(answers)
    }
}

/// What each commit answers, and what they change together.
fn draft(store: &Store, group: &[Asked]) -> Result<(Vec<Answer>, Option<Prepared>)> {
    let state = store.state();
    let time = now().max(state.time);
    let mut drafts: BTreeMap<Namespace, Draft> = BTreeMap::new();
    let mut spaces: BTreeMap<Namespace, Arc<Space>> = BTreeMap::new();
    let mut names = HashMap::new();
    let mut answers = Vec::with_capacity(group.len());
    for asked in group {
        let namespace = &asked.batch.namespace;
        let home = state.home(namespace)?;
        let space = spaces.entry(namespace.clone()).or_insert_with(|| Arc::clone(&home.space));
        let draft = drafts.entry(namespace.clone()).or_insert_with(|| Draft::new(space));
        let known = match home.operations.replay(&asked.batch) {
            Ok(None) => draft.operations.replay(&asked.batch),
            known => known,
        };
        let answer = match known {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => apply(store, &state, space, draft, &mut names, asked, time),
            Err(error) => Err(error),
        };
        answers.push(answer);
    }
    drop(state);
    let is_named =
        |namespace: &Namespace| names.keys().any(|key| key.first() == namespace.as_str());
    drafts.retain(|namespace, draft| !draft.is_empty() || is_named(namespace));
    let prepared = group::prepare(store, &spaces, time, drafts, names)?;
    Ok((answers, prepared))
}

fn apply(
    store: &Store,
    state: &State,
    space: &Space,
    draft: &mut Draft,
    names: &mut HashMap<crate::schema::Key, Option<Arc<kernel::Stored>>>,
    asked: &Asked,
    time: i64,
) -> Answer {
    asked.batch.validate()?;
    let mut work = Work {
        store,
        namespace: &asked.batch.namespace,
        names: &state.names,
        changed_names: names,
        space,
        draft,
        undo: Vec::new(),
    };
    let committed = kernel::apply(&mut work, time, &asked.batch)?;
    if let (Some(operation), Some(digest)) = (&asked.batch.operation, asked.digest) {
        draft.operations.remember(operation.clone(), digest, committed.clone());
        draft.remembered.push((operation.clone(), digest, committed.clone()));
    }
    Ok(committed)
}

/// Makes a prepared group count: the journal, then everybody's knowledge of it.
fn write(store: &Store, prepared: Prepared) -> Result<()> {
    let before = store.state().position;
    let cannot = |error: &std::io::Error| {
        io_error(error, "the journal cannot be written", &store.base.place("journal.0"))
    };
    let after = store.journal.append(before, &prepared.frame).map_err(|error| cannot(&error))?;
    if store.options.sync()
        && let Err(error) = store.journal.sync(before.number)
    {
        return Err(unsure().caused_by(error));
    }
    if let Err(error) = store.generation.publish(after) {
        // The others would not learn of it.
        store.poison();
        return Err(unsure().caused_by(error));
    }
    let mut state = store.state_mut();
    state.position = after;
    state.time = prepared.time;
    if !prepared.names.is_empty() {
        let names = Arc::make_mut(&mut state.names);
        for (key, stored) in prepared.names {
            names.set(&key, stored);
        }
    }
    for (namespace, install) in prepared.installs {
        if let Some(home) = state.homes.get_mut(&namespace) {
            home.install(install);
        }
    }
    drop(state);
    for added in prepared.added {
        let index = store.index(&added.namespace, &added.key, &added.value);
        let mut index = lock(&index);
        for (at, length, entry) in added.lines {
            index.push(at, &entry, length);
        }
    }
    checkpoint::remove(store, &prepared.obsolete);
    Ok(())
}

fn unsure() -> Error {
    Error::new(Kind::OutcomeUnknown, "the disk failed while the commit was written")
        .advice("reopen the store and look, or repeat it under its operation id")
}

/// Bytes of bodies and blobs.
fn weight(batch: &Batch) -> usize {
    let weight = |operation: &Operation| match operation {
        Operation::Put(put) => put.body.len(),
        Operation::Append(append) => append.entries.iter().map(|entry| entry.body.len()).sum(),
        Operation::Rewrite { body, .. } => body.len(),
        Operation::PutBlob(blob) => blob.bytes().len(),
        _ => 0,
    };
    batch.operations.iter().map(weight).sum()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
