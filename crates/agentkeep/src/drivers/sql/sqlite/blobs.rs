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
pub(super) struct BlobRow {
    size: i64,
    references: i64,
    since: Option<i64>,
    version: i64,
}

impl BlobRow {
    fn sum(&self, namespace: &Namespace, hash: Hash) -> u32 {
        let Self { size, references, since, version } = *self;
        blob_sum(namespace.as_str(), &hash.to_hex(), size, references, since, version)
    }
}

impl Apply<'_> {
    /// How a blob is referred to.
    pub(super) fn blob(&self, hash: Hash) -> Outcomes<Option<BlobRow>> {
        let sql = "SELECT size, reference_count, unreferenced_since, version, crc FROM _blobs \
                   WHERE namespace = ?1 AND hash = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut found = statement.query(params![self.namespace.as_str(), hash.to_hex()])?;
        let Some(row) = found.next()? else { return Ok(None) };
        let blob = BlobRow {
            size: rows::integer(row, 0)?,
            references: rows::integer(row, 1)?,
            since: rows::optional_integer(row, 2)?,
            version: rows::integer(row, 3)?,
        };
        if i64::from(blob.sum(self.namespace, hash)) != rows::integer(row, 4)? {
            return Err(rows::damaged(format!("_blobs {hash}")).into());
        }
        Ok(Some(blob))
    }

    /// Writes how a blob is referred to, with the next version.
    fn update_blob(&self, hash: Hash, mut blob: BlobRow) -> Outcomes<()> {
        blob.version += 1;
        let sql = "UPDATE _blobs SET reference_count = ?3, unreferenced_since = ?4, version = ?5, \
                   crc = ?6 WHERE namespace = ?1 AND hash = ?2";
        let BlobRow { references, since, version, .. } = blob;
        let crc = blob.sum(self.namespace, hash);
        let row = params![self.namespace.as_str(), hash.to_hex(), references, since, version, crc];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    pub(super) fn put_blob(&mut self, blob: &Blob) -> Outcomes<Outcome> {
        let hash = blob.hash();
        if self.blob(hash)?.is_some() {
            return Ok(Outcome::Kept { new: false });
        }
        self.made = true;
        let (namespace, name) = (self.namespace.as_str(), hash.to_hex());
        let row = BlobRow {
            size: signed(blob.bytes().len() as u64),
            references: 0,
            since: Some(self.time),
            version: signed(self.floor(&BLOBS)? + 1),
        };
        let sql = "INSERT INTO _blobs(namespace, hash, size, reference_count, unreferenced_since, \
                   version, crc) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)";
        let crc = row.sum(self.namespace, hash);
        let row = params![namespace, name, row.size, row.since, row.version, crc];
        self.connection.prepare_cached(sql)?.execute(row)?;
        let sql = "INSERT INTO _blob_bytes(namespace, hash, bytes) VALUES (?1, ?2, ?3)";
        self.connection.prepare_cached(sql)?.execute(params![namespace, name, blob.bytes()])?;
        Ok(Outcome::Kept { new: true })
    }

    pub(super) fn drop_blob(&mut self, hash: Hash) -> Outcomes<Outcome> {
        let Some(BlobRow { references, version, .. }) = self.blob(hash)? else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if references > 0 {
            let message = format!("{references} record(s) or entries refer to the blob");
            return refuse(Kind::Conflict, &message, &format!("blob {hash}"));
        }
        for sql in [
            "DELETE FROM _blobs WHERE namespace = ?1 AND hash = ?2",
            "DELETE FROM _blob_bytes WHERE namespace = ?1 AND hash = ?2",
        ] {
            let row = params![self.namespace.as_str(), hash.to_hex()];
            self.connection.prepare_cached(sql)?.execute(row)?;
        }
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
            blob.references += 1;
            blob.since = None;
            self.update_blob(*hash, blob)?;
        }
        Ok(distinct)
    }

    pub(super) fn release(&mut self, hash: Hash) -> Outcomes<()> {
        let Some(mut blob) = self.blob(hash)? else { return Ok(()) };
        blob.references -= 1;
        blob.since = (blob.references == 0).then_some(self.time);
        self.update_blob(hash, blob)
    }
}

/// Each blob once, in order: what a row says that it refers to.
pub(super) fn distinct(refs: &[Hash]) -> Vec<Hash> {
    refs.iter().copied().collect::<BTreeSet<Hash>>().into_iter().collect()
}
