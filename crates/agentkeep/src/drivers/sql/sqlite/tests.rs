//! Tests of what is particular to SQLite.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::{Options, Sqlite};
use crate::driver::{
    Append, Batch, Driver, Known, NewEntry, Operation, Put, Read, Reader, Save, Stretch, Which,
};
use crate::error::{Error, Kind};
use crate::json::Json;
use crate::schema::{
    AGENTKEEP, CONTAINERS, EntryId, Key, MESSAGES, NAMESPACES, Namespace, SESSIONS, Schema, Stream,
};

/// A schema that is not agentkeep's.
static OTHER: Schema = Schema { name: "other", version: 1, tables: &[], logs: &[], views: &[] };

async fn open(path: &Path) -> Result<Sqlite, Error> {
    Sqlite::open(&AGENTKEEP, path, Options::default()).await
}

async fn refused(path: &Path) -> Error {
    open(path).await.unwrap_err()
}

/// A store with a container, a session with a tag, and three messages; closed.
async fn filled(path: &Path) {
    let store = open(path).await.unwrap();
    let mut batch = Batch::new(Namespace::default());
    let put = |table, id, body: &str| {
        let key = Key::new(table, [id]).unwrap();
        Operation::Put(Put::new(key, Json::parse(body).unwrap(), Save::Any).unwrap())
    };
    batch.push(put(&CONTAINERS, "c", r#"{"containerId":"c","createdAt":1}"#));
    batch.push(put(&SESSIONS, "s", r#"{"sessionId":"s","tags":["t"],"createdAt":1}"#));
    let entry = |i: u32| NewEntry {
        id: Some(EntryId::new(&format!("m{i}")).unwrap()),
        body: Json::parse(&format!(r#"{{"text":"message {i}"}}"#)).unwrap(),
        refs: Vec::new(),
    };
    let entries = (0..3).map(entry).collect();
    let (log, stream) = (&MESSAGES, Stream::new("x").unwrap());
    batch.push(Operation::Append(Append {
        log,
        stream,
        entries,
        known: Known::Refuse,
        start: None,
    }));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn foreign_files_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), "hello").unwrap();
    fs::write(at("short"), &b"SQLite format 3\0"[..]).unwrap();
    for (name, mode) in [("plain.db", "delete"), ("wal.db", "wal")] {
        let foreign = Connection::open(at(name)).unwrap();
        foreign.pragma_update(None, "journal_mode", mode).unwrap();
        foreign.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
        foreign.close().unwrap();
    }
    let before = files(folder.path());
    for name in before.clone() {
        let content = fs::read(at(&name)).unwrap();
        let error = refused(&at(&name)).await;
        assert!(matches!(error.kind(), Kind::InvalidInput | Kind::Corrupt), "{name}: {error:?}");
        assert_eq!(fs::read(at(&name)).unwrap(), content, "{name} was touched");
    }
    assert_eq!(files(folder.path()), before, "files were left beside them");
    assert_eq!(refused(folder.path()).await.kind(), Kind::InvalidInput);
    assert_eq!(refused(&at("text/below/it.db")).await.kind(), Kind::InvalidInput);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_and_nobody_else_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/keep.db");
    filled(&path).await;
    assert_eq!(files(path.parent().unwrap()), ["keep.db"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    filled(&empty).await;
    assert!(open(&empty).await.unwrap().check().await.unwrap().is_sound());
}

#[tokio::test]
async fn another_format_or_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keep.db");
    filled(&path).await;
    let other = Sqlite::open(&OTHER, &path, Options::default()).await.unwrap_err();
    assert_eq!(other.kind(), Kind::InvalidInput);
    let plain = Connection::open(&path).unwrap();
    plain.pragma_update(None, "user_version", 99).unwrap();
    plain.close().unwrap();
    let content = fs::read(&path).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), Kind::NewerFormat);
    assert!(error.to_string().contains("99"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), content, "the newer store was touched");
}

/// Each damage is found by the check and by the read that meets it, and never silently left out.
#[tokio::test]
async fn damage_is_found_and_named() {
    let damages = [
        "UPDATE containers SET body = replace(body, '1', '2')",
        "UPDATE containers SET version = 7",
        "UPDATE containers SET created_at = 2",
        "UPDATE containers SET turn = 'x'",
        "UPDATE sessions SET refs = '[]'",
        "DELETE FROM sessions__by_tag",
        "UPDATE sessions__by_tag SET tags = 'u'",
        "INSERT INTO sessions__by_tag(namespace, tags, session_id) VALUES ('default', 't', 'z')",
        "UPDATE messages SET body = '{\"text\":\"other\"}' WHERE seq = 2",
        "UPDATE messages SET id = 'm9' WHERE seq = 2",
        "UPDATE messages SET time = time + 1 WHERE seq = 2",
        "DELETE FROM messages WHERE seq = 2",
        "DELETE FROM messages WHERE seq = 3",
        "UPDATE _streams SET last = 2",
        "UPDATE _streams SET count = 9, bytes = 1",
        "DELETE FROM _streams",
        "UPDATE _namespaces SET body = '{\"x\":1}'",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keep.db");
        filled(&path).await;
        let plain = Connection::open(&path).unwrap();
        assert!(plain.execute(damage, []).unwrap() > 0, "{damage}: nothing was damaged");
        plain.close().unwrap();
        let store = open(&path).await.unwrap();
        let report = store.check().await.unwrap();
        assert!(!report.is_sound(), "{damage}: check found nothing");
        assert!(report.damage.iter().all(|finding| !finding.place.is_empty()), "{report:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keep.db");
    filled(&path).await;
    let plain = Connection::open(&path).unwrap();
    for damage in [damages[0], damages[8], damages[16]] {
        plain.execute(damage, []).unwrap();
    }
    plain.close().unwrap();
    let (store, namespace) = (open(&path).await.unwrap(), Namespace::default());
    for key in [Key::new(&CONTAINERS, ["c"]), Key::new(&NAMESPACES, ["default"])] {
        let error = store.get(&namespace, &[key.unwrap()]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.place().is_some());
    }
    let stretch = Stretch { stream: Stream::new("x").unwrap(), from: 1, to: u64::MAX };
    let which = Which::Stretches(vec![stretch]);
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 10 };
    let error = store.read(&namespace, &read).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[tokio::test]
async fn what_was_made_at_once_shares_transactions_and_is_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(open(&folder.path().join("keep.db")).await.unwrap());
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                let mut batch = Batch::new(Namespace::default());
                let key = Key::new(&CONTAINERS, [&*format!("c{i}")]).unwrap();
                let body = Json::parse("{}").unwrap();
                batch.push(Operation::Put(Put::new(key, body, Save::Create).unwrap()));
                store.commit(batch).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Callers that go away leave the writer at work.
    let mut batch = Batch::new(Namespace::default());
    let key = Key::new(&CONTAINERS, ["last"]).unwrap();
    batch.push(Operation::Put(Put::new(key, Json::null(), Save::Any).unwrap()));
    drop(tokio::time::timeout(std::time::Duration::ZERO, store.commit(batch)).await);
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.records >= 200, "{report:?}");
    store.close().await.unwrap();
}
