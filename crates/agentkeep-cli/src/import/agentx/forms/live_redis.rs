//! A live Redis server or cluster: strings whose keys begin with AgentX's base.

use agentkeep::Result;
use agentkeep::foreign::Redis;

use super::live::Copying;
use super::not_agentx;
use crate::import::agentx::Data;
use crate::import::agentx::source::{is_known, normalised};

/// What AgentX takes for its base where it is told nothing.
const BASE: &str = "agentx";

/// Copies the values below the base, each as it is when it is read: Redis shows no one moment.
pub(super) async fn open(url: &str) -> Result<(Data, String)> {
    let database = Redis::open(url).await?;
    let base = normalised(database.base().unwrap_or(BASE));
    let place = format!("{}?base={base}", database.location());
    let copied = copy(&database, &base).await.map_err(|error| error.at(place.clone()))?;
    Ok((copied, place))
}

async fn copy(database: &Redis, base: &str) -> Result<Data> {
    let prefix = if base.is_empty() { String::new() } else { format!("{base}:") };
    let (mut copying, mut known) = (Copying::new()?, false);
    let take = |key: &[u8], value: Result<&[u8], &str>| {
        let rest = key.strip_prefix(prefix.as_bytes()).unwrap_or(key);
        let Ok(text) = std::str::from_utf8(rest) else {
            return copying.other(&String::from_utf8_lossy(rest), "its key is no UTF-8");
        };
        known |= is_known(text);
        match value {
            Ok(value) => copying.value(rest, Some(value)),
            Err(kind) => copying.other(text, &format!("it is a Redis {kind}, not a string")),
        }
    };
    database.strings(&prefix, take).await?;
    if !known {
        let what = format!("a Redis database without any of AgentX's keys under the base {base:?}");
        let advice = "name AgentX's base and database, as in redis://host/0?base=agentx";
        return Err(not_agentx(&what).advice(advice));
    }
    Ok(Data::Values(Box::new(copying.finish("AgentX Redis database")?)))
}
