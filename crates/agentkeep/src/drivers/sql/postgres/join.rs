//! Batches of a group that only append, joined into one: what they expect is looked at once, and
//! the entries that go to one stream are written together.
//!
//! As long as none is refused that means what they mean one after the other, for nothing that they
//! expect is changed by an append. When anything in it is refused, they are sent again as they are.

use crate::driver::{Append, Batch, Committed, Expect, Operation, Outcome};
use crate::schema::BUILT_IN;

/// What is sent as one batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The batch at this place of the group.
    Own(usize),
    /// The batches that append to one stream, for each stream.
    Joined(Vec<Vec<usize>>),
}

/// The group in its order, neighbours joined that can be.
pub(super) fn join(group: &[&Batch]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (i, batch) in group.iter().enumerate() {
        let Some(append) = plain(batch) else {
            units.push(Unit::Own(i));
            continue;
        };
        let before = i.checked_sub(1).map(|before| group[before]);
        let alike = before.is_some_and(|before| {
            plain(before).is_some()
                && (&before.namespace, &before.turn) == (&batch.namespace, &batch.turn)
        });
        match units.last_mut() {
            Some(Unit::Joined(streams)) if alike => {
                let same = |others: &&mut Vec<usize>| {
                    let other = others.first().and_then(|other| plain(group[*other]));
                    other.is_some_and(|other| {
                        other.log.name == append.log.name && other.stream == append.stream
                    })
                };
                match streams.iter_mut().find(same) {
                    Some(stream) => stream.push(i),
                    None => streams.push(vec![i]),
                }
            }
            _ => units.push(Unit::Joined(vec![vec![i]])),
        }
    }
    for unit in &mut units {
        if let Unit::Joined(streams) = unit
            && let [callers] = streams.as_slice()
            && let [caller] = callers.as_slice()
        {
            *unit = Unit::Own(*caller);
        }
    }
    units
}

/// The append of a batch that does nothing else, and expects nothing that appends change.
pub(super) fn plain(batch: &Batch) -> Option<&Append> {
    let [Operation::Append(append)] = batch.operations.as_slice() else { return None };
    let fixed = |expect: &Expect| match expect {
        Expect::Absent(key) | Expect::Exists(key) | Expect::Version(key, _) => {
            BUILT_IN.iter().all(|table| table.name != key.table().name)
        }
        _ => false,
    };
    let simple = batch.operation.is_none()
        && append.start.is_none()
        && !append.entries.is_empty()
        && append.entries.iter().all(|entry| entry.refs.is_empty())
        && batch.expect.iter().all(fixed);
    simple.then_some(append)
}

/// What the joined batches expect, each thing once.
pub(super) fn expected<'a>(group: &[&'a Batch], streams: &[Vec<usize>]) -> Vec<&'a Expect> {
    let mut expected: Vec<&Expect> = Vec::new();
    for expect in streams.iter().flatten().flat_map(|caller| &group[*caller].expect) {
        // Most of a group's batches expect the same few things.
        if !expected.contains(&expect) {
            expected.push(expect);
        }
    }
    expected
}

/// The appends to one stream.
pub(super) fn appends<'a>(group: &[&'a Batch], callers: &[usize]) -> Vec<&'a Append> {
    callers.iter().filter_map(|caller| plain(group[*caller])).collect()
}

/// Gives each of the joined batches its numbers; false when the answer is of another form.
pub(super) fn part<T>(
    group: &[&Batch],
    streams: &[Vec<usize>],
    joined: &Committed,
    answers: &mut [Option<Result<Committed, T>>],
) -> bool {
    if joined.outcomes.len() != streams.len() {
        return false;
    }
    for (callers, outcome) in streams.iter().zip(&joined.outcomes) {
        let Outcome::Appended { numbers } = outcome else { return false };
        let mut numbers = numbers.iter().copied();
        for caller in callers {
            let count = plain(group[*caller]).map_or(0, |append| append.entries.len());
            let own: Vec<u64> = numbers.by_ref().take(count).collect();
            if own.len() != count {
                return false;
            }
            let outcomes = vec![Outcome::Appended { numbers: own }];
            answers[*caller] = Some(Ok(Committed { time: joined.time, replayed: false, outcomes }));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Json;
    use crate::driver::{Known, NewEntry, Put, Save};
    use crate::schema::{CONTAINERS, Key, MESSAGES, Namespace, STREAMS, Stream, Turn};

    fn add(stream: &str) -> Batch {
        let mut batch = Batch::new(Namespace::default());
        let entries = vec![NewEntry { id: None, body: Json::null(), refs: Vec::new() }];
        let stream = Stream::new(stream).unwrap();
        let append = Append { log: &MESSAGES, stream, entries, known: Known::Answer, start: None };
        batch.push(Operation::Append(append));
        batch
    }

    fn put() -> Batch {
        let mut batch = Batch::new(Namespace::default());
        let key = Key::new(&CONTAINERS, ["c"]).unwrap();
        batch.push(Operation::Put(Put::new(key, Json::null(), Save::Any).unwrap()));
        batch
    }

    #[test]
    fn neighbours_that_only_append_are_joined_by_stream() {
        let group = [add("a"), add("b"), add("a"), put(), add("a"), put(), add("a"), add("a")];
        let group: Vec<&Batch> = group.iter().collect();
        let expected = vec![
            Unit::Joined(vec![vec![0, 2], vec![1]]),
            Unit::Own(3),
            Unit::Own(4),
            Unit::Own(5),
            Unit::Joined(vec![vec![6, 7]]),
        ];
        assert_eq!(join(&group), expected);
    }

    #[test]
    fn what_could_tell_the_difference_stays_as_it_is() {
        let mut turn = add("a");
        turn.turn = Some(Turn::new("t").unwrap());
        let mut elsewhere = add("a");
        elsewhere.namespace = Namespace::new("other").unwrap();
        let mut started = add("a");
        if let Some(Operation::Append(append)) = started.operations.first_mut() {
            append.start = Some(7);
        }
        let mut ends = add("a");
        ends.expect.push(Expect::LogEnds(&MESSAGES, Stream::new("a").unwrap(), 0));
        let mut head = add("a");
        head.expect.push(Expect::Version(Key::new(&STREAMS, ["messages", "a"]).unwrap(), 1));
        for other in [turn, elsewhere, started, ends, head] {
            let plain = add("a");
            let expected = vec![Unit::Own(0), Unit::Own(1)];
            assert_eq!(join(&[&plain, &other]), expected, "{other:?}");
        }
    }
}
