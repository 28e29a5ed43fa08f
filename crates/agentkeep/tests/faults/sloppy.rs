//! Drivers with a defect, around sound ones.

use std::sync::Arc;

use agentkeep::Result;
use agentkeep::driver::{
    Batch, CheckReport, Committed, Description, Driver, Entries, Find, Found, FoundBlob, Hash,
    Operation, Read, Reader, Record, Want, Watch,
};
use agentkeep::schema::{Key, Log, Namespace, Stream};
use async_trait::async_trait;

/// Writes what points at entries in a commit of its own, before the entries.
#[derive(Debug)]
pub(crate) struct IndexFirst(pub(crate) Arc<dyn Driver>);

#[async_trait]
impl Reader for IndexFirst {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.0.get(namespace, keys).await
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        self.0.find(namespace, find).await
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        self.0.read(namespace, read).await
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.0.blobs(namespace, hashes, want).await
    }
}

#[async_trait]
impl Driver for IndexFirst {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        let is_record = |operation: &Operation| matches!(operation, Operation::Put(_));
        let places: Vec<bool> = batch.operations.iter().map(is_record).collect();
        if !places.contains(&true) || !places.contains(&false) {
            return self.0.commit(batch).await;
        }
        let (records, entries): (Vec<_>, Vec<_>) =
            batch.operations.into_iter().partition(is_record);
        let first = Batch { operations: records, ..batch };
        let second = Batch { turn: first.turn.clone(), ..Batch::new(first.namespace.clone()) };
        let first = self.0.commit(first).await?;
        let second = self.0.commit(Batch { operations: entries, ..second }).await?;
        let (mut records, mut entries) = (first.outcomes.into_iter(), second.outcomes.into_iter());
        let outcomes = places
            .iter()
            .filter_map(|record| if *record { records.next() } else { entries.next() });
        Ok(Committed { outcomes: outcomes.collect(), ..second })
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
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
