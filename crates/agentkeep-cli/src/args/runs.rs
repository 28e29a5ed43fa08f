//! `runs ...`.

use std::time::Duration;

use agentkeep::RunStatus;
use clap::{Args, Subcommand};

use super::ListArgs;

/// `runs ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List runs, newest first.
    #[command(after_help = "Example:\n  agentkeep runs list --status failed --since 7d\n  \
                            agentkeep runs list --abandoned")]
    List(List),
    /// Show a run as a timeline: steps, tools, duration, tokens, failures.
    #[command(after_help = "Example:\n  agentkeep runs show RUN")]
    Show {
        /// The run.
        id: String,
        /// Exact times, and texts in full.
        #[arg(long)]
        long: bool,
    },
    /// Whether a run can be resumed, where it goes on, or why not.
    #[command(after_help = "Example:\n  agentkeep runs resume-info RUN --json")]
    ResumeInfo {
        /// The run.
        id: String,
    },
    /// Take the right to go on with a run; who had it before can write no more.
    #[command(after_help = "Answers the number under which to write.\n\nExample:\n  agentkeep \
                            runs claim RUN --owner worker-7 --ttl 10min")]
    Claim {
        /// The run.
        id: String,
        /// Who goes on with it.
        #[arg(long, value_name = "NAME")]
        owner: String,
        /// For how long, unless it is prolonged.
        #[arg(long, value_name = "AGE", default_value = "5min", value_parser = ttl)]
        ttl: Duration,
    },
}

/// `runs list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that stand so: executing, complete, failed, cancelled.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(crate) status: Option<RunStatus>,
    /// Only those begun since then: an age (7d), or a time (2026-02-02T00:00:00Z).
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) since: Option<i64>,
    /// Only those begun before then.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) before: Option<i64>,
    /// Only those with this text in their error.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
    /// Only executing ones that nobody holds.
    #[arg(long, conflicts_with_all = ["status", "since", "before", "error"])]
    pub(crate) abandoned: bool,
    #[command(flatten)]
    pub(crate) how: ListArgs,
}

fn status(written: &str) -> Result<RunStatus, String> {
    RunStatus::named(written).ok_or_else(|| {
        format!("{written:?} is none of {}", RunStatus::ALL.map(RunStatus::name).join(", "))
    })
}

fn ttl(written: &str) -> Result<Duration, String> {
    match crate::commands::events::amounts::age(written)?.0 {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err("a lease has an end: write 60s, 10min, 2h".to_owned()),
    }
}

/// A time in milliseconds since 1970.
fn when(written: &str) -> Result<i64, String> {
    when_at(written, jiff::Timestamp::now().as_millisecond())
}

/// [`when`], ages counted back from `now`.
fn when_at(written: &str, now: i64) -> Result<i64, String> {
    if let Ok(time) = written.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let age = crate::commands::events::amounts::age(written).ok().and_then(|age| age.0);
    let age = age.and_then(|millis| i64::try_from(millis).ok());
    let age = age.ok_or_else(|| {
        format!("{written:?} is no time: write an age (7d) or 2026-02-02T00:00:00Z")
    })?;
    Ok(now.saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ttls_are_read() {
        assert_eq!(when("2026-02-02T00:00:00Z"), Ok(1_769_990_400_000));
        assert_eq!(when_at("1h", 1_769_990_400_000), Ok(1_769_986_800_000));
        assert_eq!(ttl("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "yesterday", "-1h", "0s"] {
            assert!(when(bad).is_err() && ttl(bad).is_err(), "{bad}");
        }
        assert!(ttl("never").is_err() && when("none").is_err());
        assert!(status("done").is_err_and(|told| told.contains("executing, complete")));
    }
}
