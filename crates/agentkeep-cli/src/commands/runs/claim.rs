//! `runs claim`, `runs resume-info`.

use std::process::ExitCode;
use std::time::Duration;

use agentkeep::{Resumable, RunSnapshot};

use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output::time::Clock;
use crate::output::{self, text};

/// Takes the right to go on with a run.
pub(super) async fn run(global: &Global, id: &str, owner: &str, ttl: Duration) -> Outcome {
    let store = open_namespace(global).await?;
    let lease = store.runs().claim(id, owner, ttl).await?;
    store.close().await?;
    if global.json {
        output::print_json(&lease)?;
    } else {
        let until = Clock::new(true).show(Some(lease.until));
        let (run, owner) = (text::one_line(&lease.run_id), text::one_line(&lease.owner));
        output::print(&format!(
            "{run} is {owner}'s until {until}. Write under number {}.\n",
            lease.fence
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says whether a run can be resumed.
pub(super) async fn resume_info(global: &Global, id: &str) -> Outcome {
    let store = open_namespace(global).await?;
    let resumable = store.runs().resumable(id).await?;
    let run = if resumable.resumable { store.runs().load(id).await? } else { None };
    store.close().await?;
    if global.json {
        output::print_json(&resumable)?;
    } else {
        output::print(&told(id, &resumable, run.as_ref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(id: &str, resumable: &Resumable, run: Option<&RunSnapshot>) -> String {
    let id = text::one_line(id);
    match (resumable.reason, run) {
        (None, Some(run)) => {
            let done = text::counted(run.trace().len() as u64, "step");
            let plan = run.json().member("plan");
            let planned = plan.and_then(|plan| Some(plan.member("steps")?.elements().count()));
            let planned = planned.map(|count| format!(" of {count}")).unwrap_or_default();
            let next = run.step_index() + 1;
            format!(
                "{id} can be resumed: {done} in its trace; it goes on at step {next}{planned} of \
                 its plan.\nTo go on with it: agentkeep runs claim {id} --owner NAME\n"
            )
        }
        (reason, _) => {
            let why = match reason {
                Some("complete") => "it is complete",
                Some("no plan") => "it has no plan: whoever began it died, or failed, before",
                Some("invalid id") => "no run can have this id (1 to 128 letters, digits, _, -)",
                Some("held") => "somebody holds it",
                _ => "there is no such run",
            };
            let by = resumable.run.as_ref().filter(|_| reason == Some("held"));
            let by = by.and_then(|info| {
                let owner = text::one_line(info.owner.as_deref()?);
                Some(format!(": {owner}, until {}", Clock::new(true).show(info.until)))
            });
            format!("{id} cannot be resumed: {why}{}\n", by.unwrap_or_default())
        }
    }
}
