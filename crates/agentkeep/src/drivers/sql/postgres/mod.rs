//! The PostgreSQL driver: the same contract on the server that people already run.
//!
//! Tables with real columns, made from the schema; a commit is one call of one function, which
//! callers that come together share; what it counts on is locked by name before it is read. Why it
//! is so stands in `docs/decisions/0010-postgres.md`.

mod alarm;
mod answer;
mod append_sql;
mod appending;
mod between;
mod calling;
mod check;
mod columns;
mod commit_sql;
mod committer;
mod connections;
mod ddl;
mod encode;
mod errors;
mod find;
mod foreign;
mod get;
mod hints;
mod join;
mod lanes;
mod line;
mod locks;
mod lone;
mod open;
mod options;
mod passfile;
mod read;
mod resolve;
mod rows;
mod settings;
mod snapshot;
mod tls;
mod upkeep;
mod url;
mod wire;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use self::committer::{Committer, Shared};
use self::connections::{Connections, reading};
pub use self::foreign::Foreign;
use self::hints::{Hints, Listening};
use self::locks::Names;
use self::lone::Lone;
pub use self::options::{Options, Tls};
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash, Hub,
    Maintain, Read, Reader, Record, Snapshot, Want, Watch,
};
use crate::drivers::server::known;
use crate::error::{Error, Result};
use crate::schema::{Key, Log, Namespace, Schema, Stream};

/// A store in a schema of a PostgreSQL database.
pub struct Postgres {
    schema: &'static Schema,
    description: Description,
    connections: Arc<Connections>,
    committer: Committer,
    hub: Hub,
    hints: Hints,
    shared: Arc<Shared>,
    /// The format that opening found.
    found: u32,
}

impl Postgres {
    /// Opens the store in the schema that the options name, made if it is not there.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` when the server cannot be reached; `PermissionDenied`;
    /// `NotFound` for a database that is not there; `Unsupported` for a server that is too old or
    /// set up otherwise than needed; `DurabilityNotMet` for settings that lose what was
    /// acknowledged, and for a replica; `InvalidInput` for a schema that holds something else;
    /// `NewerFormat`; `Corrupt`.
    pub async fn open(schema: &'static Schema, options: Options) -> Result<Self> {
        Self::open_now(schema, options).await.map_err(in_postgres)
    }

    async fn open_now(schema: &'static Schema, options: Options) -> Result<Self> {
        let location = options.location();
        let durability = options.durability;
        let connections = Arc::new(Connections::new(options)?);
        let opened = open::open(schema, &connections).await;
        let opened = opened.map_err(|error| error.at(location.clone()))?;
        let names = Names::new(&opened.identity.store_id);
        let place = &connections.options.schema;
        let synced = settings::synced(durability);
        let statement = |function: &str, parameters| statement(function, parameters, synced);
        let call = statement(&commit_sql::name(schema, place), commit_sql::PARAMETERS.len() + 1);
        let append = |log: &&Log| {
            let function = append_sql::name(schema, log, place);
            (log.name, statement(&function, append_sql::PARAMETERS.len()))
        };
        let hub = Hub::default();
        let channel = format!("agentkeep_{}", opened.identity.store_id);
        let shared = Arc::new(Shared {
            schema,
            connections: Arc::clone(&connections),
            hub: hub.clone(),
            call,
            appends: schema.logs.iter().map(append).collect(),
            lone: Lone::new(place, names.listeners(), &channel, synced),
            names,
            channel,
            unusual: AtomicU64::new(0),
            streams: Mutex::default(),
            time: AtomicI64::new(0),
            calls: AtomicU64::new(0),
        });
        let description = Description {
            driver: "postgres",
            location,
            durability,
            hints_across_processes: true,
            many_processes: true,
            store_id: opened.identity.store_id,
            epoch: opened.identity.epoch,
            format: schema.version,
        };
        let committer = Committer::start(Arc::clone(&shared));
        let found = opened.before;
        let hints = Hints::default();
        Ok(Self { schema, description, connections, committer, hub, hints, shared, found })
    }

