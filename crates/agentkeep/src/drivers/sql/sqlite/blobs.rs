//! Blobs: their bytes, and how often they are referred to.

use std::collections::BTreeSet;

use rusqlite::params;

use super::apply::{Apply, Outcomes, refuse};
use super::rows::{self, signed};
use super::sums::blob_sum;
use crate::driver::{Blob, Hash, Outcome};
use crate::error::{Error, Kind};
use crate::schema::{BLOBS, Namespace};

/// A row of `_blobs`.
#[derive(Debug, Clone)]
pub(super) struct BlobRow {
    no: i64,
    size: i64,
    references: i64,
    since: Option<i64>,
    version: i64,
    /// How it stands in the database.
    stored: Stored,
}

/// How a blob's row stands in the database: it is written once for all that a batch does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Not,
    Same,
    /// With another count. Its place in the index of what nothing refers to is the same.
    Differs,
    /// With another place in the index, too.
    Elsewhere,
}

impl BlobRow {
    fn sum(&self, namespace: &Namespace, hash: &str) -> u32 {
        let Self { size, references, since, version, .. } = *self;
        blob_sum(namespace.as_str(), hash, size, references, since, version)
    }

    /// Counts so many more references at this time.
    fn count(&mut self, more: i64, time: i64) {
        self.references += more;
        self.version += 1;
        let since = (self.references == 0).then_some(time);
        self.stored = match self.stored {
            Stored::Same | Stored::Differs if since == self.since => Stored::Differs,
            Stored::Same | Stored::Differs => Stored::Elsewhere,
            stored => stored,
        };
        self.since = since;
    }
}

