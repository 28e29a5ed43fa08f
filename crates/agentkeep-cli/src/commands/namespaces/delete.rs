//! `namespaces delete`, `namespaces erase`.

use std::process::ExitCode;

use agentkeep::{Error, Kind, Result, Store};
use serde::Serialize;

use super::existing;
use crate::args::{Doomed, Global};
use crate::commands::held::{self, Held};
use crate::commands::{Outcome, open_existing};
use crate::output::bar::Bar;
use crate::output::{self, text};

#[derive(Debug, Serialize)]
struct Document<'a> {
    namespace: &'a str,
    deleted: Held,
}

/// Deletes a namespace, or says what that would delete.
pub(super) async fn run(global: &Global, doomed: &Doomed, erase: bool) -> Outcome {
    let store = open_existing(global).await?;
    let name = &doomed.name;
    let held = held::of_usage(&store.namespaces().usage(name).await?);
    // One whose deletion or copy was interrupted is not listed, and can be deleted all the same.
    if !is_due(&store, name).await? {
        existing(&store, name).await?;
    }
    let verb = if erase { "erase" } else { "delete" };
    let what = format!("{verb} namespace {name:?}: {}", told(held));
    if !doomed.yes && !output::asks_yes(&format!("This will {what}. Go on?"))? {
        store.close().await?;
        return Err(Error::new(Kind::InvalidInput, format!("nothing was done; this would {what}"))
            .advice("add --yes to do it"));
    }
    let left = async || Some(store.namespaces().usage(name).await.ok()?.logs.first()?.2);
    let bar = Bar::new(Some(held.messages), "Deleting");
    bar.watching(delete(&store, name, erase), left, held.messages).await?;
    store.close().await?;
    if global.json {
        output::print_json(&Document { namespace: name, deleted: held })?;
    } else {
        let done = if erase { "Erased" } else { "Deleted" };
        output::tell(&text::one_line(&format!("{done} namespace {name:?}: {}.", told(held))));
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(store: &Store, name: &str, erase: bool) -> Result<()> {
    if erase {
        store.namespaces().erase(name).await.map(|_| ())
    } else {
        store.namespaces().delete(name).await.map(|_| ())
    }
}

/// True when there is something under this name that is not listed.
async fn is_due(store: &Store, name: &str) -> Result<bool> {
    let key = agentkeep::schema::Key::new(&agentkeep::schema::NAMESPACES, [name])?;
    let namespace = agentkeep::schema::Namespace::new(name)?;
    let found = store.driver().get(&namespace, &[key]).await?;
    Ok(matches!(found.first(), Some(Some(_))))
}

fn told(held: Held) -> String {
    let counted = [
        text::counted(held.containers, "container"),
        text::counted(held.images, "image"),
        text::counted(held.sessions, "session"),
        text::counted(held.messages, "message"),
        text::counted(held.attachments, "attachment"),
    ];
    counted.join(", ")
}
