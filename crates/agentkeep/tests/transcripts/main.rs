//! Transcripts on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../drivers/mod.rs"]
mod drivers;

use agentkeep::{Json, Kind, Store, StoredTranscriptEntry, TranscriptEntry};

use crate::drivers::on_every_driver;

on_every_driver!(
    kept_text_for_text_and_exported,
    iterations_are_found_also_when_they_go_back,
    distinct_threads_stay_apart,
    cleaned_and_begun_again,
    following_misses_nothing,
    wrong_entries_are_refused,
    a_unit_appends_all_or_nothing,
);

fn entry(text: &str) -> TranscriptEntry {
    TranscriptEntry::from_json(Json::parse(text).unwrap()).unwrap()
}

fn at(iter: u64) -> TranscriptEntry {
    entry(&format!(r#"{{"t":1.5,"iter":{iter},"agent_id":"pro","role":"agent","content":"x"}}"#))
}

fn numbers(entries: &[StoredTranscriptEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.number).collect()
}

async fn kept_text_for_text_and_exported(store: Store) {
    let lines = [
        r#"{"t":1795230577.668127,"iter":0,"agent_id":"user","role":"user","content":"a\u0000b","metadata":null,"actions":null}"#,
        r#"{"t":2.50,"iter":1,"agent_id":"m","role":"moderator","content":{"action":"STEP_BACK"},"metadata":null,"actions":{"type":"STEP_BACK","rollback":1,"clear_summaries":true},"latency_ms":0.1}"#,
        r#"{"t":3,"iter":1,"agent_id":"m","role":"moderator","error":"boom"}"#,
    ];
    store.transcripts().append("t", entry(lines[0])).await.unwrap();
    store.transcripts().append_many("t", vec![entry(lines[1]), entry(lines[2])]).await.unwrap();
    let exported = store.transcripts().export("t").await.unwrap();
    assert_eq!(exported.lines().collect::<Vec<_>>(), lines);
    assert_eq!(numbers(&store.transcripts().last("t", 2).await.unwrap()), [2, 3]);
    let all = store.transcripts().all("t").await.unwrap();
    assert_eq!(all[2].entry.error(), Some(Json::string("boom")));
    assert_eq!(all[1].entry.role().as_deref(), Some("moderator"));
    let error = store.transcripts().export("other").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

async fn iterations_are_found_also_when_they_go_back(store: Store) {
    // Resumed without its checkpoint at 700: the iterations begin again.
    let iters: Vec<u64> = (0..700).chain(0..400).collect();
    for some in iters.chunks(90) {
        let entries = some.iter().map(|iter| at(*iter)).collect();
        store.transcripts().append_many("t", entries).await.unwrap();
    }
    for (from, to) in [(0, 0), (255, 257), (399, 401), (650, 9000), (5, 4), (-3, 1), (0, 700)] {
        let expected: Vec<u64> = (1_u64..)
            .zip(&iters)
            .filter(|(_, iter)| (from..=to).contains(&i64::try_from(**iter).unwrap()))
            .map(|(number, _)| number)
            .collect();
        let found = store.transcripts().iterations("t", from, to).await.unwrap();
        assert_eq!(numbers(&found), expected, "{from} to {to}");
    }
    assert!(store.transcripts().iterations("none", 0, 9).await.unwrap().is_empty());
}

async fn distinct_threads_stay_apart(store: Store) {
    let threads = ["a/b", "a b", "a_b", "研究", "日本", "..", "...", "run"];
    for (n, thread) in (0..).zip(threads) {
        store.transcripts().append(thread, at(n)).await.unwrap();
    }
    for (n, thread) in (0..).zip(threads) {
        let all = store.transcripts().all(thread).await.unwrap();
        assert_eq!(all.iter().filter_map(|e| e.entry.iteration()).collect::<Vec<_>>(), [n]);
    }
    assert!(store.transcripts().clean("a/b", true, true).await.unwrap());
    let mut left: Vec<_> =
        store.transcripts().threads().await.unwrap().into_iter().map(|t| t.thread).collect();
    left.sort();
    let mut expected: Vec<_> = threads[1..].iter().map(|t| (*t).to_owned()).collect();
    expected.sort();
    assert_eq!(left, expected);
}

async fn cleaned_and_begun_again(store: Store) {
    for round in 0..2 {
        let entries = (0..600).map(|n| at(n + round * 1000)).collect();
        store.transcripts().create("t", entries).await.unwrap();
        let error = store.transcripts().create("t", vec![at(0)]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists);
        let from = i64::try_from(round).unwrap() * 1000;
        let found = store.transcripts().iterations("t", from + 300, from + 301).await.unwrap();
        assert_eq!(numbers(&found), [301, 302]);
        assert!(!store.transcripts().clean("t", false, true).await.unwrap());
        assert!(store.transcripts().clean("t", true, false).await.unwrap());
        assert!(store.transcripts().all("t").await.unwrap().is_empty());
    }
    assert!(!store.transcripts().clean("t", true, false).await.unwrap());
}

async fn following_misses_nothing(store: Store) {
    store.transcripts().append_many("t", (0..3).map(at).collect()).await.unwrap();
    let mut following = store.transcripts().follow("t", 2).await.unwrap();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 3..50 {
            writer.transcripts().append("t", at(n)).await.unwrap();
        }
    });
    for number in 2..=50 {
        assert_eq!(following.next().await.unwrap().unwrap().number, number);
    }
    writing.await.unwrap();
}

async fn wrong_entries_are_refused(store: Store) {
    for body in ["[]", r#"{"t":"now"}"#, r#"{"iter":1.5}"#, r#"{"role":1}"#, r#"{"actions":[]}"#] {
        let error = TranscriptEntry::from_json(Json::parse(body).unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{body}");
    }
    for thread in ["", "a\nb"] {
        let error = store.transcripts().append(thread, at(0)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidId);
    }
    assert!(store.transcripts().threads().await.unwrap().is_empty());
}

/// What the file driver keeps of a thread is what Agentry Lab would read: a line of JSON for each
/// entry, with one member more.
#[tokio::test]
async fn a_stored_file_is_lines_that_agentry_lab_reads() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}/keep?durability=process", folder.path().display());
    let lines: Vec<String> = (0..5)
        .map(|n| {
            format!(
                r#"{{"t":{n}.5,"iter":{n},"agent_id":"pro","role":"agent","content":"a\u0000\n {n} é","metadata":null,"actions":{{"type":"STOP","rollback":0}}}}"#
            )
        })
        .collect();
    for some in lines.chunks(2) {
        let store = Store::open(&url).await.unwrap();
        let entries = some.iter().map(|line| entry(line)).collect();
        store.transcripts().append_many("team/x", entries).await.unwrap();
        store.close().await.unwrap();
    }
    let stored = folder.path().join("keep/namespaces/default/logs/transcripts");
    let files: Vec<_> = stored.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert!(text.ends_with('\n'));
    let read: Vec<serde_json::Value> =
        text.trim_end().split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    for (found, line) in read.iter().zip(&lines) {
        let mut expected: serde_json::Value = serde_json::from_str(line).unwrap();
        expected["_agentkeep"] = found["_agentkeep"].clone();
        assert!(found["_agentkeep"].is_object());
        assert_eq!(*found, expected);
    }
    assert_eq!(read.len(), lines.len());
}

