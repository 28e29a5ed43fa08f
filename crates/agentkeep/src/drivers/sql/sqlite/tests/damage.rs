//! Damage, made with plain SQL: reads tell it, `check` tells all of it.

use super::*;

async fn damaged_by(sql: &str) -> (Home, Sqlite) {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", r#"{"kind":"k","rank":1,"tags":["x","y"]}"#), put("b", "{}")]).await;
    commit(&store, [append("1"), append("2"), append("3")]).await;
    commit(&store, [Operation::PutBlob(crate::driver::Blob::new(&b"bytes"[..]))]).await;
    assert!(store.check().await.unwrap().is_sound());
    let changed = home.plain().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql} changed nothing");
    (home, store)
}

#[tokio::test]
async fn a_changed_record_is_never_read() {
    for change in [
        "body = '{\"kind\":\"K\",\"rank\":1,\"tags\":[\"x\",\"y\"]}'",
        "body = x'7b7d'",
        "body = 7",
        "version = 2",
        "version = 'two'",
        "turn = 't'",
        "refs = '[]'",
        "crc = crc + 1",
        "crc = 'x'",
        "namespace = 'default', name = 'c'",
    ] {
        let (_home, store) =
            damaged_by(&format!("UPDATE things SET {change} WHERE name = 'a'")).await;
        let name = if change.contains("name = 'c'") { "c" } else { "a" };
        let error = refused(get(&store, name)).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
        let find = Find::new(&THINGS, &crate::schema::BY_KEY);
        let error = refused(store.find(&space(), &find)).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
        let report = store.check().await.unwrap();
        let told = report.damage.iter().any(|finding| finding.place.contains("things"));
        assert!(told, "{change}: {report:?}");
        assert!(get(&store, "b").await.unwrap().is_some(), "the others are still read");
    }
}

#[tokio::test]
async fn a_changed_entry_is_never_read() {
    for change in [
        "body = '2'",
        "body = x'31'",
        "id = 'other'",
        "time = time + 1",
        "time = 'now'",
        "turn = 't'",
        "rewritten = 5",
        "refs = '[]'",
        "crc = 0",
        "seq = 9",
    ] {
        let (_home, store) = damaged_by(&format!("UPDATE notes SET {change} WHERE seq = 3")).await;
        if change != "seq = 9" {
            let error = refused(ids(&store, "s")).await;
            assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
        }
        let report = store.check().await.unwrap();
        let told = report.damage.iter().any(|finding| finding.place.contains("notes"));
        assert!(told, "{change}: {report:?}");
    }
}

#[tokio::test]
async fn a_changed_head_is_never_read() {
    for change in [
        "last = 9",
        "first = 2",
        "count = 7",
        "bytes = 0",
        "birth = 1",
        "version = 9",
        "last = 'x'",
    ] {
        let (home, store) = damaged_by(&format!("UPDATE _streams SET {change}")).await;
        let error = refused(ids(&store, "s")).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
        let report = store.check().await.unwrap();
        assert!(!report.is_sound(), "{change}: {report:?}");
        // Writing on top of it would hide it.
        let other = Sqlite::open(&SCHEMA, &home.path(), Options::default()).await.unwrap();
        let error = refused(other.commit(batch([append("4")]))).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
    }
}

#[tokio::test]
async fn check_finds_what_reads_do_not_look_at() {
    for sql in [
        "UPDATE things SET rank = 2 WHERE name = 'a'",
        "UPDATE things SET kind = NULL WHERE name = 'a'",
        "UPDATE things__by_tag SET rank = 2",
        "DELETE FROM things__by_tag WHERE tags = 'x'",
        "INSERT INTO things__by_tag(namespace, tags, rank, name) VALUES ('default', 'z', 1, 'a')",
        "DELETE FROM things WHERE name = 'a'",
        "DELETE FROM notes WHERE seq = 2",
        "DELETE FROM _streams",
        "UPDATE _blobs SET reference_count = 3",
        "UPDATE _blobs SET unreferenced_since = NULL",
        "UPDATE _blobs SET size = size + 1",
        "UPDATE _blobs SET size = 'x'",
        "UPDATE _blob_bytes SET bytes = x'00'",
        "UPDATE _blob_bytes SET bytes = 'text'",
        "DELETE FROM _blob_bytes",
        "DELETE FROM _blobs",
        "UPDATE _streams SET log = 'nothing'",
        "UPDATE _streams SET stream = ''",
        "UPDATE things SET namespace = '' WHERE name = 'b'",
    ] {
        let (_home, store) = damaged_by(sql).await;
        let report = store.check().await.unwrap();
        assert!(!report.is_sound(), "{sql}");
    }
}

#[tokio::test]
async fn a_blob_that_changed_is_never_read() {
    let (_home, store) = damaged_by("UPDATE _blob_bytes SET bytes = x'00'").await;
    let hash = crate::driver::Hash::of(b"bytes");
    let error = refused(store.blobs(&space(), &[hash], crate::driver::Want::Bytes)).await;
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}
