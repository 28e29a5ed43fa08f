//! `runs show`.

use std::process::ExitCode;

use agentkeep::Json;

use super::not_found;
use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output;
use crate::output::time::{self, Clock};
use crate::output::timeline::Timeline;

/// Shows a run.
pub(super) async fn run(global: &Global, id: &str, long: bool) -> Outcome {
    let store = open_namespace(global).await?;
    let info = store.runs().info(id).await?.ok_or_else(|| not_found(id))?;
    let run = store.runs().load(id).await?.ok_or_else(|| not_found(id))?;
    store.close().await?;
    if global.json {
        let info = Json::of(&info)?;
        output::print_raw(&format!("{{\"info\":{info},\n\"run\":{}}}\n", run.json()))?;
    } else {
        let timeline = Timeline { clock: Clock::new(long), now: time::now(), long };
        output::print_long(&timeline.draw(&info, &run))?;
    }
    Ok(ExitCode::SUCCESS)
}
