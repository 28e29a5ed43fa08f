//! Opening: what is refused stays untouched, what is begun is completed.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

async fn open(path: &Path) -> Result<Sqlite> {
    Sqlite::open(&SCHEMA, path, Options::default()).await
}

#[tokio::test]
async fn foreign_files_are_refused_and_stay_untouched() {
    let home = Home::new();
    let file = |name: &str| home.folder.path().join(name);
    std::fs::write(file("notes.txt"), "a text that is longer than one hundred bytes ".repeat(9))
        .unwrap();
    std::fs::write(file("short"), "x").unwrap();
    std::fs::write(file("zeros"), [0; 4096]).unwrap();
    for (name, mode) in [("rollback.db", "DELETE"), ("wal.db", "WAL")] {
        let foreign = rusqlite::Connection::open(file(name)).unwrap();
        foreign.pragma_update(None, "journal_mode", mode).unwrap();
        foreign.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
    }
    let before = home.contents();
    for (path, _) in &before {
        let error = refused(open(path)).await;
        assert_eq!(error.kind(), Kind::InvalidInput, "{path:?}: {error}");
        assert_eq!(error.driver(), Some("sqlite"));
        assert!(error.to_string().contains("not an agentkeep store"), "{error}");
        assert!(error.advice_text().is_some());
        assert!(home.contents() == before, "{path:?} or something beside it was changed");
    }
    assert_eq!(before.len(), 5);
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused() {
    let home = Home::new();
    let fifo = home.folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [home.folder.path(), Path::new("/dev/null"), &fifo] {
        let error = refused(open(path)).await;
        assert_eq!(error.kind(), Kind::InvalidInput, "{path:?}: {error}");
    }
    let error = refused(open(&fifo.join("keep.db"))).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "below a file: {error}");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_stays_untouched() {
    let home = Home::new();
    home.open().await.close().await.unwrap();
    home.plain().pragma_update(None, "user_version", 7).unwrap();
    let before = home.contents();
    let error = refused(open(&home.path())).await;
    assert_eq!(error.kind(), Kind::NewerFormat);
    let text = error.to_string();
    assert!(text.contains("format 7") && text.contains("knows 1"), "{text}");
    assert!(home.contents() == before, "the store was changed");
}

#[tokio::test]
async fn another_schema_is_refused_before_anything_is_upgraded() {
    static OTHER: Schema = Schema { name: "other", version: 2, tables: &[], logs: &[], views: &[] };
    let home = Home::new();
    home.open().await.close().await.unwrap();
    let before = home.contents();
    let error = refused(Sqlite::open(&OTHER, &home.path(), Options::default())).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert!(error.to_string().contains("\"test\""), "{error}");
    assert!(home.contents() == before, "the store was changed");
}

#[tokio::test]
async fn an_older_format_gets_what_later_ones_brought() {
    static LATER: Table =
        Table { name: "later", since: 2, key: &["id"], fields: &[], indexes: &[] };
    static NEXT: Schema = Schema {
        name: "test",
        version: 2,
        tables: &[&THINGS, &LATER],
        logs: &[&NOTES, &Log { name: "more", since: 2 }],
        views: &[],
    };
    let home = Home::new();
    home.open().await.close().await.unwrap();
    let before = home.contents();
    let kept = Options { upgrade: false, ..Options::default() };
    let error = refused(Sqlite::open(&NEXT, &home.path(), kept)).await;
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(home.contents() == before, "the store was changed");
    let store = Sqlite::open(&NEXT, &home.path(), Options::default()).await.unwrap();
    let key = Key::new(&LATER, ["k"]).unwrap();
    let put = Put::new(key.clone(), Json::parse("{}").unwrap(), Save::Create).unwrap();
    commit(&store, [Operation::Put(put)]).await;
    assert_eq!(store.check().await.unwrap().damage, []);
    store.close().await.unwrap();
    let error = refused(open(&home.path())).await;
    assert_eq!(error.kind(), Kind::NewerFormat, "{error}");
}

#[tokio::test]
async fn eight_threads_open_one_fresh_path() {
    let home = Home::new();
    let path = home.folder.path().join("new/folder/keep.db");
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let path = path.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async {
                    let store = open(&path).await.unwrap();
                    commit(&store, [put(&format!("t{i}"), "{}"), append(&format!("e{i}"))]).await;
                    let id = store.describe().store_id.clone();
                    store.close().await.unwrap();
                    id
                })
            })
        })
        .collect();
    let mut ids: Vec<String> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "they are not one store");
    let store = open(&path).await.unwrap();
    assert_eq!(names(&store, &Find::new(&THINGS, &crate::schema::BY_KEY)).await.len(), 8);
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    let left: Vec<_> = contents(path.parent().unwrap()).into_iter().map(|(p, _)| p).collect();
    assert_eq!(left, [path], "something was left beside the store");
}

#[tokio::test]
async fn what_was_begun_in_place_is_completed() {
    // What a process killed while it made a store in an empty file may leave.
    let steps = [
        "BEGIN; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 0x616b6570; COMMIT",
        "PRAGMA journal_mode = WAL",
    ];
    for done in 1..=steps.len() {
        let home = Home::new();
        std::fs::File::create(home.path()).unwrap();
        for step in &steps[..done] {
            home.plain().execute_batch(step).unwrap();
        }
        let store = home.open().await;
        commit(&store, [put("a", "{}")]).await;
        assert!(store.check().await.unwrap().is_sound());
        store.close().await.unwrap();
        let vacuum: i64 =
            home.plain().pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
        assert_eq!(vacuum, 2, "after {done} steps");
    }
}

#[tokio::test]
async fn an_empty_file_is_no_empty_store() {
    // What a crash of the file system or a full disk may make of a store.
    let home = Home::new();
    home.open().await.close().await.unwrap();
    std::fs::File::create(home.path()).unwrap();
    let error = refused(open(&home.path())).await;
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("empty"), "{error}");
    assert_eq!(home.contents(), [(home.path(), Vec::new())]);
}

#[test]
fn the_mark_comes_with_the_first_page() {
    // A kill between the two would leave a file that nobody takes for ours.
    let home = Home::new();
    let mut connection = home.plain();
    super::super::open::mark(&mut connection).unwrap();
    let header = std::fs::read(home.path()).unwrap();
    assert_eq!(&header[24..28], 1_u32.to_be_bytes(), "SQLite's count of changes of the file");
    assert_eq!(&header[68..72], b"akep");
}

#[tokio::test]
async fn nobody_else_may_read_what_is_made() {
    let home = Home::new();
    let path = home.folder.path().join("private/keep.db");
    let store = open(&path).await.unwrap();
    commit(&store, [put("a", "{}")]).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for (file, _) in contents(path.parent().unwrap()) {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn any_timeout_will_do() {
    let home = Home::new();
    for timeout in [Duration::ZERO, Duration::MAX] {
        let store = home.patient_for(timeout).await;
        commit(&store, [put("a", "{}")]).await;
        store.close().await.unwrap();
    }
}
