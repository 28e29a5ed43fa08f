//! `transcripts show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::{Json, Result, Store, StoredTranscriptEntry};

use super::end;
use crate::args::Global;
use crate::args::transcripts::Show;
use crate::commands::{Outcome, open_namespace};
use crate::output::pager::View;
use crate::output::time::Clock;
use crate::output::{self, text, thread};

/// Entries read at once.
const STEP: usize = 1_000;

/// Shows a thread.
pub(super) async fn run(global: &Global, args: &Show) -> Outcome {
    let store = open_namespace(global).await?;
    let end = end(&store, &args.thread).await?;
    let from = args.last.map_or(1, |last| end.saturating_sub(last) + 1);
    match (args.follow, global.json) {
        (true, json) => follow(&store, args, from, json).await?,
        (false, true) => document(&store, &args.thread, from, end).await?,
        (false, false) => view(&store, args, from, end).await?,
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// What is there, then what comes.
async fn follow(store: &Store, args: &Show, from: u64, json: bool) -> Result<()> {
    if !json {
        output::print(&heading(&args.thread, from - 1))?;
    }
    let mut following = store.transcripts().follow(&args.thread, from).await?;
    while let Some(stored) = following.next().await? {
        if json {
            output::print_raw(&format!("{}\n", stored.entry.json()))?;
        } else {
            output::print(&thread::shown(&stored, Clock::new(args.long), args.long))?;
        }
    }
    Ok(())
}

/// The entries exactly as they are stored, page by page.
async fn document(store: &Store, name: &str, from: u64, end: u64) -> Result<()> {
    output::print_raw(&format!("{{\"thread\":{},\n\"entries\":[", Json::string(name)))?;
    let mut some = false;
    let page = |entries: Vec<StoredTranscriptEntry>| {
        let mut page = String::new();
        for stored in entries {
            page.push_str(if some { ",\n" } else { "\n" });
            page.push_str(stored.entry.json().as_str());
            some = true;
        }
        output::print_raw(&page)
    };
    pages(store, name, from, end, page).await?;
    output::print_raw(if some { "\n]}\n" } else { "]}\n" })
}

async fn view(store: &Store, args: &Show, from: u64, end: u64) -> Result<()> {
    let mut view = View::paged()?;
    view.write(&heading(&args.thread, from - 1))?;
    let clock = Clock::new(args.long);
    let page = |entries: Vec<StoredTranscriptEntry>| {
        let shown: String =
            entries.iter().map(|stored| thread::shown(stored, clock, args.long)).collect();
        view.write(&shown)
    };
    pages(store, &args.thread, from, end, page).await?;
    view.finish()
}

/// The entries from one number to another, some at a time.
pub(super) async fn pages(
    store: &Store,
    thread: &str,
    from: u64,
    end: u64,
    mut each: impl FnMut(Vec<StoredTranscriptEntry>) -> Result<()>,
) -> Result<()> {
    let mut next = from;
    while next <= end {
        let mut entries = store.transcripts().range(thread, next, STEP).await?;
        entries.retain(|stored| stored.number <= end);
        // Cleaned meanwhile.
        let Some(last) = entries.last() else { return Ok(()) };
        next = last.number + 1;
        each(entries)?;
    }
    Ok(())
}

fn heading(thread: &str, before: u64) -> String {
    let mut shown = format!("\x1b[1;4m{}\x1b[0m\n", text::one_line(thread));
    if before > 0 {
        let noun = if before == 1 { "entry" } else { "entries" };
        let _ = writeln!(shown, "\x1b[2m{before} {noun} before these\x1b[0m");
    }
    shown.push('\n');
    shown
}
