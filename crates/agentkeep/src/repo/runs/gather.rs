//! Entries of a run as they come, and the text that they make.

use std::collections::HashMap;

use super::record::{Part, RunRecord, chained, empty, hash};
use super::tail::Step;
use crate::driver::{Entry, Head};
use crate::json::Json;
use crate::model::RunStatus;

/// A list whose first elements have more bytes than these is taken to be the one that has most
const LONG: usize = 4 << 10;
/// of the run's, as long as these are not too many;
const MOST: usize = 64 << 20;
/// so much room is for what stands around it.
const AROUND: usize = 4 << 10;

/// A run under construction.
pub(super) struct Gathered {
    /// As of the entries taken.
    run: RunRecord,
    /// The last entry of which the record tells.
    told: u64,
    taken: u64,
    held: HashMap<String, Held>,
    /// Bytes of all entries.
    bytes: usize,
    ended: bool,
    sound: bool,
}

/// A value in the log.
enum Held {
    /// What stands between the brackets, and the number of elements and the hash over them, as far
    /// as the entries are not proved otherwise.
    List(String, Option<(u64, String)>),
    Whole(String),
}

impl Gathered {
    pub(super) fn new(run: RunRecord, head: Option<&Head>) -> Self {
        let bytes = head.map_or(0, |head| usize::try_from(head.bytes).unwrap_or(0));
        let told = run.last;
        Self { run, told, taken: 0, held: HashMap::new(), bytes, ended: false, sound: true }
    }

    /// Takes the next entries in; false when no more are wanted.
    pub(super) fn take(&mut self, entries: &[Entry]) -> bool {
        for entry in entries {
            if self.ended || !self.sound {
                return false;
            }
            self.sound = entry.number == self.taken + 1;
            if self.taken < self.told {
                self.entry(entry);
            } else {
                self.behind(entry);
            }
        }
        // What comes after the record, and is not of it, belongs to a later state.
        !self.ended && self.sound && (self.taken < self.told || self.run.mark.is_some())
    }

    fn entry(&mut self, entry: &Entry) {
        let (before, add) = Json::members_and_last(entry.body.as_str(), "add");
        if entry.number == 1 && self.run.birth.is_some() {
            let birth = before.iter().find(|(name, _)| *name == "\"birth\"");
            let birth = birth.and_then(|(_, birth)| Json::text_of(birth));
            self.sound &= birth == self.run.birth;
        }
        for (_, set) in before.iter().filter(|(name, _)| *name == "\"set\"") {
            self.set(set);
        }
        self.add(add.unwrap_or_default());
        self.taken += 1;
    }

    /// A step behind the record.
    fn behind(&mut self, entry: &Entry) {
        let step = self.run.mark.and_then(|mark| Step::of(mark, &entry.body));
        let Some(step) = step else {
            self.ended = true;
            return;
        };
        self.set(step.set);
        self.add(step.add);
        self.run.take_now(step.now);
        self.taken += 1;
    }

    fn set(&mut self, values: &str) {
        for (name, value) in Json::members_of(values) {
            let is_list =
                value.starts_with('[') && matches!(self.run.parts.get(&name), Some(Part::List(..)));
            if is_list {
                self.held.insert(name.clone(), Held::List(String::new(), self.proof()));
                self.extend(&name, value);
            } else {
                self.held.insert(name, Held::Whole(value.to_owned()));
            }
        }
    }

    fn add(&mut self, lists: &str) {
        for (name, elements) in Json::members_of(lists) {
            if !self.held.contains_key(&name) {
                self.held.insert(name.clone(), Held::List(String::new(), self.proof()));
            }
            self.extend(&name, elements);
        }
    }

    /// The first entry of a run proves that all of them are its; of an older run, the hashes do.
    fn proof(&self) -> Option<(u64, String)> {
        self.run.birth.is_none().then(|| (0, empty()))
    }

    fn extend(&mut self, name: &str, list: &str) {
        let Some(Held::List(text, proof)) = self.held.get_mut(name) else { return };
        if let Some((n, chain)) = proof {
            for element in Json::elements_of(list) {
                (*n, *chain) = (*n + 1, chained(chain, element));
            }
        }
        let elements = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let elements = elements.unwrap_or_default();
        if elements.is_empty() {
            return;
        }
        if text.is_empty() {
            text.reserve(if elements.len() > LONG { self.bytes.min(MOST) + AROUND } else { 0 });
        } else {
            text.push(',');
        }
        text.push_str(elements);
    }

    /// The whole; `None` when record and log do not belong together.
    pub(super) fn finish(mut self) -> Option<(Json, RunStatus)> {
        if !self.sound || self.taken < self.told {
            return None;
        }
        let status = self.run.status();
        let members = std::mem::take(&mut self.run.members);
        // All but the largest list is put around it.
        let largest = |held: &Held| match held {
            Held::List(text, _) => text.len(),
            Held::Whole(_) => 0,
        };
        let base = self.held.iter().max_by_key(|(_, held)| largest(held)).map(|(name, _)| name);
        let base = base.cloned().unwrap_or_default();
        let (mut before, mut middle, mut after) = (String::from("{"), None, String::new());
        for (place, (name, value)) in members.iter().enumerate() {
            let out = if middle.is_some() { &mut after } else { &mut before };
            if place > 0 {
                out.push(',');
            }
            out.push_str(Json::string(name).as_str());
            out.push(':');
            match (self.run.parts.get(name), self.held.remove(name)) {
                (None, _) => out.push_str(value.as_str()),
                (Some(Part::Whole(expected)), Some(Held::Whole(value))) => {
                    if self.run.birth.is_none() && hash(&value) != *expected {
                        return None;
                    }
                    out.push_str(&value);
                }
                (Some(Part::List(n, expected)), Some(Held::List(text, proof))) => {
                    if proof.is_some_and(|(count, chain)| (count, &chain) != (*n, expected)) {
                        return None;
                    }
                    out.push('[');
                    if *name == base && middle.is_none() {
                        middle = Some(text);
                        after.push(']');
                    } else {
                        out.push_str(&text);
                        out.push(']');
                    }
                }
                _ => return None,
            }
        }
        after.push('}');
        let mut whole = middle.unwrap_or_default();
        whole.reserve(before.len() + after.len());
        whole.insert_str(0, &before);
        whole.push_str(&after);
        Some((Json::assembled(whole), status))
    }
}
