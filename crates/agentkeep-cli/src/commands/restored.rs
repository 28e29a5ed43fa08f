//! `restored`.

use std::process::ExitCode;

use super::{Outcome, open_existing};
use crate::args::Global;
use crate::output::bar::Bar;
use crate::output::{self, text};

/// Begins a new epoch in all topics of all namespaces.
pub(crate) async fn run(global: &Global) -> Outcome {
    let store = open_existing(global).await?;
    let restored = Bar::during("Beginning new epochs", store.restored()).await?;
    store.close().await?;
    if global.json {
        output::print_json(&restored)?;
    } else {
        let topics = text::counted(restored.topics, "topic");
        output::tell(&format!("Cursors from before the restore are told apart now: {topics}."));
    }
    Ok(ExitCode::SUCCESS)
}
