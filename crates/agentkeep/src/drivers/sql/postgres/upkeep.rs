//! Upkeep: the format, room that was freed, and how much a namespace holds.

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};

use super::connections::{Failed, reading};
use super::ddl::within;
use super::errors::map;
use super::{Postgres, in_postgres};
use crate::driver::{Maintain, Usage};
use crate::error::Result;
use crate::schema::Namespace;

#[async_trait]
impl Maintain for Postgres {
    /// Opening has done it, or was told not to.
    async fn upgrade(&self) -> Result<u32> {
        self.connections.refuse_if_closed().map_err(in_postgres)?;
        Ok(self.found)
    }

    /// VACUUM, which needs the tables' owner. What it frees is for what comes next: PostgreSQL
    /// gives back to the system only what is at the end of a file.
    async fn compact(&self) -> Result<u64> {
        self.compact_now().await.map_err(in_postgres)
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        reading!(self.connections, |client| self.usage_now(client, namespace)).map_err(in_postgres)
    }
}

impl Postgres {
    async fn compact_now(&self) -> Result<u64> {
        let before = reading!(self.connections, |client| self.size(client))?;
        let (client, _told) = self.connections.single().await?;
        for table in self.tables() {
            let sql = format!("VACUUM {}", self.within(&table));
            client.batch_execute(&sql).await.map_err(|error| map(&error))?;
        }
        let after = reading!(self.connections, |client| self.size(client))?;
        Ok(before.saturating_sub(after))
    }

    fn within(&self, name: &str) -> String {
        within(&self.connections.options.schema, name)
    }

    /// All tables that hold what users keep.
    fn tables(&self) -> Vec<String> {
        use crate::drivers::sql::shape::{is_list_index, side_table};
        let mut tables: Vec<String> = [
            "_commits",
            "_operations",
            "_floors",
            "_streams",
            "_blobs",
            "_blob_bytes",
            "_namespaces",
        ]
        .map(str::to_owned)
        .to_vec();
        for table in self.schema.tables {
            tables.push(table.name.to_owned());
            let lists = table.indexes.iter().filter(|index| is_list_index(table, index));
            tables.extend(lists.map(|index| side_table(table, index)));
        }
        tables.extend(self.schema.logs.iter().map(|log| log.name.to_owned()));
        tables
    }

    /// The bytes of all tables with their indexes.
    async fn size(&self, client: &ClientWrapper) -> std::result::Result<u64, Failed> {
        let tables: Vec<String> = self.tables().iter().map(|table| self.within(table)).collect();
        let sql = "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(t::regclass)), 0)::bigint \
                   FROM unnest($1::text[]) AS t";
        let rows = client.query_typed(sql, &[(&tables, Type::TEXT_ARRAY)]).await?;
        let size: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        Ok(size.cast_unsigned())
    }

    async fn usage_now(
        &self,
        client: &ClientWrapper,
        namespace: &Namespace,
    ) -> std::result::Result<Usage, Failed> {
        let counts: Vec<String> = self
            .schema
            .tables
            .iter()
            .map(|table| {
                let name = self.within(table.name);
                format!("SELECT 'r', '{}', count(*), 0::bigint, 0::bigint FROM {name} WHERE namespace = $1", table.name)
            })
            .chain(self.schema.logs.iter().map(|log| {
                format!(
                    "SELECT 'l', '{}', count(*), coalesce(sum(count), 0)::bigint, \
                     coalesce(sum(bytes), 0)::bigint FROM {} WHERE namespace = $1 AND log = '{}'",
                    log.name,
                    self.within("_streams"),
                    log.name
                )
            }))
            .chain([format!(
                "SELECT 'b', '', count(*), coalesce(sum(size), 0)::bigint, 0::bigint FROM {} \
                 WHERE namespace = $1",
                self.within("_blobs")
            )])
            .collect();
        let namespace = namespace.as_str();
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&namespace, Type::TEXT)];
        let rows = client.query_typed(&counts.join(" UNION ALL "), &parameters).await?;
        let mut usage = Usage::default();
        for row in &rows {
            let (what, name): (&str, String) = (row.try_get(0)?, row.try_get(1)?);
            let n = |i: usize| row.try_get::<_, i64>(i).map(i64::cast_unsigned);
            match what {
                "r" => usage.records.push((name, n(2)?)),
                "l" => usage.logs.push((name, n(2)?, n(3)?, n(4)?)),
                _ => (usage.blobs, usage.blob_bytes) = (n(2)?, n(3)?),
            }
        }
        Ok(usage)
    }
}
