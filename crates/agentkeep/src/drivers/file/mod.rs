//! The file driver: a folder of readable JSON, safe by a journal.
//!
//! The journal is what counts; the files are where it has been brought to, and memory holds the
//! records of the namespaces in use. Many processes may share the folder.

mod changes;
mod check;
mod checkpoint;
mod committing;
mod document;
mod draft;
mod escape;
mod folder;
mod group;
mod index;
mod journal;
mod layout;
mod line;
mod load;
mod locks;
mod notice;
mod open;
mod operations_file;
mod options;
mod poll;
mod pretty;
mod reading;
mod seal;
mod snapshot;
mod space;
mod state_file;
mod store;
mod streams;
mod tables;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

pub use self::options::Options;
use self::poll::Poll;
use self::store::{Store, closed};
use self::writer::Writer;
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash,
    Maintain, Read, Reader, Record, Snapshot, Usage, Want, Watch,
};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Log, Namespace, Schema, Stream};

const NAME: &str = "file";

/// The file name of an id or of a key's parts, for the fuzz targets.
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub fn file_name(parts: &[&str]) -> String {
    escape::joined(parts.iter().copied())
}

/// A store in a folder of files.
pub struct Files {
    schema: &'static Schema,
    description: Description,
    store: Arc<Store>,
    writer: Writer,
    poll: Poll,
}

impl Files {
    /// Opens the store in the folder `path`, made with its parents if it is not there.
    ///
    /// # Errors
    /// `InvalidInput` for a file, a link, a folder of something else or another schema, all of
    /// them left untouched; `NewerFormat`; `PermissionDenied`, `NoSpace`, `Unavailable`;
    /// `DurabilityNotMet` for a network file system; `Timeout` when other processes hold the lock
    /// too long; `Corrupt`.
    pub async fn open(schema: &'static Schema, path: &Path, options: Options) -> Result<Self> {
        let path = path.to_path_buf();
        blocking(move || Self::open_now(schema, &path, options)).await.map_err(in_file)
    }

    fn open_now(schema: &'static Schema, path: &Path, options: Options) -> Result<Self> {
        let durability = options.durability;
        let (store, identity) = open::open(schema, path, options)?;
        let description = Description {
            driver: NAME,
            location: store.base.path().display().to_string(),
            durability,
            hints_across_processes: true,
            many_processes: true,
            store_id: identity.store,
            epoch: identity.epoch,
            format: identity.format,
        };
        let store = Arc::new(store);
        let writer = Writer::start(Arc::clone(&store))?;
        Ok(Self { schema, description, store, writer, poll: Poll::default() })
    }

    /// Reads what is in memory; if this process has to learn something first, not on this thread.
    async fn look<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        look: impl Fn(&view::View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.still_open()?;
        if self.store.is_current(namespace)? {
            return look(&view::View::of(&self.store.state(), namespace)?);
        }
        let (store, namespace) = (Arc::clone(&self.store), namespace.clone());
        blocking(move || {
            store.refresh(&namespace)?;
            look(&view::View::of(&store.state(), &namespace)?)
        })
        .await
    }
}

/// Runs work that waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(Error::new(Kind::Unavailable, "the work was broken off").caused_by(error))
        }
    }
}

fn in_file(error: Error) -> Error {
    error.in_driver(NAME)
}

/// The writer's thread ends by itself when it has done what is queued.
impl Drop for Files {
    fn drop(&mut self) {
        self.store.closed.store(true, Ordering::Release);
        self.poll.close();
        self.store.hub.close();
        self.writer.let_go();
    }
}

#[async_trait]
impl Reader for Files {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let keys = keys.to_vec();
        self.look(namespace, move |view| view.get(&keys)).await.map_err(in_file)
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let find = find.clone();
        self.look(namespace, move |view| view.find(&find)).await.map_err(in_file)
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        self.store.still_open().map_err(in_file)?;
        let (store, namespace, read) = (Arc::clone(&self.store), namespace.clone(), read.clone());
        blocking(move || reading::read(&store, &namespace, &read)).await.map_err(in_file)
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.store.still_open().map_err(in_file)?;
        let (store, namespace, hashes) =
            (Arc::clone(&self.store), namespace.clone(), hashes.to_vec());
        blocking(move || view::blobs(&store, &namespace, &hashes, want)).await.map_err(in_file)
    }
}

#[async_trait]
impl Driver for Files {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate().map_err(in_file)?;
        self.writer.commit(batch).await.map_err(in_file)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        self.store.still_open().map_err(in_file)?;
        space::Space::new(self.schema).known_log(log).map_err(in_file)?;
        // First the watch, then a look: what comes between is told.
        let watch = self.store.hub.watch(namespace, log, stream);
        self.poll.ensure(&self.store).map_err(in_file)?;
        if self.store.closed.load(Ordering::Acquire) {
            return Err(in_file(closed()));
        }
        Ok(watch)
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        self.writer.upkeep(check::check).await.map_err(in_file)
    }

    async fn close(&self) -> Result<()> {
        self.store.closed.store(true, Ordering::Release);
        self.poll.close();
        self.store.hub.close();
        self.writer.let_go();
        let ended = self.writer.thread();
        blocking(move || {
            if let Some(thread) = ended {
                let _ = thread.join();
            }
            Ok(())
        })
        .await?;
        self.store.forget();
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn maintenance(&self) -> Option<&dyn Maintain> {
        Some(self)
    }
}

#[async_trait]
impl Snapshot for Files {
    async fn snapshot(&self, namespace: &Namespace) -> Result<Box<dyn Reader>> {
        self.store.still_open().map_err(in_file)?;
        let (store, namespace) = (Arc::clone(&self.store), namespace.clone());
        let frozen = blocking(move || snapshot::Frozen::take(&store, &namespace));
        Ok(Box::new(frozen.await.map_err(in_file)?))
    }
}

#[async_trait]
impl Maintain for Files {
    async fn upgrade(&self) -> Result<u32> {
        self.store.still_open().map_err(in_file)?;
        Ok(self.description.format)
    }

    async fn compact(&self) -> Result<u64> {
        self.writer.upkeep(check::compact).await.map_err(in_file)
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.look(namespace, |view| view.usage()).await.map_err(in_file)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({:?})", self.description.location)
    }
}
