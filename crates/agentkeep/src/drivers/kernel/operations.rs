//! What commits under an operation id answered, so that repeating them is harmless.

use std::collections::VecDeque;

use super::Map;
use crate::driver::{Batch, Committed};
use crate::error::{Error, Kind, Result};
use crate::schema::OperationId;

/// Operations are kept at least so long,
const KEPT_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// and at least so many of each namespace.
const KEPT: usize = 100_000;

/// The operations of one namespace.
#[derive(Debug, Default)]
pub(in crate::drivers) struct Operations {
    known: Map<OperationId, Known>,
    /// When each was committed, oldest first.
    order: VecDeque<(i64, OperationId)>,
}

/// What an operation was and answered.
#[derive(Debug, Clone)]
struct Known {
    /// What stands for its content.
    digest: [u8; 32],
    committed: Committed,
}

impl Operations {
    /// What the batch answered before, if its operation id is known.
    pub(in crate::drivers) fn replay(&self, batch: &Batch) -> Result<Option<Committed>> {
        let Some(id) = &batch.operation else { return Ok(None) };
        let Some(known) = self.known.get(id) else { return Ok(None) };
        if known.digest != batch.digest() {
            return Err(Error::new(
                Kind::IdempotencyConflict,
                "the operation id stands for another commit",
            )
            .at(format!("operation {id:?}"))
            .advice("take a new operation id for a new change"));
        }
        Ok(Some(Committed { replayed: true, ..known.committed.clone() }))
    }

    /// Keeps what the batch answered, and forgets what is old enough.
    pub(in crate::drivers) fn keep(&mut self, batch: &Batch, committed: &Committed) {
        let Some(id) = &batch.operation else { return };
        self.remember(id.clone(), batch.digest(), committed.clone());
    }

    /// Keeps what an operation answered.
    pub(in crate::drivers) fn remember(
        &mut self,
        operation: OperationId,
        digest: [u8; 32],
        committed: Committed,
    ) {
        let now = committed.time;
        if self.known.insert(operation.clone(), Known { digest, committed }).is_some() {
            return;
        }
        self.order.push_back((now, operation));
        while self.order.len() > KEPT
            && let Some((_, old)) = self.order.pop_front_if(|(time, _)| *time < now - KEPT_FOR_MS)
        {
            self.known.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Namespace;

    fn batch(id: usize) -> Batch {
        let operation = Some(OperationId::new(&id.to_string()).unwrap());
        Batch { operation, ..Batch::new(Namespace::default()) }
    }

    fn keep(operations: &mut Operations, id: usize, time: i64) {
        let committed = Committed { time, replayed: false, outcomes: Vec::new() };
        operations.keep(&batch(id), &committed);
    }

    #[test]
    fn an_operation_is_forgotten_when_it_is_old_and_many_came_after() {
        let mut operations = Operations::default();
        let known = |operations: &Operations, id| operations.replay(&batch(id)).unwrap().is_some();
        for id in 0..KEPT {
            keep(&mut operations, id, 1);
        }
        // Old, but not too many.
        assert!(known(&operations, 0));
        keep(&mut operations, KEPT, 1 + KEPT_FOR_MS);
        // Too many, but not too old.
        assert!(known(&operations, 0));
        keep(&mut operations, KEPT + 1, 2 + KEPT_FOR_MS);
        assert!(!known(&operations, 0) && !known(&operations, 1) && known(&operations, 2));
        assert_eq!((operations.known.len(), operations.order.len()), (KEPT, KEPT));
    }
}
