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
    /// The lines of `INFO persistence`; `None` when it hides them.
    persistence: Option<String>,
}

/// What `power` needs.
const POWER: [(&str, &str); 4] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    // Else nothing is synced while a child writes a dump or the file anew.
    ("no-appendfsync-on-rewrite", "no"),
    ("maxmemory-policy", "noeviction"),
];

/// Where the server's settings are asked for; `send` sends one command.
pub(super) async fn look<F>(send: impl Fn(redis::Cmd) -> F) -> Result<Server>
where
    F: Future<Output = redis::RedisResult<Value>>,
{
    let mut info = redis::cmd("INFO");
    info.arg("server");
    let mut replication = redis::cmd("INFO");
    replication.arg("replication");
    let mut persistence = redis::cmd("INFO");
    persistence.arg("persistence");
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg(POWER.map(|(name, _)| name).as_slice());
    let (info, replication, persistence, config) =
        futures_util::future::join4(send(info), send(replication), send(persistence), send(config))
            .await;
    let (info, replication) =
        (text(info.map_err(|error| map(&error))?), text(replication.map_err(|error| map(&error))?));
    Ok(Server {
        version: fact(&info, "redis_version").to_owned(),
        clustered: fact(&info, "redis_mode") == "cluster",
        role: fact(&replication, "role").to_owned(),
        settings: settings(config)?,
        persistence: shown(persistence)?.map(text).filter(|text| text.contains("aof_enabled:")),
    })
}

/// A line of `INFO`; empty when it is not there.
fn fact<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
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
    let found = shown(config)?
        .and_then(|value| redis::from_redis_value::<HashMap<String, String>>(value).ok());
    Ok(found.filter(|found| !found.is_empty()))
}

fn shown(answer: redis::RedisResult<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // Renamed or forbidden.
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(map(&error)),
    }
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
            return if power && !options.stated { hidden("CONFIG GET") } else { Ok(()) };
        };
        let found = |name: &str| settings.get(name).map_or("unknown", String::as_str);
        if !power {
            // Keys that vanish at any time are not kept at all; those with a time limit are read, too.
            let policy = found("maxmemory-policy");
            let fine = ["noeviction", "unknown"].contains(&policy);
            return needs("maxmemory-policy", policy, "noeviction", fine)
                .map_err(|error| error.advice("CONFIG SET maxmemory-policy noeviction"));
        }
        for (name, needed) in POWER {
            let stated = options.stated && !settings.contains_key(name);
            needs(name, found(name), needed, stated || found(name) == needed)
                .map_err(|error| error.advice(change(name, needed)))?;
        }
        match &self.persistence {
            // A replica that has just come writes its file anew; nothing depends on it before it is a master.
            Some(_) if self.role != "master" => Ok(()),
            Some(persistence) => is_kept(persistence),
            None if options.stated => Ok(()),
            None => hidden("INFO persistence"),
        }
    }
}

/// How a setting is changed.
fn change(name: &str, needed: &str) -> String {
    let wait = match name {
        "appendonly" => " and wait until aof_rewrite_in_progress of INFO persistence is 0",
        _ => "",
    };
    format!(
        "CONFIG SET {name} {needed} (and in redis.conf){wait}, or knowingly accept less with \
         durability=process"
    )
}

fn hidden(command: &str) -> Result<()> {
    needs(command, "hidden", "the server's settings shown", false).map_err(|error| {
        error.advice(format!(
            "let the user call {command}, or state with settings=stated that appendonly is yes, \
             appendfsync always, no-appendfsync-on-rewrite no and maxmemory-policy noeviction, or \
             knowingly accept less with durability=process"
        ))
    })
}

/// Whether the file is written and would be read after a crash. Until the first rewrite has ended the
/// server writes to one that nothing names.
fn is_kept(persistence: &str) -> Result<()> {
    let fact = |name: &str| fact(persistence, name);
    let wait = |name, needed: &str, fine: bool| {
        needs(name, fact(name), needed, fine).map_err(|error| {
            error
                .retryable(true)
                .advice("wait until INFO persistence says so; else see the server's log")
        })
    };
    wait("aof_enabled", "1", fact("aof_enabled") == "1")?;
    wait("aof_last_write_status", "ok", fact("aof_last_write_status") == "ok")?;
    if matches!(fact("aof_base_size"), "" | "0") {
        for name in ["aof_rewrite_in_progress", "aof_rewrite_scheduled"] {
            wait(name, "0", fact(name) == "0")?;
        }
    }
    Ok(())
}

fn needs(name: &str, found: &str, needed: &str, fine: bool) -> Result<()> {
    if fine {
        return Ok(());
    }
    let message = format!("{name} is {found}; needed: {needed}");
    Err(Error::new(Kind::DurabilityNotMet, message).retryable(false))
}
