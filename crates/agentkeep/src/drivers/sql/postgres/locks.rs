//! What a commit locks before it reads anything.
//!
//! PostgreSQL can lock only rows that are there, and preconditions are also about what is not. So
//! commits take advisory locks on names, for the length of the transaction and in ascending order:
//! shared for what they only look at, exclusive for what they change. All of them take the
//! namespace shared; one that touches very much, or deletes the namespace's record, takes it
//! exclusively instead of everything else.

use std::collections::BTreeMap;

use crate::driver::{Append, Batch, Expect, Operation};
use crate::schema::{BLOBS, Key, NAMESPACES, Namespace, STREAMS, Table};

/// More names than these are too many for the server's table of locks: the namespace stands for
/// them.
const MOST: usize = 40;

/// Names of locks, as PostgreSQL has them; true for an exclusive one.
pub(super) type Locks = BTreeMap<i64, bool>;

/// Makes the numbers that stand for names: those of two stores in one database differ.
#[derive(Debug, Clone)]
pub(super) struct Names {
    store_id: String,
    listeners: i64,
}

impl Names {
    pub(super) fn new(store_id: &str) -> Self {
        let mut names = Self { store_id: store_id.to_owned(), listeners: 0 };
        names.listeners = names.number(&["listeners"]);
        names
    }

    /// The number of a name. Two names may share one: then commits wait without need.
    fn number(&self, parts: &[&str]) -> i64 {
        let parts = std::iter::once(self.store_id.as_str()).chain(parts.iter().copied());
        // At once: many small pieces cost more than they are.
        let mut text = Vec::with_capacity(192);
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(&text).as_bytes()[..8]);
        i64::from_le_bytes(first)
    }

    /// Held by each process that listens.
    pub(super) fn listeners(&self) -> i64 {
        self.listeners
    }

    /// The record of a namespace.
    pub(super) fn name(&self, namespace: &Namespace) -> i64 {
        self.number(&["name", namespace.as_str()])
    }

    fn key(&self, namespace: &Namespace, key: &Key) -> i64 {
        let of = |kind| self.number(&[kind, namespace.as_str(), key.encoded()]);
        match key.table().name {
            name if name == NAMESPACES.name => self.number(&["name", key.first()]),
            name if name == STREAMS.name => of("stream"),
            name if name == BLOBS.name => of("blob"),
            name => self.number(&["record", namespace.as_str(), name, key.encoded()]),
        }
    }

    fn table(&self, namespace: &Namespace, table: &Table) -> i64 {
        self.number(&["table", namespace.as_str(), table.name])
    }

    pub(super) fn stream(&self, namespace: &Namespace, log: &str, stream: &str) -> i64 {
        self.number(&["stream", namespace.as_str(), &format!("{log}\u{1f}{stream}")])
    }

    /// The lock of a precondition that is not about its own namespace.
    fn beyond(&self, expect: &Expect) -> Option<i64> {
        match expect {
            Expect::Absent(key) | Expect::Exists(key) | Expect::Version(key, _)
                if key.table().name == NAMESPACES.name =>
            {
                Some(self.number(&["name", key.first()]))
            }
            _ => None,
        }
    }

    /// What a batch locks.
    pub(super) fn of(&self, batch: &Batch) -> Locks {
        let namespace = &batch.namespace;
        let mut locks = Locks::new();
        let mut lock = |name: i64, exclusive: bool| *locks.entry(name).or_default() |= exclusive;
        let blob =
            |hash: &crate::driver::Hash| self.number(&["blob", namespace.as_str(), &hash.to_hex()]);
        let lock_all = |lock: &mut dyn FnMut(i64, bool), refs: &[crate::driver::Hash]| {
            for hash in refs {
                lock(blob(hash), true);
            }
        };
        if let Some(operation) = &batch.operation {
            let name = ["operation", namespace.as_str(), operation.as_str()];
            lock(self.number(&name), true);
        }
        for expect in &batch.expect {
            match expect {
                Expect::Absent(key) | Expect::Exists(key) | Expect::Version(key, _) => {
                    lock(self.key(namespace, key), false);
                }
                Expect::LogEnds(log, stream, _) => {
                    lock(self.stream(namespace, log.name, stream.as_str()), false);
                }
                Expect::NoRecord(table, ..) => lock(self.table(namespace, table), true),
                Expect::BlobPresent(hash) => lock(blob(hash), false),
            }
        }
        let mut whole = false;
        for operation in &batch.operations {
            match operation {
                Operation::Put(put) => {
                    lock(self.key(namespace, &put.key), true);
                    // Whoever counts on no record having a value has the table exclusively.
                    lock(self.table(namespace, put.key.table()), false);
                    lock_all(&mut lock, &put.refs);
                }
                Operation::Delete(key) => {
                    whole |= key.table().name == NAMESPACES.name;
                    lock(self.key(namespace, key), true);
                    lock(self.number(&["floor", namespace.as_str()]), true);
                }
                Operation::Append(Append { log, stream, entries, .. }) => {
                    lock(self.stream(namespace, log.name, stream.as_str()), true);
                    for entry in entries {
                        lock_all(&mut lock, &entry.refs);
                    }
                }
                Operation::Trim { log, stream, .. } | Operation::Drop { log, stream } => {
                    lock(self.stream(namespace, log.name, stream.as_str()), true);
                }
                Operation::Rewrite { log, stream, refs, .. } => {
                    lock(self.stream(namespace, log.name, stream.as_str()), true);
                    lock_all(&mut lock, refs);
                }
                Operation::PutBlob(put) => {
                    lock(blob(&put.hash()), true);
                    lock(self.table(namespace, &BLOBS), false);
                }
                Operation::DropBlob(hash) => lock(blob(hash), true),
            }
        }
        whole |= locks.len() > MOST;
        if whole {
            // Records of namespaces are looked at from others, too.
            let beyond: Vec<i64> = batch.expect.iter().filter_map(|e| self.beyond(e)).collect();
            let own = self.name(namespace);
            locks.retain(|name, _| *name == own || beyond.contains(name));
        }
        locks.insert(self.number(&["namespace", namespace.as_str()]), whole);
        locks
    }
}