impl Apply<'_> {
    /// How a blob is referred to, as this batch leaves it so far.
    pub(super) fn blob(&mut self, hash: Hash) -> Outcomes<Option<BlobRow>> {
        if let Some(known) = self.blobs.get(&hash) {
            return Ok(known.clone());
        }
        let found = match self.cache.blob(self.namespace, hash) {
            Some(known) => Some(known.clone()),
            None => self.stored_blob(hash)?,
        };
        self.blobs.insert(hash, found.clone());
        Ok(found)
    }

    fn stored_blob(&self, hash: Hash) -> Outcomes<Option<BlobRow>> {
        let sql = "SELECT size, reference_count, unreferenced_since, version, crc, no FROM _blobs \
                   WHERE namespace = ?1 AND hash = ?2";
        let name = hash.to_hex();
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut found = statement.query(params![self.namespace.as_str(), name])?;
        let Some(row) = found.next()? else { return Ok(None) };
        let blob = BlobRow {
            no: rows::integer(row, 5)?,
            size: rows::integer(row, 0)?,
            references: rows::integer(row, 1)?,
            since: rows::optional_integer(row, 2)?,
            version: rows::integer(row, 3)?,
            stored: Stored::Same,
        };
        if i64::from(blob.sum(self.namespace, &name)) != rows::integer(row, 4)? {
            return Err(rows::damaged(format!("_blobs {hash}")).into());
        }
        Ok(Some(blob))
    }

    /// Writes how the blobs are referred to that the batch has changed.
    pub(super) fn write_blobs(&mut self) -> Outcomes<()> {
        let namespace = self.namespace.as_str();
        for (hash, blob) in &mut self.blobs {
            let Some(blob) = blob.as_mut().filter(|blob| blob.stored != Stored::Same) else {
                continue;
            };
            let name = hash.to_hex();
            let crc = blob.sum(self.namespace, &name);
            let BlobRow { no, size, references, since, version, .. } = *blob;
            let written = match blob.stored {
                Stored::Same => 1,
                Stored::Not => {
                    let sql = "INSERT INTO _blobs(no, namespace, hash, size, reference_count, \
                               unreferenced_since, version, crc) \
                               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
                    let row = params![no, namespace, name, size, references, since, version, crc];
                    self.connection.prepare_cached(sql)?.execute(row)?
                }
                Stored::Differs => {
                    let sql = "UPDATE _blobs SET reference_count = ?4, version = ?5, crc = ?6 \
                               WHERE no = ?1 AND namespace = ?2 AND hash = ?3";
                    let row = params![no, namespace, name, references, version, crc];
                    self.connection.prepare_cached(sql)?.execute(row)?
                }
                Stored::Elsewhere => {
                    let sql = "UPDATE _blobs SET reference_count = ?4, unreferenced_since = ?5, \
                               version = ?6, crc = ?7 WHERE no = ?1 AND namespace = ?2 AND hash = ?3";
                    let row = params![no, namespace, name, references, since, version, crc];
                    self.connection.prepare_cached(sql)?.execute(row)?
                }
            };
            if written != 1 {
                return Err(rows::damaged(format!("_blobs {name}")).into());
            }
            blob.stored = Stored::Same;
        }
        Ok(())
    }

    pub(super) fn put_blob(&mut self, blob: &Blob) -> Outcomes<Outcome> {
        let hash = blob.hash();
        if self.blob(hash)?.is_some() {
            return Ok(Outcome::Kept { new: false });
        }
        self.made = true;
        // A number that neither has: in a damaged store, one may lack what the other has.
        let sql = "INSERT INTO _blob_bytes(no, bytes) VALUES \
                   (max(ifnull((SELECT max(no) FROM _blobs), 0), \
                   ifnull((SELECT max(no) FROM _blob_bytes), 0)) + 1, ?1)";
        let mut insert = self.connection.prepare_cached(sql)?;
        let row = BlobRow {
            no: insert.insert([blob.bytes()])?,
            size: signed(blob.bytes().len() as u64),
            references: 0,
            since: Some(self.time),
            version: signed(self.floor(&BLOBS)? + 1),
            stored: Stored::Not,
        };
        self.blobs.insert(hash, Some(row));
        Ok(Outcome::Kept { new: true })
    }

    pub(super) fn drop_blob(&mut self, hash: Hash) -> Outcomes<Outcome> {
        // As a row of the database, like all others that go.
        self.write_blobs()?;
        let Some(BlobRow { no, references, version, .. }) = self.blob(hash)? else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if references > 0 {
            let message = format!("{references} record(s) or entries refer to the blob");
            return refuse(Kind::Conflict, &message, &format!("blob {hash}"));
        }
        for sql in ["DELETE FROM _blobs WHERE no = ?1", "DELETE FROM _blob_bytes WHERE no = ?1"] {
            self.connection.prepare_cached(sql)?.execute([no])?;
        }
        self.blobs.insert(hash, None);
        self.raise_floor(&BLOBS, version.cast_unsigned())?;
        Ok(Outcome::BlobDropped { existed: true })
    }

    /// Counts a reference to each blob once; answers them distinct and in order.
    pub(super) fn refer(
        &mut self,
        refs: &[Hash],
        place: &dyn std::fmt::Display,
    ) -> Outcomes<Vec<Hash>> {
        let distinct = distinct(refs);
        for hash in &distinct {
            let Some(mut blob) = self.blob(*hash)? else {
                let error = Error::new(Kind::NotFound, format!("the blob {hash} is not there"));
                let error = error.at(place.to_string());
                return Err(error.advice("keep the blob before, or in the same commit").into());
            };
            blob.count(1, self.time);
            self.blobs.insert(*hash, Some(blob));
        }
        Ok(distinct)
    }

    pub(super) fn release(&mut self, hash: Hash) -> Outcomes<()> {
        let Some(mut blob) = self.blob(hash)? else { return Ok(()) };
        blob.count(-1, self.time);
        self.blobs.insert(hash, Some(blob));
        Ok(())
    }
}

/// Each blob once, in order: what a row says that it refers to.
pub(super) fn distinct(refs: &[Hash]) -> Vec<Hash> {
    refs.iter().copied().collect::<BTreeSet<Hash>>().into_iter().collect()
}
