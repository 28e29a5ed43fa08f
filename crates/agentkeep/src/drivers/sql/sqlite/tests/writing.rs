//! The writer: groups, deadlines, and faults of the disk.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;

use super::*;

/// Commits that the writer finds in its queue together, so that they become one group.
async fn together(store: &Arc<Sqlite>, batches: Vec<Batch>) -> Vec<Result<Committed>> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (busy, is_busy) = tokio::sync::oneshot::channel();
    let same = Arc::clone(store);
    let holding = tokio::spawn(async move {
        let hold = move |_: &rusqlite::Connection| {
            busy.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        };
        same.writer.upkeep(hold).await
    });
    is_busy.await.unwrap();
    let mut waiting: Vec<JoinHandle<Result<Committed>>> = Vec::new();
    let before = store.writer.queued();
    for batch in batches {
        let same = Arc::clone(store);
        waiting.push(tokio::spawn(async move { same.commit(batch).await }));
        while store.writer.queued() < before + waiting.len() {
            tokio::task::yield_now().await;
        }
    }
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await.unwrap());
    }
    answers
}

/// How many transactions the file has seen, by SQLite's count in the header of the WAL's frames.
fn transactions(home: &Home) -> usize {
    let wal = std::fs::read(home.path().with_extension("db-wal")).unwrap_or_default();
    let page = 4096 + 24;
    let frames = wal.get(32..).unwrap_or_default().chunks_exact(page);
    // A frame that ends a transaction tells the size of the database.
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn a_refused_batch_leaves_its_group_alone() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    commit(&store, [append("there"), put("old", "{}")]).await;
    let before = transactions(&home);
    let mut expecting = batch([put("c", "{}"), append("c")]);
    expecting.expect(Expect::Absent(thing("old")));
    let answers = together(
        &store,
        vec![
            batch([put("a", "{}"), append("a")]),
            batch([put("b", "{}"), append("b"), append("there")]),
            expecting,
            batch([append("there")]),
            batch([put("d", "{}"), append("d")]),
        ],
    )
    .await;
    let kinds: Vec<Option<Kind>> =
        answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect();
    let known = Some(Kind::AlreadyExists);
    assert_eq!(kinds, [None, known, known, known, None]);
    assert_eq!(answers[2].as_ref().unwrap_err().expectation(), Some(0));
    assert_eq!(answers[4].as_ref().unwrap().outcomes[1], Outcome::Appended { numbers: vec![3] });
    assert_eq!(transactions(&home), before + 1, "they were not one group");
    assert_eq!(ids(&store, "s").await.unwrap(), ["there", "a", "d"]);
    for (name, there) in [("a", true), ("b", false), ("c", false), ("d", true)] {
        assert_eq!(get(&store, name).await.unwrap().is_some(), there, "{name}");
    }
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_refused_batch_takes_back_all_it_did_when_it_comes_first() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    commit(&store, [put("old", "{}"), append("there")]).await;
    // Refused by its last operation, when all others are done.
    let spoiled = |name: &str| {
        let blob = Operation::PutBlob(Blob::new(name.as_bytes()));
        batch([put("old", r#"{"kind":1}"#), put(name, "{}"), append(name), blob, append("there")])
    };
    let kinds = |answers: &[Result<Committed>]| -> Vec<Option<Kind>> {
        answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect()
    };
    let known = Some(Kind::AlreadyExists);
    for (round, versions) in [("x", [2, 3]), ("y", [4, 5])] {
        assert_eq!(kinds(&[store.commit(spoiled("alone")).await]), [known]);
        let before = transactions(&home);
        let two = |id: &str| batch([put("old", "{}"), append(&format!("{round}{id}"))]);
        let answers = together(
            &store,
            vec![spoiled("a"), spoiled("b"), two("1"), spoiled("c"), two("2"), spoiled("d")],
        )
        .await;
        assert_eq!(kinds(&answers), [known, known, None, known, None, known]);
        assert_eq!(transactions(&home), before + 1, "they were not one group");
        for (place, version) in [2, 4].into_iter().zip(versions) {
            let outcomes = &answers[place].as_ref().unwrap().outcomes;
            assert_eq!(outcomes[0], Outcome::Put { version });
        }
    }
    assert_eq!(ids(&store, "s").await.unwrap(), ["there", "x1", "x2", "y1", "y2"]);
    for name in ["alone", "a", "b", "c", "d"] {
        assert!(get(&store, name).await.unwrap().is_none(), "{name}");
        let hash = Hash::of(name.as_bytes());
        assert_eq!(store.blobs(&space(), &[hash], Want::Presence).await.unwrap(), [None]);
    }
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_transaction_that_sqlite_gave_up_takes_nobody_along() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    commit(&store, [append("first")]).await;
    // Stands for the errors at which SQLite rolls back by itself.
    let bomb = "CREATE TRIGGER bomb BEFORE INSERT ON notes WHEN new.id = 'bomb' \
                BEGIN SELECT raise(ROLLBACK, 'bomb'); END";
    home.plain().execute_batch(bomb).unwrap();
    let anonymous = || batch([append_to("s", None, "2", None)]);
    let answers = together(
        &store,
        vec![anonymous(), batch([append("bomb")]), anonymous(), batch([put("x", "{}")])],
    )
    .await;
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, true], "{answers:?}");
    assert_eq!(ids(&store, "s").await.unwrap(), ["first", "", ""], "each once");
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn everybody_who_waits_for_a_lock_has_his_own_deadline() {
    let home = Home::new();
    let store = Arc::new(home.patient_for(Duration::from_secs(2)).await);
    commit(&store, [put("a", "{}")]).await;
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let waiting: Vec<_> = (0..8)
        .map(|i| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(batch([append(&format!("e{i}"))])).await })
        })
        .collect();
    for answer in waiting {
        let error = answer.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Timeout, true), "{error}");
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(1_900), "they did not wait: {elapsed:?}");
    assert!(elapsed < Duration::from_secs(10), "one after the other: {elapsed:?}");
    other.execute_batch("COMMIT").unwrap();
    commit(&store, [append("after")]).await;
    assert_eq!(ids(&store, "s").await.unwrap(), ["after"]);
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_too_much_and_nothing_else() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    commit(&store, [put("a", "{}")]).await;
    let full = |connection: &rusqlite::Connection| {
        let pages: i64 =
            connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        // The update of a setting that answers a row.
        connection
            .query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(()))
            .unwrap();
        Ok(())
    };
    store.writer.upkeep(full).await.unwrap();
    let large = format!("\"{}\"", "x".repeat(100_000));
    let answers = together(
        &store,
        vec![batch([append("1")]), batch([put("large", &large)]), batch([append("2")])],
    )
    .await;
    let kinds: Vec<Option<Kind>> =
        answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, Some(Kind::NoSpace), None]);
    assert_eq!(ids(&store, "s").await.unwrap(), ["1", "2"]);
    assert!(get(&store, "large").await.unwrap().is_none());
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_failing_disk_poisons_the_handle_until_it_is_reopened() {
    let home = Home::new();
    let store = home.open().await;
    let large = format!("\"{}\"", "x".repeat(50_000));
    commit(&store, [put("a", &large), append("1")]).await;
    // The WAL is cut short under the writer, which has to read it again.
    let forget = |connection: &rusqlite::Connection| {
        connection.execute_batch("PRAGMA shrink_memory").unwrap();
        Ok(())
    };
    store.writer.upkeep(forget).await.unwrap();
    let wal = home.path().with_extension("db-wal");
    let copy = std::fs::read(&wal).unwrap();
    std::fs::OpenOptions::new().write(true).open(&wal).unwrap().set_len(100).unwrap();
    let first = refused(store.commit(batch([put("a", "1"), append("2")]))).await;
    assert!(!first.is_retryable() && first.kind() == Kind::Unavailable, "{first:?}");
    // The disk is well again; this handle must not believe it.
    std::fs::write(&wal, copy).unwrap();
    for _ in 0..2 {
        let again = refused(store.commit(batch([append("3")]))).await;
        assert_eq!(again.kind(), Kind::Poisoned, "{again}");
    }
    assert_eq!(ids(&store, "s").await.unwrap(), ["1"], "reads go on");
    within(Duration::from_secs(5), store.close()).await.unwrap();
    let store = home.open().await;
    commit(&store, [append("4")]).await;
    assert_eq!(ids(&store, "s").await.unwrap(), ["1", "4"]);
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn numbers_end_before_the_integers_do() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [append("1")]).await;
    let largest = i64::MAX.cast_unsigned() - 1;
    for start in [u64::MAX, u64::MAX - 1, largest + 2, largest + 1] {
        let error = refused(store.commit(batch([append_to("s", None, "1", Some(start))]))).await;
        assert_eq!(error.kind(), Kind::TooLarge, "{start}: {error}");
    }
    commit(&store, [append_to("s", Some("last"), "1", Some(largest))]).await;
    let error = refused(store.commit(batch([append("more")]))).await;
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    assert_eq!(ids(&store, "s").await.unwrap(), ["1", "last"]);
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_caller_that_goes_away_breaks_nothing() {
    let home = Home::new();
    let store = home.open().await;
    for i in 0..20 {
        let asked = store.commit(batch([append(&format!("e{i}"))]));
        // Polled once, so that it is queued, then dropped.
        let _ = tokio::time::timeout(Duration::ZERO, asked).await;
    }
    let last = commit(&store, [append("last")]).await;
    let seen = ids(&store, "s").await.unwrap();
    assert_eq!(seen.last().map(String::as_str), Some("last"));
    assert_eq!(last.outcomes, [Outcome::Appended { numbers: vec![seen.len() as u64] }]);
    assert!(store.check().await.unwrap().is_sound());
}

