//! The call of the append script for a group of appends.

use std::borrow::Cow;

use super::appending::{Appending, Conditions, Known, Stream};
use super::calling::Call;
use super::encode::{Sending, field};
use super::keys::{Space, calls};
use super::plan::Plan;
use super::rows::{digits, entry_tail};
use crate::driver::Append;
use crate::schema::{EntryId, Log, STREAMS, Turn};

/// A call as it is put together.
struct Writing<'a> {
    space: &'a Space,
    keys: Vec<String>,
    arguments: Vec<Cow<'a, [u8]>>,
    plan: Plan,
    /// Turns, and the places of their indexes among the keys.
    turns: Vec<(&'a str, usize)>,
}

/// What is sent: what is sent with every commit, a hint, the plan; then the conditions, the streams,
/// for each stream the ids, the entries and what is known of its head, and the turns.
pub(super) fn call<'a>(
    appending: &'a Appending<'a>,
    space: &'a Space,
    sending: &Sending<'a>,
    namespace: &'a str,
) -> Call<'a> {
    let keep = sending.keep.map_or(String::new(), |keep| keep.to_string());
    let own = |text: String| Cow::Owned(text.into_bytes());
    let mut writing = Writing {
        space,
        keys: vec![space.of(&calls(sending.client)), space.records(&STREAMS)],
        arguments: vec![
            own(sending.slot.to_string()),
            own(sending.number.to_string()),
            own(keep),
            own(sending.time.to_string()),
            Cow::Borrowed(sending.channel.as_bytes()),
            own(appending.hint(namespace)),
            Cow::Borrowed(b""),
        ],
        plan: Plan::default(),
        turns: Vec::new(),
    };
    let place_of_plan = writing.arguments.len() - 1;
    writing.conditions(&appending.conditions);
    writing.plan.push(appending.streams.len());
    let fields =
        appending.streams.iter().map(|Stream { first, .. }| field(first.log, &first.stream));
    writing.arguments.extend(fields.map(own));
    let mut turns = writing.arguments.len() + 1;
    turns += appending.streams.iter().map(arguments).sum::<usize>();
    let firsts = firsts(&appending.conditions);
    for stream in &appending.streams {
        writing.stream(namespace, stream, &firsts, turns);
    }
    let Writing { keys, mut arguments, plan, turns, .. } = writing;
    arguments.extend(turns.iter().map(|(turn, _)| Cow::Borrowed(turn.as_bytes())));
    if let Some(place) = arguments.get_mut(place_of_plan) {
        *place = Cow::Owned(plan.encode());
    }
    Call { keys, arguments }
}

/// How many conditions come before those of each table.
fn firsts(conditions: &Conditions<'_>) -> Vec<usize> {
    let counts = conditions.iter().map(|(_, conditions)| conditions.len());
    let before = counts.scan(0, |sum, count| {
        *sum += count;
        Some(*sum - count)
    });
    before.collect()
}

/// How many arguments there are for a stream's entries and its head.
fn arguments(stream: &Stream<'_>) -> usize {
    let head = if matches!(stream.head, Known::Was(..)) { 4 } else { 0 };
    2 * stream.entries().count() + head
}

impl<'a> Writing<'a> {
    fn conditions(&mut self, conditions: &Conditions<'a>) {
        self.plan.push(conditions.len());
        for (table, of_table) in conditions {
            self.keys.push(self.space.records(table));
            self.plan.push(self.keys.len());
            self.plan.push(of_table.len());
            let keys = of_table.iter().map(|(key, _)| Cow::Borrowed(key.encoded().as_bytes()));
            self.arguments.extend(keys);
            // What a record's row begins with.
            let wanted = of_table.iter().map(|(_, version)| match version {
                None => Cow::Borrowed(&b""[..]),
                Some(0) => Cow::Borrowed(&b"-"[..]),
                Some(version) => Cow::Owned(format!("{version}\u{1f}").into_bytes()),
            });
            self.arguments.extend(wanted);
        }
    }

    /// `turns` is the place of the first turn among the arguments.
    fn stream(&mut self, namespace: &str, of: &'a Stream<'a>, firsts: &[usize], turns: usize) {
        let Append { log, stream, .. } = of.first;
        self.keys.extend([self.space.entries(log, stream), self.space.ids(log, stream)]);
        self.plan.push(self.keys.len() - 1);
        let before = self.arguments.len();
        let mut has_ids = false;
        for entry in of.entries() {
            let id = entry.id.as_ref().map_or("", EntryId::as_str);
            has_ids |= !id.is_empty();
            self.arguments.push(Cow::Borrowed(id.as_bytes()));
        }
        let (table, known) = match &of.head {
            Known::NotAsked => (false, 0),
            Known::Asked => (false, 2),
            Known::Was(_, next) => (next.table, 1),
        };
        self.plan.push(usize::from(has_ids) + usize::from(has_ids && table));
        self.plan.push(known);
        if known == 0 {
            self.plan.push(self.arguments.len() - before);
            self.plan.push(of.lots.len());
        }
        for lot in &of.lots {
            self.plan.push(lot.conditions.len());
            for (table, place) in &lot.conditions {
                self.plan.push(firsts.get(*table).map_or(0, |first| first + place + 1));
            }
            let turn = lot.first.turn.as_ref().map_or("", Turn::as_str);
            if known == 0 {
                let (place, index) = self.turn(log, turn);
                self.plan.push(if index == 0 { 0 } else { turns + place });
                self.plan.push(index);
                self.plan.push(lot.appends.len());
            }
            for (_, append) in &lot.appends {
                if known == 0 {
                    self.plan.push(append.entries.len());
                    self.plan.push(append.entries.iter().map(|entry| entry.body.len()).sum());
                }
                for entry in &append.entries {
                    let id = entry.id.as_ref().map_or("", EntryId::as_str);
                    let names = (namespace, log.name, stream.as_str());
                    let tail = entry_tail(names, (id, turn), "", &entry.body);
                    self.arguments.push(Cow::Owned(tail.into_bytes()));
                }
            }
        }
        if let Known::Was(row, next) = &of.head {
            self.arguments.push(Cow::Borrowed(row.as_bytes()));
            self.arguments.push(Cow::Owned(digits(next.number).into_bytes()));
            self.arguments.push(Cow::Borrowed(next.before.as_bytes()));
            self.arguments.push(Cow::Borrowed(next.after.as_bytes()));
        }
    }

    /// The place of the turn among those of the call, and that of its index among the keys.
    fn turn(&mut self, log: &Log, turn: &'a str) -> (usize, usize) {
        if turn.is_empty() {
            return (0, 0);
        }
        let key = self.space.turns(log);
        let index = self.keys.iter().rposition(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        let known = self.turns.iter().position(|known| *known == (turn, index));
        let place = known.unwrap_or_else(|| {
            self.turns.push((turn, index));
            self.turns.len() - 1
        });
        (place, index + 1)
    }
}
