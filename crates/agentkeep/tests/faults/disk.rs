//! What may be on a disk after the power was cut.
//!
//! The pessimistic reading of POSIX: bytes are there for sure once their file was synced, names
//! once their folder was. Of what came later, any part may be there.

use crate::random::Random;
use crate::trace::{Node, Op, Trace, Tree, write};

const SECTOR: usize = 512;

/// Which of the un-synced changes of names survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    None,
    All,
    /// In each folder those up to some moment, as a journaling file system has it.
    Prefix,
    Some,
}

/// Which of the un-synced bytes survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    None,
    All,
    /// The files have their sizes, and zeros for the bytes.
    Zeros,
    /// In each file those up to some moment, the last write torn.
    Prefix,
    /// Any, by sectors.
    Torn,
}

/// What is tried at each moment.
pub(crate) const VARIANTS: [(Names, Bytes); 12] = [
    (Names::None, Bytes::None),
    (Names::All, Bytes::All),
    (Names::All, Bytes::Zeros),
    (Names::All, Bytes::None),
    (Names::None, Bytes::All),
    (Names::All, Bytes::Torn),
    (Names::Prefix, Bytes::Torn),
    (Names::Some, Bytes::Torn),
    (Names::All, Bytes::Prefix),
    (Names::Prefix, Bytes::Prefix),
    (Names::Some, Bytes::Zeros),
    (Names::All, Bytes::Torn),
];

/// A disk while a trace is played on it.
pub(crate) struct Disk<'a> {
    trace: &'a Trace,
    /// What is there for sure.
    safe: Tree,
    /// Changes that no sync has covered, in their order, by their places in the trace.
    names: Vec<usize>,
    bytes: Vec<usize>,
    /// Those among them that a failed sync gave up: no later sync makes them safe.
    lost: Vec<usize>,
    next: usize,
}

fn node_of(op: &Op) -> Option<Node> {
    match op {
        Op::Write { node, .. } | Op::Cut { node, .. } | Op::Sync(node) | Op::SyncFailed(node) => {
            Some(*node)
        }
        Op::Names(_) | Op::Folder(_) | Op::Say(_) => None,
    }
}

impl<'a> Disk<'a> {
    pub(crate) fn new(trace: &'a Trace) -> Self {
        let (names, bytes, lost) = (Vec::new(), Vec::new(), Vec::new());
        Self { trace, safe: trace.before.clone(), names, bytes, lost, next: 0 }
    }

    /// Plays the next operation.
    pub(crate) fn step(&mut self) {
        let (place, ops) = (self.next, &self.trace.ops);
        self.next += 1;
        match &ops[place] {
            Op::Names(_) => self.names.push(place),
            Op::Write { .. } | Op::Cut { .. } => self.bytes.push(place),
            Op::Sync(node) => {
                let touches = |place: &usize| match &ops[*place] {
                    Op::Names(changes) => changes.iter().any(|(folder, ..)| folder == node),
                    _ => false,
                };
                let lost = &self.lost;
                let safe_bytes =
                    |place: &usize| node_of(&ops[*place]) == Some(*node) && !lost.contains(place);
                for place in self.names.extract_if(.., |place| touches(place)) {
                    self.safe.apply(&ops[place]);
                }
                for place in self.bytes.extract_if(.., |place| safe_bytes(place)) {
                    self.safe.apply(&ops[place]);
                }
                // What was given up before is older than what is safe now: it does not come back.
                self.bytes.retain(|place| node_of(&ops[*place]) != Some(*node));
            }
            Op::SyncFailed(node) => {
                let own = |place: &&usize| node_of(&ops[**place]) == Some(*node);
                self.lost.extend(self.bytes.iter().filter(own));
            }
            Op::Folder(_) => self.safe.apply(&ops[place]),
            Op::Say(_) => {}
        }
    }

    /// One of the states in which the disk may be, if the power is cut now.
    pub(crate) fn image(&self, (names, bytes): (Names, Bytes), random: &mut Random) -> Tree {
        let mut tree = self.safe.clone();
        let ops = &self.trace.ops;
        let mut until = std::collections::HashMap::<Node, usize>::new();
        for &place in &self.names {
            let Op::Names(changes) = &ops[place] else { continue };
            let mut limit = |random: &mut Random| {
                let folder = changes.first().map_or(0, |change| change.0);
                *until.entry(folder).or_insert_with(|| moment(random, self.next))
            };
            let survives = match names {
                Names::None => false,
                Names::All => true,
                Names::Prefix => place < limit(random),
                Names::Some => random.chance(2),
            };
            if survives {
                tree.apply(&ops[place]);
            }
        }
        until.clear();
        for &place in &self.bytes {
            let node = node_of(&ops[place]).unwrap_or(0);
            let survives = match bytes {
                Bytes::None => false,
                Bytes::All | Bytes::Zeros => true,
                Bytes::Prefix => {
                    place <= *until.entry(node).or_insert_with(|| moment(random, self.next))
                }
                Bytes::Torn => random.chance(2),
            };
            if !survives {
                continue;
            }
            match &ops[place] {
                Op::Write { node, offset, bytes: new } => {
                    let file = tree.files.entry(*node).or_default();
                    let torn = bytes == Bytes::Torn && random.chance(2)
                        || bytes == Bytes::Prefix && until.get(node) == Some(&place);
                    match bytes {
                        Bytes::Zeros => longer(file, offset + new.len()),
                        _ if torn => some_sectors(file, *offset, new, random),
                        _ => write(file, *offset, new),
                    }
                }
                op => tree.apply(op),
            }
        }
        tree
    }
}

/// A moment among the last operations: what matters is what is not synced yet.
fn moment(random: &mut Random, now: usize) -> usize {
    let back = random.below(24);
    now.saturating_sub(usize::try_from(back).unwrap())
}

fn longer(file: &mut Vec<u8>, len: usize) {
    if file.len() < len {
        file.resize(len, 0);
    }
}

/// A write of which some sectors arrived.
fn some_sectors(file: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut Random) {
    let mut at = offset;
    while at < offset + bytes.len() {
        let end = (offset + bytes.len()).min(at / SECTOR * SECTOR + SECTOR);
        if random.chance(2) {
            write(file, at, &bytes[at - offset..end - offset]);
        }
        at = end;
    }
}