/// Remembers which threads have woken it: hints come from the thread that commits.
#[derive(Default)]
struct Woken(std::sync::Mutex<Vec<std::thread::ThreadId>>);

impl futures_util::task::ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.lock().unwrap().push(std::thread::current().id());
    }
}

#[tokio::test]
async fn who_is_alone_commits_without_the_thread() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [append("first")]).await;
    let mut watch = store.watch(&Namespace::default(), &NOTES, None).await.unwrap();
    let woken = Arc::new(Woken::default());
    let waker = futures_util::task::waker(Arc::clone(&woken));
    for i in 0..50 {
        // After a hint, the next poll begins to wait.
        let mut context = std::task::Context::from_waker(&waker);
        let mut changed = Box::pin(watch.changed());
        while changed.as_mut().poll(&mut context).is_ready() {
            drop(changed);
            changed = Box::pin(watch.changed());
        }
        commit(&store, [append(&format!("e{i}"))]).await;
    }
    let threads = std::mem::take(&mut *woken.0.lock().unwrap());
    assert!(threads.len() >= 50, "hints are missing: {}", threads.len());
    // A slow disk sends some to the thread, never all.
    assert!(threads.contains(&std::thread::current().id()), "all were made by the thread");
    // What may take long is made by the thread, always.
    for _ in 0..20 {
        let mut context = std::task::Context::from_waker(&waker);
        let mut changed = Box::pin(watch.changed());
        while changed.as_mut().poll(&mut context).is_ready() {
            drop(changed);
            changed = Box::pin(watch.changed());
        }
        let drop = Operation::Drop { log: &NOTES, stream: Stream::new("s").unwrap() };
        commit(&store, [drop, append("again")]).await;
    }
    let threads = std::mem::take(&mut *woken.0.lock().unwrap());
    assert!(!threads.is_empty() && !threads.contains(&std::thread::current().id()));
}

