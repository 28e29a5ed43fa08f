//! The record of a run: the last snapshot without what grows, and what the store knows of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tail::{self, Tail};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{OWN, RunStatus};
use crate::repo::space::Space;
use crate::schema::{Key, RUNS};

/// A longer value stands in the log, not in the record, which is written again and again.
const INLINE: usize = 256;
/// Asked for in lists, and never long in practice.
const ALWAYS_INLINE: [&str; 4] = ["runId", "status", "usage", "error"];
/// Grow from step to step.
const LISTS: [&str; 2] = ["trace", "history"];

/// A member whose value is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A list: how many elements, and the hash over them.
    List(u64, String),
    /// Anything else, by its hash.
    Whole(String),
}

/// What the store knows of a run: its record, and the steps that stand in the log behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunRecord {
    /// The members of the snapshot in their order, `null` for those in the log.
    pub(super) members: Vec<(String, Json)>,
    pub(super) parts: BTreeMap<String, Part>,
    /// The last entry in the log.
    pub(super) last: u64,
    pub(super) fence: u64,
    pub(super) owner: Option<String>,
    pub(super) until: Option<i64>,
    /// Claimed after it had failed or was cancelled.
    pub(super) reopened: bool,
    /// Random, and in the run's first entry, too: its entries are told by it from those of a run
    /// that had the name before. Older runs have none.
    pub(super) birth: Option<String>,
    /// When steps may stand in the log behind the record: a random number that they name, another
    /// one each time that the record is written.
    pub(super) mark: Option<u32>,
    /// The steps behind the record.
    pub(super) tail: Tail,
}

/// The hash of no elements.
pub(super) fn empty() -> String {
    String::from("0")
}

/// The hash of a list with one element more.
pub(super) fn chained(before: &str, element: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(b"\n").update(element.as_bytes());
    short(&hasher)
}

pub(super) fn hash(value: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(value.as_bytes());
    short(&hasher)
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

/// How a member's value is kept.
pub(super) enum Kept {
    Inline,
    List,
    Whole,
}

pub(super) fn kept(name: &str, value: &Json) -> Kept {
    if ALWAYS_INLINE.contains(&name) {
        Kept::Inline
    } else if value.is_array() && (LISTS.contains(&name) || value.len() > INLINE) {
        Kept::List
    } else if value.len() > INLINE {
        Kept::Whole
    } else {
        Kept::Inline
    }
}

impl RunRecord {
    pub(super) fn key(id: &str) -> Result<Key> {
        crate::model::check_run_id(id)?;
        Key::new(&RUNS, [id])
    }

    /// As last seen; a commit that relies on it checks its version.
    pub(super) async fn cached(space: &Space, id: &str) -> Result<Option<(Arc<Self>, u64)>> {
        let key = Self::key(id)?;
        if let Some(found) = space.remembered::<Self>(&key) {
            return Ok(Some(found));
        }
        let Some(record) = space.get(&key).await? else { return Ok(None) };
        let run = Self::parse(&record.body).map_err(|error| error.at(key.to_string()))?;
        let run = Arc::new(tail::followed(space, id, run).await?);
        space.remember(key, Arc::clone(&run), record.version);
        Ok(Some((run, record.version)))
    }

    pub(super) fn parse(body: &Json) -> Result<Self> {
        Self::try_parse(body)
            .ok_or_else(|| Error::new(Kind::Corrupt, "the record of a run is damaged"))
    }

    fn try_parse(body: &Json) -> Option<Self> {
        let mut run = Self::default();
        let mut own = None;
        for (name, value) in body.members() {
            if name == OWN {
                own = Some(value);
            } else {
                run.members.push((name, value));
            }
        }
        let own = own?;
        for (name, part) in own.member("parts")?.members() {
            let hash = part.member("hash")?.to_text()?;
            let part = match part.member("n") {
                Some(n) => Part::List(u64::try_from(n.to_i64()?).ok()?, hash),
                None => Part::Whole(hash),
            };
            run.parts.insert(name, part);
        }
        let number = |name: &str| u64::try_from(own.member(name)?.to_i64()?).ok();
        match own.member("ahead") {
            Some(ahead) => {
                let number = |name: &str| ahead.member(name)?.to_i64();
                run.last = u64::try_from(number("after")?).ok()?;
                run.mark = Some(u32::try_from(number("mark")?).ok()?);
            }
            None => run.last = number("last")?,
        }
        run.fence = number("fence")?;
        run.owner = own.member("owner").and_then(|owner| owner.to_text());
        run.until = own.member("until").and_then(|until| until.to_i64());
        run.reopened = own.member("reopened").is_some();
        run.birth = own.member("birth").and_then(|birth| birth.to_text());
        Some(run)
    }

    pub(super) fn to_json(&self) -> Json {
        let mut parts = ObjectEditor::default();
        for (name, part) in &self.parts {
            let mut one = ObjectEditor::default();
            let hash = match part {
                Part::List(n, hash) => {
                    one.set("n", &count(*n));
                    hash
                }
                Part::Whole(hash) => hash,
            };
            one.set("hash", &Json::string(hash));
            parts.set(name, &one.finish());
        }
        let mut own = ObjectEditor::default();
        own.set("parts", &parts.finish());
        match self.mark {
            // Not `last`: who does not know of steps behind the record must not take it for all.
            Some(mark) => {
                let mut ahead = ObjectEditor::default();
                ahead.set("after", &count(self.last)).set("mark", &count(mark.into()));
                own.set("ahead", &ahead.finish());
            }
            None => {
                own.set("last", &count(self.last));
            }
        }
        own.set("fence", &count(self.fence));
        if let Some(birth) = &self.birth {
            own.set("birth", &Json::string(birth));
        }
        if let Some(owner) = &self.owner {
            own.set("owner", &Json::string(owner));
        }
        if let Some(until) = self.until {
            own.set("until", &Json::integer(until));
        }
        if self.reopened {
            own.set("reopened", &Json::of(&true).unwrap_or_else(|_| Json::null()));
        }
        let mut whole = ObjectEditor::default();
        for (name, value) in &self.members {
            whole.set(name, value);
        }
        whole.set(OWN, &own.finish());
        whole.finish()
    }

    /// Gives a member another value, in its place or as the last one.
    pub(super) fn set_member(&mut self, name: &str, value: Json) {
        match self.members.iter_mut().find(|(member, _)| member == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((name.to_owned(), value)),
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    pub(super) fn status(&self) -> RunStatus {
        let status = self.member("status").and_then(|status| RunStatus::of_text(status.as_str()));
        status.unwrap_or(RunStatus::Executing)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.member(name)?.to_i64()
    }

    /// How many results its trace has.
    pub(super) fn steps(&self) -> u64 {
        match self.parts.get("trace") {
            Some(Part::List(n, _)) => *n,
            _ => 0,
        }
    }

    pub(super) fn has_plan(&self) -> bool {
        self.parts.contains_key("plan") || self.member("plan").is_some_and(|plan| !plan.is_null())
    }

    /// The owner of a lease that lives at `now`.
    pub(super) fn held_by(&self, now: i64) -> Option<&str> {
        self.until.filter(|until| *until > now)?;
        self.owner.as_deref()
    }
}

pub(super) fn count(n: u64) -> Json {
    Json::integer(i64::try_from(n).unwrap_or(i64::MAX))
}
