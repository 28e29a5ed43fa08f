//! Applying a batch, operation by operation; what was done is taken back if one is refused.

use std::collections::BTreeSet;

use super::ground::{BlobState, Ground, StreamKey};
use crate::driver::{Batch, Committed, Hash, Known, Operation, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, Turn};

/// A commit under way.
pub(super) struct Commit<'a, G> {
    pub(super) ground: &'a mut G,
    pub(super) namespace: &'a Namespace,
    pub(super) turn: Option<&'a Turn>,
    pub(super) time: i64,
    /// What the built-in tables have to be told of: mostly one stream,
    pub(super) changed_stream: Option<StreamKey>,
    /// and others, some of them more than once.
    pub(super) changed_streams: Vec<StreamKey>,
    /// Some of them more than once.
    pub(super) changed_blobs: Vec<Hash>,
    /// True when it made something, so that the namespace must have its record.
    pub(super) made: bool,
    /// True when it added an entry.
    pub(super) pushed: bool,
    /// True when an entry that it may answer instead of adding was there before it.
    pub(super) met: bool,
}

/// Applies the whole batch, or nothing of it.
pub(in crate::drivers) fn apply<G: Ground>(
    ground: &mut G,
    time: i64,
    batch: &Batch,
) -> Result<Committed> {
    let mut commit = Commit {
        ground,
        namespace: &batch.namespace,
        turn: batch.turn.as_ref(),
        time,
        changed_stream: None,
        changed_streams: Vec::new(),
        changed_blobs: Vec::new(),
        made: false,
        pushed: false,
        met: false,
    };
    match commit.run(batch) {
        Ok((replayed, outcomes)) => Ok(Committed { time, replayed, outcomes }),
        Err(error) => {
            commit.ground.take_back();
            Err(error)
        }
    }
}

impl<G: Ground> Commit<'_, G> {
    /// Whether the batch was left out, and what each operation did.
    fn run(&mut self, batch: &Batch) -> Result<(bool, Vec<Outcome>)> {
        for (i, expect) in batch.expect.iter().enumerate() {
            self.holds(expect).map_err(|error| error.of_expectation(i))?;
        }
        if let Some(left_out) = self.left_out(batch)? {
            return Ok((true, left_out));
        }
        let mut outcomes = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            outcomes.push(self.operation(operation)?);
        }
        self.tell()?;
        Ok((false, outcomes))
    }

    fn operation(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Put(put) => self.put(put),
            Operation::Delete(key) => self.delete(key),
            Operation::Append(append) => self.append(append),
            Operation::Trim { log, stream, before } => {
                let key = (self.ground.log(log)?, stream.clone());
                self.trim(&key, *before)
            }
            Operation::Rewrite { log, stream, number, body, refs } => {
                let key = (self.ground.log(log)?, stream.clone());
                self.rewrite(&key, *number, body, refs)
            }
            Operation::Drop { log, stream } => {
                let key = (self.ground.log(log)?, stream.clone());
                self.drop_stream(&key)
            }
            Operation::PutBlob(blob) => {
                let new = self.ground.blob(blob.hash()).is_none();
                if new {
                    self.ground.keep_blob(blob);
                    self.set_blob(blob.hash(), BlobState::new(blob, self.time));
                    self.made = true;
                }
                Ok(Outcome::Kept { new })
            }
            Operation::DropBlob(hash) => self.drop_blob(*hash),
        }
    }

    /// What the batch answers when it is left out, because all appends that allow known entries
    /// have nothing but known ones.
    fn left_out(&mut self, batch: &Batch) -> Result<Option<Vec<Outcome>>> {
        let (mut appends, mut known) = (0, Vec::new());
        for (place, operation) in batch.operations.iter().enumerate() {
            let Operation::Append(append) = operation else { continue };
            if append.known == Known::Refuse || append.entries.is_empty() {
                continue;
            }
            // To the end, also when one is new: a later one may be known with another body.
            appends += 1;
            known.extend(self.known(append)?.map(|numbers| (place, numbers)));
        }
        if known.is_empty() || known.len() < appends {
            return Ok(None);
        }
        let mut outcomes = vec![Outcome::LeftOut; batch.operations.len()];
        for (place, numbers) in known {
            outcomes[place] = Outcome::Appended { numbers };
        }
        Ok(Some(outcomes))
    }

    /// Counts a reference to each blob once; answers them distinct and in order.
    pub(super) fn refer(&mut self, refs: &[Hash], place: impl Fn() -> String) -> Result<Vec<Hash>> {
        if refs.is_empty() {
            return Ok(Vec::new());
        }
        let distinct: BTreeSet<Hash> = refs.iter().copied().collect();
        for hash in &distinct {
            let Some(state) = self.ground.blob(*hash) else {
                return Err(Error::new(Kind::NotFound, format!("the blob {hash} is not there"))
                    .at(place())
                    .advice("keep the blob before, or earlier in the same commit"));
            };
            let references = state.references + 1;
            let state = BlobState { references, unreferenced_since: None, ..state };
            self.set_blob(*hash, state);
        }
        Ok(distinct.into_iter().collect())
    }

    /// Takes a reference to each blob away.
    pub(super) fn release(&mut self, refs: &[Hash]) {
        for hash in refs {
            let Some(state) = self.ground.blob(*hash) else { continue };
            let references = state.references.saturating_sub(1);
            let unreferenced_since = (references == 0).then_some(self.time);
            self.set_blob(*hash, BlobState { references, unreferenced_since, ..state });
        }
    }

    fn set_blob(&mut self, hash: Hash, state: BlobState) {
        self.ground.set_blob(hash, Some(state));
        self.changed_blobs.push(hash);
    }

    fn drop_blob(&mut self, hash: Hash) -> Result<Outcome> {
        let Some(state) = self.ground.blob(hash) else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if state.references > 0 {
            let message = format!("{} record(s) or entries refer to the blob", state.references);
            return Err(Error::new(Kind::Conflict, message)
                .at(format!("blob {hash}"))
                .advice("remove what refers to it first"));
        }
        self.ground.set_blob(hash, None);
        self.tell_dropped_blob(hash)?;
        Ok(Outcome::BlobDropped { existed: true })
    }
}
