//! Blobs: their bytes, and how often they are referred to.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use super::apply::{Apply, Outcomes, refuse};
use super::rows::signed;
use crate::driver::{Blob, Hash, Outcome};
use crate::error::{Error, Kind};
use crate::schema::BLOBS;

impl Apply<'_> {
    /// How often a blob is referred to, and its version.
    pub(super) fn blob(&self, hash: Hash) -> Outcomes<Option<(i64, i64)>> {
        let sql = "SELECT reference_count, version FROM _blobs WHERE namespace = ?1 AND hash = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![self.namespace.as_str(), hash.to_hex()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        Ok(found.optional()?)
    }

    pub(super) fn put_blob(&mut self, blob: &Blob) -> Outcomes<Outcome> {
        let hash = blob.hash();
        if self.blob(hash)?.is_some() {
            return Ok(Outcome::Kept { new: false });
        }
        self.made = true;
        let (namespace, name) = (self.namespace.as_str(), hash.to_hex());
        let size = signed(blob.bytes().len() as u64);
        let version = signed(self.floor(&BLOBS)? + 1);
        let sql = "INSERT INTO _blobs(namespace, hash, size, reference_count, unreferenced_since, \
                   version) VALUES (?1, ?2, ?3, 0, ?4, ?5)";
        let row = params![namespace, name, size, self.time, version];
        self.connection.prepare_cached(sql)?.execute(row)?;
        let sql = "INSERT INTO _blob_bytes(namespace, hash, bytes) VALUES (?1, ?2, ?3)";
        self.connection.prepare_cached(sql)?.execute(params![namespace, name, blob.bytes()])?;
        Ok(Outcome::Kept { new: true })
    }

    pub(super) fn drop_blob(&mut self, hash: Hash) -> Outcomes<Outcome> {
        let Some((references, version)) = self.blob(hash)? else {
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
            let sql = "UPDATE _blobs SET reference_count = reference_count + 1, \
                       unreferenced_since = NULL, version = version + 1 \
                       WHERE namespace = ?1 AND hash = ?2";
            let row = params![self.namespace.as_str(), hash.to_hex()];
            if self.connection.prepare_cached(sql)?.execute(row)? == 0 {
                let error = Error::new(Kind::NotFound, format!("the blob {hash} is not there"));
                let error = error.at(place.to_string());
                return Err(error.advice("keep the blob before, or in the same commit").into());
            }
        }
        Ok(distinct)
    }

    pub(super) fn release(&mut self, hash: Hash) -> Outcomes<()> {
        let sql = "UPDATE _blobs SET reference_count = reference_count - 1, \
                   unreferenced_since = CASE WHEN reference_count = 1 THEN ?3 END, \
                   version = version + 1 WHERE namespace = ?1 AND hash = ?2";
        let row = params![self.namespace.as_str(), hash.to_hex(), self.time];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

/// Each blob once, in order: what a row says that it refers to.
pub(super) fn distinct(refs: &[Hash]) -> Vec<Hash> {
    refs.iter().copied().collect::<BTreeSet<Hash>>().into_iter().collect()
}
