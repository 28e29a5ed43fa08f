//! Applying a batch, operation by operation; what was done is taken back if one is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::expect;
use super::space::{BlobState, Names, Space, StreamKey};
use super::steps::Steps;
use crate::driver::{Append, Batch, Committed, Hash, Operation, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, Turn};

/// A commit under way.
pub(super) struct Commit<'a> {
    pub(super) steps: Steps<'a>,
    pub(super) namespace: &'a Namespace,
    pub(super) turn: Option<&'a Turn>,
    pub(super) time: i64,
    /// What the built-in tables have to be told of.
    pub(super) changed_streams: BTreeSet<StreamKey>,
    pub(super) changed_blobs: BTreeSet<Hash>,
    /// What this commit itself wrote, which no append of it can find known.
    pub(super) appended_from: BTreeMap<StreamKey, u64>,
    pub(super) rewritten: BTreeSet<(StreamKey, u64)>,
    /// True when it made something, so that the namespace must have its record.
    pub(super) made: bool,
    /// True when it deleted the namespace's record.
    pub(super) deleted: bool,
}

/// What a commit did.
pub(super) struct Applied {
    pub(super) committed: Committed,
    /// True when the namespace was deleted: what is left of it can go.
    pub(super) deleted: bool,
}

enum Answer {
    Done(Vec<Outcome>),
    /// An append found its entries known: the batch must be left out.
    LeftOut,
}

/// Applies the whole batch, or nothing of it.
pub(super) fn apply(
    space: &mut Space,
    names: &mut Names,
    time: i64,
    batch: &Batch,
) -> Result<Applied> {
    let mut commit = Commit {
        steps: Steps::new(space, names),
        namespace: &batch.namespace,
        turn: batch.turn.as_ref(),
        time,
        changed_streams: BTreeSet::new(),
        changed_blobs: BTreeSet::new(),
        appended_from: BTreeMap::new(),
        rewritten: BTreeSet::new(),
        made: false,
        deleted: false,
    };
    let (replayed, outcomes) = match commit.run(batch) {
        Ok(Answer::Done(outcomes)) => (false, outcomes),
        Ok(Answer::LeftOut) => {
            commit.take_back();
            (true, commit.left_out(batch)?)
        }
        Err(error) => {
            commit.take_back();
            return Err(error);
        }
    };
    let committed = Committed { time, replayed, outcomes };
    Ok(Applied { committed, deleted: commit.deleted })
}

impl Commit<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Answer> {
        for (i, expect) in batch.expect.iter().enumerate() {
            expect::holds(&self.steps, expect).map_err(|error| error.of_expectation(i))?;
        }
        let mut outcomes = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            if let Operation::Append(append) = operation
                && self.known(append)?.is_some()
            {
                return Ok(Answer::LeftOut);
            }
            outcomes.push(self.operation(operation)?);
        }
        self.tell()?;
        Ok(Answer::Done(outcomes))
    }

    fn operation(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Put(put) => self.put(put),
            Operation::Delete(key) => self.delete(key),
            Operation::Append(append) => self.append(append),
            Operation::Trim { log, stream, before } => {
                let key = self.steps.space().key(log, stream)?;
                self.trim(&key, *before)
            }
            Operation::Rewrite { log, stream, number, body, refs } => {
                let key = self.steps.space().key(log, stream)?;
                self.rewrite(&key, *number, body, refs)
            }
            Operation::Drop { log, stream } => {
                let key = self.steps.space().key(log, stream)?;
                self.drop_stream(&key)
            }
            Operation::PutBlob(blob) => {
                let new = !self.steps.space().blobs.contains_key(&blob.hash());
                if new {
                    let state = BlobState::new(blob.clone(), self.time);
                    self.set_blob(blob.hash(), state);
                    self.made = true;
                }
                Ok(Outcome::Kept { new })
            }
            Operation::DropBlob(hash) => self.drop_blob(*hash),
        }
    }

    fn take_back(&mut self) {
        self.steps.take_back();
        self.appended_from.clear();
        self.rewritten.clear();
        self.deleted = false;
    }

    /// What a batch that is left out answers: every append whose entries are all known has their
    /// numbers. The steps have been taken back, so this looks at the state before the batch.
    fn left_out(&self, batch: &Batch) -> Result<Vec<Outcome>> {
        let numbers = |append: &Append| match self.known(append) {
            Err(error) if error.kind() == Kind::IdempotencyConflict => Ok(None),
            numbers => numbers,
        };
        let outcome =
            |operation: &Operation| match operation {
                Operation::Append(append) => Ok(numbers(append)?
                    .map_or(Outcome::LeftOut, |numbers| Outcome::Appended { numbers })),
                _ => Ok(Outcome::LeftOut),
            };
        batch.operations.iter().map(outcome).collect()
    }

    /// Counts a reference to each blob once; answers them distinct and in order.
    pub(super) fn refer(&mut self, refs: &[Hash], place: impl Fn() -> String) -> Result<Vec<Hash>> {
        let distinct: BTreeSet<Hash> = refs.iter().copied().collect();
        for hash in &distinct {
            let Some(state) = self.steps.space().blobs.get(hash) else {
                return Err(Error::new(Kind::NotFound, format!("the blob {hash} is not there"))
                    .at(place())
                    .advice("keep the blob before, or earlier in the same commit"));
            };
            let references = state.references + 1;
            let state = BlobState { references, unreferenced_since: None, ..state.clone() };
            self.set_blob(*hash, state);
        }
        Ok(distinct.into_iter().collect())
    }

    /// Takes a reference to each blob away.
    pub(super) fn release(&mut self, refs: &[Hash]) {
        for hash in refs {
            let Some(state) = self.steps.space().blobs.get(hash) else { continue };
            let references = state.references.saturating_sub(1);
            let unreferenced_since = (references == 0).then_some(self.time);
            self.set_blob(*hash, BlobState { references, unreferenced_since, ..state.clone() });
        }
    }

    fn set_blob(&mut self, hash: Hash, state: BlobState) {
        self.steps.set_blob(hash, Some(state));
        self.changed_blobs.insert(hash);
    }

    fn drop_blob(&mut self, hash: Hash) -> Result<Outcome> {
        let Some(state) = self.steps.space().blobs.get(&hash) else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if state.references > 0 {
            let message = format!("{} record(s) or entries refer to the blob", state.references);
            return Err(Error::new(Kind::Conflict, message)
                .at(format!("blob {hash}"))
                .advice("remove what refers to it first"));
        }
        self.steps.set_blob(hash, None);
        self.tell_dropped_blob(hash)?;
        Ok(Outcome::BlobDropped { existed: true })
    }
}
