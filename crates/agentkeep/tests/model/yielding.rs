//! A driver whose calls are points of the schedule, and a clock that never waits.

use std::pin::Pin;
use std::time::Duration;

use agentkeep::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash,
    Read, Reader, Record, Want, Watch,
};
use agentkeep::schema::{Key, Log, Namespace, Stream};
use agentkeep::{Clock, Result, SystemClock};
use async_trait::async_trait;
use shuttle::future::yield_now;

#[derive(Debug)]
pub(crate) struct Yielding<D>(pub(crate) D);

#[async_trait]
impl<D: Driver> Reader for Yielding<D> {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        yield_now().await;
        self.0.get(namespace, keys).await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        yield_now().await;
        self.0.find(namespace, find).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        yield_now().await;
        self.0.read(namespace, read).await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        yield_now().await;
        self.0.blobs(namespace, hashes, want).await
    }
}

#[async_trait]
impl<D: Driver> Driver for Yielding<D> {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        yield_now().await;
        self.0.commit(batch).await
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        yield_now().await;
        self.0.watch(namespace, log, stream).await
    }

    fn describe(&self) -> &Description {
        self.0.describe()
    }

    async fn check(&self) -> Result<CheckReport> {
        self.0.check().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

/// Waits by letting others go on; who waits long waits for ever.
#[derive(Debug, Default)]
pub(crate) struct Patient(SystemClock);

impl Clock for Patient {
    fn wall(&self) -> i64 {
        self.0.wall()
    }

    fn passed(&self) -> Duration {
        self.0.passed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if duration > Duration::from_mins(1) {
            return Box::pin(std::future::pending());
        }
        Box::pin(yield_now())
    }
}
