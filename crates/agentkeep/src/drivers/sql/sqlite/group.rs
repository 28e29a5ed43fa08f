//! Group commit: batches that come together share one transaction, and so one fsync.

use tokio::sync::{mpsc, oneshot};

use super::pace::FEW_BYTES;
use super::work::{Answer, Tried, Wanted, Work, poisoned};
use super::writer::{Asking, Job, Upkeep};
use crate::driver::{Batch, Hub, MAX_BATCH_BYTES, Operation};

/// Batches in one transaction.
const GROUP: usize = 64;
/// Bytes of bodies and blobs after which a group takes no more batches.
const GROUP_BYTES: usize = MAX_BATCH_BYTES;

type Queue = mpsc::Receiver<Job>;

/// A batch, and who waits for the answer.
pub(super) struct Asked {
    pub(super) wanted: Wanted,
    pub(super) asking: Asking,
    pub(super) answer: oneshot::Sender<Answered>,
}

/// The answer, and the batch: its memory is the caller's to free, not the writer's.
pub(super) type Answered = (Answer, Batch);

/// What became of a group.
#[derive(Default)]
pub(super) struct Done {
    group: Vec<Asked>,
    answers: Vec<Answer>,
    /// What came after them, if something did.
    pub(super) upkeep: Option<Upkeep>,
}

impl Done {
    /// Tells whoever watches, and whoever has asked. Not while holding what they may ask for next:
    /// they may come back at once.
    pub(super) fn tell(&mut self, hub: &Hub) {
        for (asked, answer) in self.group.drain(..).zip(self.answers.drain(..)) {
            let Asked { wanted, asking, answer: caller } = asked;
            tell(hub, &wanted.batch, &answer);
            drop(asking);
            // A caller that went away has its commit all the same.
            let _ = caller.send((answer, wanted.batch));
        }
    }
}

/// Tells whoever watches what was committed.
pub(super) fn tell(hub: &Hub, batch: &Batch, answer: &Answer) {
    if answer.as_ref().is_ok_and(|committed| !committed.replayed) {
        hub.committed(batch);
    }
}

impl Work {
    /// Commits a batch together with those that are queued, or come while it is being applied.
    pub(super) fn commit_group(&mut self, first: Asked, queue: &mut Queue) -> Done {
        let mut group = vec![first];
        let mut upkeep = None;
        let answers = if self.is_poisoned() {
            vec![Err(poisoned())]
        } else {
            match self.together(&mut group, queue, &mut upkeep) {
                Ok(answers) => answers,
                // Which of them it was is not known: each alone gets an answer of its own.
                Err(failure) if failure.can_retry && group.len() > 1 => {
                    group.iter().map(|asked| self.alone(&asked.wanted)).collect()
                }
                Err(failure) => group.iter().map(|_| Err(failure.answer())).collect(),
            }
        };
        Done { group, answers, upkeep }
    }

    /// One transaction for the group, which grows from the queue; a refused batch leaves its
    /// neighbours alone.
    fn together(
        &mut self,
        group: &mut Vec<Asked>,
        queue: &mut Queue,
        upkeep: &mut Option<Upkeep>,
    ) -> Tried<Vec<Answer>> {
        let patience = group.first().map(|asked| self.patience(&asked.wanted));
        let mut time = self.begin(patience.unwrap_or_default())?;
        let mut answers = Vec::with_capacity(GROUP);
        let mut bytes = 0;
        while let Some(asked) = group.get(answers.len()) {
            bytes += asked.wanted.batch.weight();
            if !self.is_open() {
                match self.begin(self.patience(&asked.wanted)) {
                    Ok(begun) => time = begun,
                    // Those before have been refused, whatever is in the way of the others.
                    Err(failure) => {
                        answers.resize_with(group.len(), || Err(failure.answer()));
                        return Ok(answers);
                    }
                }
            }
            answers.push(self.apply(&asked.wanted, time)?);
            let room = group.len() < GROUP && bytes < GROUP_BYTES && upkeep.is_none();
            if answers.len() == group.len() && room {
                match queue.try_recv() {
                    Ok(Job::Commit(asked)) => group.push(asked),
                    Ok(Job::Upkeep(work)) => *upkeep = Some(work),
                    // It has been looked at the beginning, and nobody else can commit since; the
                    // log is looked at in the end.
                    Ok(Job::Look | Job::ShortenLog) | Err(_) => {}
                }
            }
        }
        self.commit(time)?;
        Ok(answers)
    }
}

/// Most operations of a batch that is small.
const FEW: usize = 64;

/// True when it is no long work: then it may be done on the caller's thread.
pub(super) fn is_small(batch: &Batch) -> bool {
    // These are as long as what there is to remove.
    let removes = |operation: &Operation| {
        matches!(operation, Operation::Trim { .. } | Operation::Drop { .. })
    };
    batch.operations.len() <= FEW
        && batch.expect.len() <= FEW
        && batch.weight() <= FEW_BYTES
        && !batch.operations.iter().any(removes)
}
