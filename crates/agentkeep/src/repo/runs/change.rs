//! What a write adds to a run: the next record, and an entry with what is new.

use super::record::{Kept, Part, RunRecord, chained, empty, hash, kept};
use crate::json::{Json, ObjectWriter};

/// Bodies of entries stay well below the limit of a body.
const ENTRY: usize = 4 << 20;

/// Values on their way into the log.
#[derive(Debug, Default)]
pub(super) struct Change {
    full: Vec<Values>,
    pub(super) under_way: Values,
    bytes: usize,
}

/// What one entry adds to lists, and gives other values.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) add: Vec<(String, Vec<Json>)>,
    pub(super) set: Vec<(String, Json)>,
}

impl Change {
    /// Adds one element to a list of the run.
    pub(super) fn push(&mut self, run: &mut RunRecord, name: &str, element: Json) {
        let (n, before) = if let Some(Part::List(n, before)) = run.parts.get(name) {
            (*n, before.clone())
        } else {
            self.put(name, Json::array([]));
            (0, empty())
        };
        let part = Part::List(n + 1, chained(&before, element.as_str()));
        run.parts.insert(name.to_owned(), part);
        run.set_member(name, Json::null());
        self.add(name, element);
    }

    /// Gives a member of the run another value, in its place or as the last one.
    pub(super) fn set(&mut self, run: &mut RunRecord, name: &str, value: &Json) {
        match kept(name, value) {
            Kept::Inline => {
                run.parts.remove(name);
                run.set_member(name, value.clone());
                return;
            }
            Kept::List => self.list(run, name, value),
            Kept::Whole => {
                let part = Part::Whole(hash(value.as_str()));
                if run.parts.get(name) != Some(&part) {
                    self.put(name, value.clone());
                    run.parts.insert(name.to_owned(), part);
                }
            }
        }
        run.set_member(name, Json::null());
    }

    fn list(&mut self, run: &mut RunRecord, name: &str, value: &Json) {
        let old = run.parts.get(name).cloned();
        let (mut chain, mut n) = (empty(), 0);
        let mut new = Vec::new();
        let mut extends = matches!(&old, Some(Part::List(0, _)));
        for element in value.elements() {
            chain = chained(&chain, element.as_str());
            n += 1;
            if let Some(Part::List(count, before)) = &old {
                if n == *count {
                    extends = chain == *before;
                }
                if n <= *count {
                    continue;
                }
            }
            new.push(element);
        }
        if extends {
            for element in new {
                self.add(name, element);
            }
        } else {
            self.put(name, Json::array([]));
            value.elements().for_each(|element| self.add(name, element));
        }
        run.parts.insert(name.to_owned(), Part::List(n, chain));
    }

    /// Makes the run's members exactly those of a snapshot, in its order.
    pub(super) fn become_snapshot(&mut self, run: &mut RunRecord, snapshot: &Json) {
        for (name, value) in snapshot.members() {
            self.set(run, &name, &value);
        }
        let old = std::mem::take(&mut run.members);
        let mut by_name: std::collections::HashMap<String, Json> = old.into_iter().collect();
        for (name, _) in snapshot.members() {
            if let Some(value) = by_name.remove(&name) {
                run.members.push((name, value));
            }
        }
        for name in by_name.keys() {
            run.parts.remove(name);
        }
    }

    fn add(&mut self, name: &str, element: Json) {
        self.room(element.len());
        let add = &mut self.under_way.add;
        match add.iter_mut().find(|(list, _)| list == name) {
            Some((_, elements)) => elements.push(element),
            None => add.push((name.to_owned(), vec![element])),
        }
    }

    fn put(&mut self, name: &str, value: Json) {
        self.room(value.len());
        let Values { add, set } = &mut self.under_way;
        add.retain(|(list, _)| list != name);
        set.retain(|(member, _)| member != name);
        set.push((name.to_owned(), value));
    }

    fn room(&mut self, bytes: usize) {
        if self.bytes > 0 && self.bytes + bytes > ENTRY {
            self.full.push(std::mem::take(&mut self.under_way));
            self.bytes = 0;
        }
        self.bytes += bytes;
    }

    /// True when nothing goes into the log.
    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.under_way.is_empty()
    }

    /// Bytes of what goes into the last entry.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when it all goes into one entry.
    pub(super) fn is_one_entry(&self) -> bool {
        self.full.is_empty() && !self.under_way.is_empty()
    }

    /// The entries to append, the first one with these members before its own; often one, none
    /// when nothing that grows has changed and there are no such members.
    pub(super) fn finish(mut self, before: &[(&str, Json)]) -> Vec<Json> {
        if !self.under_way.is_empty() || (self.full.is_empty() && !before.is_empty()) {
            self.full.push(self.under_way);
        }
        let entry = |(place, values): (usize, Values)| {
            values.to_json(if place == 0 { before } else { &[] })
        };
        self.full.into_iter().enumerate().map(entry).collect()
    }
}

impl Values {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty()
    }

    /// `add` comes last: readers need not look for its end. The text is written at once, for it is
    /// long.
    fn to_json(&self, before: &[(&str, Json)]) -> Json {
        let lists = self.add.iter().flat_map(|(_, elements)| elements);
        let values = self.set.iter().map(|(_, value)| value).chain(lists);
        let long: usize = values.map(|value| value.len() + 1).sum();
        let mut out = ObjectWriter::with_room(long + 256);
        for (name, value) in before {
            out.name(name).value(value);
        }
        if !self.set.is_empty() {
            out.name("set").open('{');
            for (name, value) in &self.set {
                out.name(name).value(value);
            }
            out.close('}');
        }
        if !self.add.is_empty() {
            out.name("add").open('{');
            for (name, elements) in &self.add {
                out.name(name).open('[');
                for element in elements {
                    out.value(element);
                }
                out.close(']');
            }
            out.close('}');
        }
        out.finish()
    }
}
