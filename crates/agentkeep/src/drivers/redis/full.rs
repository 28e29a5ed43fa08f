//! Commits when the server's memory is full.

use crate::driver::{Batch, Operation};
use crate::schema::{DELETIONS, GARBAGE};

/// Whether a batch is worth another try, which the server takes if it gives about as much back as it
/// takes: it removes something, or notes what is to be removed, and brings no entries or blobs.
pub(super) fn gives_back(batch: &Batch) -> bool {
    let brings =
        |operation: &Operation| matches!(operation, Operation::Append(_) | Operation::PutBlob(_));
    let removes = |operation: &Operation| match operation {
        Operation::Put(put) => [DELETIONS.name, GARBAGE.name].contains(&put.key.table().name),
        Operation::Append(_) | Operation::PutBlob(_) => false,
        Operation::Delete(_)
        | Operation::Trim { .. }
        | Operation::Rewrite { .. }
        | Operation::Drop { .. }
        | Operation::DropBlob(_) => true,
    };
    batch.operations.iter().any(removes) && !batch.operations.iter().any(brings)
}
