//! Links with a hash: an agent's links from its first use of it on, those that have it.

use std::ops::Bound;

use super::uses::Sought;
use crate::driver::{Continuation, Find, Record};
use crate::error::{Error, Kind, Result};
use crate::repo::space::Space;
use crate::schema::{FieldValue, LINKS, Value};

/// So many links are looked at for one page, or a few more: a page may have fewer than it could.
const LOOKED_AT: usize = 10_000;

/// So many are read at once at first: not all that are read may be wanted,
const FEW: usize = 64;
/// and so many at most.
const MANY: usize = 1_000;

/// One page under way.
pub(super) struct Walk<'a> {
    space: &'a Space,
    sought: &'a Sought,
    limit: usize,
    /// So many links may still be looked at.
    left: usize,
    pub(super) found: Vec<Record>,
    /// The place of the last one that was looked at and is no more than was asked for.
    last: Option<Continuation>,
    /// Where the next page begins.
    pub(super) next: Option<Continuation>,
}

/// What came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The agent's links.
    Agent,
    /// The page.
    Page,
}

impl<'a> Walk<'a> {
    pub(super) fn new(space: &'a Space, sought: &'a Sought, limit: usize) -> Self {
        let (found, last, next) = (Vec::new(), None, None);
        Self { space, sought, limit, left: LOOKED_AT, found, last, next }
    }

    /// The page behind this place, or the first one.
    pub(super) async fn go(&mut self, after: Option<Continuation>) -> Result<()> {
        let mut behind = None;
        if let Some(after) = after {
            let Some(Value::Text(agent)) = after.values().first().cloned() else {
                return Err(Error::new(Kind::InvalidInput, "the continuation is damaged")
                    .advice("pass on what the page before gave, or start again"));
            };
            if self.links(&agent, Bound::Unbounded, Some(after)).await? == Ended::Page {
                return Ok(());
            }
            behind = Some(agent);
        }
        let mut firsts = self.sought.firsts(behind.as_deref());
        while let Some(first) = firsts.next(self.space).await? {
            let since = Bound::Included(Value::integer(first.since));
            if self.links(&first.agent, since, None).await? == Ended::Page {
                break;
            }
        }
        Ok(())
    }

    /// An agent's links. A continuation is one of all of them, whatever the range: where the agent's first
    /// use is may change.
    async fn links(
        &mut self,
        agent: &str,
        since: Bound<Value>,
        after: Option<Continuation>,
    ) -> Result<Ended> {
        let all = Find::by(&LINKS, "by_agent")?.equal(Value::text(agent));
        let mut find = Find { range: (since, Bound::Unbounded), after, ..all.clone() };
        find.limit = FEW.min(self.limit + 1 - self.found.len());
        loop {
            let page = self.space.find(&find).await?;
            self.left = self.left.saturating_sub(page.records.len());
            let any = !page.records.is_empty();
            for record in page.records {
                let fields = LINKS.extract(&record.body)?;
                let wanted = self.sought.has(&fields);
                if wanted && self.found.len() == self.limit {
                    self.next = self.last.take();
                    return Ok(Ended::Page);
                }
                self.last = Some(all.continuation(place(&fields), &record.key));
                if wanted {
                    self.found.push(record);
                }
            }
            if self.left == 0 && any {
                self.next = self.last.take();
                return Ok(Ended::Page);
            }
            if page.next.is_none() {
                return Ok(Ended::Agent);
            }
            find.after = page.next;
            find.limit = (find.limit * 2).min(MANY);
        }
    }
}

/// The place of a link among those of its agent.
fn place(fields: &[FieldValue]) -> Vec<Value> {
    let value = |name| match fields.get(LINKS.field(name)?)? {
        FieldValue::One(value) => Some(value.clone()),
        FieldValue::Many(_) => None,
    };
    ["agent_id", "created"].into_iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{HashKind, uses};
    use super::*;
    use crate::model::{CapabilityLink, LinkRow, OpContext};
    use crate::store::Store;

    /// Many agents have few links with the hash, some have none left.
    #[tokio::test]
    async fn a_page_ends_where_enough_was_looked_at() {
        let store = Store::open("memory:").await.unwrap();
        let mut expected = Vec::new();
        for (agent, links) in [("a", 9), ("b", 1), ("c", 30), ("d", 3)] {
            for n in 0..links {
                let hash = if n % 7 == 0 { "wanted" } else { "other" };
                let link = CapabilityLink {
                    agent_id: agent.to_owned(),
                    agent_name: String::new(),
                    static_hash: hash.to_owned(),
                    runtime_hash: "r".to_owned(),
                    tool_refs: Vec::new(),
                    invocation_hash: None,
                };
                let id = format!("{agent}{n}");
                let row = LinkRow::of(&link, "s", n, None).unwrap().with_id(&id).unwrap();
                let keep = store.capabilities();
                keep.record_session_capability_link(&OpContext::at(1), &row).await.unwrap();
                expected.extend((hash == "wanted").then_some(id));
            }
        }
        let sought = uses::Sought::by_links(store.space(), HashKind::Static, "wanted");
        let sought = sought.await.unwrap().unwrap();
        for budget in [1, 2, 3, 9, 10, 43, 1_000] {
            for limit in [1, 2, 10] {
                let (mut seen, mut after, mut short) = (Vec::new(), None, 0);
                loop {
                    let mut walk = Walk::new(store.space(), &sought, limit);
                    walk.left = budget;
                    walk.go(after).await.unwrap();
                    assert!(walk.found.len() <= limit, "a page of {limit}");
                    short += usize::from(walk.found.len() < limit && walk.next.is_some());
                    seen.extend(walk.found.iter().map(|record| record.key.first().to_owned()));
                    let Some(next) = walk.next else { break };
                    after = Some(next);
                }
                assert_eq!(seen, expected, "{budget} {limit}");
                match (budget, limit) {
                    (1, 10) => assert!(short > 3, "{short} pages"),
                    (1_000, _) => assert_eq!(short, 0),
                    _ => {}
                }
            }
        }
    }
}
