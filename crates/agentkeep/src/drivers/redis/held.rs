//! One moment of a namespace in place, where there is no memory for a copy of it: a connection of its
//! own watches the keys of which every commit changes one, and tells after each read whether any was.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Value};

use super::errors::{Fate, changed, fate, late, map, strange};
use super::keys::Space;
use super::link::{Link, called};
use super::scripts::Script;
use super::{connect, masters};
use crate::error::{Error, Result};
use crate::schema::{BLOBS, STREAMS, Schema};

/// It holds for as long as nobody commits.
pub(super) struct Held {
    connection: MultiplexedConnection,
    timeout: std::time::Duration,
}

impl Held {
    pub(super) async fn new(schema: &Schema, link: &Link, space: &Space) -> Result<Self> {
        let timeout = link.options.timeout;
        let connecting = tokio::time::timeout(timeout, connection(link, &space.meta())).await;
        let held = Self { connection: connecting.unwrap_or_else(|_| Err(late()))?, timeout };
        let mut watch = redis::cmd("WATCH");
        watch.arg(space.meta());
        for table in schema.tables.iter().copied().chain([&STREAMS, &BLOBS]) {
            watch.arg(space.records(table));
        }
        held.send(&watch).await.map_err(|error| map(&error))?;
        held.refuse_if_changed().await?;
        Ok(held)
    }

    /// Asks by a script that only reads.
    pub(super) async fn ask<A: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[A],
    ) -> Result<Value> {
        let mut answer = self.send(&called(script, true, keys, arguments)).await;
        if answer.as_ref().is_err_and(|error| fate(error) == Fate::NoScript) {
            answer = self.send(&called(script, false, keys, arguments)).await;
        }
        self.refuse_if_changed().await?;
        answer.map_err(|error| map(&error))
    }

    async fn refuse_if_changed(&self) -> Result<()> {
        let mut info = redis::cmd("CLIENT");
        info.arg("INFO");
        let told = self.send(&info).await.map_err(|error| map(&error))?;
        let told: String = redis::from_redis_value(told).map_err(|_| unclear())?;
        let flags = told.split_ascii_whitespace().find_map(|fact| fact.strip_prefix("flags="));
        if flags.ok_or_else(unclear)?.contains('d') { Err(changed()) } else { Ok(()) }
    }

    async fn send(&self, cmd: &Cmd) -> redis::RedisResult<Value> {
        let mut connection = self.connection.clone();
        let sent = tokio::time::timeout(self.timeout, cmd.query_async(&mut connection)).await;
        sent.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }
}

fn unclear() -> Error {
    strange("what was changed")
}

/// A connection of its own to the server that has a key.
async fn connection(link: &Link, key: &str) -> Result<MultiplexedConnection> {
    if !link.is_clustered() {
        return Ok(connect::first(&link.options).await?.0);
    }
    let (node, (host, _)) = connect::any(&link.options).await?;
    let slots: Value = cluster(&node, &["SLOTS"]).await?;
    let slot: i64 = cluster(&node, &["KEYSLOT", key]).await?;
    let masters = masters::of(&slots, &host)?;
    let master = masters.of_slot(slot).ok_or_else(|| strange("the nodes of the cluster"))?;
    connect::plain(&link.options, master).await
}

async fn cluster<T: FromRedisValue>(node: &MultiplexedConnection, what: &[&str]) -> Result<T> {
    let asked = redis::cmd("CLUSTER").arg(what).query_async(&mut node.clone()).await;
    asked.map_err(|error| map(&error))
}
