//! Hints about commits of other processes: a thread watches the generation while somebody watches
//! the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::notice::Notice;
use super::store::Store;
use crate::error::{Error, Kind, Result};

/// The thread, if it runs.
#[derive(Debug, Default)]
pub(super) struct Poll {
    running: Arc<Mutex<bool>>,
    closed: Arc<AtomicBool>,
}

impl Poll {
    /// Sees to it that the thread runs, and that this process knows what is committed by now.
    pub(super) fn ensure(&self, store: &Arc<Store>) -> Result<()> {
        store.catch_up()?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            return Ok(());
        }
        let (state, closed) = (Arc::clone(&self.running), Arc::clone(&self.closed));
        let store = Arc::clone(store);
        let run = move || {
            let mut notice = Notice::of(&store.base.place("generation"));
            let mut quiet = false;
            loop {
                notice.wait(quiet);
                let mut running = state.lock().unwrap_or_else(PoisonError::into_inner);
                // Under the lock: whoever begins to watch now finds the thread running, or not.
                if closed.load(Ordering::Acquire) || !store.hub.is_watched() {
                    *running = false;
                    return;
                }
                drop(running);
                let before = store.state().position;
                // An error is no reason to be silent: readers will meet it.
                if store.catch_up().is_err() {
                    store.hub.all();
                }
                quiet = before == store.state().position;
            }
        };
        let thread = std::thread::Builder::new().name("agentkeep-poll".to_owned()).spawn(run);
        thread.map_err(|error| {
            Error::new(Kind::Unavailable, "the watching thread cannot be started").caused_by(error)
        })?;
        *running = true;
        Ok(())
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
