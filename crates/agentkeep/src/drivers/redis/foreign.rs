//! Reading what other programs keep on a Redis server or cluster: by the same rules for addresses,
//! credentials and encryption as a store's, and with no claim on how the server is set up. A replica
//! will do, and a user who may only read.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, Value};

use super::errors::{late, map, strange};
use super::masters::{self, Masters};
use super::options::Options;
use super::{connect, in_redis};
use crate::error::{Error, Kind, Result};

/// How many keys the server looks at for one page.
const PAGE: usize = 1000;
/// How much is read at once: of larger values one.
const BYTES: u64 = 8 << 20;

/// A server or cluster of somebody else's. Nothing is written through it.
pub struct Foreign {
    options: Options,
    base: Option<String>,
    /// The server, or all masters of the cluster.
    nodes: Vec<MultiplexedConnection>,
    cluster: Option<Cluster>,
}

/// Who has what in a cluster, and the node that said so.
struct Cluster {
    masters: Masters,
    node: MultiplexedConnection,
    host: String,
}

impl Foreign {
    /// Connects to the server that a URL names, as [`Options::from_url`] reads it, to the first of
    /// several hosts that answers; where it is a node of a cluster, to all masters.
    ///
    /// # Errors
    /// `InvalidInput` for the URL; `Unavailable`, `Timeout`, `PermissionDenied` as
    /// [`Redis::open`](super::Redis::open); `Unsupported` for a Sentinel.
    pub async fn open(url: &str) -> Result<Self> {
        let (options, base) = Options::from_foreign_url(url).map_err(in_redis)?;
        let place = options.place();
        let begun = tokio::time::timeout(options.timeout, Self::begin(options, base)).await;
        begun.unwrap_or_else(|_| Err(late())).map_err(|error| in_redis(error.at(place)))
    }

    async fn begin(options: Options, base: Option<String>) -> Result<Self> {
        let (connection, (host, _)) = connect::any(&options).await?;
        let mut foreign = Self { options, base, nodes: Vec::new(), cluster: None };
        match foreign.mode(&connection).await?.as_str() {
            "cluster" => {
                let masters = foreign.masters_now(&connection, &host).await?;
                for node in &masters.nodes {
                    foreign.nodes.push(connect::plain(&foreign.options, node).await?);
                }
                foreign.cluster = Some(Cluster { masters, node: connection, host });
            }
            "sentinel" => {
                return Err(Error::new(Kind::Unsupported, "the server is a Sentinel")
                    .advice("name the server that it watches"));
            }
            _ => foreign.nodes.push(connection),
        }
        Ok(foreign)
    }

    /// Where the database is, without secrets.
    pub fn location(&self) -> String {
        self.options.place()
    }

    /// What the URL says that keys begin with.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Gives the strings whose keys begin with `prefix`, in pages and in no order, and of other
    /// values their type. One that goes while this reads may be left out, one that changes may come
    /// twice; each is as it was at the moment when it was read.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `PermissionDenied`, `Conflict` when a cluster has moved slots
    /// meanwhile, and whatever `take` answers.
    pub async fn strings(
        &self,
        prefix: &str,
        mut take: impl FnMut(&[u8], std::result::Result<&[u8], &str>) -> Result<()>,
    ) -> Result<()> {
        let pattern = format!("{}*", escaped(prefix));
        for node in &self.nodes {
            let mut cursor = 0;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE);
                let page = self.ask(node, &scan).await.map_err(in_redis)?;
                let (next, keys): (u64, Vec<Vec<u8>>) = redis::from_redis_value(page)
                    .map_err(|_| in_redis(strange("a page of keys")))?;
                self.page(node, &keys, &mut take).await?;
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        self.same_masters().await.map_err(in_redis)
    }

    /// The values of these keys. Any of them may be gone by now, or another.
    async fn page(
        &self,
        node: &MultiplexedConnection,
        keys: &[Vec<u8>],
        take: &mut impl FnMut(&[u8], std::result::Result<&[u8], &str>) -> Result<()>,
    ) -> Result<()> {
        let mut asked = redis::pipe();
        for key in keys {
            asked.cmd("TYPE").arg(key).cmd("STRLEN").arg(key);
        }
        let facts = self.ask_all(node, &mut asked).await.map_err(in_redis)?;
        let (mut group, mut bytes) = (Vec::new(), 0);
        for (key, facts) in keys.iter().zip(facts.chunks_exact(2)) {
            let kind = match &facts[0] {
                Some(Value::SimpleString(kind)) => kind.as_str(),
                _ => return Err(in_redis(strange("the type of a key"))),
            };
            match kind {
                "none" => continue,
                "string" => {}
                other => {
                    take(key, Err(other))?;
                    continue;
                }
            }
            let size = match &facts[1] {
                Some(Value::Int(size)) => size.unsigned_abs(),
                _ => 0,
            };
            if bytes + size > BYTES && !group.is_empty() {
                self.values(node, &group, take).await?;
                (group, bytes) = (Vec::new(), 0);
            }
            group.push(key);
            bytes += size;
        }
        self.values(node, &group, take).await
    }

