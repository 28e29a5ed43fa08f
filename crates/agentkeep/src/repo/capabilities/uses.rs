//! Who used what a hash stands for, and since when.

use std::ops::Bound;

use serde::Serialize;

use super::kept::Kept;
use super::links;
use crate::driver::{Find, Record};
use crate::error::Result;
use crate::model::LinkRow;
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::schema::{AGENTS, LINKS, TOOLSETS, Table, Value};

/// What a hash is the hash of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HashKind {
    /// An agent as it was registered, whether it was ever used or not.
    Registration,
    /// An agent.
    Static,
    /// The tools that an agent had.
    Runtime,
    /// What an agent was invoked with.
    Invocation,
    /// A tool.
    Tool,
}

/// The first use of a hash by an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashUse {
    /// What the hash is of.
    pub kind: HashKind,
    /// The agent.
    pub agent_id: String,
    /// Since when, in milliseconds since 1970, as the rows say.
    pub since: i64,
    /// The first link that has it; for a registration its id.
    pub first: String,
    /// The session of that link.
    pub session_id: Option<String>,
}

impl HashKind {
    /// The index of links by hashes of this kind; tools are sought through the lists that have them.
    fn index(self) -> Option<&'static str> {
        match self {
            Self::Static => Some("by_static"),
            Self::Runtime => Some("by_runtime"),
            Self::Invocation => Some("by_invocation"),
            Self::Registration | Self::Tool => None,
        }
    }
}

/// The first record of each agent in an index that begins with `value` and then the agent.
async fn firsts(
    space: &Space,
    table: &'static Table,
    index: &str,
    value: &str,
) -> Result<Vec<Record>> {
    let mut find = Find::by(table, index)?.equal(Value::text(value)).limit(1);
    let mut firsts: Vec<Record> = Vec::new();
    loop {
        let Some(record) = space.find(&find).await?.records.pop() else { return Ok(firsts) };
        let agent = record.body.member("row").and_then(|row| row.member("agentId")?.to_text());
        find.range.0 = Bound::Excluded(Value::text(&agent.unwrap_or_default()));
        firsts.push(record);
    }
}

fn told(kind: HashKind, record: &Record) -> HashUse {
    let row = record.body.member("row");
    let text = |name: &str| row.as_ref().and_then(|row| row.member(name)?.to_text());
    let id = if kind == HashKind::Registration { "registrationId" } else { "linkId" };
    HashUse {
        kind,
        agent_id: text("agentId").unwrap_or_default(),
        since: row.as_ref().and_then(|row| row.member("_ts_created")?.to_i64()).unwrap_or(0),
        first: text(id).unwrap_or_default(),
        session_id: text("sessionId"),
    }
}

async fn toolsets(space: &Space, hash: &str) -> Result<Vec<Record>> {
    space.find_all(Find::by(&TOOLSETS, "by_tool")?.equal(Value::text(hash))).await
}

/// Each agent's first use of a hash, whatever it is the hash of. Costs what there are agents, not
/// links; for a tool also what there are lists of tools with it.
pub(super) async fn who_used(space: &Space, hash: &str) -> Result<Vec<HashUse>> {
    let mut uses: Vec<HashUse> = Vec::new();
    for record in firsts(space, &AGENTS, "by_hash", hash).await? {
        uses.push(told(HashKind::Registration, &record));
    }
    for kind in [HashKind::Static, HashKind::Runtime, HashKind::Invocation] {
        for record in firsts(space, &LINKS, kind.index().unwrap_or_default(), hash).await? {
            uses.push(told(kind, &record));
        }
    }
    for toolset in toolsets(space, hash).await? {
        for record in firsts(space, &LINKS, "by_toolset", toolset.key.first()).await? {
            uses.push(told(HashKind::Tool, &record));
        }
    }
    // Of several lists of tools the first one that an agent used.
    uses.sort_by(|a, b| (a.kind, &a.agent_id, a.since).cmp(&(b.kind, &b.agent_id, b.since)));
    uses.dedup_by(|later, first| later.kind == first.kind && later.agent_id == first.agent_id);
    Ok(uses)
}

/// A page of the links that have a hash of a kind, by agent, then by time. For a tool all that
/// there are, on one page.
pub(super) async fn links_with(
    space: &Space,
    kind: HashKind,
    hash: &str,
    list: &List,
) -> Result<Page<Kept<LinkRow>>> {
    let (mut records, mut next) = (Vec::new(), None);
    if let Some(index) = kind.index() {
        let find = Find::by(&LINKS, index)?.equal(Value::text(hash)).limit(list.limit());
        let found = space.find(&find.after(list.continuation()?)).await?;
        (records, next) = (found.records, found.next.map(|next| next.token()));
    } else if kind == HashKind::Tool {
        for toolset in toolsets(space, hash).await? {
            let toolset = Value::text(toolset.key.first());
            let find = Find::by(&LINKS, "by_toolset")?.equal(toolset);
            records.extend(space.find_all(find).await?);
        }
    }
    let records: Vec<&Record> = records.iter().collect();
    Ok(Page { items: links::whole(space, &records).await?, next })
}
