//! Streams that are there, as far as this process knows: the first append to a stream makes it, and
//! is for the commit script.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::driver::{Append, Batch, Operation};
use crate::schema::Namespace;

/// Streams that are remembered; then it begins anew.
const STREAMS: usize = 50_000;

#[derive(Default)]
pub(super) struct Seen {
    /// Hashes of their names: to be wrong costs a call and nothing else.
    streams: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Seen {
    fn name(&self, namespace: &Namespace, append: &Append) -> u64 {
        self.hasher.hash_one((namespace.as_str(), append.log.name, append.stream.as_str()))
    }

    pub(super) fn has(&self, namespace: &Namespace, append: &Append) -> bool {
        let name = self.name(namespace, append);
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    /// What the batch appended to is there.
    pub(super) fn committed(&self, batch: &Batch) {
        for operation in &batch.operations {
            let Operation::Append(append) = operation else { continue };
            let name = self.name(&batch.namespace, append);
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            if streams.len() >= STREAMS {
                streams.clear();
            }
            streams.insert(name);
        }
    }
}
