//! Links that repeat the hashes of one before. Most do, and need no places of their own in the indexes
//! over hashes, which are asked only for each agent's first link with a hash.
//!
//! A link is marked only if one of the same agent, with the same hashes and not later than it, is known to
//! be kept: the last one that this process committed. That one is in the indexes, or is marked itself, so
//! that the first one is in them always. Nothing is read for a mark: without knowledge there is none.

use std::sync::Arc;

use crate::driver::Expect;
use crate::error::Result;
use crate::json::Json;
use crate::repo::plan::{Guard, Held, Plan};
use crate::schema::{Key, LINKS};

/// The last link that was recorded of an agent with a static hash, a runtime hash and tools; links never
/// change.
#[derive(Debug)]
pub(crate) struct Latest {
    link: Key,
    created: i64,
    invocation: Option<Json>,
}

/// What a link says of itself.
#[derive(Debug)]
pub(super) struct Marks {
    /// That an earlier link of its agent has the static hash, the runtime hash and the tools of it.
    pub(super) again: bool,
    /// That an earlier link of its agent has its invocation hash.
    pub(super) invoked_again: bool,
    /// What it is remembered by.
    name: Key,
    latest: Latest,
}

impl Marks {
    /// The marks of a link, as it is kept.
    pub(super) fn of(
        plan: &mut Plan<'_>,
        link: &Key,
        row: &Json,
        toolset: Option<&Json>,
    ) -> Result<Option<Self>> {
        let Some(created) = row.member("_ts_created").and_then(|time| time.to_i64()) else {
            return Ok(None);
        };
        let name = name(row, toolset)?;
        let invocation = row.member("invocationHash");
        let latest = Latest { link: link.clone(), created, invocation };
        let before =
            plan.space.remembered::<Latest>(&name).filter(|(known, _)| known.is_before(&latest));
        let (mut again, mut invoked_again) = (false, false);
        if let Some((known, version)) = before {
            plan.expect(Expect::Version(known.link.clone(), version), Guard::Retry);
            again = true;
            invoked_again = known.invocation == latest.invocation;
        }
        Ok(Some(Self { again, invoked_again, name, latest }))
    }

    /// The link just planned to be put is remembered.
    pub(super) fn hold(self, plan: &mut Plan<'_>) {
        plan.hold(Held::Link(self.name, Arc::new(self.latest)));
    }
}

impl Latest {
    /// By the order of the indexes.
    fn is_before(&self, other: &Self) -> bool {
        (self.created, self.link.first()) < (other.created, other.link.first())
    }
}

/// What links with the same agent, static hash, runtime hash and tools have in common. No link is remembered
/// by its own id, so this may look like one.
fn name(row: &Json, toolset: Option<&Json>) -> Result<Key> {
    let mut hasher = blake3::Hasher::new();
    let members = ["agentId", "staticHash", "runtimeHash"].map(|name| row.member(name));
    for text in members.iter().map(Option::as_ref).chain([toolset]) {
        // Each ends where it says: they are JSON.
        hasher.update(text.map_or("null", Json::as_str).as_bytes());
    }
    Key::new(&LINKS, [hasher.finalize().to_hex().as_str()])
}
