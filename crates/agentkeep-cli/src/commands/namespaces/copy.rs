//! `namespaces fork`, `namespaces rename`.

use std::process::ExitCode;

use agentkeep::{Copied, Store};
use serde::Serialize;

use crate::args::{Global, TwoNames};
use crate::commands::{Outcome, open_existing};
use crate::output::bar::Bar;
use crate::output::{self, text};

#[derive(Debug, Serialize)]
struct Document<'a> {
    from: &'a str,
    to: &'a str,
    copied: &'a Copied,
}

/// Copies a namespace.
pub(super) async fn fork(global: &Global, names: &TwoNames) -> Outcome {
    let store = open_existing(global).await?;
    let bar = Bar::new(Some(0), "Copying");
    let tell = |copied: &Copied| bar.at(copied.messages, copied.messages_in_all);
    let copied = store.namespaces().fork_with(&names.from, &names.to, tell).await?;
    drop(bar);
    done(global, &store, names, "Copied", &copied).await
}

/// Gives a namespace another name.
pub(super) async fn rename(global: &Global, names: &TwoNames) -> Outcome {
    let store = open_existing(global).await?;
    let bar = Bar::new(Some(0), "Renaming");
    let tell = |copied: &Copied| bar.at(copied.messages, copied.messages_in_all);
    let copied = store.namespaces().rename_with(&names.from, &names.to, tell).await?;
    drop(bar);
    done(global, &store, names, "Renamed", &copied).await
}

async fn done(
    global: &Global,
    store: &Store,
    names: &TwoNames,
    what: &str,
    copied: &Copied,
) -> Outcome {
    store.close().await?;
    let TwoNames { from, to } = names;
    if global.json {
        output::print_json(&Document { from, to, copied })?;
    } else {
        let messages = text::counted(copied.messages, "message");
        output::tell(&text::one_line(&format!("{what} {from:?} to {to:?}: {messages}.")));
    }
    Ok(ExitCode::SUCCESS)
}
