//! The seam between what is kept and the databases that keep it.
//!
//! A [`Driver`] stores records, logs and blobs, and knows nothing of sessions or events. Its laws
//! stand on the methods of [`Reader`] and [`Driver`], one case of the conformance table for each.
//! What reaches a driver has been checked: ids and keys by their types, batches by
//! [`Batch::validate`], queries by [`Find::validate`] and [`Read::validate`].

mod batch;
mod blob;
mod read;
mod report;
mod watch;

use std::fmt::Debug;

use async_trait::async_trait;

pub use batch::{
    Append, Batch, Committed, Expect, Known, MAX_BATCH_BYTES, MAX_BODY, MAX_NUMBER, MAX_OPERATIONS,
    NewEntry, Operation, Outcome, Put, Save,
};
pub use blob::{Blob, FoundBlob, Hash, Want};
pub use read::{
    Continuation, Entries, Entry, Find, Found, Head, MAX_LIMIT, Read, Record, Stretch, Which,
};
pub use report::{CheckReport, Description, Durability, Finding, Usage};
pub use watch::{Hub, Watch};

use crate::error::Result;
use crate::schema::{Key, Log, Namespace, Stream};

/// The reading half of a driver, also what a [`Snapshot`] gives.
///
/// Laws of every method:
/// - it sees each commit wholly or not at all, also while the commit is being applied;
/// - nothing of another namespace shows, except through the store-wide table `_namespaces`;
/// - what it answers is byte for byte what was committed: ids, bodies, blobs;
/// - bytes that are not what was written are `Corrupt`, never an empty answer.
#[async_trait]
pub trait Reader: Debug + Send + Sync {
    /// Records by their keys, in the order of the keys; `None` for those that are not there.
    ///
    /// Laws:
    /// - the answer has as many places as there are keys, also for the same key twice;
    /// - all records are of one moment.
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>>;

    /// Records by an index.
    ///
    /// Laws:
    /// - exactly the records whose leading fields equal the values given and whose next field is
    ///   in the range, a record once for each place that it has in the index;
    /// - in the index's order, ties by key ascending; `reverse` gives exactly the opposite order;
    /// - values are ordered as [`Value`](crate::schema::Value) says;
    /// - at most `limit` records, and `next` exactly when there are more;
    /// - pages put together give every record that was there throughout, once; a record deleted
    ///   between two pages does not disturb the others.
    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found>;

    /// Entries of a log.
    ///
    /// Laws:
    /// - entries come in the order of the stretches and of their numbers, `reverse` exactly
    ///   backwards;
    /// - `more` exactly when the limit left entries out;
    /// - a missing stream has no head, an empty one has;
    /// - whoever sees number n sees all before n that are not trimmed.
    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries>;

    /// Records by their keys, and then entries: for those who need both.
    ///
    /// Law: the answers are those of [`get`](Self::get) and then of [`read`](Self::read); a driver
    /// that can give both in one call may give both of one moment.
    async fn get_and_read(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        read: &Read,
    ) -> Result<(Vec<Option<Record>>, Entries)> {
        let records = self.get(namespace, keys).await?;
        Ok((records, self.read(namespace, read).await?))
    }

    /// Records by their keys, and then records by an index: for those who need both.
    ///
    /// Law: as for [`get_and_read`](Self::get_and_read).
    async fn get_and_find(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        find: &Find,
    ) -> Result<(Vec<Option<Record>>, Found)> {
        let records = self.get(namespace, keys).await?;
        Ok((records, self.find(namespace, find).await?))
    }

    /// Blobs by their hashes, in their order; `None` for those that are not there.
    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>>;
}

/// A database that keeps records, logs and blobs.
#[async_trait]
pub trait Driver: Reader {
    /// Applies a batch, wholly or not at all.
    ///
    /// Laws:
    /// - an `Ok` survives what [`describe`](Self::describe) promises; an `Err` changed nothing,
    ///   except `OutcomeUnknown`, which may be repeated under the same operation id;
    /// - preconditions and save modes are evaluated serialisably with all other commits; the error
    ///   of a precondition carries its place ([`Error::expectation`](crate::Error::expectation));
    /// - operations take effect in their order; preconditions see the state before all of them;
    /// - a record's version is 1 more than before; a record made anew after a delete starts above
    ///   every version that a deleted record of the namespace had (the built-in tables each count
    ///   for themselves);
    /// - numbers of a stream are dense, in commit order, never given twice, also by many writers
    ///   in many processes; an append with `start` gives that number to its first entry and is
    ///   refused (`Conflict`) when the stream has given it already ([`Append::numbers`]);
    /// - entry ids are unique within the entries that a stream has; what a known one means is the
    ///   append's [`Known`];
    /// - entries leave only by trimming from the front, or with their stream;
    /// - all entries of a commit carry its time and turn, all records its turn;
    /// - a record or entry that refers to a blob which is neither there nor put by an earlier
    ///   operation is refused with `NotFound`; references are counted, and a blob is told as
    ///   unreferenced from the time on at which the last one went (or at which it was put);
    /// - the record of the namespace in `_namespaces` is made by the first commit that makes a
    ///   record, a stream or a blob in it; only commits of the namespace write it; deleting it is
    ///   refused with `Conflict` while the namespace, at that place of the batch, holds anything;
    /// - the same operation id again answers the first result with `replayed`, for at least 24
    ///   hours and 100,000 operations of a namespace, whatever the preconditions say by now; with
    ///   another [`digest`](Batch::digest) it is an `IdempotencyConflict`.
    async fn commit(&self, batch: Batch) -> Result<Committed>;

    /// Hints about appends to one stream, or to all streams of a log.
    ///
    /// Laws:
    /// - after each commit that appends, of any process if
    ///   [`hints_across_processes`](Description::hints_across_processes), a hint comes;
    /// - hints may come for nothing; whoever waits must read.
    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch>;

    /// What this driver promises.
    fn describe(&self) -> &Description;

    /// Looks at everything in the store: checksums, indexes against bodies, heads against
    /// entries, references against blobs.
    async fn check(&self) -> Result<CheckReport>;

    /// Ends the driver's tasks and connections. Later calls give `Closed`; closing again is fine.
    async fn close(&self) -> Result<()>;

    /// The driver's consistent readers, if it has them.
    fn snapshots(&self) -> Option<&dyn Snapshot> {
        None
    }

    /// The driver's upkeep, if it has any.
    fn maintenance(&self) -> Option<&dyn Maintain> {
        None
    }
}

/// For drivers that can show one moment while writers go on.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// A reader of one namespace at one moment. Commits after this call do not show in it.
    async fn snapshot(&self, namespace: &Namespace) -> Result<Box<dyn Reader>>;
}

/// For drivers whose store needs upkeep.
#[async_trait]
pub trait Maintain: Send + Sync {
    /// Brings an older format up to date in one commit; answers the version before.
    async fn upgrade(&self) -> Result<u32>;

    /// Gives back the space of what was removed, in small steps; answers the bytes given back.
    async fn compact(&self) -> Result<u64>;

    /// How much a namespace holds.
    async fn usage(&self, namespace: &Namespace) -> Result<Usage>;
}
