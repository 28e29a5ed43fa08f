//! Stores of before blobs had numbers.

use super::*;

/// The tables as they were made then, and what is kept now in them.
const BEFORE: &str = "
    ALTER TABLE _blobs RENAME TO now;
    ALTER TABLE _blob_bytes RENAME TO bytes_now;
    DROP INDEX _blobs_key;
    DROP INDEX _blobs_by_unreferenced;
    CREATE TABLE _blobs(namespace TEXT NOT NULL, hash TEXT NOT NULL, size INTEGER NOT NULL,
        reference_count INTEGER NOT NULL, unreferenced_since, version INTEGER NOT NULL,
        crc INTEGER NOT NULL, PRIMARY KEY(namespace, hash)) WITHOUT ROWID;
    CREATE INDEX _blobs_by_unreferenced ON _blobs(namespace, unreferenced_since, hash);
    CREATE TABLE _blob_bytes(namespace TEXT NOT NULL, hash TEXT NOT NULL,
        bytes BLOB NOT NULL, UNIQUE(namespace, hash));
    INSERT INTO _blobs SELECT namespace, hash, size, reference_count, unreferenced_since, version, crc
        FROM now;
    INSERT INTO _blob_bytes SELECT n.namespace, n.hash, b.bytes
        FROM now AS n JOIN bytes_now AS b ON b.no = n.no ORDER BY n.no DESC;
    DROP TABLE now;
    DROP TABLE bytes_now;
    CREATE VIEW mine AS SELECT hash, size FROM _blobs;
";

/// Three blobs in two namespaces, as they were kept then; nothing refers to the last.
async fn before() -> Home {
    let home = Home::new();
    let store = home.open().await;
    for (space, bytes, used) in [("b", "one", true), ("a", "two", true), ("b", "three", false)] {
        let blob = Blob::new(bytes.as_bytes());
        let mut put = Put::new(thing(bytes), Json::parse("{}").unwrap(), Save::Create).unwrap();
        put.refs = if used { vec![blob.hash()] } else { Vec::new() };
        let mut batch = batch([Operation::PutBlob(blob), Operation::Put(put)]);
        batch.namespace = Namespace::new(space).unwrap();
        store.commit(batch).await.unwrap();
    }
    store.close().await.unwrap();
    home.plain().execute_batch(BEFORE).unwrap();
    home
}

async fn bytes(store: &Sqlite, space: &str, bytes: &str) -> Option<Vec<u8>> {
    let (space, hash) = (Namespace::new(space).unwrap(), Hash::of(bytes.as_bytes()));
    match store.blobs(&space, &[hash], Want::Bytes).await.unwrap().pop().unwrap() {
        Some(crate::driver::FoundBlob::Bytes(blob)) => Some(blob.bytes().to_vec()),
        _ => None,
    }
}

#[tokio::test]
async fn blobs_of_before_get_numbers() {
    let home = before().await;
    let store = home.open().await;
    assert_eq!(store.check().await.unwrap().damage, []);
    for (space, text) in [("a", "two"), ("b", "one"), ("b", "three")] {
        assert_eq!(bytes(&store, space, text).await.unwrap(), text.as_bytes());
    }
    assert_eq!(bytes(&store, "a", "one").await, None);
    commit(&store, [Operation::PutBlob(Blob::new(&b"four"[..]))]).await;
    assert_eq!(bytes(&store, "default", "four").await.unwrap(), b"four");
    assert_eq!(store.check().await.unwrap().damage, []);
    let seen: i64 = home.plain().query_row("SELECT count(*) FROM mine", [], |r| r.get(0)).unwrap();
    assert_eq!(seen, 4, "a view of somebody's own");
    store.close().await.unwrap();
    let kept = Options { upgrade: false, ..Options::default() };
    Sqlite::open(&SCHEMA, &home.path(), kept).await.unwrap();
}

#[tokio::test]
async fn they_are_left_without_when_upgrades_are_unwanted() {
    let home = before().await;
    let before = home.contents();
    let kept = Options { upgrade: false, ..Options::default() };
    let error = refused(Sqlite::open(&SCHEMA, &home.path(), kept)).await;
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(home.contents() == before, "the store was changed");
}

