//! Wake-up hints: something was appended, go and read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Batch, Operation};
use crate::schema::{Log, Namespace, Stream};

/// Receives hints. A hint may come without a change, and one hint may stand for many changes; a
/// change after [`Driver::watch`](super::Driver::watch) returned is never left without one.
#[derive(Debug)]
pub struct Watch(watch::Receiver<u64>);

impl Watch {
    /// Waits for the next hint. False: the driver was closed, no more hints come.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Topic {
    namespace: Namespace,
    log: &'static str,
    stream: Option<Stream>,
}

/// Distributes hints within a process: what most drivers need to implement
/// [`Driver::watch`](super::Driver::watch).
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<Topics>>);

type Topics = HashMap<Topic, watch::Sender<u64>>;

impl Hub {
    /// Hints about one stream, or about all streams of a log.
    pub fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Watch {
        let topic = Topic { namespace: namespace.clone(), log: log.name, stream: stream.cloned() };
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, sender| !sender.is_closed());
        Watch(topics.entry(topic).or_insert_with(|| watch::Sender::new(0)).subscribe())
    }

    /// True while somebody watches.
    pub fn is_watched(&self) -> bool {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, sender| !sender.is_closed());
        !topics.is_empty()
    }

    /// Tells of what `batch`, now committed, appended.
    pub fn committed(&self, batch: &Batch) {
        self.all_committed([batch]);
    }

    /// Tells of what each batch, now committed, appended.
    pub fn all_committed<'a>(&self, batches: impl IntoIterator<Item = &'a Batch>) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.is_empty() {
            return;
        }
        for batch in batches {
            for operation in &batch.operations {
                if let Operation::Append(append) = operation {
                    tell(&topics, &batch.namespace, append.log.name, &append.stream);
                }
            }
        }
    }

    /// Tells that something was appended to a stream.
    pub fn appended(&self, namespace: &Namespace, log: &'static str, stream: &Stream) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.is_empty() {
            tell(&topics, namespace, log, stream);
        }
    }

    /// Wakes everybody: another process may have appended anything.
    pub fn all(&self) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.values().for_each(|sender| sender.send_modify(|n| *n = n.wrapping_add(1)));
    }

    /// Ends all watches.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn tell(topics: &Topics, namespace: &Namespace, log: &'static str, stream: &Stream) {
    for stream in [None, Some(stream.clone())] {
        let topic = Topic { namespace: namespace.clone(), log, stream };
        if let Some(sender) = topics.get(&topic) {
            sender.send_modify(|n| *n = n.wrapping_add(1));
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}
