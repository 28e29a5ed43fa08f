//! `stats`.

use std::process::ExitCode;

use agentkeep::driver::{Description, Usage};
use agentkeep::schema::Namespace;
use agentkeep::{List, Result, RunFilter, Store};
use serde::Serialize;

use super::{Outcome, open_existing};
use crate::args::Global;
use crate::output::{self, text};

/// Runs counted in one call.
const PAGE: usize = 1_000;

/// How much one namespace holds. Messages that forks share count once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Held {
    pub(super) containers: u64,
    pub(super) images: u64,
    pub(super) sessions: u64,
    pub(super) messages: u64,
    pub(super) message_bytes: u64,
    pub(super) attachments: u64,
    pub(super) attachment_bytes: u64,
    pub(super) runs: u64,
    pub(super) threads: u64,
    pub(super) entries: u64,
    pub(super) entry_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    held: Held,
    store: &'a Description,
}

impl Held {
    /// As people read it.
    pub(super) fn lines(self) -> [(&'static str, String); 7] {
        let with_bytes = |count: u64, bytes: u64| format!("{count} ({})", text::bytes(bytes));
        [
            ("containers", self.containers.to_string()),
            ("images", self.images.to_string()),
            ("sessions", self.sessions.to_string()),
            ("messages", with_bytes(self.messages, self.message_bytes)),
            ("attachments", with_bytes(self.attachments, self.attachment_bytes)),
            ("runs", self.runs.to_string()),
            ("transcripts", {
                let bytes = text::bytes(self.entry_bytes);
                format!("{} with {} entries ({bytes})", self.threads, self.entries)
            }),
        ]
    }
}

/// Says how much is kept, where, and how safely.
pub(crate) async fn run(global: &Global) -> Outcome {
    let store = open_existing(global).await?;
    let held = held(&store).await?;
    let description = store.describe().clone();
    store.close().await?;
    if global.json {
        let document = Document { namespace: &global.namespace, held, store: &description };
        output::print_json(&document)?;
    } else {
        output::print(&shown(&global.namespace, held, &description))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts what the store's namespace holds: asks the driver, or walks the pages.
pub(super) async fn held(store: &Store) -> Result<Held> {
    // What an import has staged is not there before it is switched on.
    if store.unfinished_loads().await?.iter().any(|load| load.staged) {
        return Ok(Held::default());
    }
    match store.driver().maintenance() {
        Some(upkeep) => {
            let namespace = Namespace::new(store.namespace_name())?;
            Ok(of_usage(&upkeep.usage(&namespace).await?))
        }
        None => counted(store).await,
    }
}

/// The same from what a driver says.
pub(super) fn of_usage(usage: &Usage) -> Held {
    let records = |table: &str| {
        let found = usage.records.iter().find(|(name, _)| name == table);
        found.map_or(0, |(_, count)| *count)
    };
    let log = |log: &str| {
        let found = usage.logs.iter().find(|(name, ..)| name == log);
        found.map_or((0, 0), |(_, _, count, bytes)| (*count, *bytes))
    };
    let (messages, message_bytes) = log("messages");
    let (entries, entry_bytes) = log("transcripts");
    Held {
        containers: records("containers"),
        images: records("images"),
        sessions: records("sessions"),
        messages,
        message_bytes,
        attachments: usage.blobs,
        attachment_bytes: usage.blob_bytes,
        runs: records("runs"),
        threads: records("threads"),
        entries,
        entry_bytes,
    }
}

async fn counted(store: &Store) -> Result<Held> {
    let sessions = store.sessions().all().await?;
    let mut held = Held {
        containers: store.containers().all().await?.len() as u64,
        images: store.images().all().await?.len() as u64,
        sessions: sessions.len() as u64,
        ..Held::default()
    };
    let mut attachments = std::collections::HashSet::new();
    for session in &sessions {
        for stored in store.messages(session.id()).all().await? {
            held.messages += 1;
            held.message_bytes += stored.message.json().len() as u64;
            for attachment in stored.message.attachments() {
                if attachments.insert(attachment.hash()) {
                    held.attachments += 1;
                    held.attachment_bytes += attachment.size;
                }
            }
        }
    }
    for thread in store.transcripts().threads().await? {
        held.threads += 1;
        held.entries += thread.entries;
        held.entry_bytes += thread.bytes;
    }
    let mut list = List::of(PAGE)?;
    loop {
        let page = store.runs().list(&RunFilter::default(), &list).await?;
        held.runs += page.items.len() as u64;
        match page.next {
            Some(next) => list = List::of(PAGE)?.after(&next),
            None => return Ok(held),
        }
    }
}

fn shown(namespace: &str, held: Held, store: &Description) -> String {
    let survives = match store.durability {
        agentkeep::driver::Durability::Power => "what is acknowledged survives a power cut",
        agentkeep::driver::Durability::Process => "what is acknowledged survives kill -9",
        agentkeep::driver::Durability::None => "nothing survives the process",
    };
    let mut lines = vec![
        ("store", format!("{}:{}", store.driver, store.location)),
        ("durability", format!("{} ({survives})", store.durability.name())),
        ("format", format!("{} (store {}, epoch {})", store.format, store.store_id, store.epoch)),
        ("namespace", namespace.to_owned()),
    ];
    lines.extend(held.lines());
    let line = |(name, value): &(&str, String)| format!("{name:<13}{}\n", text::one_line(value));
    lines.iter().map(line).collect()
}
