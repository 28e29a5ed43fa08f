//! The SQLite driver: the embedded default.
//!
//! One writer, on the caller's thread or on its own with group commit, a few readers, WAL and
//! `synchronous=FULL`; many processes may share the file. A row of every kind carries a checksum, verified whenever it is read.

mod apply;
mod blobs;
mod cache;
mod check;
mod check_rest;
mod ddl;
mod errors;
mod find;
mod group;
mod names;
mod numbering;
mod open;
mod operations;
mod options;
mod pace;
mod poll;
mod read;
mod readers;
mod records;
mod recovered;
mod rows;
mod snapshot;
mod statements;
mod streams;
mod sums;
#[cfg(test)]
mod tests;
mod upkeep;
mod work;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::errors::damage_at;
use self::open::longest_wait;
pub use self::options::Options;
use self::poll::Poll;
use self::readers::{Place, Readers, blocking};
use self::statements::Sql;
use self::writer::Writer;
use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Durability, Entries, Find, Found,
    FoundBlob, Hash, Hub, Maintain, Read, Reader, Record, Snapshot, Want, Watch, Which,
};
use crate::error::{Error, Result};
use crate::schema::{Key, Log, Namespace, Schema, Stream};

/// A store in an SQLite file.
pub struct Sqlite {
    schema: &'static Schema,
    description: Description,
    sql: Arc<Sql>,
    hub: Hub,
    poll: Poll,
    writer: Writer,
    readers: Arc<Readers>,
}

impl Sqlite {
    /// Opens the store at `path`, made with its folder if it is not there.
    ///
    /// # Errors
    /// `InvalidInput` for a folder, another program's file or another schema, all of them left
    /// untouched; `NewerFormat`; `PermissionDenied`, `NoSpace`, `Unavailable`; `DurabilityNotMet`
    /// for a network file system or an SQLite that can lose commits; `Timeout` when other
    /// processes hold the lock too long; `Corrupt`.
    pub async fn open(schema: &'static Schema, path: &Path, options: Options) -> Result<Self> {
        let path = path.to_path_buf();
        blocking(move || Self::open_now(schema, &path, options)).await.map_err(in_sqlite)
    }

    fn open_now(schema: &'static Schema, path: &Path, options: Options) -> Result<Self> {
        let path = open::prepare(schema, path, &options)?;
        let place = path.display().to_string();
        let (connection, identity) =
            open::open(schema, &path, &options).map_err(|error| error.at(place.clone()))?;
        if options.durability == Durability::Power {
            recovered::make_safe(&connection, &path, longest_wait(options.timeout))?;
        }
        let description = Description {
            driver: "sqlite",
            location: place,
            durability: options.durability,
            hints_across_processes: true,
            many_processes: true,
            store_id: identity.store_id,
            epoch: identity.epoch,
            format: schema.version,
        };
        let (sql, hub) = (Arc::new(Sql::new(schema)), Hub::default());
        let writer = Writer::start(connection, Arc::clone(&sql), hub.clone(), options.timeout)?;
        let readers = Arc::new(Readers::new(path, options));
        Ok(Self { schema, description, sql, hub, poll: Poll::default(), writer, readers })
    }
}

impl Sqlite {
    /// Ends all but the writer, which first finishes what is queued.
    fn end(&self) {
        self.poll.close();
        self.hub.close();
        self.readers.close();
    }
}

/// The writer's thread ends by itself when its queue does.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.end();
    }
}

fn in_sqlite(error: Error) -> Error {
    error.in_driver("sqlite")
}

/// Most records or entries that a small read asks for, or stretches that it goes through.
const FEW: usize = 256;

fn place(few: bool) -> Place {
    if few { Place::Here } else { Place::Elsewhere }
}

fn place_of(read: &Read) -> Place {
    let parts = match &read.which {
        Which::Stretches(stretches) => stretches.len(),
        Which::Ids(ids) => ids.len(),
        Which::Turn(_) => 1,
    };
    place(read.limit <= FEW && parts <= FEW / 4)
}

