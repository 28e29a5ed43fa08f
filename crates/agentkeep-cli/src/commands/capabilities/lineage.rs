//! `capabilities lineage`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::capabilities::{
    diff_tool_refs, explain_capability_link_relationship, format_hash_short,
};
use agentkeep::{Lineage, Result};

use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output;
use crate::output::text::one_line;
use crate::output::time::Clock;

/// Draws the lineage of a session.
pub(super) async fn run(global: &Global, session: &str) -> Outcome {
    let store = open_namespace(global).await?;
    let lineage = store.capabilities().lineage(session).await?;
    store.close().await?;
    if global.json {
        output::print_json(&lineage)?;
    } else if lineage.links.is_empty() {
        output::tell("No links.");
    } else {
        output::print_long(&drawn(&lineage)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each link, and between two what changed; transitions from elsewhere by name.
fn drawn(lineage: &Lineage) -> Result<String> {
    let (clock, mut out) = (Clock::new(false), String::new());
    let mut before: Option<&agentkeep::Kept<agentkeep::LinkRow>> = None;
    for kept in &lineage.links {
        let (link, id) = (kept.row.link()?, kept.row.id().unwrap_or_default());
        let from: Vec<String> =
            lineage.leading_to(&id).map(agentkeep::TransitionRow::from_link).collect();
        if let Some(earlier) = before {
            let then = earlier.row.link()?;
            let follows = from.iter().any(|from| Some(from) == earlier.row.id().as_ref());
            let edge = if follows { "\u{2502}" } else { "\u{2506}" };
            let _ = writeln!(out, "{edge}  {}", explain_capability_link_relationship(&then, &link));
            let tools = diff_tool_refs(&then.tool_refs, &link.tool_refs);
            for (sign, refs) in [("-", &tools.only_in_first), ("+", &tools.only_in_second)] {
                for one in refs {
                    let _ = writeln!(out, "{edge}    {sign} {}", one_line(&one.tool_key));
                }
            }
            for one in &tools.hash_changed {
                let _ = writeln!(out, "{edge}    ~ {}", one_line(&one.tool_key));
            }
        }
        let (agent, count) = (one_line(&link.agent_name), link.tool_refs.len());
        let runtime = one_line(&format_hash_short(&link.runtime_hash));
        let made = clock.show(Some(kept.row.created()));
        let tools = if count == 1 { "tool" } else { "tools" };
        let id = one_line(&id);
        let _ = writeln!(out, "\u{25cf}  {id}  {agent}  {count} {tools}  {runtime}  {made}");
        let last = before.and_then(|earlier| earlier.row.id());
        for other in from.iter().filter(|from| Some(*from) != last.as_ref()) {
            let _ = writeln!(out, "\u{2502}  \u{2190} {}", one_line(other));
        }
        before = Some(kept);
    }
    Ok(out)
}
