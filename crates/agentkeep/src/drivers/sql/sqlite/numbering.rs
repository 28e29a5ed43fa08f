//! The one step of upgrades so far that changes what is there: blobs get numbers.
//!
//! Stores of before had blobs, and their bytes, by namespace and hash. A hash is nowhere near the one
//! before, so each new blob changed a page of its own in three trees; now it does in one.

use rusqlite::{Connection, Transaction};

use super::ddl;
use super::errors::map;
use crate::error::Result;

/// Whether blobs still are without numbers. The version of a schema does not tell: it may be another
/// schema than agentkeep's own.
pub(super) fn is_due(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('_blob_bytes') WHERE name = 'hash')";
    connection.query_row(sql, [], |row| row.get(0)).map_err(map)
}

/// Gives each blob a number. What is damaged stays so, for `check` to find.
pub(super) fn number_blobs(transaction: &Transaction<'_>) -> Result<()> {
    let columns = "namespace, hash, size, reference_count, unreferenced_since, version, crc";
    let statements = [
        // Views of the user's own go on saying the names that they say.
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE _blobs RENAME TO _blobs_before",
        "ALTER TABLE _blob_bytes RENAME TO _blob_bytes_before",
        "DROP INDEX IF EXISTS _blobs_by_unreferenced",
        &ddl::BLOB_TABLES.join(";"),
        &format!("INSERT INTO _blobs({columns}) SELECT {columns} FROM _blobs_before"),
        // Bytes that belong to no blob come last, with numbers that are left.
        "INSERT INTO _blob_bytes(no, bytes) SELECT b.no, c.bytes FROM _blob_bytes_before AS c \
         LEFT JOIN _blobs AS b ON b.namespace = c.namespace AND b.hash = c.hash \
         ORDER BY b.no IS NULL",
        "DROP TABLE _blobs_before",
        "DROP TABLE _blob_bytes_before",
        "PRAGMA legacy_alter_table = OFF",
    ];
    transaction.execute_batch(&statements.join(";")).map_err(map)
}