#[async_trait]
impl Reader for Sqlite {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let (sql, namespace, keys) = (Arc::clone(&self.sql), namespace.clone(), keys.to_vec());
        let few = place(keys.len() <= FEW / 4);
        let read = self.readers.run(few, move |connection, budget| {
            find::all(connection, &sql, &namespace, &keys, budget)
        });
        read.await.map_err(in_sqlite)
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let (sql, namespace, find) = (Arc::clone(&self.sql), namespace.clone(), find.clone());
        let read = self.readers.run(place(find.limit <= FEW), move |connection, budget| {
            find::find(connection, &sql, &namespace, &find, budget)
        });
        read.await.map_err(in_sqlite)
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let (sql, namespace, read) = (Arc::clone(&self.sql), namespace.clone(), read.clone());
        let read = self.readers.run(place_of(&read), move |connection, budget| {
            read::read(connection, &sql, &namespace, &read, budget)
        });
        read.await.map_err(in_sqlite)
    }

    async fn get_and_read(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        read: &Read,
    ) -> Result<(Vec<Option<Record>>, Entries)> {
        read.validate()?;
        let (sql, namespace) = (Arc::clone(&self.sql), namespace.clone());
        let (keys, read) = (keys.to_vec(), read.clone());
        let both = self.readers.run(place_of(&read), move |connection, budget| {
            let records = find::all(connection, &sql, &namespace, &keys, budget)?;
            Ok((records, read::read(connection, &sql, &namespace, &read, budget)?))
        });
        both.await.map_err(in_sqlite)
    }

    async fn get_and_find(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        find: &Find,
    ) -> Result<(Vec<Option<Record>>, Found)> {
        find.validate()?;
        let (sql, namespace) = (Arc::clone(&self.sql), namespace.clone());
        let (keys, find) = (keys.to_vec(), find.clone());
        let both = self.readers.run(place(find.limit <= FEW), move |connection, budget| {
            let records = find::all(connection, &sql, &namespace, &keys, budget)?;
            Ok((records, find::find(connection, &sql, &namespace, &find, budget)?))
        });
        both.await.map_err(in_sqlite)
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let (namespace, hashes) = (namespace.clone(), hashes.to_vec());
        let read = self.readers.run(Place::Elsewhere, move |connection, _| {
            read::blobs(connection, &namespace, &hashes, want)
        });
        read.await.map_err(in_sqlite)
    }
}

#[async_trait]
impl Driver for Sqlite {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate()?;
        let committed = self.writer.commit(batch).await;
        committed.map_err(|error| in_sqlite(damage_at(error, &self.description.location)))
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        self.readers.refuse_if_closed().map_err(in_sqlite)?;
        // First the receiver, so that the polling thread finds somebody to serve.
        let watch = self.hub.watch(namespace, log, stream);
        let (poll, hub) = (self.poll.clone(), self.hub.clone());
        let (readers, commits) = (Arc::clone(&self.readers), self.writer.commits());
        let ensured = blocking(move || poll.ensure(&hub, &commits, || readers.connect()));
        ensured.await.map_err(in_sqlite)?;
        Ok(watch)
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        let (schema, sql) = (self.schema, Arc::clone(&self.sql));
        let read = self
            .readers
            .run(Place::Elsewhere, move |connection, _| check::check(schema, &sql, connection));
        read.await.map_err(|error| in_sqlite(damage_at(error, &self.description.location)))
    }

    async fn close(&self) -> Result<()> {
        self.end();
        if let Some(thread) = self.writer.close() {
            blocking(move || {
                let _ = thread.join();
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshot> {
        Some(self)
    }

    fn maintenance(&self) -> Option<&dyn Maintain> {
        Some(self)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqlite({:?})", self.description.location)
    }
}
