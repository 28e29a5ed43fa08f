//! What became of a commit whose answer did not come.
//!
//! Every call of the commit function leaves its token in `_commits`, in its own transaction. Who
//! does not know the outcome puts the token there himself: that waits for the call if it is still
//! under way, finds what it answered if it is done, and else keeps it from ever being done. Tokens
//! are forgotten in time: after half of that, one that is not there says nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::committer::Shared;
use super::connections::{Failed, Lent};
use super::ddl::within;
use super::options::Options;
use super::wire::Wire;
use crate::drivers::server::patience::{GRACE, pause};
use crate::schema::Namespace;

/// Tokens are kept for at least so long; far longer than any call can take.
const KEPT_MS: i64 = 2 * 60 * 60 * 1000;
/// Most that is forgotten at once.
const PORTION: usize = 2000;
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

/// The wall clock, in milliseconds: it goes on while the machine sleeps.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long tokens are kept.
fn kept(options: &Options) -> i64 {
    let longest = i64::try_from(options.timeout.as_millis()).unwrap_or(0);
    KEPT_MS.max(2 * longest)
}

/// Whether a token was made so long ago that others may have forgotten it.
fn may_be_forgotten(token: Uuid, now: i64, kept: i64) -> bool {
    let made = token.get_timestamp().map_or(0, |made| {
        let (seconds, nanos) = made.to_unix();
        i64::try_from(seconds * 1000 + u64::from(nanos / 1_000_000)).unwrap_or(0)
    });
    now - made > kept / 2
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
        match within_time(shared, deadline, async |wire| asked(shared, wire, token).await).await {
            Some(resolved) => return resolved,
            None if Instant::now() + pause(attempt) < deadline => {}
            None => return Resolved::Unknown,
        }
        tokio::time::sleep(pause(attempt)).await;
    }
}

/// Asks on a connection; one on which something may still be under way is not used again, and that
/// is ended: it may be a commit that waits for a standby, which would keep its place at the server.
async fn within_time<T>(
    shared: &Shared,
    deadline: Instant,
    ask: impl AsyncFnOnce(&Wire) -> Option<T>,
) -> Option<T> {
    let connections = &shared.connections;
    let connection = tokio::time::timeout_at(deadline, connections.get()).await.ok()?.ok()?;
    let lent = Lent::new(connection);
    let client = lent.client().ok()?;
    let cancel = client.cancel_token();
    let Ok(answer) = tokio::time::timeout_at(deadline, ask(client)).await else {
        tokio::spawn(connections.cancel(cancel));
        return None;
    };
    if answer.is_some() {
        lent.give_back();
    }
    answer
}

async fn asked(shared: &Shared, connection: &Wire, token: Uuid) -> Option<Resolved> {
    let options = &shared.connections.options;
    let table = within(&options.schema, "_commits");
    let put = format!(
        "INSERT INTO {table}(token, time, result) VALUES ($1, \
         floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL) ON CONFLICT DO NOTHING \
         RETURNING 1"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&token, Type::UUID)];
    // Also when it was put there by an attempt before this one, whose answer did not come.
    let forgotten = may_be_forgotten(token, wall(), kept(options));
    let not = if forgotten { Resolved::Unknown } else { Resolved::Not };
    if !connection.query_typed(&put, &parameters).await.ok()?.is_empty() {
        return Some(not);
    }
    // Written, not read: this commit ends when it is as safe as the server's settings say, on its replicas,
    // too, and so is the one before it, which may have been cancelled while it waited for that.
    let get = format!("UPDATE {table} SET time = time WHERE token = $1 RETURNING result");
    let rows = connection.query_typed(&get, &parameters).await.ok()?;
    if connection.was_cut_short() {
        return None;
    }
    Some(match rows.first()?.try_get(0).ok()? {
        Some(text) => Resolved::Committed(text),
        None => not,
    })
}

/// Forgets tokens that are old enough, and operations of the namespace. What fails now is done the
/// next time.
pub(super) async fn prune(shared: Arc<Shared>, namespace: Namespace) {
    let deadline = shared.connections.deadline();
    let pruning = async |wire: &Wire| prune_now(&shared, wire, &namespace).await.ok();
    let _ = within_time(&shared, deadline, pruning).await;
}

/// What is old is old by the time of the last commit, the server's clock and the own one: one of them
/// may be wrong.
async fn prune_now(shared: &Shared, wire: &Wire, namespace: &Namespace) -> Result<(), Failed> {
    let options = &shared.connections.options;
    let time = shared.time.load(Ordering::Relaxed).min(wall());
    let old = "least($2, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) - $3";
    let (place, kept) = (&options.schema, kept(options));
    let oldest = Uuid::new_v7(timestamp(time - kept));
    let commits = within(place, "_commits");
    let sql = format!(
        "DELETE FROM {commits} WHERE token IN (SELECT token FROM {commits} WHERE token < $1 \
         AND time < {old} ORDER BY token LIMIT {PORTION}) RETURNING 1"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&oldest, Type::UUID), (&time, Type::INT8), (&kept, Type::INT8)];
    while wire.query_typed(&sql, &parameters).await?.len() == PORTION {}
    let operations = within(place, "_operations");
    let sql = format!(
        "DELETE FROM {operations} WHERE namespace = $1 AND n IN (SELECT n FROM {operations} \
         WHERE namespace = $1 AND time < {old} AND n <= (SELECT n FROM {operations} \
         WHERE namespace = $1 ORDER BY n DESC OFFSET $4 LIMIT 1) ORDER BY n LIMIT {PORTION}) \
         RETURNING 1"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&namespace.as_str(), Type::TEXT),
        (&time, Type::INT8),
        (&OPERATIONS_MS, Type::INT8),
        (&OPERATIONS, Type::INT8),
    ];
    while wire.query_typed(&sql, &parameters).await?.len() == PORTION {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_nothing_when_others_may_have_forgotten_it() {
        let token = Uuid::new_v7(timestamp(1_000_000));
        for (now, expected) in [(0, false), (1_000_500, false), (1_000_501, true)] {
            assert_eq!(may_be_forgotten(token, now, 1000), expected, "{now}");
        }
    }
}