    async fn values(
        &self,
        node: &MultiplexedConnection,
        keys: &[&Vec<u8>],
        take: &mut impl FnMut(&[u8], std::result::Result<&[u8], &str>) -> Result<()>,
    ) -> Result<()> {
        // Not MGET: it hides what is no string, and a cluster refuses keys of several slots.
        let mut asked = redis::pipe();
        for key in keys {
            asked.cmd("GET").arg(*key);
        }
        let values = self.ask_all(node, &mut asked).await.map_err(in_redis)?;
        for (key, value) in keys.iter().zip(values) {
            match value {
                Some(Value::BulkString(bytes)) => take(key, Ok(&bytes))?,
                Some(Value::Nil) => {}
                None => take(key, Err("value of another type"))?,
                Some(_) => return Err(in_redis(strange("the value of a key"))),
            }
        }
        Ok(())
    }

    /// What the server calls its mode; those that do not know the question have but one.
    async fn mode(&self, connection: &MultiplexedConnection) -> Result<String> {
        // Also who may only read keys may ask this.
        let (hello, mut connection) = (redis::cmd("HELLO"), connection.clone());
        let facts = match self.in_time(hello.query_async::<Value>(&mut connection)).await? {
            Ok(facts) => facts,
            Err(error) if error.code() == Some("ERR") => return Ok(String::new()),
            Err(error) => return Err(refused(&error)),
        };
        let facts: std::collections::HashMap<String, Value> =
            redis::from_redis_value(facts).map_err(|_| strange("itself"))?;
        let mode = facts.get("mode").map(redis::from_redis_value_ref::<String>);
        Ok(mode.transpose().map_err(|_| strange("its mode"))?.unwrap_or_default())
    }

    async fn masters_now(&self, connection: &MultiplexedConnection, host: &str) -> Result<Masters> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        masters::of(&self.ask(connection, &slots).await?, host)
    }

    /// A slot that moves takes its keys along, perhaps to a master that was read before.
    async fn same_masters(&self) -> Result<()> {
        let Some(Cluster { masters, node, host }) = &self.cluster else { return Ok(()) };
        if self.masters_now(node, host).await? == *masters {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "the cluster has moved slots while it was read")
            .advice(MOVING))
    }

    async fn ask(&self, node: &MultiplexedConnection, cmd: &Cmd) -> Result<Value> {
        let answer = self.in_time(cmd.query_async(&mut node.clone())).await?;
        answer.map_err(|error| refused(&error))
    }

    /// The answers to all of these; `None` where the key has a value of another type.
    async fn ask_all(
        &self,
        node: &MultiplexedConnection,
        asked: &mut Pipeline,
    ) -> Result<Vec<Option<Value>>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut node = node.clone();
        let answers = self.in_time(asked.ignore_errors().query_async(&mut node)).await?;
        let answers: Vec<Value> = answers.map_err(|error| refused(&error))?;
        let answer = |value| match value {
            Value::ServerError(error) => {
                let error = RedisError::from(error);
                if error.code() == Some("WRONGTYPE") { Ok(None) } else { Err(refused(&error)) }
            }
            value => Ok(Some(value)),
        };
        answers.into_iter().map(answer).collect()
    }

    async fn in_time<T>(&self, asked: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout(self.options.timeout, asked).await.map_err(|_| late())
    }
}

const MOVING: &str = "try again when it has ended";

fn refused(error: &RedisError) -> Error {
    let mapped = map(error);
    match error.code() {
        Some("MOVED" | "ASK" | "TRYAGAIN") => mapped.advice(MOVING),
        Some("NOPERM") => {
            mapped.advice("grant the user the keys and +@read, and for a cluster +cluster|slots")
        }
        _ => mapped,
    }
}

/// Text that stands for itself in a pattern.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Foreign({:?})", self.location())
    }
}
