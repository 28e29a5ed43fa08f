//! Finding the store, making it if it is new, bringing it up to date: one script, so that many
//! processes may do it at once. A store that is there and up to date is only read: so it can be opened
//! when the server takes no writes.

use super::errors::strange;
use super::keys::{namespaces, probes, store};
use super::link::Link;
use super::scripts::Scripts;
use crate::error::{Error, Kind, Result};
use crate::schema::Schema;

/// What opening came to.
pub(super) struct Opened {
    pub(super) store_id: String,
    pub(super) epoch: u64,
    /// The format that was found; a new store has that of this build.
    pub(super) before: u32,
}

pub(super) async fn open(schema: &Schema, link: &Link, scripts: &Scripts) -> Result<Opened> {
    let options = &link.options;
    let key = store(&options.base);
    let channel = format!("{}:probe", options.base);
    link.ask(&scripts.probe, &probes(&options.base), &[channel]).await?;
    let yes = |yes| if yes { "yes" } else { "no" };
    let (version, id) = (schema.version.to_string(), uuid::Uuid::new_v4().simple().to_string());
    let ask = async |create: Option<bool>| {
        let answer = if let Some(create) = create {
            let arguments = [schema.name, &version, &id, yes(create), yes(options.upgrade)];
            link.ask(&scripts.open, std::slice::from_ref(&key), &arguments).await
        } else {
            let mut facts = redis::cmd("HMGET");
            facts.arg(&key).arg(&["schema", "format", "store_id", "epoch", "format"]);
            link.command(&facts).await
        };
        let answer = answer.map_err(|error| match error.kind() {
            Kind::Corrupt => not_ours(&key).caused_by(error),
            _ => error,
        })?;
        redis::from_redis_value::<Vec<Option<String>>>(answer).map_err(|_| strange("the store"))
    };
    let is_there = |facts: &[Option<String>]| facts.iter().take(4).any(Option::is_some);
    let mut facts = ask(None).await?;
    if !is_there(&facts) {
        // Another one may have made it in between.
        let remains = remains(link).await?;
        let create = options.create && !remains;
        facts = ask(create.then_some(true)).await?;
        if remains && !is_there(&facts) {
            return Err(no_store_but_namespaces(key));
        }
    }
    let older = |format: &Option<String>| {
        let found = format.as_ref().and_then(|format| format.parse::<u32>().ok());
        found.is_some_and(|found| found > 0 && found < schema.version)
    };
    if options.upgrade && facts.get(1).is_some_and(older) {
        facts = ask(Some(false)).await?;
    }
    let [name, format, store_id, epoch, before] = facts.as_slice() else {
        return Err(strange("the store"));
    };
    match (name, format) {
        (None, None) if store_id.is_none() && epoch.is_none() && !options.create => {
            return Err(Error::new(Kind::NotFound, "there is no store")
                .at(key)
                .advice("name the base of a store that is there"));
        }
        (None, None) => return Err(not_ours(&key)),
        (Some(name), _) if name != schema.name => {
            return Err(Error::new(Kind::InvalidInput, "the store holds another schema")
                .at(key)
                .advice("name another one with base="));
        }
        _ => {}
    }
    let no_fact = |fact: &str| {
        Error::new(Kind::Corrupt, format!("the store does not say its {fact}"))
            .at(key.clone())
            .advice("restore the store from a backup")
    };
    name.as_ref().ok_or_else(|| no_fact("schema"))?;
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u32>().ok());
    let format = number(format).filter(|format| *format > 0).ok_or_else(|| no_fact("format"))?;
    if format > schema.version {
        let message =
            format!("the store has format {format}; this agentkeep knows up to {}", schema.version);
        return Err(Error::new(Kind::NewerFormat, message).at(key).advice("use a newer agentkeep"));
    }
    if format < schema.version {
        let message = format!("the store has format {format}, not {}", schema.version);
        return Err(Error::new(Kind::Unsupported, message)
            .at(key)
            .advice("open it without upgrade=no"));
    }
    Ok(Opened {
        store_id: store_id.clone().ok_or_else(|| no_fact("store_id"))?,
        epoch: number(epoch).ok_or_else(|| no_fact("epoch"))?.into(),
        before: number(before).unwrap_or(format),
    })
}

/// Whether there are namespaces: without a store, a new one would be taken for whole.
async fn remains(link: &Link) -> Result<bool> {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(namespaces(&link.options.base));
    Ok(link.command(&exists).await? != redis::Value::Int(0))
}

fn no_store_but_namespaces(key: String) -> Error {
    Error::new(Kind::Corrupt, "the store does not say what it is, but there are namespaces")
        .at(key)
        .advice("restore the server from a backup, or name another base with base=")
}

fn not_ours(key: &str) -> Error {
    Error::new(Kind::InvalidInput, "the key holds something of others")
        .at(key.to_owned())
        .advice("name another base with base=")
}
