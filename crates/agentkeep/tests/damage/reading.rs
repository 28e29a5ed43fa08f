//! Everything that a store answers, as text.

use std::fmt::{Debug, Write as _};

use agentkeep::conformance::dump;
use agentkeep::driver::{Entry, Find, Read, Reader, Stretch, Want, Which};
use agentkeep::schema::{
    AGENTKEEP, BLOBS, BUILT_IN, LINEAGES, MESSAGES, Namespace, STREAMS, Stream, Table, Turn, Value,
};
use agentkeep::{Container, Error, Kind, List, Result, Store};

use crate::original::repeated;

/// The answers, and the errors among them.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) text: String,
    pub(crate) errors: Vec<Error>,
}

impl Reading {
    fn note<T: Debug>(&mut self, what: &str, answer: Result<T>) {
        // Writing to a text cannot fail.
        let _ = match answer {
            Ok(answer) => writeln!(self.text, "{what}: {answer:?}"),
            Err(error) => {
                let kind = error.kind();
                self.errors.push(error);
                writeln!(self.text, "{what}: {kind:?}")
            }
        };
    }

    /// True when an error says that the store is damaged.
    pub(crate) fn tells_damage(&self) -> bool {
        self.errors.iter().any(|error| error.kind() == Kind::Corrupt)
    }
}

/// Opening's own answers, and all reads in all namespaces.
pub(crate) async fn whole(store: &Store) -> Reading {
    let mut reading = Reading::default();
    let described = store.describe();
    reading.note("store", Ok((&described.store_id, described.epoch, described.format)));
    reading.note("namespaces", store.namespaces().names().await);
    for name in ["default", "tenant"] {
        let space = Namespace::new(name).unwrap();
        reading.note("dump", dump(&**store.driver(), &AGENTKEEP, &space).await);
        for table in AGENTKEEP.tables.iter().chain(&BUILT_IN) {
            indexes(&**store.driver(), &space, table, &mut reading).await;
        }
        streams(&**store.driver(), &space, &mut reading).await;
        blobs(&**store.driver(), &space, &mut reading).await;
    }
    lists(store, &mut reading).await;
    conversations(store, &mut reading).await;
    reading
}

async fn lists(store: &Store, reading: &mut Reading) {
    let list = List::default();
    reading.note("containers", store.containers().all().await);
    reading.note("images", store.images().all().await);
    reading.note("sessions", store.sessions().all().await);
    reading.note("by name", store.images().by_name("Helper", &list).await);
    for tag in ["even", "odd", "all", "kept", "every"] {
        reading.note(tag, store.images().by_tag(tag, &list).await);
        reading.note(tag, store.sessions().by_tag(tag, &list).await);
    }
    for container in ["c0", "c1", "c2"] {
        reading.note(container, store.containers().get(container).await);
        reading.note(container, store.images().by_container(container, &list).await);
        reading.note(container, store.sessions().by_container(container, &list).await);
    }
}

async fn conversations(store: &Store, reading: &mut Reading) {
    for id in ["s0", "s1", "s2", "s3", "s4", "s5", "fork"] {
        reading.note(id, store.sessions().get_versioned(id).await);
        let messages = store.messages(id);
        reading.note(id, messages.count().await);
        reading.note(id, messages.all().await);
        for message in ["m3", "m5", "m11", "with", "long", "forked"] {
            reading.note(message, messages.get(message).await);
        }
    }
    for image in ["i0", "i1", "i2", "i3", "i4", "i5"] {
        reading.note(image, store.images().get_versioned(image).await);
        reading.note(image, store.sessions().by_image(image, &List::default()).await);
    }
    for turn in 0..4 {
        let turn = Turn::new(&format!("turn-{turn}")).unwrap();
        reading.note("turn", store.turn(&turn).await);
    }
}

/// Every index of a table, both ways; those over lists are asked for their values elsewhere.
async fn indexes(
    driver: &dyn Reader,
    space: &Namespace,
    table: &'static Table,
    reading: &mut Reading,
) {
    let many = |field: &str| table.field(field).is_some_and(|place| table.fields[place].many);
    let plain = table.indexes.iter().filter(|index| !many(index.fields[0].0));
    let names = plain.map(|index| index.name).chain(["key", "turn"]);
    for name in names {
        for reverse in [false, true] {
            let find = Find { reverse, ..Find::by(table, name).unwrap() };
            let found = driver.find(space, &find).await.map(|found| found.records);
            reading.note(&format!("{} {name}", table.name), found);
        }
    }
}

/// Every stream from end to end, and each of its entries by id.
async fn streams(driver: &dyn Reader, space: &Namespace, reading: &mut Reading) {
    let Ok(found) = driver.find(space, &Find::by(&STREAMS, "key").unwrap()).await else { return };
    for record in found.records {
        let stream = Stream::new(record.key.parts().nth(1).unwrap()).unwrap();
        let stretch = Stretch { stream: stream.clone(), from: 1, to: u64::MAX };
        let which = Which::Stretches(vec![stretch]);
        let read = Read { log: &MESSAGES, which, reverse: true, limit: 10_000 };
        let entries = driver.read(space, &read).await;
        let ids = entries.iter().flat_map(|entries| &entries.entries);
        let ids: Vec<_> = ids.filter_map(|entry: &Entry| entry.id.clone()).collect();
        reading.note("stream", entries);
        let which = Which::Ids(ids.into_iter().map(|id| (stream.clone(), id)).collect());
        let read = Read { log: &MESSAGES, which, reverse: false, limit: 10_000 };
        reading.note("entries", driver.read(space, &read).await);
        let find = Find::by(&LINEAGES, "by_stream").unwrap();
        let lineages = driver.find(space, &find.equal(Value::text(stream.as_str()))).await;
        reading.note("lineages", lineages.map(|found| found.records));
    }
}

async fn blobs(driver: &dyn Reader, space: &Namespace, reading: &mut Reading) {
    let bytes: [&[u8]; 3] = [b"a small attachment", &[7; 9_000], b"nobody refers to this"];
    for bytes in bytes {
        let hash = agentkeep::driver::Hash::of(bytes);
        reading.note("blob", driver.blobs(space, &[hash], Want::Bytes).await);
    }
    let records = driver.find(space, &Find::by(&BLOBS, "key").unwrap()).await;
    reading.note("blobs", records.map(|found| found.records));
}

/// What the store answers to writes that depend on what it remembers: an operation made again,
/// and the version of a record made anew after its deletion.
pub(crate) async fn next(store: &Store) -> Reading {
    let mut reading = Reading::default();
    for name in ["default", "tenant"] {
        let store = store.namespace(name).unwrap();
        reading.note("again", repeated(&store).commit().await);
        let anew = store.containers().save(Container::new("gone").unwrap()).await;
        reading.note("anew", anew);
        let version = store.containers().get_versioned("gone").await;
        reading.note("version", version.map(|found| found.map(|(_, version)| version)));
    }
    reading
}