    /// The SQL that makes a store in a schema, or brings one of an older format up to date: for
    /// roles that may not do it themselves. `before`: the format that is there, 0 for none.
    pub fn statements(schema: &Schema, place: &str, before: u32) -> Vec<String> {
        open::script(schema, place, before)
    }

    /// Whether statements are prepared by name: not behind a pooler.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub fn prepares(&self) -> bool {
        self.connections.prepares()
    }

    fn end(&self) {
        self.connections.close();
        self.hub.close();
    }
}

/// Tasks end by themselves when nobody sends them anything any more.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.hints.abort();
        self.end();
    }
}

/// The statement that calls a function, if the condition holds.
fn statement(function: &str, parameters: usize, condition: &str) -> Arc<str> {
    let parameters: Vec<String> = (1..=parameters).map(|i| format!("${i}")).collect();
    format!("SELECT {function}({}) WHERE {condition}", parameters.join(", ")).into()
}

fn in_postgres(error: Error) -> Error {
    error.in_driver("postgres")
}

#[async_trait]
impl Reader for Postgres {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let read = reading!(self.connections, |client| {
            get::get(self.schema, &self.connections, client, namespace, keys)
        });
        read.map_err(in_postgres)
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let read = reading!(self.connections, |client| {
            find::find(self.schema, &self.connections, client, namespace, find)
        });
        read.map_err(in_postgres)
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let read = reading!(self.connections, |client| {
            read::read(self.schema, &self.connections, client, namespace, read)
        });
        read.map_err(in_postgres)
    }

    /// Sent together: one round trip for both.
    async fn get_and_read(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        read: &Read,
    ) -> Result<(Vec<Option<Record>>, Entries)> {
        read.validate()?;
        let both = reading!(self.connections, |client| async {
            let records = get::get(self.schema, &self.connections, client, namespace, keys);
            let entries = read::read(self.schema, &self.connections, client, namespace, read);
            let (records, entries) = futures_util::future::join(records, entries).await;
            Ok((records?, entries?))
        });
        both.map_err(in_postgres)
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let read = reading!(self.connections, |client| {
            get::blobs(&self.connections, client, namespace, hashes, want)
        });
        read.map_err(in_postgres)
    }
}

#[async_trait]
impl Driver for Postgres {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate()?;
        known::refuse_unknown(self.schema, &batch).map_err(in_postgres)?;
        self.committer.commit(batch).await.map_err(in_postgres)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        self.connections.refuse_if_closed().map_err(in_postgres)?;
        known::known_log(self.schema, log).map_err(in_postgres)?;
        // First the receiver, so that the listening task finds somebody to serve.
        let watch = self.hub.watch(namespace, log, stream);
        let listening = || Listening {
            schema: self.schema,
            connections: Arc::clone(&self.connections),
            hub: self.hub.clone(),
            channel: self.shared.channel.clone(),
            lock: self.shared.names.listeners(),
            runtime: self.committer.runtime().clone(),
        };
        let ensured = self.hints.ensure(listening);
        let ensured = tokio::time::timeout(self.connections.options.timeout, ensured).await;
        ensured.unwrap_or_else(|_| Err(errors::late())).map_err(in_postgres)?;
        Ok(watch)
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    /// Takes as long as it takes: no deadline.
    async fn check(&self) -> Result<CheckReport> {
        let checked = async {
            let (client, _told) = self.connections.single().await?;
            client.batch_execute(snapshot::BEGIN).await.map_err(|error| errors::map(&error))?;
            let place = &self.connections.options.schema;
            let report = check::check(self.schema, place, &client).await.map_err(Error::from)?;
            client.batch_execute("COMMIT").await.map_err(|error| errors::map(&error))?;
            Ok(report)
        };
        checked.await.map_err(in_postgres)
    }

    async fn close(&self) -> Result<()> {
        self.hints.close().await;
        self.end();
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn maintenance(&self) -> Option<&dyn Maintain> {
        Some(self)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({:?})", self.description.location)
    }
}