#[tokio::test]
async fn upkeep_waits_for_other_processes_as_a_commit_does() {
    let home = Home::new();
    let store = home.patient_for(Duration::from_mins(1)).await;
    commit(&store, [append("first")]).await;
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (start, started) = std::sync::mpsc::channel();
    let write = move |connection: &rusqlite::Connection| {
        start.send(()).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(super::super::errors::map)
    };
    let release = tokio::task::spawn_blocking(move || {
        started.recv().unwrap();
        // Any time will do: who does not wait has failed by then.
        std::thread::yield_now();
        other.execute_batch("COMMIT").unwrap();
    });
    let (done, released) = tokio::join!(store.writer.upkeep(write), release);
    released.unwrap();
    done.unwrap();
}

#[tokio::test]
async fn the_callers_thread_never_waits_for_another_process() {
    let home = Home::new();
    let store = Arc::new(home.patient_for(Duration::from_mins(1)).await);
    commit(&store, [append("first")]).await;
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // On one thread: if the commit waited on it, the lock would never be released.
    let release = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        other.execute_batch("COMMIT").unwrap();
    };
    let second = batch([append("second")]);
    let both = async { tokio::join!(store.commit(second), release) };
    let (committed, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    committed.unwrap();
    assert_eq!(ids(&store, "s").await.unwrap(), ["first", "second"]);
}

