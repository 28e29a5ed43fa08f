//! How much a namespace holds.

use agentkeep::driver::{Find, Usage};
use agentkeep::schema::{AGENTS, LINKS, Namespace, RUNS, Table};
use agentkeep::{List, Result, Store};
use serde::Serialize;

use crate::output::text;

/// Records counted in one call.
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
    pub(super) topics: u64,
    pub(super) events: u64,
    pub(super) event_bytes: u64,
    pub(super) runs: u64,
    pub(super) threads: u64,
    pub(super) entries: u64,
    pub(super) entry_bytes: u64,
    pub(super) agents: u64,
    pub(super) links: u64,
}

impl Held {
    /// As people read it.
    pub(super) fn lines(self) -> [(&'static str, String); 9] {
        let with_bytes = |count: u64, bytes: u64| format!("{count} ({})", text::bytes(bytes));
        let logs = |logs: u64, count: u64, what: &str, bytes: u64| {
            format!("{logs} with {count} {what} ({})", text::bytes(bytes))
        };
        [
            ("containers", self.containers.to_string()),
            ("images", self.images.to_string()),
            ("sessions", self.sessions.to_string()),
            ("messages", with_bytes(self.messages, self.message_bytes)),
            ("attachments", with_bytes(self.attachments, self.attachment_bytes)),
            ("topics", logs(self.topics, self.events, "events", self.event_bytes)),
            ("runs", self.runs.to_string()),
            ("transcripts", logs(self.threads, self.entries, "entries", self.entry_bytes)),
            ("agents", format!("{} with {}", self.agents, text::counted(self.links, "link"))),
        ]
    }
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
    let (events, event_bytes) = log("events");
    Held {
        containers: records("containers"),
        images: records("images"),
        sessions: records("sessions"),
        messages,
        message_bytes,
        attachments: usage.blobs,
        attachment_bytes: usage.blob_bytes,
        topics: records("topics"),
        events,
        event_bytes,
        runs: records("runs"),
        threads: records("threads"),
        entries,
        entry_bytes,
        agents: records("capability_agents"),
        links: records("capability_links"),
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
        let page = store.events().topics(&list).await?;
        for topic in page.items {
            held.topics += 1;
            held.events += topic.events;
            held.event_bytes += topic.bytes;
        }
        let Some(next) = page.next else { break };
        list = List::of(PAGE)?.after(&next);
    }
    held.runs = records(store, &RUNS).await?;
    held.agents = records(store, &AGENTS).await?;
    held.links = records(store, &LINKS).await?;
    Ok(held)
}

async fn records(store: &Store, table: &'static Table) -> Result<u64> {
    let namespace = Namespace::new(store.namespace_name())?;
    let mut find = Find::by(table, "key")?.limit(PAGE);
    let mut count = 0;
    loop {
        let found = store.driver().find(&namespace, &find).await?;
        count += found.records.len() as u64;
        let Some(next) = found.next else { return Ok(count) };
        find = find.after(Some(next));
    }
}
