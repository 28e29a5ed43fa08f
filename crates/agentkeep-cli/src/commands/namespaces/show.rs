//! `namespaces show`.

use std::process::ExitCode;

use agentkeep::{Json, NamespaceInfo};

use super::{document, existing};
use crate::args::Global;
use crate::commands::held::{self, Held};
use crate::commands::{Outcome, listing, open_existing};
use crate::output::time::Clock;
use crate::output::{self, text};

/// Shows a namespace.
pub(super) async fn run(global: &Global, name: &str) -> Outcome {
    let store = open_existing(global).await?;
    let info = existing(&store, name).await?;
    let held = held::of_usage(&store.namespaces().usage(name).await?);
    store.close().await?;
    if global.json {
        let mut editor = agentkeep::ObjectEditor::of(&document(&info));
        editor.set("usage", &Json::of(&held)?);
        output::print_raw(&format!("{}\n", editor.finish()))?;
    } else {
        output::print(&shown(&info, held))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(info: &NamespaceInfo, held: Held) -> String {
    let metadata = info.json().member("metadata").map_or("-".to_owned(), |data| data.to_string());
    let mut lines = vec![
        ("namespace", info.name().to_owned()),
        ("title", info.title().unwrap_or_else(|| "-".to_owned())),
        ("tags", listing::tags(&info.tags())),
        ("metadata", metadata),
        ("created", Clock::new(true).show(info.created_at())),
    ];
    lines.extend(held.lines());
    let line = |(name, value): &(&str, String)| format!("{name:<13}{}\n", text::one_line(value));
    lines.iter().map(line).collect()
}
