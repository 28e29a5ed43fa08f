//! Killing an agent in the middle of its run, and letting another process go on with it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use agentkeep::{Error, Json, Kind, Result, RunStatus, Store};
use serde::Serialize;

use super::broken;
use super::crash::{Victim, was_killed};
use super::runner::{STEPS, result};
use crate::args::Global;
use crate::output::io_error;

pub(super) const RUN: &str = "demo-run";
/// Kept steps before the kill.
const ENOUGH: usize = 8;

/// What one process said.
#[derive(Debug, Default)]
struct Said {
    fence: u64,
    found: u64,
    begun: Vec<u64>,
    kept: Vec<u64>,
}

/// What became of the run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resumed {
    pub(super) run: &'static str,
    pub(super) steps: u64,
    /// Acknowledged to the process that was killed.
    pub(super) kept_before: u64,
    /// The step with which the second process went on.
    pub(super) went_on_at: u64,
    /// Finished steps that the second process did again: none, or the demo fails.
    pub(super) repeated: u64,
    /// The number under which the killed process wrote, and that of the second.
    pub(super) fences: [u64; 2],
}

/// Runs the agent twice: killed, and to its end.
pub(super) async fn run(global: &Global) -> Result<Resumed> {
    let (first, killed) = live(global, true)?;
    let (second, killed_again) = live(global, false)?;
    if !killed || killed_again {
        return Err(broken("an agent of the demo ended otherwise than it should"));
    }
    let store = super::open(global).await?;
    let resumed = verify(&store, &first, &second).await;
    store.close().await?;
    resumed
}

/// One life of the agent; true when it was killed.
fn live(global: &Global, dies: bool) -> Result<(Said, bool)> {
    let cannot = |error| io_error("an agent of the demo cannot be run", error);
    let mut agent = Victim(spawn(global, dies).map_err(cannot)?);
    let Some(output) = agent.0.stdout.take() else {
        return Err(Error::new(Kind::Unavailable, "an agent of the demo has no output"));
    };
    let mut output = BufReader::new(output);
    let (mut said, mut line, mut killed) = (Said::default(), String::new(), false);
    loop {
        line.clear();
        if output.read_line(&mut line).map_err(cannot)? == 0 {
            break;
        }
        said.note(&line);
        // In the middle of a step.
        if dies && !killed && said.kept.len() >= ENOUGH && said.begun.len() > said.kept.len() {
            agent.0.kill().map_err(cannot)?;
            killed = true;
        }
    }
    let status = agent.0.wait().map_err(cannot)?;
    if !dies && !status.success() {
        let message = format!("the second agent of the demo failed: {status}");
        return Err(Error::new(Kind::Unavailable, message).during("demo"));
    }
    Ok((said, killed && was_killed(status)))
}

fn spawn(global: &Global, dies: bool) -> std::io::Result<Child> {
    let mut agent = Command::new(std::env::current_exe()?);
    agent.args(["--store", &global.store, "--namespace", &global.namespace, "demo-runner", RUN]);
    if dies {
        // Else a fast machine may be through before this process looks.
        agent.arg("--stay-at").arg(ENOUGH.to_string());
    }
    agent.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

impl Said {
    fn note(&mut self, line: &str) {
        let Some((word, number)) = line.trim_end().split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        match word {
            "claimed" => self.fence = number,
            "found" => self.found = number,
            "begin" => self.begun.push(number),
            "kept" => self.kept.push(number),
            _ => {}
        }
    }
}

async fn verify(store: &Store, first: &Said, second: &Said) -> Result<Resumed> {
    let run = store.runs().load(RUN).await?.ok_or_else(|| broken("the run is gone"))?;
    let expected: Vec<Json> = (0..STEPS).map(result).collect::<Result<_>>()?;
    if run.status() != RunStatus::Complete || run.trace() != expected {
        return Err(broken("the run has not each of its steps once"));
    }
    let repeated = second.begun.iter().filter(|step| first.kept.contains(step)).count() as u64;
    if repeated > 0 || second.found < first.kept.len() as u64 {
        return Err(broken("a finished step was done again"));
    }
    // The killed one, should it come back to life.
    let late = store.runs().under(first.fence).step(RUN, result(0)?, Json::parse("{}")?).await;
    if !late.is_err_and(|error| error.kind() == Kind::LeaseLost) {
        return Err(broken("the old number was not refused"));
    }
    Ok(Resumed {
        run: RUN,
        steps: STEPS,
        kept_before: first.kept.len() as u64,
        went_on_at: second.found + 1,
        repeated,
        fences: [first.fence, second.fence],
    })
}
