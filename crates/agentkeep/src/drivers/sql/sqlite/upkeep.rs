//! Upkeep: the format, the file's size, and how much it holds.

use async_trait::async_trait;
use rusqlite::Connection;

use super::errors::map;
use super::readers::Place;
use super::{Sqlite, in_sqlite};
use crate::driver::{Maintain, Usage};
use crate::drivers::sql::shape::quoted;
use crate::error::Result;
use crate::schema::{Namespace, Schema};

/// Pages given back in one step, between two commits.
const STEP: u32 = 1_000;

#[async_trait]
impl Maintain for Sqlite {
    async fn upgrade(&self) -> Result<u32> {
        // Opening has done it, or was told not to.
        let version = |connection: &Connection| {
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(map)
        };
        self.writer.upkeep(version).await.map_err(in_sqlite)
    }

    async fn compact(&self) -> Result<u64> {
        let mut pages = 0;
        loop {
            let freed = self.writer.upkeep(compact_some).await.map_err(in_sqlite)?;
            pages += freed;
            if freed == 0 {
                break;
            }
        }
        let page_size = self.readers.run(Place::Elsewhere, |connection, _| {
            connection
                .pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))
                .map_err(map)
        });
        Ok(pages * page_size.await.map_err(in_sqlite)?.cast_unsigned())
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        let (schema, namespace) = (self.schema, namespace.clone());
        let read = self
            .readers
            .run(Place::Elsewhere, move |connection, _| usage(schema, connection, &namespace));
        read.await.map_err(in_sqlite)
    }
}

fn free_pages(connection: &Connection) -> Result<u64> {
    let pages = connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    Ok(pages.map_err(map)?.cast_unsigned())
}

/// Gives some pages back to the file system; answers how many.
fn compact_some(connection: &Connection) -> Result<u64> {
    let before = free_pages(connection)?;
    if before > 0 {
        let mut statement =
            connection.prepare(&format!("PRAGMA incremental_vacuum({STEP})")).map_err(map)?;
        // Each row that this statement steps through frees a page.
        let mut rows = statement.query([]).map_err(map)?;
        while rows.next().map_err(map)?.is_some() {}
    }
    Ok(before.saturating_sub(free_pages(connection)?))
}

fn usage(schema: &Schema, connection: &Connection, namespace: &Namespace) -> Result<Usage> {
    let namespace = namespace.as_str();
    let number = |row: &rusqlite::Row<'_>, place| row.get::<_, i64>(place).map(i64::cast_unsigned);
    let mut usage = Usage::default();
    for table in schema.tables {
        let sql = format!("SELECT count(*) FROM {} WHERE namespace = ?1", quoted(table.name));
        let count = connection.query_row(&sql, [namespace], |row| number(row, 0)).map_err(map)?;
        usage.records.push((table.name.to_owned(), count));
    }
    for log in schema.logs {
        let sql = "SELECT count(*), ifnull(sum(count), 0), ifnull(sum(bytes), 0) FROM _streams \
                   WHERE namespace = ?1 AND log = ?2";
        let sums = connection.query_row(sql, [namespace, log.name], |row| {
            Ok((log.name.to_owned(), number(row, 0)?, number(row, 1)?, number(row, 2)?))
        });
        usage.logs.push(sums.map_err(map)?);
    }
    let sql = "SELECT count(*), ifnull(sum(size), 0) FROM _blobs WHERE namespace = ?1";
    (usage.blobs, usage.blob_bytes) = connection
        .query_row(sql, [namespace], |row| Ok((number(row, 0)?, number(row, 1)?)))
        .map_err(map)?;
    Ok(usage)
}
