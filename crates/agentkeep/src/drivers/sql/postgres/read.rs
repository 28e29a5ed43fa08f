//! Entries of a log: each call one statement, and so one moment.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connections::{Connections, Failed};
use super::ddl::within;
use super::rows::{self, ENTRY_COLUMNS};
use crate::driver::{Entries, Entry, Head, Read, Stretch, Which};
use crate::drivers::server::known::known_log;
use crate::error::{Error, Kind};
use crate::schema::{EntryId, Namespace, Schema, Stream, Turn};

type Done<T> = std::result::Result<T, Failed>;

pub(super) async fn read(
    schema: &Schema,
    connections: &Connections,
    client: &ClientWrapper,
    namespace: &Namespace,
    read: &Read,
) -> Done<Entries> {
    known_log(schema, read.log)?;
    let reading = Reading { connections, client, namespace: namespace.as_str(), read };
    let (mut entries, heads) = match &read.which {
        Which::Stretches(stretches) => reading.stretches(stretches).await?,
        Which::Ids(ids) => (reading.ids(ids).await?, Vec::new()),
        Which::Turn(turn) => (reading.turn(turn).await?, Vec::new()),
    };
    let more = entries.len() > read.limit;
    entries.truncate(read.limit);
    Ok(Entries { entries, heads, more })
}

struct Reading<'a> {
    connections: &'a Connections,
    client: &'a ClientWrapper,
    namespace: &'a str,
    read: &'a Read,
}

/// A number within those of PostgreSQL; streams never come near the end of them.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Reading<'_> {
    fn place(&self, name: &str) -> String {
        within(&self.connections.options.schema, name)
    }

    /// One more than asked for tells whether there are more.
    fn limit(&self) -> i64 {
        i64::try_from(self.read.limit + 1).unwrap_or(i64::MAX)
    }

    fn direction(&self) -> &'static str {
        if self.read.reverse { "DESC" } else { "ASC" }
    }

    async fn ask(&self, sql: &str, own: &[(&(dyn ToSql + Sync), Type)]) -> Done<Vec<Row>> {
        let (log, limit) = (self.read.log.name, self.limit());
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&self.namespace, Type::TEXT), (&log, Type::TEXT), (&limit, Type::INT8)];
        parameters.extend(own.iter().cloned());
        Ok(self.connections.ask(self.client, sql, &parameters).await?)
    }

    /// Heads and entries of the stretches: the heads are rows without a number.
    async fn stretches(&self, stretches: &[Stretch]) -> Done<(Vec<Entry>, Vec<Option<Head>>)> {
        let sql = format!(
            "WITH h AS MATERIALIZED (SELECT w.n, w.low, w.high, s.no, s.birth, s.first, s.last, \
             s.count, s.bytes, s.updated FROM unnest($4::text[], $5::bigint[], $6::bigint[]) \
             WITH ORDINALITY AS w(stream, low, high, n) JOIN {streams} AS s ON s.namespace = $1 \
             AND s.log = $2 AND s.stream = w.stream) \
             SELECT h.n, NULL::bigint AS seq, NULL::text, NULL::text, NULL::bigint, NULL::text, \
             NULL::bigint, NULL::text, ARRAY[h.birth, h.first, h.last, h.count, h.bytes, \
             h.updated]::bigint[] FROM h UNION ALL \
             (SELECT h.n, {ENTRY_COLUMNS}, NULL::bigint[] FROM h CROSS JOIN LATERAL \
             (SELECT * FROM {log} AS m WHERE m.stream_no = h.no \
             AND m.seq >= greatest(h.low, h.first) AND m.seq <= least(h.high, h.last) \
             ORDER BY m.seq {way} LIMIT $3) AS e ORDER BY h.n {way}, e.seq {way} LIMIT $3)",
            streams = self.place("_streams"),
            log = self.place(self.read.log.name),
            way = self.direction(),
        );
        let names: Vec<&str> = stretches.iter().map(|s| s.stream.as_str()).collect();
        let low: Vec<i64> = stretches.iter().map(|s| number(s.from)).collect();
        let high: Vec<i64> = stretches.iter().map(|s| number(s.to)).collect();
        let own: [(&(dyn ToSql + Sync), Type); 3] =
            [(&names, Type::TEXT_ARRAY), (&low, Type::INT8_ARRAY), (&high, Type::INT8_ARRAY)];
        let mut heads: Vec<Option<Head>> = stretches.iter().map(|_| None).collect();
        let mut entries = Vec::new();
        for row in self.ask(&sql, &own).await? {
            let n = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0).wrapping_sub(1);
            let Some(stretch) = stretches.get(n) else { return Err(odd().into()) };
            match row.try_get::<_, Option<Vec<Option<i64>>>>(8)? {
                Some(facts) => heads[n] = Some(rows::head(&facts).ok_or_else(odd)?),
                None => entries.push(rows::entry(&stretch.stream, &row, 1)?),
            }
        }
        Ok((entries, heads))
    }

    async fn ids(&self, ids: &[(Stream, EntryId)]) -> Done<Vec<Entry>> {
        let sql = format!(
            "SELECT h.stream, {ENTRY_COLUMNS} FROM unnest($4::text[], $5::text[]) \
             WITH ORDINALITY AS w(stream, id, n) JOIN {streams} AS h ON h.namespace = $1 \
             AND h.log = $2 AND h.stream = w.stream \
             JOIN {log} AS e ON e.stream_no = h.no AND e.id = w.id ORDER BY w.n {way} LIMIT $3",
            streams = self.place("_streams"),
            log = self.place(self.read.log.name),
            way = self.direction(),
        );
        let streams: Vec<&str> = ids.iter().map(|(stream, _)| stream.as_str()).collect();
        let ids: Vec<&str> = ids.iter().map(|(_, id)| id.as_str()).collect();
        let own: [(&(dyn ToSql + Sync), Type); 2] =
            [(&streams, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY)];
        named(&self.ask(&sql, &own).await?)
    }

    async fn turn(&self, turn: &Turn) -> Done<Vec<Entry>> {
        let sql = format!(
            "SELECT h.stream, {ENTRY_COLUMNS} FROM {log} AS e JOIN {streams} AS h \
             ON h.no = e.stream_no WHERE e.turn = $4 AND h.namespace = $1 AND h.log = $2 \
             ORDER BY h.stream {way}, e.seq {way} LIMIT $3",
            streams = self.place("_streams"),
            log = self.place(self.read.log.name),
            way = self.direction(),
        );
        let turn = turn.as_str();
        named(&self.ask(&sql, &[(&turn, Type::TEXT)]).await?)
    }
}

/// Entries that come with the names of their streams.
fn named(rows: &[Row]) -> Done<Vec<Entry>> {
    rows.iter().map(|row| rows::entry(&rows::stream(row, 0)?, row, 1)).collect()
}

fn odd() -> Error {
    Error::new(Kind::Corrupt, "the row of a stream is damaged").at("_streams")
}
