//! A namespace at one moment: a connection that holds one read transaction.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use super::errors::map;
use super::readers::blocking;
use super::statements::Sql;
use super::{Sqlite, find, in_sqlite, read};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Snapshot, Want};
use crate::error::Result;
use crate::schema::{Key, Namespace};

#[async_trait]
impl Snapshot for Sqlite {
    async fn snapshot(&self, _: &Namespace) -> Result<Box<dyn Reader>> {
        let readers = Arc::clone(&self.readers);
        let connection = blocking(move || {
            let connection = readers.connect()?;
            // The first read fixes the moment.
            connection.execute_batch("BEGIN; SELECT 1 FROM _store LIMIT 1").map_err(map)?;
            Ok(connection)
        });
        let connection = Arc::new(Mutex::new(connection.await.map_err(in_sqlite)?));
        Ok(Box::new(Frozen { connection, sql: Arc::clone(&self.sql) }))
    }
}

#[derive(Debug)]
struct Frozen {
    connection: Arc<Mutex<Connection>>,
    sql: Arc<Sql>,
}

impl Frozen {
    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Sql) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (connection, sql) = (Arc::clone(&self.connection), Arc::clone(&self.sql));
        let work = move || read(&connection.lock().unwrap_or_else(PoisonError::into_inner), &sql);
        blocking(work).await.map_err(in_sqlite)
    }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let (namespace, keys) = (namespace.clone(), keys.to_vec());
        self.run(move |connection, sql| {
            keys.iter().map(|key| find::get(connection, sql, &namespace, key)).collect()
        })
        .await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let (namespace, find) = (namespace.clone(), find.clone());
        self.run(move |connection, _| find::find(connection, &namespace, &find)).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let (namespace, read) = (namespace.clone(), read.clone());
        self.run(move |connection, sql| read::read(connection, sql, &namespace, &read)).await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let (namespace, hashes) = (namespace.clone(), hashes.to_vec());
        self.run(move |connection, _| read::blobs(connection, &namespace, &hashes, want)).await
    }
}
