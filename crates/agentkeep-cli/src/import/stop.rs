//! Ctrl-C: the import ends at the next point at which nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentkeep::{Error, Kind, Result};

/// Knows whether somebody wants the import to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    wanted: Arc<AtomicBool>,
}

impl Stop {
    /// Listens for Ctrl-C from now on.
    pub(crate) fn listening() -> Self {
        let stop = Self::default();
        let wanted = Arc::clone(&stop.wanted);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                wanted.store(true, Ordering::Relaxed);
            }
            // The second time at once: nothing that is half done shows then either.
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
        stop
    }

    /// An error once Ctrl-C was pressed; `advice` says how to go on.
    pub(crate) fn check(&self, advice: impl FnOnce() -> String) -> Result<()> {
        if !self.wanted.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::new(Kind::Unavailable, "the import was interrupted")
            .retryable(false)
            .advice(advice()))
    }
}
