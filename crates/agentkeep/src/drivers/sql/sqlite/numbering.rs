//! The one step of upgrades so far that writes anew what is there: blobs get numbers.
//!
//! Stores of before had blobs, and their bytes, by namespace and hash. A hash is nowhere near the one
//! before, so each new blob changed a page of its own in three trees; now it does in one.

use rusqlite::{Connection, Transaction};

use super::ddl;
use super::errors::map;
use crate::error::{Error, Kind, Result};

/// Whether blobs still are without numbers. The version of a schema does not tell: it may be another
/// schema than agentkeep's own.
pub(super) fn is_due(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('_blob_bytes') WHERE name = 'hash')";
    connection.query_row(sql, [], |row| row.get(0)).map_err(map)
}

/// Tables of somebody else's may refer to ours: what goes and comes back under its name must not take
/// rows of theirs along. SQLite can be told only between transactions, and before the step. Answers
/// what it was.
pub(super) fn watch_references(connection: &Connection, watch: bool) -> Result<bool> {
    let before =
        connection.pragma_query_value(None, "foreign_keys", |row| row.get(0)).map_err(map)?;
    connection.pragma_update(None, "foreign_keys", watch).map_err(map)?;
    Ok(before)
}

/// Gives each blob the number that its bytes had all along. Rows that are damaged stay so, for `check`
/// to find.
pub(super) fn number_blobs(transaction: &Transaction<'_>) -> Result<()> {
    step(transaction).map_err(|error| {
        let error = map(error);
        if error.kind() != Kind::Corrupt {
            return error;
        }
        Error::new(
            Kind::Corrupt,
            "the store is damaged and cannot be upgraded; nothing was changed",
        )
        .advice(
            "open it with the version of agentkeep that wrote it: run check there, and restore \
                 it from a backup or export what is sound",
        )
        .caused_by(error)
    })
}

fn step(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let columns = "namespace, hash, size, reference_count, unreferenced_since, version, crc";
    let of_before = columns.replace("namespace", "b.namespace").replace("hash", "b.hash");
    let same = "c.namespace = b.namespace AND c.hash = b.hash";
    // What somebody else has added to the tables.
    let added: Vec<String> = transaction
        .prepare(
            "SELECT sql FROM sqlite_schema WHERE tbl_name IN ('_blobs', '_blob_bytes') \
             AND type IN ('index', 'trigger') AND sql IS NOT NULL \
             AND name <> '_blobs_by_unreferenced'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let statements = [
        // Views of somebody else's go on saying the names that they say.
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE _blobs RENAME TO _blobs_before",
        "ALTER TABLE _blob_bytes RENAME TO _blob_bytes_before",
        "DROP INDEX IF EXISTS _blobs_by_unreferenced",
        &ddl::BLOB_TABLES.join(";"),
        // Bytes without a blob keep theirs, too.
        "INSERT INTO _blob_bytes(no, bytes) SELECT rowid, bytes FROM _blob_bytes_before",
        &format!(
            "INSERT INTO _blobs(no, {columns}) SELECT c.rowid, {of_before} FROM _blobs_before AS b \
             JOIN _blob_bytes_before AS c ON {same}"
        ),
        // Blobs without bytes get numbers that nothing has.
        &format!(
            "INSERT INTO _blobs(no, {columns}) SELECT \
             ifnull((SELECT max(no) FROM _blob_bytes), 0) + row_number() OVER (), {of_before} \
             FROM _blobs_before AS b \
             WHERE NOT EXISTS (SELECT 1 FROM _blob_bytes_before AS c WHERE {same})"
        ),
        "DROP TABLE _blobs_before",
        "DROP TABLE _blob_bytes_before",
        "PRAGMA legacy_alter_table = OFF",
    ];
    transaction.execute_batch(&statements.join(";"))?;
    for sql in added {
        // What names a column that is no more no longer fits.
        let _ = transaction.execute_batch(&sql);
    }
    Ok(())
}
