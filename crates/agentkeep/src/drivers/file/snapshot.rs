//! A reader of one namespace at one moment, while writers go on.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::locks::Pin;
use super::space::Space;
use super::store::Store;
use super::view::{self, View};
use super::{blocking, in_file, reading};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Want};
use crate::drivers::io_error;
use crate::drivers::kernel::Rows;
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Namespace};

/// What stood at the moment. No file that it needs is removed while it is there.
pub(super) struct Frozen {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    namespace: Namespace,
    space: Arc<Space>,
    names: Arc<Rows>,
    _pin: Pin,
}

impl Frozen {
    pub(super) fn take(store: &Arc<Store>, namespace: &Namespace) -> Result<Self> {
        // First the pin: what is removed after it was no more at the moment taken after it.
        let pin = store.pins.pin().map_err(|error| {
            io_error(&error, "a snapshot cannot be taken", &store.base.place("pins"))
        })?;
        store.refresh(namespace)?;
        let state = store.state();
        let (space, names) = (Arc::clone(&state.home(namespace)?.space), Arc::clone(&state.names));
        drop(state);
        let (store, namespace) = (Arc::clone(store), namespace.clone());
        Ok(Self { inner: Arc::new(Inner { store, namespace, space, names, _pin: pin }) })
    }

    async fn run<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let run = async {
            inner.store.still_open()?;
            if *namespace != inner.namespace {
                return Err(Error::new(Kind::InvalidInput, "the snapshot is of another namespace")
                    .at(format!("namespace {namespace:?}"))
                    .advice("take a snapshot of this namespace, too"));
            }
            blocking(move || work(&inner)).await
        };
        run.await.map_err(in_file)
    }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let keys = keys.to_vec();
        self.run(namespace, move |inner| inner.view().get(&keys)).await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let find = find.clone();
        self.run(namespace, move |inner| inner.view().find(&find)).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let read = read.clone();
        self.run(namespace, move |inner| {
            reading::read_at(&inner.store, &inner.namespace, &inner.space, &read)
        })
        .await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let hashes = hashes.to_vec();
        self.run(namespace, move |inner| {
            let there = view::present(&inner.space, &hashes)?;
            view::fetch(&inner.store, &inner.namespace, &hashes, &there, want)
        })
        .await
    }
}

impl Inner {
    fn view(&self) -> View<'_> {
        View { space: &self.space, names: &self.names }
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({:?})", self.inner.namespace)
    }
}
