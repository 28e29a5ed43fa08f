//! `capabilities diff`.

use std::path::Path;
use std::process::ExitCode;

use agentkeep::capabilities::{DiffSource, Labels, capability_diff};
use agentkeep::{Error, Json, Kind, Result};

use crate::args::Global;
use crate::args::capabilities::Diff;
use crate::commands::{Outcome, open_namespace};
use crate::output;

/// Compares two links or envelopes.
pub(super) async fn run(global: &Global, args: &Diff) -> Outcome {
    let first = source(global, &args.first).await?;
    let second = source(global, &args.second).await?;
    let label = |label: &Option<String>, path: &Path| {
        label.clone().unwrap_or_else(|| path.display().to_string())
    };
    let labels = Labels {
        first: label(&args.label_a, &args.first),
        second: label(&args.label_b, &args.second),
    };
    let diff = capability_diff(&first, &second, labels);
    if global.json {
        output::print_json(&diff)?;
    } else {
        output::print_raw(&diff.to_string())?;
    }
    let failed = args.fail && !diff.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A file, or what the store has under this id.
async fn source(global: &Global, given: &Path) -> Result<DiffSource> {
    let place = |error: Error| error.at(given.display().to_string());
    match std::fs::read_to_string(given) {
        Ok(text) => Json::parse(&text).and_then(|json| DiffSource::from_json(&json)).map_err(place),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let json = match given.to_str() {
                Some(id) => stored(global, id).await.unwrap_or_default(),
                None => None,
            };
            let json = json.ok_or_else(|| {
                place(Error::new(Kind::NotFound, "there is no such file, link or envelope"))
                    .advice("give two files, or two ids of this store")
            })?;
            DiffSource::from_json(&json).map_err(place)
        }
        Err(error) => Err(place(output::io_error("the file cannot be read", error))),
    }
}

async fn stored(global: &Global, id: &str) -> Result<Option<Json>> {
    let store = open_namespace(global).await?;
    let keep = store.capabilities();
    let found = match keep.link(id).await? {
        Some(link) => Some(link.row.json().clone()),
        None => keep.envelope(id).await?.map(|kept| kept.row.envelope()),
    };
    store.close().await?;
    Ok(found)
}
