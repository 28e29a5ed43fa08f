//! `check`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::driver::{CheckReport, Finding};

use super::{Outcome, open_existing};
use crate::args::Global;
use crate::output::bar::Bar;
use crate::output::{self, text};

/// Looks for damage and for work that is due.
pub(crate) async fn run(global: &Global) -> Outcome {
    let store = open_existing(global).await?;
    let report = Bar::during("Checking", store.check()).await?;
    store.close().await?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&shown(&report))?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(report: &CheckReport) -> String {
    let mut out = String::new();
    let mut list = |heading: &str, findings: &[Finding]| {
        for finding in findings {
            let told = format!("{}: {}", finding.place, finding.what);
            let _ = writeln!(out, "{heading}  {}", text::one_line(&told));
        }
    };
    list("\x1b[31mdamaged\x1b[0m", &report.damage);
    list("\x1b[33mdue\x1b[0m    ", &report.due);
    let verdict =
        if report.is_sound() { "\x1b[32msound\x1b[0m" } else { "\x1b[31mNOT sound\x1b[0m" };
    let looked = [
        text::counted(report.records, "record"),
        text::counted(report.streams, "stream"),
        format!("{} {}", report.entries, if report.entries == 1 { "entry" } else { "entries" }),
        text::counted(report.blobs, "blob"),
    ];
    let _ = writeln!(out, "The store is {verdict}: looked at {}.", looked.join(", "));
    out
}
