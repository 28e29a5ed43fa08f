//! The one writer. A commit that comes alone is made where it is asked for, if that goes quickly;
//! all others are made by a thread, many batches in one transaction, so that commits which come
//! together share one fsync.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::errors::{beneath, is_io_failure};
use super::group::{Asked, Done, is_small, tell};
use super::pace::Pace;
use super::readers::closed;
use super::statements::Sql;
use super::work::{Answer, Wanted, Work, poisoned};
use crate::driver::{Batch, Hub};
use crate::error::{Error, Kind, Result};

/// Batches waiting; more callers wait for room.
const QUEUE: usize = 1024;
/// How long the thread looks out for the next batch before it sleeps: who has been answered often
/// asks again at once, and waking a thread takes longer than that.
const LOOK_OUT: Duration = Duration::from_micros(50);

pub(super) type Upkeep = Box<dyn FnOnce(&Connection) + Send>;
type Queue = mpsc::Receiver<Job>;

/// Work for the writer's thread.
pub(super) enum Job {
    Commit(Asked),
    Upkeep(Upkeep),
    /// Look whether others have committed, and give hints if so.
    Look,
    /// Bring the log into the file.
    ShortenLog,
}

/// For who sees that somebody has committed, and wants to know whether it was another process.
#[derive(Debug, Clone)]
pub(super) struct Commits {
    /// Counts before and after each commit of the thread.
    own: Arc<AtomicU64>,
    queue: Option<mpsc::WeakSender<Job>>,
}

impl Commits {
    /// Changes when the thread commits.
    pub(super) fn own(&self) -> u64 {
        self.own.load(Ordering::Acquire)
    }

    /// Lets the thread look, and give hints if others have committed. False if it cannot now.
    pub(super) fn look(&self) -> bool {
        let queue = self.queue.as_ref().and_then(mpsc::WeakSender::upgrade);
        queue.is_some_and(|queue| queue.try_send(Job::Look).is_ok())
    }
}

/// One of those who ask for a commit, from the asking to the answer.
#[derive(Debug)]
pub(super) struct Asking(Arc<AtomicUsize>);

impl Asking {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(all))
    }

    fn is_alone(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the thread and the callers take turns at; nothing once the thread has ended.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Work>>>);

