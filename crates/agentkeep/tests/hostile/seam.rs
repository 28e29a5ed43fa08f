//! Names of streams, entries, turns and operations, at the seam: what a repository makes of them
//! today must not be all that keeps them apart.

use agentkeep::driver::{
    Append, Batch, Committed, Driver, Entry, Find, Known, NewEntry, Operation, Outcome, Read,
    Stretch, Which,
};
use agentkeep::schema::{BY_KEY, EntryId, MESSAGES, Namespace, OperationId, STREAMS, Stream, Turn};
use agentkeep::{Json, Result, Store};

use crate::corpus::fits_the_rule;
use crate::seen::Seen;

/// The stream that has an entry of every id.
const ALL: &str = "all entries";

pub(crate) async fn run(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    let driver = &**store.driver();
    let space = Namespace::new("seam").unwrap();
    let kept: Vec<&String> = ids.iter().filter(|id| fits_the_rule(id)).collect();
    for id in &ids {
        let made = append(driver, &space, id).await;
        assert_eq!(seen.answer("append", id, &made), fits_the_rule(id), "{id:?}");
        // No other operation has this id, and the same one again is known.
        if let Ok(committed) = made {
            assert!(!committed.replayed, "the operation {id:?} was taken for another");
            assert!(append(driver, &space, id).await.unwrap().replayed, "{id:?} again");
        }
    }
    for (i, id) in kept.iter().enumerate() {
        let own = entries(driver, &space, stretch(id)).await;
        assert_eq!(own.len(), 1, "the stream {id:?}");
        same(&own[0], id, 1);
        let which = Which::Ids(vec![(Stream::new(ALL).unwrap(), EntryId::new(id).unwrap())]);
        let found = entries(driver, &space, which).await;
        assert_eq!(found.len(), 1, "the entry {id:?}");
        same(&found[0], id, i as u64 + 1);
        let which = Which::Turn(Turn::new(id).unwrap());
        let found = entries(driver, &space, which).await;
        assert_eq!(found.len(), 2, "the turn {id:?}");
        assert!(found.iter().all(|entry| entry.id.as_ref().unwrap().as_str() == *id));
    }
    // Dropping one stream leaves all others, in the order of their names.
    let mut left: Vec<&str> = kept.iter().map(|id| id.as_str()).chain([ALL]).collect();
    left.sort_unstable();
    for id in &kept {
        let mut batch = Batch::new(space.clone());
        batch.push(Operation::Drop { log: &MESSAGES, stream: Stream::new(id).unwrap() });
        let committed = driver.commit(batch).await.unwrap();
        assert_eq!(committed.outcomes, [Outcome::Dropped { existed: true }], "{id:?}");
        left.retain(|other| other != id);
        assert_eq!(streams(driver, &space).await, left, "after dropping {id:?}");
    }
    seen
}

async fn append(driver: &dyn Driver, space: &Namespace, id: &str) -> Result<Committed> {
    let mut batch = Batch::new(space.clone());
    batch.turn = Some(Turn::new(id)?);
    batch.operation = Some(OperationId::new(id)?);
    for stream in [id, ALL] {
        let entry =
            NewEntry { id: Some(EntryId::new(id)?), body: Json::string(id), refs: Vec::new() };
        batch.push(Operation::Append(Append {
            log: &MESSAGES,
            stream: Stream::new(stream)?,
            entries: vec![entry],
            known: Known::Refuse,
            start: None,
        }));
    }
    driver.commit(batch).await
}

fn same(entry: &Entry, id: &str, number: u64) {
    assert_eq!(entry.id.as_ref().unwrap().as_str(), id);
    assert_eq!(entry.turn.as_ref().unwrap().as_str(), id);
    assert_eq!(entry.body.to_text().as_deref(), Some(id));
    assert_eq!(entry.number, number, "{id:?}");
}

fn stretch(id: &str) -> Which {
    Which::Stretches(vec![Stretch { stream: Stream::new(id).unwrap(), from: 1, to: u64::MAX }])
}

async fn entries(driver: &dyn Driver, space: &Namespace, which: Which) -> Vec<Entry> {
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 1000 };
    driver.read(space, &read).await.unwrap().entries
}

async fn streams(driver: &dyn Driver, space: &Namespace) -> Vec<String> {
    let mut find = Find::new(&STREAMS, &BY_KEY);
    find.limit = 1000;
    let records = driver.find(space, &find).await.unwrap().records;
    records.iter().map(|record| record.key.parts().nth(1).unwrap().to_owned()).collect()
}