async fn a_unit_appends_all_or_nothing(store: Store) {
    // More than a block, so that iterations are found by its mark.
    let mut unit = store.unit();
    unit.transcripts().append_many("t", (0..300).map(at).collect()).append("u", at(7));
    unit.commit().await.unwrap();
    let found = store.transcripts().iterations("t", 255, 256).await.unwrap();
    assert_eq!(numbers(&found), [256, 257]);
    assert_eq!(store.transcripts().all("u").await.unwrap().len(), 1);
    // The events' names are wrong: nothing of the unit is there.
    for thread in ["t", "new"] {
        let mut unit = store.unit();
        unit.transcripts().append(thread, at(1));
        unit.events().publish("\u{1}", agentkeep::Event::of("x").unwrap());
        assert_eq!(unit.commit().await.unwrap_err().kind(), Kind::InvalidId);
    }
    let mut unit = store.unit();
    unit.transcripts().append("t", at(1)).append("\u{1}", at(1));
    assert_eq!(unit.commit().await.unwrap_err().kind(), Kind::InvalidId);
    assert_eq!(store.transcripts().last("t", 1).await.unwrap()[0].number, 300);
    assert_eq!(store.transcripts().threads().await.unwrap().len(), 2);
    // Under an operation id it is done once.
    for _ in 0..2 {
        let operation = agentkeep::schema::OperationId::new("once").unwrap();
        let mut unit = store.unit().operation(&operation);
        unit.transcripts().append("t", at(1));
        unit.commit().await.unwrap();
    }
    assert_eq!(store.transcripts().last("t", 1).await.unwrap()[0].number, 301);
}
