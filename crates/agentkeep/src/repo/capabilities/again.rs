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
use crate::model::each_member;
use crate::repo::plan::{Guard, Held, Plan};
use crate::schema::{Key, LINKS};

/// The last link that was recorded of an agent with a static hash, a runtime hash and tools; links never
/// change.
#[derive(Debug)]
pub(crate) struct Latest {
    link: Key,
    created: i64,
    /// Its JSON.
    invocation: Option<String>,
}

/// What a link says of itself.
#[derive(Debug)]
pub(super) struct Marks {
    /// That an earlier link of its agent has the static hash, the runtime hash and the tools of it.
    pub(super) again: bool,
    /// That this one also has its invocation hash, or lacks one as it does.
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
        let [agent, of_static, of_runtime, invocation, created] = values(row);
        let Some(created) = created.and_then(|time| time.parse().ok()) else { return Ok(None) };
        let name = name([agent, of_static, of_runtime, toolset.map(Json::as_str)])?;
        let invocation = invocation.map(str::to_owned);
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

/// The agent, the hashes and the time of a link, as they stand in its row.
fn values(row: &Json) -> [Option<&str>; 5] {
    const NAMES: [&str; 5] = [
        "\"agentId\"",
        "\"staticHash\"",
        "\"runtimeHash\"",
        "\"invocationHash\"",
        "\"_ts_created\"",
    ];
    let mut values = [None; 5];
    each_member(row.as_str(), |name, value| {
        let length = Json::length_of_first(value);
        if let Some(place) = NAMES.iter().position(|known| *known == name) {
            values[place] = Some(&value[..length]);
        }
        length
    });
    values
}

/// What links with the same agent, static hash, runtime hash and tools have in common. No link is remembered
/// by its own id, so this may look like one.
fn name(values: [Option<&str>; 4]) -> Result<Key> {
    let mut hasher = blake3::Hasher::new();
    for json in values {
        // Where each ends it says itself.
        hasher.update(json.unwrap_or("null").as_bytes());
    }
    Key::new(&LINKS, [hasher.finalize().to_hex().as_str()])
}
