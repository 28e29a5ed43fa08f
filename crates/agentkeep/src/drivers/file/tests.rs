//! Tests of what is particular to the folder; the laws that all drivers share are the conformance
//! cases.

mod crashing;
#[cfg(feature = "conformance")]
mod damage;
mod opening;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Files, Options};
use crate::driver::{
    Append, Batch, Blob, Committed, Driver, Durability, Find, Known, NewEntry, Operation, Put,
    Read, Reader, Save, Stretch, Which,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{AGENTKEEP, CONTAINERS, EntryId, Key, MESSAGES, Namespace, SESSIONS, Stream};

/// A folder with a store in it.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keep")
    }

    async fn open(&self) -> Files {
        open(&self.path()).await.unwrap()
    }

    async fn refused(&self) -> Error {
        open(&self.path()).await.unwrap_err()
    }

    /// Everything in the store's folder, by path.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        walk(&self.path(), &mut |path| {
            found.insert(path.to_path_buf(), std::fs::read(path).unwrap());
        });
        found
    }
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

async fn open(path: &Path) -> Result<Files> {
    let options = Options { durability: Durability::None, ..Options::default() };
    Files::open(&AGENTKEEP, path, options).await
}

fn key(id: &str) -> Key {
    Key::new(&CONTAINERS, [id]).unwrap()
}

fn put(id: &str, body: &str) -> Operation {
    Operation::Put(Put::new(key(id), Json::parse(body).unwrap(), Save::Any).unwrap())
}

fn append(stream: &str, ids: &[&str]) -> Operation {
    let entry = |id: &&str| NewEntry {
        id: Some(EntryId::new(id).unwrap()),
        body: Json::parse(&format!(r#"{{"text":"message {id}"}}"#)).unwrap(),
        refs: Vec::new(),
    };
    Operation::Append(Append {
        log: &MESSAGES,
        stream: Stream::new(stream).unwrap(),
        entries: ids.iter().map(entry).collect(),
        known: Known::Refuse,
        start: None,
    })
}

async fn commit(store: &Files, operations: Vec<Operation>) -> Result<Committed> {
    store.commit(Batch { operations, ..Batch::new(Namespace::default()) }).await
}

async fn ids(store: &Files, stream: &str) -> Result<Vec<String>> {
    let stretch = Stretch { stream: Stream::new(stream).unwrap(), from: 1, to: u64::MAX };
    let which = Which::Stretches(vec![stretch]);
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 10_000 };
    let found = store.read(&Namespace::default(), &read).await?;
    Ok(found.entries.into_iter().filter_map(|e| e.id).map(|id| id.to_string()).collect())
}

async fn containers(store: &Files) -> Result<Vec<String>> {
    let find = Find::by(&CONTAINERS, "key").unwrap();
    let found = store.find(&Namespace::default(), &find).await?;
    Ok(found.records.iter().map(|record| record.key.first().to_owned()).collect())
}

/// Two containers, a session with a tag, a stream of three entries, and a blob.
async fn filled(home: &Home) {
    let store = home.open().await;
    let blob = Blob::new(&b"attachment"[..]);
    let session = Put {
        refs: vec![blob.hash()],
        ..Put::new(
            Key::new(&SESSIONS, ["s"]).unwrap(),
            Json::parse(r#"{"sessionId":"s","tags":["t"],"createdAt":1}"#).unwrap(),
            Save::Any,
        )
        .unwrap()
    };
    let operations = vec![
        put("a", r#"{"containerId":"a"}"#),
        put("b", r#"{"containerId":"b","n":[1,2]}"#),
        Operation::PutBlob(blob),
        Operation::Put(session),
        append("x", &["m1", "m2", "m3"]),
    ];
    commit(&store, operations).await.unwrap();
    store.close().await.unwrap();
}

async fn sound(store: &Files) {
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.due.is_empty(), "{report:?}");
}
