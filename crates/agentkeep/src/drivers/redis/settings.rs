//! The server's settings, held against what was asked for.

use std::collections::HashMap;

use redis::Value;

use super::errors::map;
use super::options::Options;
use crate::driver::Durability;
use crate::error::{Error, Kind, Result};

/// The oldest server.
const OLDEST: u32 = 7;

/// What a server says of itself.
#[derive(Debug, Default)]
pub(super) struct Server {
    version: String,
    /// Whether it is a node of a cluster.
    pub(super) clustered: bool,
    role: String,
    /// `None` when it hides them.
    settings: Option<HashMap<String, String>>,
}

/// Where the server's settings are asked for; `send` sends one command.
pub(super) async fn look<F>(send: impl Fn(redis::Cmd) -> F) -> Result<Server>
where
    F: Future<Output = redis::RedisResult<Value>>,
{
    let mut info = redis::cmd("INFO");
    info.arg("server");
    let mut replication = redis::cmd("INFO");
    replication.arg("replication");
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg("appendonly").arg("appendfsync").arg("maxmemory-policy");
    let (info, replication, config) =
        futures_util::future::join3(send(info), send(replication), send(config)).await;
    let (info, replication) =
        (text(info.map_err(|error| map(&error))?), text(replication.map_err(|error| map(&error))?));
    let fact = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    Ok(Server {
        version: fact(&info, "redis_version"),
        clustered: fact(&info, "redis_mode") == "cluster",
        role: fact(&replication, "role"),
        settings: settings(config)?,
    })
}

fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    }
}

/// `None` when the server does not show them; an error when it could not be asked.
fn settings(config: redis::RedisResult<Value>) -> Result<Option<HashMap<String, String>>> {
    let found = match config {
        Ok(value) => redis::from_redis_value::<HashMap<String, String>>(value).ok(),
        // Renamed or forbidden.
        Err(error) if error.code().is_some() => None,
        Err(error) => return Err(map(&error)),
    };
    Ok(found.filter(|found| !found.is_empty()))
}

impl Server {
    /// Refuses a server that is too old, cannot be written to, or would lose what it acknowledged.
    pub(super) fn verify(&self, options: &Options, at: &str) -> Result<()> {
        self.verified(options).map_err(|error| error.at(at.to_owned()))
    }

    /// The same for a node of a cluster, which may be a replica.
    pub(super) fn verify_node(&self, options: &Options, at: &str) -> Result<()> {
        self.new_enough()
            .and_then(|()| self.keeps(options))
            .map_err(|error| error.at(at.to_owned()))
    }

    fn verified(&self, options: &Options) -> Result<()> {
        self.new_enough()?;
        needs("role", &self.role, "master", self.role == "master")
            .map_err(|error| error.advice("connect to the master"))?;
        self.keeps(options)
    }

    fn new_enough(&self) -> Result<()> {
        let major = self.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            let found = if self.version.is_empty() { "of no known version" } else { &self.version };
            let message = format!("the server is Redis {found}, and {OLDEST} is needed");
            return Err(Error::new(Kind::Unsupported, message).advice("use a newer server"));
        }
        Ok(())
    }

    /// Whether it keeps what it acknowledges; of a replica that may become a master, too.
    fn keeps(&self, options: &Options) -> Result<()> {
        let power = options.durability == Durability::Power;
        let Some(settings) = &self.settings else {
            if power && !options.stated {
                return Err(needs("CONFIG GET", "hidden", "the server's settings shown", false)
                    .err()
                    .unwrap_or_else(super::errors::closed)
                    .advice(
                        "let the user call CONFIG GET, or state with settings=stated that \
                         appendonly is yes, appendfsync always and maxmemory-policy noeviction, or \
                         knowingly accept less with durability=process",
                    ));
            }
            return Ok(());
        };
        let found = |name: &str| settings.get(name).map_or("unknown", String::as_str);
        let policy = found("maxmemory-policy");
        if !power {
            // Keys that vanish at any time are not kept at all.
            let fine = !policy.starts_with("allkeys-");
            return needs("maxmemory-policy", policy, "noeviction", fine)
                .map_err(|error| error.advice("change the setting"));
        }
        for (name, needed) in
            [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")]
        {
            needs(name, found(name), needed, found(name) == needed).map_err(|error| {
                error.advice(format!(
                    "CONFIG SET {name} {needed} (and in redis.conf), or knowingly accept less with \
                     durability=process"
                ))
            })?;
        }
        Ok(())
    }
}

fn needs(name: &str, found: &str, needed: &str, fine: bool) -> Result<()> {
    if fine {
        return Ok(());
    }
    let message = format!("{name} is {found}; needed: {needed}");
    Err(Error::new(Kind::DurabilityNotMet, message).retryable(false))
}
