//! Reading what other programs keep in a PostgreSQL database: by the same rules for addresses,
//! credentials and encryption as a store's, and with no claim on how the server is set up. A replica
//! will do.

use std::pin::pin;

use deadpool_postgres::ClientWrapper;
use futures_util::StreamExt as _;
use tokio_postgres::types::{ToSql, Type};

use super::connections::connected;
use super::errors::{late, map};
use super::options::Options;
use super::{in_postgres, tls};
use crate::drivers::sql::shape::quoted;
use crate::error::Result;

/// How many rows come at once.
const PAGE: usize = 100;

/// A database of somebody else's, at one moment. Nothing can be written through it.
#[derive(Debug)]
pub struct Foreign {
    client: ClientWrapper,
    options: Options,
}

impl Foreign {
    /// Connects to the database that a URL names, as [`Options::from_url`] reads it, and begins a
    /// transaction that sees one state of it. Where the URL names no `schema`, the role's search path
    /// tells where tables are.
    ///
    /// # Errors
    /// `InvalidInput` for the URL; `Unavailable`, `Timeout`, `PermissionDenied`, `NotFound` as
    /// [`Postgres::open`](super::Postgres::open).
    pub async fn open(url: &str) -> Result<Self> {
        let (options, schema) = Options::from_foreign_url(url)?;
        Self::begin(options, schema).await.map_err(in_postgres)
    }

    async fn begin(options: Options, schema: Option<String>) -> Result<Self> {
        let place = options.location();
        let tls = tls::connector(&options)?;
        let connected = connected(&options, tls).await.map_err(|error| error.at(place))?;
        let foreign = Self { client: connected.0, options };
        foreign.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if let Some(schema) = schema {
            foreign.run(&format!("SET LOCAL search_path TO {}", quoted(&schema))).await?;
        }
        Ok(foreign)
    }

    /// Where the database is, without secrets.
    pub fn location(&self) -> String {
        self.options.place()
    }

    /// Whether there is a table or view of this name.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`.
    pub async fn has(&self, table: &str) -> Result<bool> {
        let sql = "SELECT pg_catalog.to_regclass($1)::text";
        let name = quoted(table);
        let parameters = [(&name as &(dyn ToSql + Sync), Type::TEXT)];
        let rows = self.in_time(self.client.query_typed(sql, &parameters)).await;
        let rows = rows.map_err(in_postgres)?;
        let found = rows.first().map(|row| row.try_get::<_, Option<&str>>(0));
        Ok(found.transpose().map_err(|error| in_postgres(map(&error)))?.flatten().is_some())
    }

    /// Gives the rows of two columns of text, by the bytes that the first one has, a page at a time.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `PermissionDenied`, and whatever `take` answers.
    pub async fn pairs(
        &self,
        table: &str,
        columns: [&str; 2],
        mut take: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let [key, value] = columns.map(quoted);
        // As sent: text that a database of no encoding holds need not be any.
        let sql = format!(
            "DECLARE foreign_rows NO SCROLL CURSOR FOR SELECT pg_catalog.textsend({key}::text), \
             pg_catalog.textsend({value}::text) FROM {} ORDER BY {key}::text COLLATE \"C\"",
            quoted(table)
        );
        self.run(&sql).await.map_err(in_postgres)?;
        let fetch = format!("FETCH FORWARD {PAGE} FROM foreign_rows");
        loop {
            let fetched = self.client.query_typed_raw(&fetch, Vec::<(&str, _)>::new());
            let mut rows = pin!(self.in_time(fetched).await.map_err(in_postgres)?);
            let mut count = 0;
            // One row at a time: a row can be large, and a page of them would be a hundred times that.
            while let Some(row) = self.next(&mut rows).await.map_err(in_postgres)? {
                let column = |i| row.try_get(i).map_err(|error| in_postgres(map(&error)));
                take(column(0)?, column(1)?)?;
                count += 1;
            }
            if count < PAGE {
                return self.run("CLOSE foreign_rows").await.map_err(in_postgres);
            }
        }
    }

    async fn next(
        &self,
        rows: &mut std::pin::Pin<&mut tokio_postgres::RowStream>,
    ) -> Result<Option<tokio_postgres::Row>> {
        let next = tokio::time::timeout(self.options.timeout, rows.next()).await;
        next.map_err(|_| late())?.transpose().map_err(|error| map(&error))
    }

    async fn run(&self, sql: &str) -> Result<()> {
        self.in_time(self.client.batch_execute(sql)).await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let answer = tokio::time::timeout(self.options.timeout, asked).await;
        answer.map_err(|_| late())?.map_err(|error| map(&error))
    }
}