/// The handle on the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    work: Shared,
    hub: Hub,
    poisoned: Arc<AtomicBool>,
    own: Arc<AtomicU64>,
    /// How many ask for a commit now.
    asking: Arc<AtomicUsize>,
    pace: Pace,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// Waits until whoever is at it has done.
    fn lock(&self) -> MutexGuard<'_, Option<Work>> {
        self.0.lock().unwrap_or_else(|error| left(error.into_inner()))
    }

    /// Nothing when somebody is at it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Option<Work>>> {
        match self.0.try_lock() {
            Ok(work) => Some(work),
            Err(TryLockError::Poisoned(error)) => Some(left(error.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Somebody ended in the middle of it, by a fault of ours which nobody has ever seen: whatever the
/// connection holds is not to be committed, nor to keep others from writing.
fn left(mut work: MutexGuard<'_, Option<Work>>) -> MutexGuard<'_, Option<Work>> {
    if let Some(work) = work.take() {
        work.poison();
        work.end();
    }
    work
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        sql: Arc<Sql>,
        hub: Hub,
        timeout: Duration,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let poisoned = Arc::new(AtomicBool::new(false));
        let own = Arc::new(AtomicU64::new(0));
        let (poison, commits) = (Arc::clone(&poisoned), Arc::clone(&own));
        let work = Work::new(connection, sql, hub.clone(), timeout, poison, commits)?;
        let work = Shared(Arc::new(Mutex::new(Some(work))));
        let (of_thread, of_threads_hub) = (work.clone(), hub.clone());
        let thread = std::thread::Builder::new()
            .name("agentkeep-writer".to_owned())
            .spawn(move || run(&of_thread, &of_threads_hub, receiver))
            .map_err(|error| {
                Error::new(Kind::Unavailable, "the writer's thread cannot be started")
                    .caused_by(error)
            })?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        let (asking, pace) = (Arc::default(), Pace::default());
        Ok(Self { queue, thread, work, hub, poisoned, own, asking, pace })
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        self.refuse_if_poisoned()?;
        let (wanted, asking) = (Wanted::new(batch), Asking::new(&self.asking));
        if asking.is_alone() && is_small(&wanted.batch) {
            // Whoever else is ready to ask does it now: together they are better served.
            tokio::task::yield_now().await;
            if asking.is_alone()
                && let Some(answer) = self.at_once(&wanted)
            {
                return answer;
            }
        }
        let (answer, answered) = oneshot::channel();
        self.send(Job::Commit(Asked { wanted, asking, answer })).await?;
        // The thread answers everything that it took, also while it is being closed.
        answered.await.map_or_else(|_| Err(ended()), |(answer, _)| answer)
    }

    /// Commits on the caller's thread; `None` if that is not quick, or somebody is in the way.
    fn at_once(&self, wanted: &Wanted) -> Option<Answer> {
        if !self.pace.allows() {
            return None;
        }
        let Some(queue) = self.queue() else { return Some(Err(closed())) };
        let mut work = self.work.try_lock()?;
        let Some(writes) = work.as_mut() else { return Some(Err(closed())) };
        let since = Instant::now();
        if writes.is_log_overlong() {
            // The thread had no turn to shorten it.
            return None;
        }
        let answer = writes.at_once(wanted)?;
        self.pace.took(since.elapsed());
        if writes.is_shortening_due() {
            // Where the queue is full, the thread looks by itself.
            let _ = queue.try_send(Job::ShortenLog);
        }
        drop(work);
        tell(&self.hub, &wanted.batch, &answer);
        Some(answer)
    }

    /// Runs upkeep on the writer's connection, between two commits.
    pub(super) async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.refuse_if_poisoned()?;
        // Commits that come meanwhile wait behind it, lest the thread never have its turn.
        let _asking = Asking::new(&self.asking);
        let (sender, answer) = oneshot::channel();
        let poisoned = Arc::clone(&self.poisoned);
        let run = move |connection: &Connection| {
            let result = work(connection);
            let failure = result.as_ref().err().and_then(beneath);
            if failure.is_some_and(|failure| is_io_failure(&failure)) {
                poisoned.store(true, Ordering::Release);
            }
            // A caller that went away needs no answer.
            drop(sender.send(result));
        };
        self.send(Job::Upkeep(Box::new(run))).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) fn commits(&self) -> Commits {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().map(mpsc::Sender::downgrade);
        Commits { own: Arc::clone(&self.own), queue }
    }

    /// Nothing once the writer is being closed.
    fn queue(&self) -> Option<mpsc::Sender<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send(&self, job: Job) -> Result<()> {
        let queue = self.queue().ok_or_else(closed)?;
        queue.send(job).await.map_err(|_| closed())
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(poisoned()) } else { Ok(()) }
    }

    /// How many jobs wait for the thread.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Lets the thread finish what is queued; answers its handle the first time.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The thread ended with the batch in its hands: a fault of ours, which nobody has ever seen.
fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the writer's thread ended before it answered")
        .advice("reopen the store and look, or repeat it under its operation id")
}

/// What the thread does, until the queue ends.
fn run(shared: &Shared, hub: &Hub, mut queue: Queue) {
    while let Some(job) = next(&mut queue) {
        let mut work = shared.lock();
        let Some(writes) = work.as_mut() else { return };
        let mut done = Done::default();
        match job {
            Job::Commit(asked) => done = writes.commit_group(asked, &mut queue),
            Job::Upkeep(upkeep) => done.upkeep = Some(upkeep),
            Job::Look => writes.look(),
            Job::ShortenLog => {}
        }
        drop(work);
        done.tell(hub);
        if let Some(work) = shared.lock().as_mut() {
            if let Some(upkeep) = done.upkeep {
                work.upkeep(upkeep);
            }
            work.shorten_log();
        }
    }
    if let Some(work) = shared.lock().take() {
        work.end();
    }
}

/// The next job; `None` when there will be none.
fn next(queue: &mut Queue) -> Option<Job> {
    let since = Instant::now();
    while since.elapsed() < LOOK_OUT {
        match queue.try_recv() {
            Ok(job) => return Some(job),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    queue.blocking_recv()
}
