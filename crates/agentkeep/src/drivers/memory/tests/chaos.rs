//! Random batches over few names: what is refused changes nothing, what is done leaves a sound
//! store, versions and numbers only grow, snapshots stand still.

use std::collections::HashMap;

use super::*;
use crate::driver::{Outcome, Snapshot};
use crate::schema::{BLOBS, STREAMS, Turn};

/// A small generator: the same seed, the same batches.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.below(all.len() as u64)).unwrap();
        all[place]
    }

    fn blob(&mut self) -> Blob {
        blob(self.one_of(&["a", "b", "c"]))
    }

    fn refs(&mut self) -> Vec<Hash> {
        (0..self.below(3)).map(|_| self.blob().hash()).collect()
    }

    fn stream(&mut self) -> &'static str {
        self.one_of(&["s", "t"])
    }

    fn save(&mut self) -> Save {
        match self.below(6) {
            0 => Save::Create,
            1 => Save::At(self.below(8)),
            _ => Save::Any,
        }
    }

    fn put(&mut self) -> Operation {
        let body = format!(
            r#"{{"a":{},"tags":[{},{}]}}"#,
            self.one_of(&["1", "null", "\"x\""]),
            self.one_of(&["1", "2"]),
            self.one_of(&["2", "\"y\""])
        );
        let key =
            if self.below(12) == 0 { name_of("n") } else { thing(self.one_of(&["x", "y", "z"])) };
        let mut put = Put::new(key, json(&body), self.save()).unwrap();
        put.refs = self.refs();
        Operation::Put(put)
    }

    fn append(&mut self) -> Operation {
        let entries = (0..self.below(4)).map(|_| NewEntry {
            id: (self.below(3) > 0)
                .then(|| EntryId::new(self.one_of(&["i", "j", "k", "l", "m"])).unwrap()),
            body: json(self.one_of(&["1", "1", "1", "22"])),
            refs: self.refs(),
        });
        let entries = entries.collect();
        let known = if self.below(2) == 0 { Known::Refuse } else { Known::Answer };
        let start = (self.below(8) == 0).then(|| self.below(40));
        Operation::Append(Append {
            log: &NOTES,
            stream: stream(self.stream()),
            entries,
            known,
            start,
        })
    }

    fn operations(&mut self) -> Vec<Operation> {
        let blobs = ["a", "b", "c"].map(blob);
        if self.below(40) == 0 {
            // Everything goes, with the namespace.
            let mut all = ["x", "y", "z"].map(|name| Operation::Delete(thing(name))).to_vec();
            all.extend(["s", "t"].map(drop_stream));
            all.extend(blobs.iter().map(|blob| Operation::DropBlob(blob.hash())));
            all.push(Operation::Delete(name_of("n")));
            return all;
        }
        let mut operations = Vec::new();
        if self.below(4) > 0 {
            operations.extend(blobs.map(Operation::PutBlob));
        }
        operations.extend((0..=self.below(4)).map(|_| self.operation()));
        operations
    }

    fn operation(&mut self) -> Operation {
        match self.below(20) {
            0..6 => self.put(),
            6..11 => self.append(),
            11 => Operation::Delete(thing(self.one_of(&["x", "y", "z"]))),
            12 => Operation::Delete(name_of("n")),
            13 => trim(self.stream(), self.below(30)),
            14 | 15 => Operation::Rewrite {
                log: &NOTES,
                stream: stream(self.stream()),
                number: self.below(10),
                body: json(self.one_of(&["1", "22"])),
                refs: self.refs(),
            },
            16 => drop_stream(self.stream()),
            17 | 18 => Operation::PutBlob(self.blob()),
            _ => Operation::DropBlob(self.blob().hash()),
        }
    }
}

/// What was true before and must not be taken back.
#[derive(Default)]
struct Past {
    /// The records that were there, with their versions and, for streams, births.
    records: HashMap<Key, (u64, Option<Json>)>,
    /// The largest version of a record of each table that is gone.
    floors: HashMap<&'static str, u64>,
    /// The last number of each stream, by its birth.
    lasts: HashMap<Json, i64>,
    time: i64,
}

