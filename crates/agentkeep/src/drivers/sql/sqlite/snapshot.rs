//! A namespace at one moment: a connection that holds one read transaction.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use super::errors::map;
use super::readers::{Budget, Readers, blocking};
use super::statements::Sql;
use super::{Sqlite, find, in_sqlite, read};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Snapshot, Want};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Namespace};

#[async_trait]
impl Snapshot for Sqlite {
    async fn snapshot(&self, namespace: &Namespace) -> Result<Box<dyn Reader>> {
        let (readers, opening) = (Arc::clone(&self.readers), Arc::clone(&self.readers));
        let connection = blocking(move || {
            let connection = opening.connect()?;
            // The first read fixes the moment.
            connection.execute_batch("BEGIN; SELECT 1 FROM _store LIMIT 1").map_err(map)?;
            Ok(connection)
        });
        let connection = Arc::new(Mutex::new(connection.await.map_err(in_sqlite)?));
        let (namespace, sql) = (namespace.clone(), Arc::clone(&self.sql));
        Ok(Box::new(Frozen { namespace, connection, sql, readers }))
    }
}

#[derive(Debug)]
struct Frozen {
    namespace: Namespace,
    connection: Arc<Mutex<Connection>>,
    sql: Arc<Sql>,
    /// They know when the store is closed.
    readers: Arc<Readers>,
}

impl Frozen {
    async fn run<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        read: impl FnOnce(&Connection, &Sql, &Namespace) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.refuse_if_closed().map_err(in_sqlite)?;
        if *namespace != self.namespace {
            let error = Error::new(Kind::InvalidInput, "the snapshot is of another namespace");
            let error = error.at(format!("namespace {namespace:?}"));
            return Err(in_sqlite(error.advice("take a snapshot of this namespace, too")));
        }
        let (connection, sql) = (Arc::clone(&self.connection), Arc::clone(&self.sql));
        let namespace = namespace.clone();
        let work = move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read(&connection, &sql, &namespace)
        };
        blocking(work).await.map_err(in_sqlite)
    }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let keys = keys.to_vec();
        self.run(namespace, move |connection, sql, namespace| {
            find::all(connection, sql, namespace, &keys, &Budget::endless())
        })
        .await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let find = find.clone();
        self.run(namespace, move |connection, sql, namespace| {
            find::find(connection, sql, namespace, &find, &Budget::endless())
        })
        .await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let read = read.clone();
        self.run(namespace, move |connection, sql, namespace| {
            read::read(connection, sql, namespace, &read, &Budget::endless())
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
        self.run(namespace, move |connection, _, namespace| {
            read::blobs(connection, namespace, &hashes, want)
        })
        .await
    }
}
