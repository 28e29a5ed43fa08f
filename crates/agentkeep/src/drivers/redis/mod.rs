//! The Redis driver: the same contract on Redis 7 and later, one server or a cluster.
//!
//! A commit is one call of one script, which decides everything before it writes anything; what it
//! may need is named by keys with the namespace as their hash tag. Why it is so stands in
//! `docs/decisions/0014-redis.md`.

mod appending;
mod calling;
mod check;
mod cluster;
mod committer;
mod connect;
mod encode;
mod errors;
mod find;
mod foreign;
mod full;
mod grouping;
mod held;
mod hints;
mod keys;
mod lanes;
mod link;
mod look;
mod masters;
mod open;
mod options;
mod plan;
mod queue;
mod reader;
mod rows;
mod scripts;
mod seen;
mod settings;
mod slots;
mod snapshot;
mod successor;
mod upkeep;
mod url;
mod writing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use self::committer::Committer;
pub use self::foreign::Foreign;
use self::hints::{Hints, Listening};
use self::keys::Space;
use self::link::Link;
pub use self::options::Options;
use self::reader::Place;
use self::scripts::Scripts;
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash, Hub,
    Maintain, Read, Reader, Record, Snapshot, Want, Watch,
};
use crate::drivers::server::known::{known_log, refuse_unknown};
use crate::error::{Error, Result};
use crate::schema::{Key, Log, Namespace, Schema, Stream};

/// A store under a base of keys on a Redis server or cluster.
pub struct Redis {
    schema: &'static Schema,
    description: Description,
    link: Arc<Link>,
    scripts: Arc<Scripts>,
    committer: Arc<Committer>,
    hub: Hub,
    hints: Hints,
    /// The runtime that the store was opened in.
    runtime: Handle,
    /// The format that opening found.
    found: u32,
}

impl Redis {
    /// Opens the store under the base that the options name, made if it is not there.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` when the server cannot be reached; `PermissionDenied`;
    /// `Unsupported` for a server that is too old; `DurabilityNotMet` for settings that lose what
    /// was acknowledged, and for a replica; `InvalidInput` for a base that holds something else;
    /// `NotFound`; `NewerFormat`; `Corrupt`.
    pub async fn open(schema: &'static Schema, options: Options) -> Result<Self> {
        let location = options.location();
        let opened = Self::open_now(schema, options).await;
        opened.map_err(|error| in_redis(error.at(location)))
    }

    async fn open_now(schema: &'static Schema, options: Options) -> Result<Self> {
        let (location, durability) = (options.location(), options.durability);
        let channel = format!("{}:", options.base);
        let link = Arc::new(Link::open(options).await?);
        let scripts = Arc::new(Scripts::new());
        let opened = open::open(schema, &link, &scripts).await?;
        let hub = Hub::default();
        // Channels know no databases: the store's own id tells it from others.
        let channel = channel + &opened.store_id;
        let committer =
            Committer::new(schema, Arc::clone(&link), Arc::clone(&scripts), channel, hub.clone());
        let committer = Arc::new(committer);
        let description = Description {
            driver: "redis",
            location,
            durability,
            hints_across_processes: true,
            many_processes: true,
            store_id: opened.store_id,
            epoch: opened.epoch,
            format: schema.version,
        };
        let (hints, runtime, found) = (Hints::default(), Handle::current(), opened.before);
        Ok(Self { schema, description, link, scripts, committer, hub, hints, runtime, found })
    }

    /// How often something was sent to the server for a caller.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub fn sent(&self) -> usize {
        self.link.sent.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The keys that a commit of the batch names.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub fn keys_of(&self, batch: &Batch) -> Result<Vec<String>> {
        self.committer.keys_of(batch)
    }

    fn place<'a>(&'a self, namespace: &'a Namespace) -> Result<Place<'a>> {
        self.link.refuse_if_closed()?;
        Ok(Place {
            schema: self.schema,
            link: &self.link,
            scripts: &self.scripts,
            namespace,
            space: Space::new(&self.link.options.base, namespace),
            names: None,
            alive: None,
            held: None,
        })
    }
}

/// Tasks end by themselves when nobody sends them anything any more.
impl Drop for Redis {
    fn drop(&mut self) {
        self.hints.abort();
        self.hub.close();
        // What readers have left is removed first, by those who can wait.
        match Handle::try_current() {
            Ok(runtime) if !self.link.is_settled() => {
                let link = Arc::clone(&self.link);
                runtime.spawn(async move {
                    link.settled().await;
                    link.end();
                });
            }
            _ => self.link.end(),
        }
    }
}

fn in_redis(error: Error) -> Error {
    error.in_driver("redis")
}

#[async_trait]
impl Reader for Redis {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let at = self.place(namespace).map_err(in_redis)?;
        reader::get(&at, keys).await.map_err(in_redis)
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let at = self.place(namespace).map_err(in_redis)?;
        find::find(&at, find).await.map_err(in_redis)
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let at = self.place(namespace).map_err(in_redis)?;
        reader::read(&at, read).await.map_err(in_redis)
    }

    /// Sent together: one round trip for both.
    async fn get_and_read(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        read: &Read,
    ) -> Result<(Vec<Option<Record>>, Entries)> {
        read.validate()?;
        let at = self.place(namespace).map_err(in_redis)?;
        let (records, entries) = (reader::get(&at, keys), reader::read(&at, read));
        let (records, entries) = futures_util::future::join(records, entries).await;
        Ok((records.map_err(in_redis)?, entries.map_err(in_redis)?))
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let at = self.place(namespace).map_err(in_redis)?;
        reader::blobs(&at, hashes, want).await.map_err(in_redis)
    }
}

#[async_trait]
impl Driver for Redis {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate()?;
        refuse_unknown(self.schema, &batch).map_err(in_redis)?;
        self.committer.commit(batch).await.map_err(in_redis)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        self.link.refuse_if_closed().map_err(in_redis)?;
        known_log(self.schema, log).map_err(in_redis)?;
        // First the receiver, so that the listening task finds somebody to serve.
        let watch = self.hub.watch(namespace, log, stream);
        let listening = || Listening {
            schema: self.schema,
            link: Arc::clone(&self.link),
            hub: self.hub.clone(),
            channel: self.committer.channel.clone(),
            runtime: self.runtime.clone(),
        };
        let ensured = self.hints.ensure(listening);
        let ensured = tokio::time::timeout(self.link.options.timeout, ensured).await;
        ensured.unwrap_or_else(|_| Err(errors::late())).map_err(in_redis)?;
        Ok(watch)
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        self.link.refuse_if_closed().map_err(in_redis)?;
        check::check(self.schema, &self.link, &self.scripts).await.map_err(in_redis)
    }

    async fn close(&self) -> Result<()> {
        self.hints.close().await;
        self.link.close().await;
        self.hub.close();
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn maintenance(&self) -> Option<&dyn Maintain> {
        Some(self)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({:?})", self.description.location)
    }
}