#[tokio::test]
async fn damaged_rows_are_neither_lost_nor_hidden() {
    for (damage, kept) in [
        ("DELETE FROM _blobs WHERE namespace = 'a'", 3),
        ("DELETE FROM _blob_bytes WHERE namespace = 'a'", 2),
        ("UPDATE _blob_bytes SET bytes = x'00' WHERE namespace = 'a'", 3),
        ("UPDATE _blobs SET size = 9 WHERE namespace = 'a'", 3),
        // The first number and the last one, whichever way round they are given.
        ("DELETE FROM _blob_bytes WHERE rowid = 1", 2),
        ("DELETE FROM _blob_bytes WHERE rowid = 3", 2),
        ("DELETE FROM _blob_bytes", 0),
        ("UPDATE _blob_bytes SET hash = 'x' WHERE rowid = 1", 3),
        ("UPDATE _blob_bytes SET hash = 'x' WHERE rowid = 3", 3),
    ] {
        let home = before().await;
        assert!(home.plain().execute(damage, []).unwrap() > 0, "{damage}");
        let store = home.open().await;
        let report = store.check().await.unwrap();
        let strays = |text: &str| text.contains("belong to no blob");
        let stray = report.damage.iter().any(|damage| strays(&format!("{damage:?}")));
        assert_eq!(stray, damage.contains("hash = 'x'") || damage.contains("FROM _blobs "));
        assert!(!report.is_sound(), "{damage}");
        let count = "SELECT count(*) FROM _blob_bytes";
        let count: i64 = home.plain().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(count, kept, "{damage}");
        // What is sound goes on.
        commit(&store, [Operation::PutBlob(Blob::new(&b"four"[..]))]).await;
        assert_eq!(bytes(&store, "default", "four").await.unwrap(), b"four", "{damage}");
        assert_eq!(store.check().await.unwrap().damage, report.damage, "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_page_leaves_the_store_as_it_was() {
    let home = before().await;
    let plain = home.plain();
    let root = "SELECT rootpage, (SELECT * FROM pragma_page_size) FROM sqlite_schema \
                WHERE name = '_blob_bytes'";
    let (page, size): (u32, u32) =
        plain.query_row(root, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (page, size) = (page as usize, size as usize);
    plain.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(plain);
    let mut file = std::fs::read(home.path()).unwrap();
    file[(page - 1) * size..page * size].fill(0xff);
    std::fs::write(home.path(), &file).unwrap();
    let error = refused(Sqlite::open(&SCHEMA, &home.path(), Options::default())).await;
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("cannot be upgraded"), "{error}");
    assert!(std::fs::read(home.path()).unwrap() == file, "the store was changed");
}

#[tokio::test]
async fn what_others_have_added_stays() {
    let home = before().await;
    let added = "
        CREATE TABLE gone_with(hash TEXT, space TEXT,
            FOREIGN KEY(space, hash) REFERENCES _blobs(namespace, hash) ON DELETE CASCADE);
        CREATE TABLE in_the_way(hash TEXT, space TEXT,
            FOREIGN KEY(space, hash) REFERENCES _blobs(namespace, hash));
        INSERT INTO gone_with SELECT hash, namespace FROM _blobs;
        INSERT INTO in_the_way SELECT hash, namespace FROM _blobs;
        CREATE INDEX by_size ON _blobs(size);
        CREATE TABLE sizes(size);
        CREATE TRIGGER sized AFTER INSERT ON _blobs BEGIN INSERT INTO sizes VALUES (new.size); END;
    ";
    home.plain().execute_batch(added).unwrap();
    let store = home.open().await;
    assert_eq!(store.check().await.unwrap().damage, []);
    commit(&store, [Operation::PutBlob(Blob::new(&b"four"[..]))]).await;
    let plain = home.plain();
    let one = |sql: &str| plain.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT count(*) FROM gone_with"), 3);
    assert_eq!(one("SELECT count(*) FROM in_the_way"), 3);
    assert_eq!(one("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(one("SELECT count(*) FROM sqlite_schema WHERE name = 'by_size'"), 1);
    assert_eq!(one("SELECT count(*) FROM sizes WHERE size = 4"), 1);
}
