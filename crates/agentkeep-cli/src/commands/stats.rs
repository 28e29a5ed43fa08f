//! `stats`.

use std::process::ExitCode;

use agentkeep::driver::Description;
use serde::Serialize;

use super::held::{self, Held};
use super::{Outcome, open_namespace};
use crate::args::Global;
use crate::output::{self, text};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    held: Held,
    store: &'a Description,
}

/// Says how much is kept, where, and how safely.
pub(crate) async fn run(global: &Global) -> Outcome {
    let store = open_namespace(global).await?;
    let held = held::held(&store).await?;
    let description = store.describe().clone();
    store.close().await?;
    if global.json {
        let document = Document { namespace: &global.namespace, held, store: &description };
        output::print_json(&document)?;
    } else {
        output::print(&shown(&global.namespace, held, &description))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(namespace: &str, held: Held, store: &Description) -> String {
    let survives = match store.durability {
        agentkeep::driver::Durability::Power => "what is acknowledged survives a power cut",
        agentkeep::driver::Durability::Process => "what is acknowledged survives kill -9",
        agentkeep::driver::Durability::None => "nothing survives the process",
    };
    let mut lines = vec![
        ("store", format!("{}:{}", store.driver, store.location)),
        ("durability", format!("{} ({survives})", store.durability.name())),
        ("format", format!("{} (store {}, epoch {})", store.format, store.store_id, store.epoch)),
        ("namespace", namespace.to_owned()),
    ];
    lines.extend(held.lines());
    let line = |(name, value): &(&str, String)| format!("{name:<13}{}\n", text::one_line(value));
    lines.iter().map(line).collect()
}
