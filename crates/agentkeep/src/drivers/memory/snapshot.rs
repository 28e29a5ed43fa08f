//! A reader of one namespace at one moment, while writers go on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::read::View;
use super::space::Space;
use super::{closed, ours};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Want};
use crate::drivers::kernel::Rows;
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Namespace};

/// What stood at the moment. Commits copy what they change for as long as this holds it.
pub(super) struct Frozen {
    pub(super) namespace: Namespace,
    pub(super) space: Arc<Space>,
    pub(super) names: Arc<Rows>,
    /// Set when the store is closed.
    pub(super) closed: Arc<AtomicBool>,
}

impl Frozen {
    fn view<T>(
        &self,
        namespace: &Namespace,
        read: impl FnOnce(View<'_>) -> Result<T>,
    ) -> Result<T> {
        ours(if self.closed.load(Ordering::Acquire) {
            Err(closed())
        } else if *namespace != self.namespace {
            Err(Error::new(Kind::InvalidInput, "the snapshot is of another namespace")
                .at(format!("namespace {namespace:?}"))
                .advice("take a snapshot of this namespace, too"))
        } else {
            read(View::of(&self.space, &self.names))
        })
    }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.view(namespace, |view| view.get(keys))
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        self.view(namespace, |view| view.find(find))
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        self.view(namespace, |view| view.read(read))
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.view(namespace, |view| Ok(view.blobs(hashes, want)))
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({:?})", self.namespace)
    }
}
