//! `why`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::capabilities::format_hash_short;
use agentkeep::{Json, Result, TurnAccount};

use super::{Outcome, open_namespace};
use crate::args::Global;
use crate::output;
use crate::output::text::{one_line, shortened};

/// Longest input or output of a tool that is shown in full; `--json` has all.
const BRIEF: usize = 200;

/// Tells what the turn of a message saw, could do, did and published.
pub(super) async fn run(global: &Global, session: &str, message: &str) -> Outcome {
    let store = open_namespace(global).await?;
    let account = store.why(session, message).await?;
    store.close().await?;
    if global.json {
        output::print_json(&account)?;
    } else {
        output::print_long(&told(&account)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As much of it as fits on a line.
fn brief(json: &Json) -> String {
    shortened(json.as_str(), BRIEF)
}

fn told(account: &TurnAccount) -> Result<String> {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:<12} {}", one_line(text));
    };
    line(
        "turn",
        account.turn.as_deref().unwrap_or("not told: the message was written without one"),
    );
    line("context", &format!("{} messages before it", account.before));
    for stored in &account.messages {
        for call in stored.message.tool_calls() {
            line("called", &format!("{} {} ({})", call.name, brief(&call.input), call.id));
        }
        for result in stored.message.tool_results() {
            line("answered", &format!("{} ({})", brief(&result.output), result.call_id));
        }
    }
    match &account.link {
        None => line("link", "none was recorded"),
        Some(kept) => {
            let could = kept.row.link()?;
            let whose = if account.own_link { "of the turn" } else { "the last one before it" };
            line("link", &format!("{} ({whose})", kept.row.id().unwrap_or_default()));
            line("agent", &format!("{} ({})", could.agent_name, could.agent_id));
            line("static", &format_hash_short(&could.static_hash));
            line("runtime", &format_hash_short(&could.runtime_hash));
            let tools: Vec<&str> = could.tool_refs.iter().map(|one| &*one.tool_key).collect();
            line("could use", &tools.join(", "));
        }
    }
    if let Some(kept) = &account.envelope {
        let id = kept.row.id().unwrap_or_default();
        if kept.row.is_known_version() {
            line("envelope", &id);
        } else {
            let version = kept.row.schema_version();
            line("envelope", &format!("{id} (its version {version:?} is not known)"));
        }
    }
    for run in &account.runs {
        line("run", &format!("{} ({})", run.run_id, run.status.name()));
    }
    let entries = [
        ("event", &account.events),
        ("step", &account.steps),
        ("transcript", &account.transcripts),
    ];
    for (name, entries) in entries {
        for entry in entries {
            line(name, &format!("{} #{} {}", entry.of, entry.number, brief(&entry.body)));
        }
    }
    Ok(out)
}
