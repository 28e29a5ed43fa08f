//! Steps behind the record: while a run goes on, most of its steps are one entry of the log and
//! leave the record alone. Such an entry names the record's mark in `of`, adds one result, and has
//! in `now` all members of the record that are others since it was written.

use super::change::Change;
use super::record::{Part, RunRecord, chained, hash};
use crate::driver::{Entry, Read, Stretch, Which};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::RunStatus;
use crate::repo::space::Space;
use crate::schema::{Key, STEPS, STREAMS, Stream};

/// So many steps stand behind a record at most, then it is written again: whoever takes the run up
/// has to read them, however many there are in all.
pub(super) const MOST: usize = 32;
/// A longer one is kept with the record, which then costs little beside it: lists read the last
/// step behind each record.
const LONGEST: usize = 16 << 10;
/// Lists ask for runs by these, and show when they ended.
const IN_INDEXES: [&str; 3] = ["status", "startedAt", "completedAt"];

/// The steps behind a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) steps: u64,
    /// The members that they gave other values.
    now: Vec<(String, Json)>,
}

/// What stands in an entry behind a record.
pub(super) struct Step<'a> {
    pub(super) set: &'a str,
    pub(super) now: &'a str,
    pub(super) add: &'a str,
}

impl<'a> Step<'a> {
    /// `None` when the entry is not of the record with this mark.
    pub(super) fn of(mark: u32, body: &'a Json) -> Option<Self> {
        let (before, add) = Json::members_and_last(body.as_str(), "add");
        let (mut step, mut named) = (Self { set: "", now: "", add: add? }, None);
        for (name, value) in before {
            match name {
                "\"of\"" => named = value.parse().ok(),
                "\"now\"" => step.now = value,
                "\"set\"" => step.set = value,
                _ => {}
            }
        }
        (named == Some(mark)).then_some(step)
    }
}

impl RunRecord {
    /// Takes the next step behind the record in; false when it is none of its steps.
    pub(super) fn follow(&mut self, entry: &Entry) -> bool {
        let step = self.mark.and_then(|mark| Step::of(mark, &entry.body));
        let Some(step) = step.filter(|_| entry.number == self.last + 1) else { return false };
        for (name, value) in Json::members_of(step.set) {
            self.parts.insert(name, Part::Whole(hash(value)));
        }
        for (name, elements) in Json::members_of(step.add) {
            if let Some(Part::List(n, chain)) = self.parts.get_mut(&name) {
                for element in Json::elements_of(elements) {
                    (*n, *chain) = (*n + 1, chained(chain, element));
                }
            }
        }
        self.take_now(step.now);
        self.last += 1;
        self.tail.steps += 1;
        true
    }

    /// Each step says of all members what they are now.
    pub(super) fn take_now(&mut self, now: &str) {
        self.tail.now.clear();
        for (name, value) in Json::members_of(now) {
            let value = Json::piece(value);
            self.set_member(&name, value.clone());
            self.tail.now.push((name, value));
        }
    }

    /// What a step says that leaves the record alone, if this is one: when it adds one result and
    /// otherwise changes nothing but what an entry can say.
    pub(super) fn step_behind(&self, after: &Self, change: &Change) -> Option<Tail> {
        self.mark?;
        let steps = self.tail.steps + 1;
        let small = change.is_one_entry() && change.bytes() <= LONGEST;
        if steps >= MOST as u64 || !small || !self.goes_on_as(after) {
            return None;
        }
        let whole = |(name, _): &(String, Json)| {
            let parts = (self.parts.get(name), after.parts.get(name));
            matches!(parts, (Some(Part::Whole(_)), Some(Part::Whole(_))))
        };
        if !change.under_way.set.iter().all(whole) {
            return None;
        }
        let mut now = self.tail.now.clone();
        let mut old = self.members.iter();
        for (name, value) in &after.members {
            match old.next() {
                Some((before, _)) if before != name => return None,
                // Also those whose values are in the log: they are null here and there.
                Some((_, before)) if before == value => continue,
                _ if IN_INDEXES.contains(&name.as_str()) => return None,
                _ => {}
            }
            match now.iter_mut().find(|(member, _)| member == name) {
                Some((_, known)) => *known = value.clone(),
                None => now.push((name.clone(), value.clone())),
            }
        }
        old.next().is_none().then_some(Tail { steps, now })
    }

