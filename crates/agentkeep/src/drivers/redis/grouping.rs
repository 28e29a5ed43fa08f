//! Callers that append in one namespace share a call. What it leaves goes back to its caller.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::appending::{Appending, ENTRIES};
use super::calling::Failure;
use super::committer::Committer;
use super::errors::{copy, unknown};
use super::keys::Space;
use super::queue::Runner;
use super::writing;
use crate::driver::{Batch, Committed, Operation};
use crate::error::{Error, Result};

/// Most batches of one call,
const GROUP: usize = 128;
/// and the bytes of bodies after which it takes no more: the server does nothing else meanwhile.
const BYTES: usize = 1 << 20;

/// A batch that only appends.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) batch: Batch,
    /// Whether it is to be put off that the server forgets this client's slots.
    pub(super) keep: bool,
    pub(super) deadline: Instant,
}

/// One who waits for somebody else to send what he asks.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) asked: Asked,
    pub(super) tell: oneshot::Sender<Part>,
}

/// What a batch of a group got.
#[derive(Debug)]
pub(super) enum Part {
    Done(Result<Committed>),
    /// Nothing has changed: it is for the commit script.
    Left(Asked),
}

/// For those whom nobody will send any more: they do it themselves.
pub(super) fn give_back(Waiting { asked, tell }: Waiting) {
    let _ = tell.send(Part::Left(asked));
}

/// Sends group after group until nobody waits.
pub(super) async fn run(committer: Arc<Committer>, mut runner: Runner<Waiting>) {
    while let Some((next, waiting)) = take(runner) {
        let callers = waiting.len();
        let (asked, tell): (Vec<Asked>, Vec<_>) =
            waiting.into_iter().map(|Waiting { asked, tell }| (asked, tell)).unzip();
        let parts = together(&committer, asked).await;
        for (tell, part) in tell.into_iter().zip(parts) {
            // A caller that went away has its commit all the same.
            let _ = tell.send(part);
        }
        come_back(&next, callers).await;
        runner = next;
    }
}

/// Who was answered often has more to ask, and one large group costs less than many small ones: the
/// other tasks get their turn as long as they bring something.
async fn come_back(runner: &Runner<Waiting>, callers: usize) {
    let mut before = runner.waiting();
    while callers > 1 && before < callers {
        tokio::task::yield_now().await;
        let now = runner.waiting();
        if now == before {
            return;
        }
        before = now;
    }
}

/// The next group; `None` when nobody waits.
fn take(runner: Runner<Waiting>) -> Option<(Runner<Waiting>, Vec<Waiting>)> {
    let (mut count, mut entries, mut bytes) = (0, 0, 0);
    runner.take(|Waiting { asked, .. }| {
        let (size, weight) = (asked.batch.size(), weight(&asked.batch));
        let fits = count < GROUP && entries + size <= ENTRIES && bytes + weight <= BYTES;
        (count, entries, bytes) = (count + 1, entries + size, bytes + weight);
        fits
    })
}

fn weight(batch: &Batch) -> usize {
    let weight = |operation: &Operation| match operation {
        Operation::Append(append) => append.entries.iter().map(|entry| entry.body.len()).sum(),
        _ => 0,
    };
    batch.operations.iter().map(weight).sum()
}

/// One call for the group, which is of one namespace.
pub(super) async fn together(committer: &Committer, group: Vec<Asked>) -> Vec<Part> {
    let Some(Asked { batch: first, .. }) = group.first() else { return Vec::new() };
    let batches: Vec<&Batch> = group.iter().map(|asked| &asked.batch).collect();
    let appending = Appending::new(&batches, &committer.streams);
    if appending.is_empty() {
        return group.into_iter().map(Part::Left).collect();
    }
    let space = Space::new(&committer.link.options.base, &first.namespace);
    let keep = group.iter().any(|asked| asked.keep);
    let deadline = group.iter().map(|asked| asked.deadline).min().unwrap_or_else(Instant::now);
    let slot = committer.slot();
    let sending = committer.sending(&slot, keep, None);
    let mut call = writing::call(&appending, &space, &sending, first.namespace.as_str());
    if committer.link.is_clustered() {
        call.keys.push(space.never());
    }
    let script = &committer.scripts.append;
    let answer = committer.call(script, &call, &space, &slot, deadline).await;
    let told = match answer.map(|text| appending.part(&text)) {
        Ok(Ok(parts)) => parts.into_iter().map(|part| part.map(Ok)).collect(),
        Ok(Err(error)) | Err(Failure::Not(error)) => of_all(&group, || copy(&error)),
        Err(Failure::Unknown) => of_all(&group, || unknown(None)),
        // Perhaps because of one of them: each is told for itself.
        Err(Failure::Refused(_)) => group.iter().map(|_| None).collect::<Vec<_>>(),
    };
    let parts = group.into_iter().zip(told).map(|(asked, told)| match told {
        Some(told) => Part::Done(told.map(|(committed, head)| {
            committer.committed(&asked.batch, &committed, head.as_deref());
            if keep {
                committer.put_off(&asked.batch.namespace);
            }
            committed
        })),
        None => Part::Left(asked),
    });
    parts.collect()
}

/// The same for all.
fn of_all<T>(group: &[Asked], error: impl Fn() -> Error) -> Vec<Option<Result<T>>> {
    group.iter().map(|_| Some(Err(error()))).collect()
}

/// The keys that a call for the batch names.
#[cfg(feature = "conformance")]
pub(super) fn keys_of<'a>(
    space: &Space,
    sending: &super::encode::Sending<'a>,
    batch: &'a Batch,
) -> Vec<String> {
    let appending = Appending::new(&[batch], &super::seen::Seen::default());
    writing::call(&appending, space, sending, batch.namespace.as_str()).keys
}
