//! One moment of the store: a transaction of its own on a connection of its own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;

use super::connections::{Connections, Failed};
use super::errors::{late, map};
use super::{Postgres, find, get, in_postgres, read};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Snapshot, Want};
use crate::error::Result;
use crate::schema::{Key, Namespace, Schema};

/// What a snapshot's transaction begins with. Its moment is that of its first question.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";

/// Ends with its connection.
struct Frozen {
    schema: &'static Schema,
    connections: Arc<Connections>,
    client: ClientWrapper,
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({:?})", self.connections)
    }
}

#[async_trait]
impl Snapshot for Postgres {
    async fn snapshot(&self, _namespace: &Namespace) -> Result<Box<dyn Reader>> {
        let begun = async {
            let (client, _told) = self.connections.single().await?;
            client.batch_execute(BEGIN).await.map_err(|error| map(&error))?;
            Ok(client)
        };
        let client = begun.await.map_err(in_postgres)?;
        let connections = Arc::clone(&self.connections);
        Ok(Box::new(Frozen { schema: self.schema, connections, client }))
    }
}

impl Frozen {
    async fn within<T>(
        &self,
        read: impl Future<Output = std::result::Result<T, Failed>>,
    ) -> Result<T> {
        self.connections.refuse_if_closed().map_err(in_postgres)?;
        let read = tokio::time::timeout(self.connections.options.timeout, read).await;
        read.unwrap_or_else(|_| Err(Failed::Here(late())))
            .map_err(|failed| in_postgres(failed.into()))
    }
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.within(get::get(self.schema, &self.connections, &self.client, namespace, keys)).await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        self.within(find::find(self.schema, &self.connections, &self.client, namespace, find)).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        self.within(read::read(self.schema, &self.connections, &self.client, namespace, read)).await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.within(get::blobs(&self.connections, &self.client, namespace, hashes, want)).await
    }
}
