//! Operation ids: what a commit answered under each, for repeating it.

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::Stop;
use crate::driver::{Committed, Outcome};
use crate::error::{Error, Kind};
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
) -> Result<Option<Committed>, Stop> {
    let sql =
        "SELECT digest, time, result FROM _operations WHERE namespace = ?1 AND operation = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row(params![namespace.as_str(), operation.as_str()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((old, time, result)) = found else { return Ok(None) };
    let place = format!("operation {operation:?}");
    if old != digest {
        let error =
            Error::new(Kind::IdempotencyConflict, "the operation id stands for another commit");
        return Err(error.at(place).advice("take a new operation id for a new change").into());
    }
    let outcomes: Vec<Outcome> = serde_json::from_str(&result).map_err(|error| {
        Error::new(Kind::Corrupt, "a stored result is damaged").at(place).caused_by(error)
    })?;
    Ok(Some(Committed { time, replayed: true, outcomes }))
}

/// Keeps what the operation answered, and lets a few old ones go.
pub(super) fn keep(
    connection: &Connection,
    namespace: &Namespace,
    operation: &OperationId,
    digest: &[u8; 32],
    committed: &Committed,
) -> Result<(), Stop> {
    let result = serde_json::to_string(&committed.outcomes).map_err(|error| {
        Error::new(Kind::InvalidInput, "the result has no JSON form").caused_by(error)
    })?;
    let namespace = namespace.as_str();
    let sql = "SELECT ifnull(max(n), 0) + 1 FROM _operations WHERE namespace = ?1";
    let n: i64 = connection.prepare_cached(sql)?.query_row([namespace], |row| row.get(0))?;
    let sql = "INSERT INTO _operations(namespace, operation, n, digest, time, result) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![namespace, operation.as_str(), n, digest, committed.time, result];
    connection.prepare_cached(sql)?.execute(row)?;
    let sql = "DELETE FROM _operations WHERE namespace = ?1 AND n IN (SELECT n FROM _operations \
               WHERE namespace = ?1 AND n <= ?2 AND time < ?3 ORDER BY n LIMIT ?4)";
    let old = params![namespace, n - KEPT, committed.time - FOR_MS, PRUNED];
    connection.prepare_cached(sql)?.execute(old)?;
    Ok(())
}
