//! `import --undo`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::Undone;
use agentkeep::schema::Turn;
use serde::Serialize;

use crate::args::Global;
use crate::commands::{Outcome, open_existing};
use crate::output::{self, text};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    import_id: &'a str,
    #[serde(flatten)]
    undone: &'a Undone,
}

/// Takes back what an import has brought.
pub(super) async fn run(global: &Global, import: &str) -> Outcome {
    let import = Turn::new(import)?;
    let store = open_existing(global).await?;
    let undone = store.undo_load(&import).await?;
    store.close().await?;
    if global.json {
        output::print_json(&Document { import_id: import.as_str(), undone: &undone })?;
    } else {
        output::print(&shown(&import, &undone))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(import: &Turn, undone: &Undone) -> String {
    let counts = [
        text::counted(undone.containers, "container"),
        text::counted(undone.images, "image"),
        text::counted(undone.sessions, "session"),
        text::counted(undone.messages, "message"),
        text::counted(undone.runs, "run"),
        text::counted(undone.threads, "thread"),
        format!("{} of transcripts", entries(undone.entries)),
    ];
    let import = text::one_line(import.as_str());
    let mut out = format!("Took back {import}: {}\n", counts.join(", "));
    if !undone.kept.is_empty() {
        let _ = writeln!(out, "\nKept: {}", undone.kept.len());
        for place in &undone.kept {
            let _ = writeln!(out, "  {}", text::one_line(place));
        }
    }
    out
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}
