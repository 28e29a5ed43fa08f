//! Streams that are there, as far as this process knows: the first append to a stream makes it, and
//! is for the commit script. Of some the head is known, too, as the last append has left it.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::driver::{Append, Batch, Operation};
use crate::schema::Namespace;

/// Streams that are remembered; then it begins anew.
const STREAMS: usize = 50_000;

#[derive(Default)]
pub(super) struct Seen {
    /// By hashes of their names: to be wrong costs a call and nothing else.
    streams: Mutex<HashMap<u64, Option<Arc<str>>>>,
    hasher: RandomState,
}

impl Seen {
    fn name(&self, namespace: &Namespace, append: &Append) -> u64 {
        self.hasher.hash_one((namespace.as_str(), append.log.name, append.stream.as_str()))
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Option<Arc<str>>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, namespace: &Namespace, append: &Append) -> bool {
        let name = self.name(namespace, append);
        self.streams().contains_key(&name)
    }

    /// The row of the stream's head, as it was last: the server looks whether it still is.
    pub(super) fn head(&self, namespace: &Namespace, append: &Append) -> Option<Arc<str>> {
        let name = self.name(namespace, append);
        self.streams().get(&name).cloned().flatten()
    }

    /// What the batch appended to is there, with this head.
    pub(super) fn committed(&self, batch: &Batch, head: Option<&str>) {
        for operation in &batch.operations {
            let Operation::Append(append) = operation else { continue };
            let name = self.name(&batch.namespace, append);
            let mut streams = self.streams();
            if streams.len() >= STREAMS && !streams.contains_key(&name) {
                streams.clear();
            }
            streams.insert(name, head.map(Arc::from));
        }
    }
}
