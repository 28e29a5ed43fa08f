//! `capabilities show`.

use std::process::ExitCode;

use agentkeep::{Error, Kind};

use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output;
use crate::output::text::one_line;

/// Shows a link, an envelope, or the uses of a hash.
pub(super) async fn run(global: &Global, id: &str) -> Outcome {
    let store = open_namespace(global).await?;
    let keep = store.capabilities();
    if let Some(link) = keep.link(id).await? {
        output::print_json(&link)?;
    } else if let Some(envelope) = keep.envelope(id).await? {
        if !envelope.row.is_known_version() {
            let version = one_line(&envelope.row.schema_version());
            output::tell(&format!("The version {version:?} is not known: shown as it is kept."));
        }
        output::print_json(&envelope)?;
    } else {
        let uses = keep.who_used(id).await?;
        if uses.is_empty() {
            let message = "there is no such link, envelope or hash";
            return Err(Error::new(Kind::NotFound, message)
                .at(format!("{id:?}"))
                .advice("list the links of an agent, or give a whole hash"));
        }
        output::print_json(&uses)?;
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}
