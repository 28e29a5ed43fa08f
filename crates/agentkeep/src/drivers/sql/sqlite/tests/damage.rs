//! Damage, made with plain SQL: reads tell it, `check` tells all of it.

use super::*;

async fn damaged_by(sql: &str) -> (Home, Sqlite) {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", r#"{"kind":"k","rank":1,"tags":["x","y"]}"#), put("b", "{}")]).await;
    commit(&store, [append("1"), append("2"), append("3")]).await;
    commit(&store, [Operation::PutBlob(crate::driver::Blob::new(&b"bytes"[..]))]).await;
    commit(&store, [put("gone", "{}")]).await;
    store.commit(remembered()).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
    let changed = home.plain().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql} changed nothing");
    (home, store)
}

/// A commit with an operation id, which also leaves a floor.
fn remembered() -> Batch {
    let mut batch = batch([Operation::Delete(thing("gone"))]);
    batch.operation = Some(crate::schema::OperationId::new("op").unwrap());
    batch
}

#[tokio::test]
async fn a_changed_operation_is_never_answered() {
    for change in [
        "time = time + 1",
        "n = 7",
        "digest = x'00'",
        "result = '[]'",
        "result = replace(result, 'true', 'false')",
        "crc = crc + 1",
    ] {
        let (_home, store) = damaged_by(&format!("UPDATE _operations SET {change}")).await;
        let error = refused(store.commit(remembered())).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{change}: {error}");
        assert!(error.place().is_some_and(|place| place.contains("op")), "{error:?}");
        assert!(!store.check().await.unwrap().is_sound(), "{change}");
    }
}

#[tokio::test]
async fn a_changed_floor_gives_no_version() {
    let (home, store) = damaged_by("UPDATE _floors SET floor = 0").await;
    assert!(!store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    let error = refused(home.open().await.commit(batch([put("gone", "{}")]))).await;
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_store_that_took_another_name_is_not_opened() {
    for name in ["store_id", "epoch", "crc"] {
        let (home, store) =
            damaged_by(&format!("UPDATE _store SET value = '2' WHERE name = '{name}'")).await;
        store.close().await.unwrap();
        let error = refused(Sqlite::open(&SCHEMA, &home.path(), Options::default())).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{name}: {error}");
    }
}

#[tokio::test]
async fn tables_that_were_made_anew_are_told() {
    for (sql, place) in [
        ("DROP INDEX things_by_kind", "things_by_kind"),
        ("DROP INDEX notes_id; CREATE INDEX notes_id ON notes(stream_no, id)", "notes_id"),
    ] {
        let home = Home::new();
        let store = home.open().await;
        home.plain().execute_batch(sql).unwrap();
        home.plain().execute_batch("CREATE TABLE of_others(x)").unwrap();
        let report = store.check().await.unwrap();
        let places: Vec<&str> = report.damage.iter().map(|found| found.place.as_str()).collect();
        assert_eq!(places, [format!("SQLite {place}")], "{report:?}");
    }
    // A column's name that changed by one bit.
    let home = Home::new();
    let store = home.open().await;
    home.plain().execute_batch("ALTER TABLE things RENAME COLUMN refs TO vefs").unwrap();
    let error = refused(get(&store, "a")).await;
    assert_eq!((error.kind(), error.place()), (Kind::Corrupt, Some("things \"a\"")), "{error}");
    let told = store.check().await.is_ok_and(|report| !report.is_sound());
    assert!(told || refused(store.check()).await.kind() == Kind::Corrupt);
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
        "rewritten = 0",
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
        "UPDATE _blobs SET version = 9",
        "UPDATE _blobs SET unreferenced_since = 1",
        "UPDATE _blob_bytes SET bytes = x'00'",
        "UPDATE _blob_bytes SET bytes = 'text'",
        "UPDATE _blob_bytes SET no = no + 1",
        "UPDATE _blobs SET no = no + 1",
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

#[tokio::test]
async fn check_looks_through_text_that_fits_its_checksum() {
    use super::super::rows::{entry_sum, record_sum};
    let (home, store) = damaged_by("UPDATE things SET name = name").await;
    assert!(store.check().await.unwrap().is_sound());
    let plain = home.plain();
    let body = "{ }";
    let version: i64 =
        plain.query_row("SELECT version FROM things WHERE name = 'b'", [], |r| r.get(0)).unwrap();
    let key = thing("b");
    let sum = record_sum(&Namespace::default(), &key, body, version.cast_unsigned(), None, None);
    let sql = "UPDATE things SET body = ?1, crc = ?2 WHERE name = 'b'";
    assert_eq!(plain.execute(sql, rusqlite::params![body, sum]).unwrap(), 1);
    let one = |report: crate::driver::CheckReport| report.damage.len();
    assert_eq!(one(store.check().await.unwrap()), 1);
    let (no, time): (i64, i64) = plain
        .query_row("SELECT stream_no, time FROM notes WHERE seq = 2", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    let sum = entry_sum(no, 2, Some("2"), body, time, None, None, None);
    let sql = "UPDATE notes SET body = ?1, crc = ?2 WHERE seq = 2";
    assert_eq!(plain.execute(sql, rusqlite::params![body, sum]).unwrap(), 1);
    assert!(one(store.check().await.unwrap()) >= 2);
}
