//! The stores that a command has opened, for when it does not come to its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentkeep::Store;

/// How long closing may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shared by all that a command does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Vec<Store>>>);

impl Opened {
    pub(crate) fn add(&self, store: &Store) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
    }

    /// Closes them: what the command has left at a server is removed before.
    pub(crate) async fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for store in all {
                // The command has ended already; its own error says more.
                let _ = store.close().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, closing).await;
    }
}
