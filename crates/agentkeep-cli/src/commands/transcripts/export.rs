//! `transcripts export`.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use agentkeep::{Error, Result, Store};

use super::end;
use super::show::pages;
use crate::args::Global;
use crate::commands::{Outcome, open_namespace};
use crate::output::file::{self, WholeFile};
use crate::output::{self, text};

/// Writes a thread to a file or stdout.
pub(super) async fn run(
    global: &Global,
    thread: &str,
    place: Option<&Path>,
    replace: bool,
) -> Outcome {
    let store = open_namespace(global).await?;
    let end = end(&store, thread).await?;
    match place.filter(|place| *place != Path::new("-")) {
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            write(&store, thread, end, &mut out, &output::cannot_write).await?;
        }
        Some(place) => {
            let mut whole = WholeFile::begin(place, replace)?;
            let cannot = |error| file::cannot_write(place, error);
            let mut out = BufWriter::new(whole.file());
            write(&store, thread, end, &mut out, &cannot).await?;
            drop(out);
            whole.finish()?;
        }
    }
    store.close().await?;
    let lines = text::counted(end, "line");
    if global.json && place.is_some() {
        output::print_json(&serde_json::json!({ "thread": thread, "lines": end }))?;
    } else {
        output::tell(&format!("Exported {lines}."));
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(
    store: &Store,
    thread: &str,
    end: u64,
    out: &mut impl Write,
    cannot: &impl Fn(std::io::Error) -> Error,
) -> Result<()> {
    // A line at a time, never the whole: threads grow without end.
    pages(store, thread, 1, end, |entries| {
        for stored in entries {
            let line = stored.entry.json().as_str();
            out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(cannot)?;
        }
        Ok(())
    })
    .await?;
    out.flush().map_err(cannot)
}
