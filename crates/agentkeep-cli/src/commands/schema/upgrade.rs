//! `schema upgrade`.

use std::process::ExitCode;

use agentkeep::schema::AGENTKEEP;
use serde::Serialize;

use crate::args::Global;
use crate::commands::{Outcome, open_existing};
use crate::output;
use crate::output::bar::Bar;

#[derive(Debug, Serialize)]
struct Document {
    before: u32,
    format: u32,
}

/// Brings the store up to date.
pub(super) async fn run(global: &Global) -> Outcome {
    let store = Bar::during("Upgrading", open_existing(global)).await?;
    let before = match store.driver().maintenance() {
        Some(upkeep) => Bar::during("Upgrading", upkeep.upgrade()).await?,
        None => AGENTKEEP.version,
    };
    let format = store.describe().format;
    store.close().await?;
    if global.json {
        output::print_json(&Document { before, format })?;
    } else if before == format {
        output::tell(&format!(
            "The store has format {format}, the newest that this version knows."
        ));
    } else {
        output::tell(&format!("The store had format {before} and has format {format} now."));
    }
    Ok(ExitCode::SUCCESS)
}
