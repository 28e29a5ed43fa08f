//! `copy`.

use std::process::ExitCode;

use agentkeep::{Copied, Error, Kind, Result, Store};
use serde::Serialize;

use super::{Outcome, open, open_existing};
use crate::args::{self, Global};
use crate::output::bar::Bar;
use crate::output::{self, text};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    namespaces: Vec<Carried>,
    /// There already, and left as they are.
    kept: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Carried {
    namespace: String,
    #[serde(flatten)]
    copied: Copied,
}

/// Copies namespaces into another store, each all or nothing.
pub(crate) async fn run(global: &Global, args: &args::Copy) -> Outcome {
    let from = open_existing(global).await?;
    // First the source: a wrong name should not make a store.
    let mut names = wanted(&from, &args.namespaces).await?;
    let to = open(&Global { store: args.to.clone(), ..global.clone() }).await?;
    if from.describe().store_id == to.describe().store_id {
        return Err(Error::new(Kind::InvalidInput, "both URLs name the same store")
            .advice("name another one, or copy within it by `namespaces fork`"));
    }
    let there = to.namespaces().names().await?;
    let mut kept: Vec<String> = Vec::new();
    names.retain(|name| {
        let is_there = there.contains(name);
        kept.extend(is_there.then(|| name.clone()));
        !is_there
    });
    if let (Some(first), false) = (kept.first(), args.keep) {
        return Err(Error::new(Kind::AlreadyExists, "there is a namespace of this name already")
            .at(format!("namespace {first:?} of {}", to.describe().location))
            .advice("nothing was changed; leave out what is there with --keep, as after an interruption"));
    }
    let mut namespaces = Vec::new();
    for namespace in names {
        let bar = Bar::new(Some(0), "Copying");
        let tell = |copied: &Copied| bar.at(copied.messages, copied.messages_in_all);
        let copied = from.namespaces().copy_to(&namespace, &to, tell).await?;
        drop(bar);
        if !global.json {
            let records = text::counted(copied.records, "record");
            let entries = copied.messages;
            let told = format!("Copied {namespace:?}: {records}, {entries} in logs.");
            output::tell(&text::one_line(&told));
        }
        namespaces.push(Carried { namespace, copied });
    }
    to.close().await?;
    from.close().await?;
    if global.json {
        output::print_json(&Document { namespaces, kept })?;
    } else if !kept.is_empty() {
        let kept = text::counted(kept.len() as u64, "namespace");
        output::tell(&format!("Left as they were: {kept}."));
    }
    Ok(ExitCode::SUCCESS)
}

/// The names that were given, or all that there are.
async fn wanted(from: &Store, names: &[String]) -> Result<Vec<String>> {
    let all = from.namespaces().names().await?;
    match names.iter().find(|name| !all.contains(name)) {
        Some(missing) => Err(Error::new(Kind::NotFound, "there is no such namespace")
            .at(format!("namespace {missing:?}"))
            .advice("list the namespaces to find it")),
        None if names.is_empty() => Ok(all),
        None => Ok(names.to_vec()),
    }
}
