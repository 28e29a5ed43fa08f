//! Looking at what is no record, entry or blob: the tables' own making, remembered operations,
//! floors of versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::ddl;
use super::errors::map;
use super::operations::Kept;
use super::rows;
use super::sums::floor_sum;
use crate::driver::CheckReport;
use crate::error::Result;
use crate::schema::Schema;

pub(super) fn check(
    schema: &'static Schema,
    connection: &Connection,
    report: &mut CheckReport,
) -> Result<()> {
    tables(schema, connection, report)?;
    let sql = "SELECT namespace, operation, n, digest, time, result, crc FROM _operations";
    let mut statement = connection.prepare(sql).map_err(map)?;
    let mut found = statement.query([]).map_err(map)?;
    while let Some(row) = super::check::next(&mut found, "_operations", report) {
        if let Err(error) = Kept::of(row) {
            report.damaged(error.place().unwrap_or("_operations"), error.message());
        }
    }
    let mut statement = connection.prepare("SELECT * FROM _floors").map_err(map)?;
    let mut found = statement.query([]).map_err(map)?;
    while let Some(row) = super::check::next(&mut found, "_floors", report) {
        let fits = || -> Result<bool> {
            let (scope, floor) = (rows::text(row, 0)?, rows::integer(row, 1)?);
            Ok(i64::from(floor_sum(scope, floor)) == rows::integer(row, 2)?)
        };
        if !fits().unwrap_or(false) {
            report.damaged("_floors", "a stored row is damaged: its checksum does not fit");
        }
    }
    Ok(())
}

/// By its name, what it is, and of which table and by which statement.
type Listed = BTreeMap<String, (String, String)>;

/// Tables, indexes and views against the statements that made them.
fn tables(
    schema: &'static Schema,
    connection: &Connection,
    report: &mut CheckReport,
) -> Result<()> {
    // What others have added is theirs, and nothing that we read.
    let seen = listed(connection)?;
    for (name, made) in &*fresh(schema)? {
        if seen.get(name) != Some(made) {
            report.damaged(format!("SQLite {name}"), "it is not as it was made");
        }
    }
    Ok(())
}

/// What a new store has, made in memory, so that SQLite itself says how it keeps it. Once for each
/// schema: making it takes longer than checking a small store.
fn fresh(schema: &'static Schema) -> Result<Arc<Listed>> {
    static FRESH: Mutex<Vec<(&Schema, Arc<Listed>)>> = Mutex::new(Vec::new());
    let mut known = FRESH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, made)) = known.iter().find(|(of, _)| std::ptr::eq(*of, schema)) {
        return Ok(Arc::clone(made));
    }
    let fresh = Connection::open_in_memory().map_err(map)?;
    for statement in ddl::create(schema) {
        fresh.execute(&statement, []).map_err(map)?;
    }
    let made = Arc::new(listed(&fresh)?);
    known.push((schema, Arc::clone(&made)));
    Ok(made)
}

/// What there is.
fn listed(connection: &Connection) -> Result<Listed> {
    let sql = "SELECT name, type, tbl_name || ' ' || ifnull(sql, '') FROM sqlite_schema";
    let mut statement = connection.prepare(sql).map_err(map)?;
    let listed = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
    listed.map_err(map)?.collect::<rusqlite::Result<_>>().map_err(map)
}
