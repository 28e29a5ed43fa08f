//! `events retention ...`.

use std::process::ExitCode;

use agentkeep::{Error, Kind, Retention};

use super::amounts::{shown, shown_age, shown_bytes};
use crate::args::Global;
use crate::args::events::{Bound, BoundArgs, Retention as Args};
use crate::commands::{Outcome, open, open_namespace};
use crate::output;

/// Runs the command that was written.
pub(super) async fn run(global: &Global, args: &Args) -> Outcome {
    match args {
        Args::Show { topic } => {
            let store = open_namespace(global).await?;
            let rule = match topic {
                Some(topic) => store.events().retention(topic).await?,
                None => store.events().default_retention().await?,
            };
            store.close().await?;
            print(global, &rule)
        }
        Args::Set { topic, bounds, inherit } => {
            let store = open(global).await?;
            let events = store.events();
            let own = if *inherit {
                None
            } else {
                Some(changed(events.retention(topic).await?, bounds)?)
            };
            events.set_retention(topic, own).await?;
            let rule = events.retention(topic).await?;
            store.close().await?;
            print(global, &rule)
        }
        Args::Default { bounds } => {
            let store = open(global).await?;
            let rule = changed(store.events().default_retention().await?, bounds)?;
            store.events().set_default_retention(&rule).await?;
            store.close().await?;
            print(global, &rule)
        }
    }
}

fn changed(mut rule: Retention, bounds: &BoundArgs) -> agentkeep::Result<Retention> {
    let changes = [
        (&mut rule.keep.age_ms, bounds.age),
        (&mut rule.keep.count, bounds.count),
        (&mut rule.keep.bytes, bounds.bytes),
        (&mut rule.hard.age_ms, bounds.hard_age),
        (&mut rule.hard.count, bounds.hard_count),
        (&mut rule.hard.bytes, bounds.hard_bytes),
        (&mut rule.forget_after_ms, bounds.forget_after),
    ];
    let mut some = false;
    for (bound, change) in changes {
        if let Some(Bound(change)) = change {
            *bound = change;
            some = true;
        }
    }
    if some {
        return Ok(rule);
    }
    Err(Error::new(Kind::InvalidInput, "nothing to change was named")
        .advice("name a bound, for example --age 7d"))
}

fn print(global: &Global, rule: &Retention) -> Outcome {
    if global.json {
        output::print_json(rule)?;
        return Ok(ExitCode::SUCCESS);
    }
    let never = || "never".to_owned();
    let lines = [
        ("age", shown(rule.keep.age_ms, shown_age)),
        ("count", shown(rule.keep.count, |count| count.to_string())),
        ("bytes", shown(rule.keep.bytes, shown_bytes)),
        ("hard age", shown(rule.hard.age_ms, shown_age)),
        ("hard count", shown(rule.hard.count, |count| count.to_string())),
        ("hard bytes", shown(rule.hard.bytes, shown_bytes)),
        ("forget after", rule.forget_after_ms.map_or_else(never, shown_age)),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<13}{value}\n"));
    output::print(&lines.concat())?;
    Ok(ExitCode::SUCCESS)
}