#[tokio::test]
async fn what_was_asked_for_first_is_committed_first_also_if_nobody_waits_for_it() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    commit(&store, [append("0")]).await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let same = Arc::clone(&store);
    let (busy, is_busy) = tokio::sync::oneshot::channel();
    let holding = tokio::spawn(async move {
        let hold = move |_: &rusqlite::Connection| {
            busy.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        };
        same.writer.upkeep(hold).await
    });
    is_busy.await.unwrap();
    let mut asked = Box::pin(store.commit(batch([append("1")])));
    let queued = store.writer.queued();
    while store.writer.queued() == queued {
        let mut context = std::task::Context::from_waker(futures_util::task::noop_waker_ref());
        assert!(asked.as_mut().poll(&mut context).is_pending());
    }
    drop(asked);
    go.send(()).unwrap();
    commit(&store, [append("2")]).await;
    assert_eq!(ids(&store, "s").await.unwrap(), ["0", "1", "2"]);
    holding.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_long_log_is_brought_into_the_file() {
    let home = Home::new();
    let store = home.open().await;
    let size = || std::fs::metadata(home.path()).unwrap().len();
    let body = format!("\"{}\"", "x".repeat(100_000));
    let mut written = 0;
    while written < 20_000_000 {
        commit(&store, [put(&format!("r{written}"), &body)]).await;
        written += 100_000;
    }
    // Behind all that the commits have left for the thread.
    store.writer.upkeep(|_| Ok(())).await.unwrap();
    assert!(size() > 10_000_000, "{}", size());
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn what_must_be_new_is_found_by_a_writer_who_knows_nothing_yet() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", r#"{"kind":"k","tags":["x"]}"#)]).await;
    store.close().await.unwrap();
    let store = home.open().await;
    let new = |name: &str, refs: Vec<Hash>| {
        let mut put = Put::new(thing(name), Json::parse("{}").unwrap(), Save::Create).unwrap();
        put.refs = refs;
        Operation::Put(put)
    };
    let nowhere = vec![Hash::of(b"nowhere")];
    for operations in [
        vec![new("a", Vec::new())],
        vec![new("b", Vec::new()), new("a", Vec::new())],
        // That it is there comes before what is not there.
        vec![new("a", nowhere.clone())],
    ] {
        let error = refused(store.commit(batch(operations))).await;
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    }
    assert_eq!(refused(store.commit(batch([new("b", nowhere)]))).await.kind(), Kind::NotFound);
    let found = store.get(&space(), &[thing("a"), thing("b")]).await.unwrap();
    let [Some(a), None] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((a.version, a.body.as_str()), (1, r#"{"kind":"k","tags":["x"]}"#));
    commit(&store, [new("b", Vec::new())]).await;
    assert_eq!(store.check().await.unwrap().damage, []);
}
