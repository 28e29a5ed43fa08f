//! A store at one moment: reads answer from a snapshot, writes are refused.

use std::sync::Arc;

use async_trait::async_trait;

use crate::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash,
    Read, Reader, Record, Want, Watch,
};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Log, Namespace, Stream};

/// One moment of one namespace, as a driver.
#[derive(Debug)]
pub(crate) struct Frozen {
    driver: Arc<dyn Driver>,
    reader: Box<dyn Reader>,
}

impl Frozen {
    pub(crate) async fn take(driver: &Arc<dyn Driver>, namespace: &Namespace) -> Result<Self> {
        let snapshots = driver.snapshots().ok_or_else(|| {
            Error::new(Kind::Unsupported, "this driver cannot show one moment of a store")
        })?;
        let reader = snapshots.snapshot(namespace).await?;
        Ok(Self { driver: Arc::clone(driver), reader })
    }
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("a store at one moment cannot be {what}"))
        .advice("do that with the store itself")
}

#[async_trait]
impl Reader for Frozen {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.reader.get(namespace, keys).await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        self.reader.find(namespace, find).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        self.reader.read(namespace, read).await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.reader.blobs(namespace, hashes, want).await
    }
}

#[async_trait]
impl Driver for Frozen {
    async fn commit(&self, _batch: Batch) -> Result<Committed> {
        Err(refused("changed"))
    }

    async fn watch(
        &self,
        _namespace: &Namespace,
        _log: &'static Log,
        _stream: Option<&Stream>,
    ) -> Result<Watch> {
        Err(refused("watched"))
    }

    fn describe(&self) -> &Description {
        self.driver.describe()
    }

    async fn check(&self) -> Result<CheckReport> {
        Err(refused("checked"))
    }

    /// The store that it is a moment of stays open.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