    /// The members of the entry of a step that leaves the record alone, and the run after it.
    pub(super) fn with_tail(mut self, tail: Tail) -> (Self, [(&'static str, Json); 2]) {
        let mut now = ObjectEditor::default();
        for (name, value) in &tail.now {
            now.set(name, value);
        }
        self.last += 1;
        self.tail = tail;
        let mark = Json::integer(self.mark.unwrap_or_default().into());
        (self, [("of", mark), ("now", now.finish())])
    }

    /// True when one result was added to the trace, other lists at most have more, and who may
    /// write is the same.
    fn goes_on_as(&self, after: &Self) -> bool {
        let alike = |((name, part), (other, next)): ((&String, &Part), (&String, &Part))| {
            name == other
                && match (part, next) {
                    (Part::List(n, _), Part::List(more, _)) => more >= n,
                    (Part::Whole(_), Part::Whole(_)) => true,
                    _ => false,
                }
        };
        after.steps() == self.steps() + 1
            && self.parts.len() == after.parts.len()
            && self.parts.iter().zip(&after.parts).all(alike)
            && (self.fence, &self.owner, self.until) == (after.fence, &after.owner, after.until)
            && self.reopened == after.reopened
    }

    /// Before the record is written: from now on it tells of all entries. Steps may stand behind
    /// it when this write kept one and the run goes on, or when they might before.
    pub(super) fn settle(&mut self, before: Option<&Self>) {
        let stepped = before.is_some_and(|met| met.mark.is_some() || met.steps() < self.steps());
        // Without a birth, only the hashes in the record prove that the entries are the run's.
        let goes_on = self.status() == RunStatus::Executing && self.birth.is_some();
        self.mark = (stepped && goes_on).then(|| uuid::Uuid::new_v4().as_fields().0);
        self.tail = Tail::default();
    }
}

pub(super) fn stretch(id: &str, from: u64, limit: usize) -> Result<Read> {
    let which = Which::Stretches(vec![Stretch { stream: Stream::new(id)?, from, to: u64::MAX }]);
    Ok(Read { log: &STEPS, which, reverse: false, limit })
}

/// The run with all steps behind its record, as far as they are of it.
pub(super) async fn followed(space: &Space, id: &str, mut run: RunRecord) -> Result<RunRecord> {
    while run.mark.is_some() {
        let from = run.last + 1;
        let found = space.read(&stretch(id, from, MOST)?).await?;
        let followed = found.entries.iter().take_while(|entry| run.follow(entry)).count();
        if followed < found.entries.len() || !found.more {
            break;
        }
    }
    Ok(run)
}

/// For runs with steps behind their records, by id and last entry told of: the last of them.
pub(super) async fn newest(space: &Space, runs: &[(&str, u64)]) -> Result<Vec<Option<Entry>>> {
    let head = |(id, _): &(&str, u64)| Key::new(&STREAMS, [STEPS.name, id]);
    let heads = space.get_many(&runs.iter().map(head).collect::<Result<Vec<_>>>()?).await?;
    let mut stretches = Vec::new();
    for ((id, after), head) in runs.iter().zip(&heads) {
        let last = head.as_ref().and_then(|head| head.body.member("last")?.to_i64());
        let last = last.and_then(|last| u64::try_from(last).ok()).filter(|last| last > after);
        if let Some(last) = last {
            stretches.push(Stretch { stream: Stream::new(id)?, from: last, to: last });
        }
    }
    let mut found = Vec::new();
    if !stretches.is_empty() {
        let limit = stretches.len();
        let which = Which::Stretches(stretches);
        found = space.read(&Read { log: &STEPS, which, reverse: false, limit }).await?.entries;
    }
    let mut found = found.into_iter().peekable();
    let of = |(id, _): &(&str, u64)| found.next_if(|entry| entry.stream.as_str() == *id);
    Ok(runs.iter().map(of).collect())
}
