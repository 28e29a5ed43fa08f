//! Operation ids: what a commit answered under each, for repeating it.

use rusqlite::{Connection, Row, params};

use super::apply::Outcomes;
use super::errors::map;
use super::rows;
use super::sums::operation_sum;
use crate::driver::{Committed, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, OperationId};

/// Kept at least so long,
const FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// and so many of each namespace.
const KEPT: i64 = 100_000;
/// So many of the old ones go with each new one.
const PRUNED: i64 = 4;

/// What the operation answered, if it is known.
pub(super) fn known(
    connection: &Connection,
    namespace: &Namespace,
    operation: &OperationId,
    digest: &[u8; 32],
) -> Outcomes<Option<Committed>> {
    let sql = "SELECT namespace, operation, n, digest, time, result, crc FROM _operations \
               WHERE namespace = ?1 AND operation = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params![namespace.as_str(), operation.as_str()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let Kept { digest: old, time, result } = Kept::of(row)?;
    let place = format!("operation {operation:?}");
    if old != digest {
        let error =
            Error::new(Kind::IdempotencyConflict, "the operation id stands for another commit");
        return Err(error.at(place).advice("take a new operation id for a new change").into());
    }
    let outcomes: Vec<Outcome> = serde_json::from_str(result).map_err(|error| {
        Error::new(Kind::Corrupt, "a stored result is damaged").at(place).caused_by(error)
    })?;
    Ok(Some(Committed { time, replayed: true, outcomes }))
}

/// A row of `namespace, operation, n, digest, time, result, crc`, its checksum verified.
pub(super) struct Kept<'a> {
    digest: &'a [u8],
    time: i64,
    result: &'a str,
}

impl<'a> Kept<'a> {
    pub(super) fn of(row: &'a Row<'_>) -> Result<Self> {
        let (namespace, operation) = (rows::text(row, 0)?, rows::text(row, 1)?);
        let damaged = || rows::damaged(format!("operation {operation:?}"));
        let digest = row.get_ref(3).map_err(map)?.as_blob().map_err(|_| damaged())?;
        let (n, time, result) =
            (rows::integer(row, 2)?, rows::integer(row, 4)?, rows::text(row, 5)?);
        let sum = operation_sum(namespace, operation, n, digest, time, result);
        if i64::from(sum) != rows::integer(row, 6)? {
            return Err(damaged());
        }
        Ok(Self { digest, time, result })
    }
}

/// Keeps what the operation answered, and lets a few old ones go.
pub(super) fn keep(
    connection: &Connection,
    namespace: &Namespace,
    operation: &OperationId,
    digest: &[u8; 32],
    committed: &Committed,
) -> Outcomes<()> {
    let result = serde_json::to_string(&committed.outcomes).map_err(|error| {
        Error::new(Kind::InvalidInput, "the result has no JSON form").caused_by(error)
    })?;
    let namespace = namespace.as_str();
    let sql = "SELECT ifnull(max(n), 0) + 1 FROM _operations WHERE namespace = ?1";
    let n: i64 = connection.prepare_cached(sql)?.query_row([namespace], |row| row.get(0))?;
    let sql = "INSERT INTO _operations(namespace, operation, n, digest, time, result, \
               crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (operation, time) = (operation.as_str(), committed.time);
    let crc = operation_sum(namespace, operation, n, digest, time, &result);
    let row = params![namespace, operation, n, digest, time, result, crc];
    connection.prepare_cached(sql)?.execute(row)?;
    let sql = "DELETE FROM _operations WHERE namespace = ?1 AND n IN (SELECT n FROM _operations \
               WHERE namespace = ?1 AND n <= ?2 AND time < ?3 ORDER BY n LIMIT ?4)";
    let old = params![namespace, n - KEPT, committed.time - FOR_MS, PRUNED];
    connection.prepare_cached(sql)?.execute(old)?;
    Ok(())
}
