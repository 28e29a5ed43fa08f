//! `export`.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use agentkeep::{Container, Error, Image, Json, List, Page, Result, Session, Store};
use serde::Serialize;

use super::{Outcome, open_namespace};
use crate::args::{self, Global};
use crate::output::bar::Bar;
use crate::output::file::{self, WholeFile};
use crate::output::{self, text};

/// Records or messages held at once.
const STEP: usize = 1_000;

/// What was written.
#[derive(Debug, Default, Serialize)]
struct Written {
    containers: u64,
    images: u64,
    sessions: u64,
    messages: u64,
    /// References to attachments, for whose bytes the form has no place.
    attachments_left_out: u64,
}

/// Writes the backup to a file or stdout.
pub(crate) async fn run(global: &Global, args: &args::Export) -> Outcome {
    let store = open_namespace(global).await?;
    let written = match args.file.as_deref().filter(|file| *file != Path::new("-")) {
        None => {
            let out = BufWriter::new(std::io::stdout().lock());
            Export::new(out, output::cannot_write).all(&store).await?
        }
        Some(file) => to_file(&store, file, args.yes).await?,
    };
    store.close().await?;
    if global.json && args.file.is_some() {
        output::print_json(&written)?;
    } else {
        output::tell(&told(&written));
    }
    Ok(ExitCode::SUCCESS)
}

async fn to_file(store: &Store, file: &Path, replace: bool) -> Result<Written> {
    let mut whole = WholeFile::begin(file, replace)?;
    let cannot = |error| file::cannot_write(file, error);
    let written = Export::new(BufWriter::new(whole.file()), cannot).all(store).await?;
    whole.finish()?;
    Ok(written)
}

fn told(written: &Written) -> String {
    let mut told = format!(
        "Exported {}, {}, {}, {}.",
        text::counted(written.containers, "container"),
        text::counted(written.images, "image"),
        text::counted(written.sessions, "session"),
        text::counted(written.messages, "message"),
    );
    told.push_str(
        " The form has no place for events, runs, transcripts, capabilities and other namespaces:",
    );
    told.push_str(" `copy` takes them.");
    if written.attachments_left_out > 0 {
        let left = text::counted(written.attachments_left_out, "attachment");
        let _ = write!(told, " The bytes of {left} stay behind: the form has no place for them.");
    }
    told
}

struct Export<W, F> {
    out: W,
    cannot: F,
    written: Written,
}

impl<W: Write, F: Fn(std::io::Error) -> Error> Export<W, F> {
    fn new(out: W, cannot: F) -> Self {
        Self { out, cannot, written: Written::default() }
    }

    async fn all(mut self, store: &Store) -> Result<Written> {
        let usage = store.namespaces().usage(store.namespace_name()).await?;
        let bar = Bar::new(Some(usage.logs.first().map_or(0, |log| log.2)), "Exporting");
        // All of one moment, also while others write.
        let store = store.snapshot().await?;
        self.put("{\"containers\":[")?;
        self.written.containers = self
            .records(async |list| store.containers().list(&list).await, Container::json)
            .await?;
        self.put("],\n\"images\":[")?;
        self.written.images =
            self.records(async |list| store.images().list(&list).await, Image::json).await?;
        self.put("],\n\"sessions\":[")?;
        self.written.sessions =
            self.records(async |list| store.sessions().list(&list).await, Session::json).await?;
        self.put("],\n\"messages\":{")?;
        let mut list = List::of(STEP)?;
        let mut first = true;
        loop {
            let page = store.sessions().list(&list).await?;
            for session in &page.items {
                let id = Json::string(session.id());
                self.put(&format!("{}\n{id}:[", if first { "" } else { "," }))?;
                self.messages(&store, session.id(), &bar).await?;
                self.put("]")?;
                first = false;
            }
            match page.next {
                Some(next) => list = list.after(&next),
                None => break,
            }
        }
        self.put("}}\n")?;
        self.out.flush().map_err(&self.cannot)?;
        Ok(self.written)
    }

    async fn records<T>(
        &mut self,
        page: impl AsyncFn(List) -> Result<Page<T>>,
        json: fn(&T) -> &Json,
    ) -> Result<u64> {
        let mut list = List::of(STEP)?;
        let mut count = 0;
        loop {
            let found = page(list.clone()).await?;
            for record in &found.items {
                self.element(count, json(record))?;
                count += 1;
            }
            match found.next {
                Some(next) => list = list.after(&next),
                None => return Ok(count),
            }
        }
    }

    async fn messages(&mut self, store: &Store, session: &str, bar: &Bar) -> Result<()> {
        let mut at = 0;
        loop {
            let messages = store.messages(session).range(at..at + STEP as u64).await?;
            for stored in &messages {
                self.element(stored.index, stored.message.json())?;
                let attachments = stored.message.attachments().len() as u64;
                self.written.attachments_left_out += attachments;
            }
            let count = messages.len() as u64;
            (self.written.messages, at) = (self.written.messages + count, at + count);
            bar.step(count);
            if count < STEP as u64 {
                return Ok(());
            }
        }
    }

    fn element(&mut self, place: u64, json: &Json) -> Result<()> {
        self.put(if place == 0 { "\n" } else { ",\n" })?;
        self.put(json.as_str())
    }

    fn put(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(&self.cannot)
    }
}
