//! Tests of what is particular to SQLite; the laws that all drivers share are the conformance
//! cases.

mod damage;
mod ending;
mod growing;
mod numbering;
mod opening;
mod reading;
mod values;
mod writing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Options, Sqlite};
use crate::driver::{
    Append, Batch, Blob, Committed, Driver, Expect, Find, Hash, Known, NewEntry, Operation,
    Outcome, Put, Read, Reader, Record, Save, Stretch, Want, Which,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::Order::{Ascending, Descending};
use crate::schema::{EntryId, Field, Index, Key, Log, Namespace, Schema, Stream, Table, Value};

static SCHEMA: Schema =
    Schema { name: "test", version: 1, tables: &[&THINGS], logs: &[&NOTES], views: &[] };

static THINGS: Table = Table {
    name: "things",
    since: 1,
    key: &["name"],
    fields: &[
        Field::one("kind", &["kind"]),
        Field::one("rank", &["rank"]),
        Field::list("tags", &["tags"]),
    ],
    indexes: &[
        Index::over("by_kind", &[("kind", Ascending), ("rank", Descending)]),
        Index::over("by_tag", &[("tags", Ascending), ("rank", Descending)]),
    ],
};

static NOTES: Log = Log { name: "notes", since: 1 };

/// A store in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keep.db")
    }

    async fn open(&self) -> Sqlite {
        Sqlite::open(&SCHEMA, &self.path(), Options::default()).await.unwrap()
    }

    async fn patient_for(&self, timeout: Duration) -> Sqlite {
        let options = Options { timeout, ..Options::default() };
        Sqlite::open(&SCHEMA, &self.path(), options).await.unwrap()
    }

    /// The file, as anybody with SQLite sees it.
    fn plain(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// The names and contents of everything in the folder.
    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        contents(self.folder.path())
    }
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        entries.filter(|p| p.is_file()).map(|p| (p.clone(), std::fs::read(&p).unwrap())).collect();
    all.sort();
    all
}

fn space() -> Namespace {
    Namespace::default()
}

fn thing(name: &str) -> Key {
    Key::new(&THINGS, [name]).unwrap()
}

fn stream(name: &str) -> Stream {
    Stream::new(name).unwrap()
}

fn put(name: &str, body: &str) -> Operation {
    Operation::Put(Put::new(thing(name), Json::parse(body).unwrap(), Save::Any).unwrap())
}

fn append_to(name: &str, id: Option<&str>, body: &str, start: Option<u64>) -> Operation {
    let id = id.map(|id| EntryId::new(id).unwrap());
    let entry = NewEntry { id, body: Json::parse(body).unwrap(), refs: Vec::new() };
    let (log, stream) = (&NOTES, stream(name));
    Operation::Append(Append { log, stream, entries: vec![entry], known: Known::Refuse, start })
}

fn append(id: &str) -> Operation {
    append_to("s", Some(id), "1", None)
}

fn batch(operations: impl IntoIterator<Item = Operation>) -> Batch {
    let mut batch = Batch::new(space());
    batch.operations.extend(operations);
    batch
}

async fn commit(store: &Sqlite, operations: impl IntoIterator<Item = Operation>) -> Committed {
    store.commit(batch(operations)).await.unwrap()
}

async fn get(store: &Sqlite, name: &str) -> Result<Option<Record>> {
    Ok(store.get(&space(), &[thing(name)]).await?.remove(0))
}

/// The ids of the entries of a stream.
async fn ids(store: &Sqlite, name: &str) -> Result<Vec<String>> {
    let which = Which::Stretches(vec![Stretch { stream: stream(name), from: 1, to: u64::MAX }]);
    let read = Read { log: &NOTES, which, reverse: false, limit: 1000 };
    let found = store.read(&space(), &read).await?.entries;
    Ok(found
        .iter()
        .map(|entry| entry.id.as_ref().map_or("", |id| id.as_str()).to_owned())
        .collect())
}

/// The names that a query finds, page by page.
async fn names(store: &Sqlite, find: &Find) -> Vec<String> {
    let (mut find, mut names) = (find.clone(), Vec::new());
    loop {
        let found = store.find(&space(), &find).await.unwrap();
        names.extend(found.records.iter().map(|record| record.key.first().to_owned()));
        match found.next {
            Some(next) => find.after = Some(next),
            None => return names,
        }
    }
}

/// The error of something that must fail within a few seconds.
async fn refused<T: std::fmt::Debug>(work: impl Future<Output = Result<T>>) -> Error {
    within(Duration::from_secs(5), work).await.unwrap_err()
}

/// A deadline, so that what hangs fails.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(time, work).await.expect("it hangs")
}
