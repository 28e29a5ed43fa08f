//! What became of a commit whose answer did not come.
//!
//! Every call of the commit function leaves its token in `_commits`, in its own transaction. Who
//! does not know the outcome puts the token there himself: that waits for the call if it is still
//! under way, finds what it answered if it is done, and else keeps it from ever being done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::committer::Shared;
use super::ddl::within;
use crate::drivers::server::patience::{GRACE, pause};

/// Tokens are kept for at least so long; far longer than any call can take.
const KEPT_MS: i64 = 2 * 60 * 60 * 1000;
/// Operations are kept at least so long,
const OPERATIONS_MS: i64 = 24 * 60 * 60 * 1000;
/// and so many of each namespace.
const OPERATIONS: i64 = 100_000;

/// What became of a commit.
pub(super) enum Resolved {
    /// It happened: what the function answered.
    Committed(String),
    /// It did not, and never will.
    Not,
    /// The server could not be asked in time.
    Unknown,
}

/// A token: new ones at the end, so that old ones are found by their order.
pub(super) fn token() -> Uuid {
    Uuid::now_v7()
}

fn timestamp(ms: i64) -> uuid::Timestamp {
    let ms = ms.max(0).cast_unsigned();
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    uuid::Timestamp::from_unix(uuid::NoContext, ms / 1000, nanos)
}

pub(super) async fn resolve(shared: &Shared, token: Uuid, deadline: Instant) -> Resolved {
    let deadline = deadline.max(Instant::now()) + GRACE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match tokio::time::timeout_at(deadline, ask(shared, token)).await {
            Ok(Some(resolved)) => return resolved,
            Ok(None) if Instant::now() + pause(attempt) < deadline => {}
            _ => return Resolved::Unknown,
        }
        tokio::time::sleep(pause(attempt)).await;
    }
}

async fn ask(shared: &Shared, token: Uuid) -> Option<Resolved> {
    let connection = shared.connections.get().await.ok()?;
    let table = within(&shared.connections.options.schema, "_commits");
    let put = format!(
        "INSERT INTO {table}(token, time, result) VALUES ($1, \
         floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL) ON CONFLICT DO NOTHING \
         RETURNING 1"
    );
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
        [(&token, Type::UUID)];
    if !connection.query_typed(&put, &parameters).await.ok()?.is_empty() {
        return Some(Resolved::Not);
    }
    let get = format!("SELECT result FROM {table} WHERE token = $1");
    let rows = connection.query_typed(&get, &parameters).await.ok()?;
    Some(match rows.first()?.try_get(0).ok()? {
        Some(text) => Resolved::Committed(text),
        None => Resolved::Not,
    })
}

/// Forgets tokens and operations that are old enough. What fails now is done the next time.
pub(super) async fn prune(shared: Arc<Shared>) {
    let _ = prune_now(&shared).await;
}

async fn prune_now(shared: &Shared) -> Result<(), super::connections::Failed> {
    let connection = shared.connections.get().await?;
    let place = &shared.connections.options.schema;
    let time = shared.time.load(Ordering::Relaxed);
    let longest = i64::try_from(shared.connections.options.timeout.as_millis()).unwrap_or(0);
    let before = time - KEPT_MS.max(2 * longest);
    let oldest = Uuid::new_v7(timestamp(before));
    let commits = within(place, "_commits");
    let sql = format!(
        "DELETE FROM {commits} WHERE token IN (SELECT token FROM {commits} WHERE token < $1 \
         AND time < $2 ORDER BY token LIMIT 2000)"
    );
    // The server's time decides: a token may come from a clock that is wrong.
    connection.query_typed(&sql, &[(&oldest, Type::UUID), (&before, Type::INT8)]).await?;
    let operations = within(place, "_operations");
    let sql = format!(
        "SELECT DISTINCT namespace FROM (SELECT namespace FROM {operations} WHERE time < $1 \
         LIMIT 1000) old"
    );
    let before = time - OPERATIONS_MS;
    for row in connection.query_typed(&sql, &[(&before, Type::INT8)]).await? {
        let namespace: String = row.try_get(0)?;
        let sql = format!(
            "DELETE FROM {operations} WHERE namespace = $1 AND time < $2 AND n <= (SELECT n FROM \
             {operations} WHERE namespace = $1 ORDER BY n DESC OFFSET $3 LIMIT 1)"
        );
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&namespace, Type::TEXT), (&before, Type::INT8), (&OPERATIONS, Type::INT8)];
        connection.query_typed(&sql, &parameters).await?;
    }
    Ok(())
}
