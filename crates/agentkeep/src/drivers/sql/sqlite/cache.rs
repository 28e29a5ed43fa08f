//! What the writer knows of the database, for as long as nobody else has written: so that an
//! append need not read what the one before it wrote.

use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::RandomState;
use rusqlite::{Connection, params};

use super::blobs::BlobRow;
use super::rows::{head_sum, signed};
use crate::driver::{Hash, Head};
use crate::schema::{Key, NAMESPACES, Namespace, Stream};

/// So many streams, records and blobs are remembered.
const KEPT: usize = 10_000;

/// A stream's row.
#[derive(Debug, Clone)]
pub(super) struct StreamRow {
    pub(super) no: i64,
    pub(super) head: Head,
    pub(super) version: u64,
    /// Differs from the row in the database.
    pub(super) changed: bool,
}

type Place = (Namespace, &'static str, Stream);

/// The writer's memory. It holds only within a transaction and as long as `data_version`, which
/// SQLite changes when another connection commits, stays the same.
#[derive(Debug, Default)]
pub(super) struct Cache {
    data_version: i64,
    versions: HashMap<(Namespace, Key), u64, RandomState>,
    streams: HashMap<Place, StreamRow, RandomState>,
    blobs: HashMap<(Namespace, Hash), BlobRow, RandomState>,
    /// By the built-in table that they are of, or nothing for all other tables.
    floors: HashMap<(Namespace, &'static str), u64, RandomState>,
    /// Namespaces known to have their record.
    named: HashSet<Namespace, RandomState>,
    /// Streams whose heads are to be written before the transaction ends.
    dirty: BTreeSet<Place>,
}

impl Cache {
    /// At the start of a transaction: forgets everything if somebody else has written.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let now = connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get::<_, i64>(0))?;
        let kept = self.versions.len() + self.streams.len() + self.blobs.len() + self.floors.len();
        if now != self.data_version || kept > KEPT {
            self.clear();
            self.data_version = now;
        }
        Ok(())
    }

    /// What SQLite said at the start of the last transaction; another value means that another
    /// connection has committed since.
    pub(super) fn data_version(&self) -> i64 {
        self.data_version
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn scope(namespace: &Namespace, key: &Key) -> Namespace {
        // `_namespaces` is the same from every namespace.
        if key.table().name == NAMESPACES.name { Namespace::default() } else { namespace.clone() }
    }

    /// The version of a record, 0 for an absent one, if known.
    pub(super) fn version(&self, namespace: &Namespace, key: &Key) -> Option<u64> {
        self.versions.get(&(Self::scope(namespace, key), key.clone())).copied()
    }

    pub(super) fn set_version(&mut self, namespace: &Namespace, key: Key, version: u64) {
        if key.table().name == NAMESPACES.name {
            if version > 0 && key.first() == namespace.as_str() {
                self.named.insert(namespace.clone());
            } else {
                self.named.clear();
            }
        }
        self.versions.insert((Self::scope(namespace, &key), key), version);
    }

    /// True when the namespace is known to have its record.
    pub(super) fn is_named(&self, namespace: &Namespace) -> bool {
        self.named.contains(namespace)
    }

    pub(super) fn stream(
        &self,
        namespace: &Namespace,
        log: &'static str,
        stream: &Stream,
    ) -> Option<&StreamRow> {
        self.streams.get(&(namespace.clone(), log, stream.clone()))
    }

    /// Takes over what a batch left of a stream; `None` when it is not there.
    pub(super) fn set_stream(
        &mut self,
        namespace: &Namespace,
        log: &'static str,
        stream: Stream,
        row: Option<StreamRow>,
    ) {
        let place = (namespace.clone(), log, stream);
        match row {
            None => {
                self.dirty.remove(&place);
                self.streams.remove(&place);
            }
            Some(row) => {
                if row.changed {
                    self.dirty.insert(place.clone());
                }
                self.streams.insert(place, row);
            }
        }
    }

    /// How a blob is referred to, if known.
    pub(super) fn blob(&self, namespace: &Namespace, hash: Hash) -> Option<&BlobRow> {
        self.blobs.get(&(namespace.clone(), hash))
    }

    /// Takes over what a batch left of a blob; `None` when it is not there.
    pub(super) fn set_blob(&mut self, namespace: &Namespace, hash: Hash, row: Option<BlobRow>) {
        match row {
            Some(row) => self.blobs.insert((namespace.clone(), hash), row),
            None => self.blobs.remove(&(namespace.clone(), hash)),
        };
    }

    /// The largest version that a deleted record had, if known.
    pub(super) fn floor(&self, namespace: &Namespace, table: &'static str) -> Option<u64> {
        self.floors.get(&(namespace.clone(), table)).copied()
    }

    /// `None` when a batch is changing it, which may yet be taken back.
    pub(super) fn set_floor(
        &mut self,
        namespace: &Namespace,
        table: &'static str,
        floor: Option<u64>,
    ) {
        match floor {
            Some(floor) => self.floors.insert((namespace.clone(), table), floor),
            None => self.floors.remove(&(namespace.clone(), table)),
        };
    }

    /// Writes the heads that batches of this transaction have changed.
    pub(super) fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE _streams SET birth = ?2, first = ?3, last = ?4, count = ?5, bytes = ?6, \
                   updated = ?7, version = ?8, crc = ?9 WHERE no = ?1";
        for place in std::mem::take(&mut self.dirty) {
            let Some(row) = self.streams.get_mut(&place) else { continue };
            let (namespace, log, stream) = &place;
            let head = &row.head;
            let sum = head_sum(namespace, log, stream.as_str(), head, row.version);
            connection.prepare_cached(sql)?.execute(params![
                row.no,
                signed(head.birth),
                signed(head.first),
                signed(head.last),
                signed(head.count),
                signed(head.bytes),
                head.updated,
                signed(row.version),
                sum
            ])?;
            row.changed = false;
        }
        Ok(())
    }
}
