//! What is particular to this driver; the laws that all drivers share are the conformance cases.

mod appending;
mod batches;
mod chaos;
mod finding;
mod keeping;

use super::Memory;
use crate::driver::{
    Append, Batch, Blob, Committed, Driver, Entry, Find, Hash, Known, NewEntry, Operation, Put,
    Read, Reader, Record, Save, Stretch, Which,
};
use crate::error::{Kind, Result};
use crate::json::Json;
use crate::schema::Order::{Ascending, Descending};
use crate::schema::{
    EntryId, Field, Index, Key, Log, NAMESPACES, Namespace, Schema, Stream, Table,
};

static SCHEMA: Schema =
    Schema { name: "test", version: 3, tables: &[&THINGS], logs: &[&NOTES], views: &[] };

static THINGS: Table = Table {
    name: "things",
    since: 1,
    key: &["kind", "name"],
    fields: &[
        Field::one("a", &["a"]),
        Field::one("b", &["deep", "b"]),
        Field::list("tags", &["tags"]),
    ],
    indexes: &[
        Index::over("up_down", &[("a", Ascending), ("b", Descending)]),
        Index::over("down_up", &[("b", Descending), ("a", Ascending)]),
        Index::over("by_tag", &[("tags", Descending), ("b", Descending)]),
    ],
};

static NOTES: Log = Log { name: "notes", since: 1 };
static ELSEWHERE: Log = Log { name: "elsewhere", since: 1 };

fn memory() -> Memory {
    Memory::open(&SCHEMA)
}

fn space(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn thing(name: &str) -> Key {
    Key::new(&THINGS, ["k", name]).unwrap()
}

fn name_of(namespace: &str) -> Key {
    Key::new(&NAMESPACES, [namespace]).unwrap()
}

fn stream(name: &str) -> Stream {
    Stream::new(name).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn put(key: Key, body: &str) -> Operation {
    save(key, body, Save::Any)
}

fn save(key: Key, body: &str, save: Save) -> Operation {
    Operation::Put(Put::new(key, json(body), save).unwrap())
}

fn put_with(key: Key, refs: &[&Blob]) -> Operation {
    let mut put = Put::new(key, json("{}"), Save::Any).unwrap();
    put.refs = refs.iter().map(|blob| blob.hash()).collect();
    Operation::Put(put)
}

fn blob(text: &str) -> Blob {
    Blob::new(text.as_bytes())
}

/// An append of entries `id=body`, or `=body` without an id.
fn append(to: &str, entries: &[&str], known: Known) -> Append {
    let entry = |text: &&str| {
        let (id, body) = text.split_once('=').unwrap();
        let id = (!id.is_empty()).then(|| EntryId::new(id).unwrap());
        NewEntry { id, body: json(body), refs: Vec::new() }
    };
    let entries = entries.iter().map(entry).collect();
    Append { log: &NOTES, stream: stream(to), entries, known, start: None }
}

fn add(to: &str, entries: &[&str]) -> Operation {
    Operation::Append(append(to, entries, Known::Refuse))
}

fn add_or_answer(to: &str, entries: &[&str]) -> Operation {
    Operation::Append(append(to, entries, Known::Answer))
}

fn trim(from: &str, before: u64) -> Operation {
    Operation::Trim { log: &NOTES, stream: stream(from), before }
}

fn rewrite(of: &str, number: u64, body: &str) -> Operation {
    let (stream, body) = (stream(of), json(body));
    Operation::Rewrite { log: &NOTES, stream, number, body, refs: Vec::new() }
}

fn drop_stream(name: &str) -> Operation {
    Operation::Drop { log: &NOTES, stream: stream(name) }
}

fn batch(operations: impl IntoIterator<Item = Operation>) -> Batch {
    let mut batch = Batch::new(space("n"));
    batch.operations.extend(operations);
    batch
}

async fn commit(
    memory: &Memory,
    operations: impl IntoIterator<Item = Operation>,
) -> Result<Committed> {
    memory.commit(batch(operations)).await
}

/// A commit that must be refused, leaving everything as it was.
async fn refused(memory: &Memory, operations: impl IntoIterator<Item = Operation>) -> Kind {
    let before = dump(memory);
    let error = commit(memory, operations).await.unwrap_err();
    assert_eq!(dump(memory), before);
    assert_eq!(error.driver(), Some("memory"));
    error.kind()
}

async fn record(reader: &dyn Reader, key: &Key) -> Option<Record> {
    let found = reader.get(&space("n"), std::slice::from_ref(key)).await.unwrap();
    found.into_iter().next().unwrap()
}

async fn version(memory: &Memory, key: &Key) -> u64 {
    record(memory, key).await.map_or(0, |record| record.version)
}

async fn all_records(reader: &dyn Reader, table: &'static Table) -> Vec<Record> {
    let find = Find::by(table, "key").unwrap();
    reader.find(&space("n"), &find).await.unwrap().records
}

async fn entries(reader: &dyn Reader, of: &str) -> Vec<Entry> {
    let stretch = Stretch { stream: stream(of), from: 0, to: u64::MAX };
    let which = Which::Stretches(vec![stretch]);
    let read = Read { log: &NOTES, which, reverse: false, limit: 10_000 };
    reader.read(&space("n"), &read).await.unwrap().entries
}

async fn sound(memory: &Memory) {
    let report = memory.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// Everything in the store but its clock, also what no method shows, in one order.
fn dump(memory: &Memory) -> String {
    use std::fmt::Write;
    let state = memory.state.read().unwrap();
    let mut out = format!("{:?}\n", state.names);
    for (namespace, home) in &state.namespaces {
        let space = &home.space;
        writeln!(out, "{namespace:?} floors {:?} {:?}", space.floors, home.operations).unwrap();
        writeln!(out, "{:?}\n{:?}\n{:?}", space.tables, space.turns, space.blobs).unwrap();
        for (key, state) in space.streams.iter() {
            let mut ids: Vec<_> = state.ids.iter().collect();
            ids.sort();
            writeln!(out, "{key:?} {:?} {:?} {ids:?}", state.head, state.entries).unwrap();
        }
    }
    out
}

fn hash_of(text: &str) -> Hash {
    blob(text).hash()
}
