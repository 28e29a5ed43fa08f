//! Cancellation: a signal that work is no longer wanted.

use std::fmt;
use std::future::Future;

use tokio::sync::watch;

use crate::json::Json;

/// Gives a signal.
#[derive(Debug, Clone)]
pub struct AbortController {
    sender: watch::Sender<Option<Json>>,
}

/// Tells whether, when and why work is no longer wanted; clones tell the same.
#[derive(Clone)]
pub struct AbortSignal {
    receiver: watch::Receiver<Option<Json>>,
}

/// Work ended because it was no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aborted {
    /// Why, as the one who aborted said.
    pub reason: Json,
}

impl Default for AbortController {
    fn default() -> Self {
        Self { sender: watch::Sender::new(None) }
    }
}

impl AbortController {
    /// The signal that this gives.
    pub fn signal(&self) -> AbortSignal {
        AbortSignal { receiver: self.sender.subscribe() }
    }

    /// Gives the signal; only the first reason counts.
    pub fn abort(&self, reason: Json) {
        self.sender.send_if_modified(|held| {
            let first = held.is_none();
            held.get_or_insert(reason);
            first
        });
    }
}

impl AbortSignal {
    /// Why the work is no longer wanted; `None` while it is.
    pub fn reason(&self) -> Option<Json> {
        self.receiver.borrow().clone()
    }

    /// Fails when the signal was given.
    ///
    /// # Errors
    /// [`Aborted`].
    pub fn check(&self) -> Result<(), Aborted> {
        self.reason().map_or(Ok(()), |reason| Err(Aborted { reason }))
    }

    /// Waits for the signal; for ever, when nobody can give it any more.
    pub async fn aborted(&self) -> Aborted {
        let mut receiver = self.receiver.clone();
        let held = receiver.wait_for(Option::is_some).await;
        match held.ok().and_then(|held| held.clone()) {
            Some(reason) => Aborted { reason },
            None => std::future::pending().await,
        }
    }

    /// What `work` gives, unless the signal comes first. The work is then dropped.
    ///
    /// # Errors
    /// [`Aborted`]; also when the signal was given before, and the work is not begun.
    pub async fn race<T>(&self, work: impl Future<Output = T>) -> Result<T, Aborted> {
        self.check()?;
        let (aborted, work) = (std::pin::pin!(self.aborted()), std::pin::pin!(work));
        // The signal is looked at first, so that work which gives it and ends does not win.
        match futures_util::future::select(work, aborted).await {
            futures_util::future::Either::Left((done, _)) => self.check().map(|()| done),
            futures_util::future::Either::Right((aborted, _)) => Err(aborted),
        }
    }
}

impl fmt::Debug for AbortSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AbortSignal({:?})", self.reason())
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agent session aborted")
    }
}

impl std::error::Error for Aborted {}