impl Past {
    async fn agrees(&mut self, memory: &Memory, committed: &Committed) {
        assert!(committed.time >= self.time);
        self.time = committed.time;
        let mut now = HashMap::new();
        for table in [&THINGS, &STREAMS] {
            for record in all_records(memory, table).await {
                let birth = record.body.member("birth");
                if let Some((before, _)) =
                    self.records.get(&record.key).filter(|(_, old)| *old == birth)
                {
                    assert!(record.version >= *before, "{record:?}");
                } else {
                    let floor = self.floors.get(table.name).copied().unwrap_or(0);
                    assert!(record.version > floor, "{record:?}");
                }
                if let Some(birth) = birth.clone() {
                    let last = record.body.member("last").unwrap().to_i64().unwrap();
                    assert!(self.lasts.insert(birth, last).is_none_or(|before| last >= before));
                }
                now.insert(record.key, (record.version, birth));
            }
        }
        for (key, (version, birth)) in std::mem::replace(&mut self.records, now) {
            match self.records.get(&key) {
                Some((new, now)) if *now != birth => assert!(*new > version, "{key:?}"),
                Some(_) => {}
                None => {
                    let floor = self.floors.entry(key.table().name).or_default();
                    *floor = version.max(*floor);
                }
            }
        }
    }
}

/// All that a reader shows of the names in use.
async fn shows(reader: &dyn Reader) -> (Vec<Vec<Entry>>, Vec<Vec<Record>>) {
    let logs = vec![entries(reader, "s").await, entries(reader, "t").await];
    let mut tables = Vec::new();
    for table in [&THINGS, &STREAMS, &BLOBS, &NAMESPACES] {
        tables.push(all_records(reader, table).await);
    }
    (logs, tables)
}

/// The same append for somebody who takes its numbers if it was done.
fn again(operation: &Operation) -> Option<Operation> {
    let Operation::Append(append) = operation else { return None };
    let known = Known::Answer;
    Some(Operation::Append(Append { known, start: None, ..append.clone() }))
}

async fn run(seed: u64) -> [u32; 3] {
    let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (memory, mut dice, mut past) = (memory(), dice, Past::default());
    let mut snapshot = memory.snapshot(&space("n")).await.unwrap();
    let mut frozen = shows(&*snapshot).await;
    let (mut counts, mut last) = ([0; 3], None);
    for round in 0..400 {
        let mut batch = batch(dice.operations());
        if dice.below(5) == 0 {
            // Somebody is not sure whether the last append was done.
            batch.operations.extend(last.clone());
        }
        batch.turn = (dice.below(2) == 0).then(|| Turn::new(dice.one_of(&["1", "2"])).unwrap());
        let before = dump(&memory);
        let result = memory.commit(batch.clone()).await;
        let context = format!("seed {seed} round {round} {batch:?} gave {result:?}");
        match result {
            Ok(committed) if committed.replayed => {
                counts[1] += 1;
                assert_eq!(dump(&memory), before, "{context}");
                let answered = |o: &Outcome| matches!(o, Outcome::Appended { .. });
                assert!(committed.outcomes.iter().any(answered), "{context}");
            }
            Ok(committed) => {
                counts[0] += 1;
                assert_eq!(committed.outcomes.len(), batch.operations.len());
                past.agrees(&memory, &committed).await;
                last = batch.operations.iter().find_map(again);
            }
            Err(error) => {
                counts[2] += 1;
                assert_eq!(dump(&memory), before, "{context}");
                assert!(error.expectation().is_none());
            }
        }
        let report = memory.check().await.unwrap();
        assert!(report.is_sound(), "{context}: {report:?}");
        if round % 25 == 0 {
            assert_eq!(shows(&*snapshot).await, frozen, "{context}");
            snapshot = memory.snapshot(&space("n")).await.unwrap();
            frozen = shows(&memory).await;
            assert_eq!(shows(&*snapshot).await, frozen);
        }
    }
    counts
}

#[tokio::test]
async fn random_batches_keep_the_laws() {
    let mut sum = [0; 3];
    for seed in 1..=25 {
        let counts = run(seed).await;
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    // Each of the three must really have happened.
    assert!(sum.iter().all(|count| *count > 100), "{sum:?}");
}
