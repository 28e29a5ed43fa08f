//! The third and fourth process of the demo: an agent that goes through a plan, and another that
//! goes on where the first was killed.
//!
//! It says on stdout `claimed NUMBER`, `found STEPS`, then `begin STEP` before each and `kept STEP`
//! after it, each with one write.

use std::process::ExitCode;
use std::time::Duration;

use agentkeep::{Json, Result, RunSnapshot, Store};

use super::writer::say;
use crate::args::{DemoRunner, Global};
use crate::commands::{Outcome, open};

/// Steps of the plan.
pub(super) const STEPS: u64 = 24;
/// What stands for the work of a step.
const WORK: Duration = Duration::from_millis(5);
/// How long it is in the middle of a step where it waits to be killed.
const STAY: Duration = Duration::from_mins(1);
/// Nobody else may have the run for so long; the same agent, begun again, may.
const LEASE: Duration = Duration::from_mins(10);
const OWNER: &str = "demo-agent";

/// Goes through the plan, from where it stands.
pub(crate) async fn run(global: &Global, args: &DemoRunner) -> Outcome {
    let store = open(global).await?;
    let id = &args.run;
    if store.runs().info(id).await?.is_none() {
        store.runs().start(planned(id)?).await?;
    }
    let lease = store.runs().claim(id, OWNER, LEASE).await?;
    say(&format!("claimed {}\n", lease.fence))?;
    let runs = store.runs().under(lease.fence);
    let done = done(&store, id).await?;
    say(&format!("found {done}\n"))?;
    for step in done..STEPS {
        say(&format!("begin {step}\n"))?;
        tokio::time::sleep(if args.stay_at == Some(step) { STAY } else { WORK }).await;
        let changes = serde_json::json!({ "stepIndex": step, "iterations": step + 1,
            "usage": { "inputTokens": 80 * (step + 1), "outputTokens": 15 * (step + 1) } });
        runs.step_at(id, step, result(step)?, Json::of(&changes)?).await?;
        say(&format!("kept {step}\n"))?;
    }
    let text = serde_json::json!({ "text": format!("All {STEPS} parcels are on their way.") });
    runs.complete(id, Json::of(&text)?).await?;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn done(store: &Store, id: &str) -> Result<u64> {
    Ok(store.runs().load(id).await?.map_or(0, |run| run.trace().len() as u64))
}

/// What the step answers: made of its number alone, so that it can be looked at.
pub(super) fn result(step: u64) -> Result<Json> {
    Json::of(&serde_json::json!({
        "step": { "id": format!("s{}", step + 1), "description": format!("Send parcel {}", step + 1) },
        "summary": format!("Parcel {} has left the warehouse.", step + 1),
        "toolCalls": [{ "name": "send", "input": { "parcel": step + 1 }, "output": "sent", "ok": true }],
        "durationMs": 5,
        "blocked": false,
    }))
}

fn planned(id: &str) -> Result<RunSnapshot> {
    let steps: Vec<_> = (1..=STEPS)
        .map(|n| serde_json::json!({ "id": format!("s{n}"), "description": format!("Send parcel {n}") }))
        .collect();
    let plan = serde_json::json!({ "thought": "One after the other.", "steps": steps });
    RunSnapshot::new(id, "Send all parcels, and none of them twice")?.with("plan", &plan)
}
