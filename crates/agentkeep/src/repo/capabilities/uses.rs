//! Who used what a hash stands for, and since when.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

use serde::Serialize;

use super::kept::Kept;
use super::links;
use super::walk::Walk;
use crate::driver::{Find, Record};
use crate::error::Result;
use crate::model::LinkRow;
use crate::repo::pages::{List, Page, token_for};
use crate::repo::space::Space;
use crate::schema::{AGENTS, FieldValue, Index, LINKS, TOOLSETS, Table, Value};

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

/// What has a hash of a kind.
pub(super) struct Sought {
    table: &'static Table,
    index: &'static Index,
    /// For a tool the lists that have it; else the hash.
    values: BTreeSet<Value>,
}

impl Sought {
    /// `None` where no link has such hashes.
    pub(super) async fn by_links(
        space: &Space,
        kind: HashKind,
        hash: &str,
    ) -> Result<Option<Self>> {
        let index = match kind {
            HashKind::Static => "by_static",
            HashKind::Runtime => "by_runtime",
            HashKind::Invocation => "by_invocation",
            HashKind::Tool => "by_toolset",
            HashKind::Registration => return Ok(None),
        };
        let values = if kind == HashKind::Tool {
            let lists = Find::by(&TOOLSETS, "by_tool")?.equal(Value::text(hash));
            let lists = space.find_all(lists).await?;
            lists.iter().map(|list| Value::text(list.key.first())).collect()
        } else {
            BTreeSet::from([Value::text(hash)])
        };
        Ok(Some(Self { table: &LINKS, index: Find::by(&LINKS, index)?.index, values }))
    }

    fn by_registrations(hash: &str) -> Result<Self> {
        let (index, values) = (Find::by(&AGENTS, "by_hash")?.index, [Value::text(hash)].into());
        Ok(Self { table: &AGENTS, index, values })
    }

    /// Each agent's first use, by agent; only those of agents behind this one.
    pub(super) fn firsts(&self, behind: Option<&str>) -> Firsts {
        let head = |value: &Value| {
            let mut find = Find::new(self.table, self.index).equal(value.clone()).limit(1);
            if let Some(agent) = behind {
                find.range.0 = Bound::Excluded(Value::text(agent));
            }
            Head { find, read: VecDeque::new(), ended: false }
        };
        Firsts { heads: self.values.iter().map(head).collect() }
    }

    /// Whether a link with these fields has what is sought.
    pub(super) fn has(&self, link: &[FieldValue]) -> bool {
        let place = self.index.fields.first().and_then(|(name, _)| self.table.field(name));
        match place.and_then(|place| link.get(place)) {
            Some(FieldValue::One(value)) => self.values.contains(value),
            _ => false,
        }
    }
}

/// First uses, agent by agent. In the indexes over hashes a link that repeats one before may be left out,
/// but never an agent's first link with a hash.
pub(super) struct Firsts {
    heads: Vec<Head>,
}

/// The first uses of one value.
struct Head {
    /// Those not read yet.
    find: Find,
    read: VecDeque<First>,
    ended: bool,
}

/// So many records are read at once at most: in stores of before, all may be of one agent.
const AT_ONCE: usize = 32;

impl Head {
    /// The next agent's, which stays the next one.
    async fn peek(&mut self, space: &Space) -> Result<Option<&First>> {
        if self.read.is_empty() && !self.ended {
            let found = space.find(&self.find).await?;
            self.ended = found.next.is_none();
            for first in found.records.into_iter().map(First::of) {
                if self.read.back().is_none_or(|before| before.agent != first.agent) {
                    self.read.push_back(first);
                }
            }
            if let Some(last) = self.read.back() {
                self.find.range.0 = Bound::Excluded(Value::text(&last.agent));
            }
            self.find.limit = (self.find.limit * 2).min(AT_ONCE);
        }
        Ok(self.read.front())
    }
}

impl Firsts {
    pub(super) async fn next(&mut self, space: &Space) -> Result<Option<First>> {
        let mut least: Option<(String, i64, String)> = None;
        for head in &mut self.heads {
            let Some(first) = head.peek(space).await? else { continue };
            let place = first.place();
            if least.as_ref().is_none_or(|least| place < (&least.0, least.1, &least.2)) {
                least = Some((place.0.to_owned(), place.1, place.2.to_owned()));
            }
        }
        let Some((agent, _, link)) = least else { return Ok(None) };
        // Of several lists of tools that the agent used, the one that it used first.
        let mut next = None;
        for head in &mut self.heads {
            if let Some(first) = head.read.pop_front_if(|first| first.agent == agent)
                && first.record.key.first() == link
            {
                next = Some(first);
            }
        }
        Ok(next)
    }
}

/// An agent's first record with a hash.
pub(super) struct First {
    pub(super) agent: String,
    pub(super) since: i64,
    record: Record,
}

impl First {
    fn of(record: Record) -> Self {
        let row = record.body.member("row");
        let agent = row.as_ref().and_then(|row| row.member("agentId")?.to_text());
        let since = row.as_ref().and_then(|row| row.member("_ts_created")?.to_i64());
        Self { agent: agent.unwrap_or_default(), since: since.unwrap_or(0), record }
    }

    fn place(&self) -> (&str, i64, &str) {
        (&self.agent, self.since, self.record.key.first())
    }

    fn told(self, kind: HashKind) -> HashUse {
        let row = self.record.body.member("row");
        let text = |name: &str| row.as_ref().and_then(|row| row.member(name)?.to_text());
        let id = if kind == HashKind::Registration { "registrationId" } else { "linkId" };
        HashUse {
            kind,
            since: self.since,
            first: text(id).unwrap_or_default(),
            session_id: text("sessionId"),
            agent_id: self.agent,
        }
    }
}

/// Each agent's first use of a hash, whatever it is the hash of. Costs what there are agents, not
/// links; for a tool also what there are lists of tools with it.
pub(super) async fn who_used(space: &Space, hash: &str) -> Result<Vec<HashUse>> {
    let mut sought = vec![(HashKind::Registration, Sought::by_registrations(hash)?)];
    for kind in [HashKind::Static, HashKind::Runtime, HashKind::Invocation, HashKind::Tool] {
        sought.extend(Sought::by_links(space, kind, hash).await?.map(|sought| (kind, sought)));
    }
    let mut uses: Vec<HashUse> = Vec::new();
    for (kind, sought) in sought {
        let mut firsts = sought.firsts(None);
        while let Some(first) = firsts.next(space).await? {
            uses.push(first.told(kind));
        }
    }
    Ok(uses)
}

/// A page of the links that have a hash of a kind, by agent, then by time.
pub(super) async fn links_with(
    space: &Space,
    kind: HashKind,
    hash: &str,
    list: &List,
) -> Result<Page<Kept<LinkRow>>> {
    let what = format!("{kind:?} {hash}");
    let after = list.continuation_for(&what)?;
    let Some(sought) = Sought::by_links(space, kind, hash).await? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut walk = Walk::new(space, &sought, list.limit());
    walk.go(after).await?;
    let records: Vec<&Record> = walk.found.iter().collect();
    let items = links::whole(space, &records).await?;
    Ok(Page { items, next: walk.next.map(|next| token_for(&what, &next)) })
}
