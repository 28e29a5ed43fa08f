//! The one thread that writes. Commits that wait together become one group: one frame of the
//! journal, brought to the disk once.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::store::{Store, closed, lock};
use super::{checkpoint, committing};
use crate::driver::{Batch, Committed, MAX_BATCH_BYTES};
use crate::error::{Error, Kind, Result};
use crate::schema::Namespace;

/// Commits in one group.
pub(super) const GROUP: usize = 64;
/// Bytes of bodies and blobs after which a group takes no more commits.
const GROUP_BYTES: usize = MAX_BATCH_BYTES;
/// What is in the journal is brought into its place when nothing happened for so long.
const IDLE: Duration = Duration::from_secs(1);

pub(super) type Answer = Result<Committed>;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) batch: Batch,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) since: Instant,
    answer: oneshot::Sender<(Answer, Batch)>,
}

type Upkeep = Box<dyn FnOnce(&Store) + Send>;

#[allow(clippy::large_enum_variant, reason = "nearly all are commits, and none is kept for long")]
enum Job {
    Commit(Asked),
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
        let mut work = Thread { store: Arc::clone(&store), queue, held: None, idle: false };
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
        self.jobs.send(Job::Commit(asked)).map_err(|_| closed())?;
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

pub(super) fn poisoned() -> Error {
    Error::new(Kind::Poisoned, "the disk failed at an earlier commit")
        .advice("check the disk, then close the store and open it again")
}

struct Thread {
    store: Arc<Store>,
    queue: mpsc::Receiver<Job>,
    /// Taken from the queue while a group that it does not belong to was growing.
    held: Option<Job>,
    /// True when all that the journal has is in its place.
    idle: bool,
}

impl Thread {
    fn run(&mut self) {
        loop {
            let job = if let Some(held) = self.held.take() {
                Ok(held)
            } else if self.idle {
                self.queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                self.queue.recv_timeout(IDLE)
            };
            match job {
                Ok(Job::Commit(asked)) => self.group(asked),
                Ok(Job::Upkeep(work)) => work(&self.store),
                Err(mpsc::RecvTimeoutError::Timeout) => self.settle(),
                Ok(Job::End) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
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

    /// Commits what waits, and what comes while it is being applied.
    fn group(&mut self, first: Asked) {
        self.idle = false;
        let mut group = Group {
            bytes: 0,
            asked: Vec::with_capacity(GROUP),
            queue: Some(&self.queue),
            held: &mut self.held,
            only: None,
        };
        group.push(first);
        let answers = committing::answers(&self.store, &mut group);
        for (asked, answer) in group.asked.into_iter().zip(answers) {
            // A caller that went away has its commit all the same.
            let _ = asked.answer.send((answer, asked.batch));
        }
    }
}

/// Commits that become one, and where more of them come from.
pub(super) struct Group<'a> {
    asked: Vec<Asked>,
    queue: Option<&'a mpsc::Receiver<Job>>,
    held: &'a mut Option<Job>,
    bytes: usize,
    /// When the others are left out.
    only: Option<usize>,
}

impl Group<'_> {
    /// The commit at a place, as far as they have come. A group takes those of a namespace that
    /// is `known`; another one begins the next group.
    pub(super) fn at(
        &mut self,
        place: usize,
        known: impl Fn(&Namespace) -> bool,
    ) -> Option<&Asked> {
        let grows = place == self.asked.len() && place < GROUP && self.bytes < GROUP_BYTES;
        if let (true, None, Some(queue)) = (grows, self.only, self.queue) {
            match queue.try_recv() {
                Ok(Job::Commit(asked)) if known(&asked.batch.namespace) => self.push(asked),
                Ok(job) => {
                    *self.held = Some(job);
                    self.queue = None;
                }
                Err(_) => {}
            }
        }
        self.asked().get(place)
    }

    fn push(&mut self, asked: Asked) {
        self.bytes += asked.batch.weight();
        self.asked.push(asked);
    }

    pub(super) fn asked(&self) -> &[Asked] {
        match self.only {
            Some(place) => self.asked.get(place..=place).unwrap_or_default(),
            None => &self.asked,
        }
    }

    /// Leaves out all but one, and takes no more.
    pub(super) fn leave_only(&mut self, place: usize) {
        self.only = Some(place);
    }

    pub(super) fn leave_all(&mut self) {
        self.only = None;
    }
}
