//! How it is written, and what that looks like.

use std::fs;

use super::*;

#[tokio::test]
async fn the_files_can_be_read_by_people() {
    let home = Home::new();
    filled(&home).await;
    let at =
        |path: &str| fs::read_to_string(home.path().join("namespaces/default").join(path)).unwrap();
    let record = at("records/containers/b.json");
    let (body, ours) = record.split_once("  \"_agentkeep\"").unwrap();
    assert_eq!(body, "{\n  \"containerId\": \"b\",\n  \"n\": [\n    1,\n    2\n  ],\n");
    assert!(ours.contains("\"version\": 1"), "{ours}");
    let lines = at("logs/messages/x.jsonl");
    let first = lines.lines().next().unwrap();
    assert!(
        first.starts_with(r#"{"text":"message m1","_agentkeep":{"seq":1,"id":"m1","#),
        "{first}"
    );
    assert_eq!(lines.lines().count(), 3);
    let blob = home.files().into_keys().find(|path| path.parent().unwrap().ends_with("blobs"));
    assert_eq!(fs::read(blob.unwrap()).unwrap(), b"attachment");
}

#[tokio::test]
async fn a_rewritten_line_is_gone_from_the_disk() {
    let home = Home::new();
    filled(&home).await;
    let store = home.open().await;
    let rewrite = Operation::Rewrite {
        log: &MESSAGES,
        stream: Stream::new("x").unwrap(),
        number: 2,
        body: Json::null(),
        refs: Vec::new(),
    };
    commit(&store, vec![rewrite, append("x", &["m4"])]).await.unwrap();
    assert_eq!(ids(&store, "x").await.unwrap(), ["m1", "m2", "m3", "m4"]);
    sound(&store).await;
    store.close().await.unwrap();
    let logs = home.path().join("namespaces/default/logs/messages");
    let names: Vec<_> = fs::read_dir(&logs).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["x+2.jsonl"]);
    let lines = fs::read_to_string(logs.join("x+2.jsonl")).unwrap();
    assert!(!lines.contains("message m2") && lines.contains("\"value\":null"), "{lines}");
    let store = home.open().await;
    assert_eq!(ids(&store, "x").await.unwrap(), ["m1", "m2", "m3", "m4"]);
    sound(&store).await;
}

#[tokio::test]
async fn a_stream_dropped_and_made_again_in_one_commit_starts_anew() {
    let home = Home::new();
    filled(&home).await;
    let store = home.open().await;
    let drop = || Operation::Drop { log: &MESSAGES, stream: Stream::new("x").unwrap() };
    commit(&store, vec![drop(), append("x", &["n1"])]).await.unwrap();
    assert_eq!(ids(&store, "x").await.unwrap(), ["n1"]);
    commit(&store, vec![drop()]).await.unwrap();
    commit(&store, vec![append("x", &["o1"])]).await.unwrap();
    assert_eq!(ids(&store, "x").await.unwrap(), ["o1"]);
    sound(&store).await;
    store.close().await.unwrap();
    let store = home.open().await;
    assert_eq!(ids(&store, "x").await.unwrap(), ["o1"]);
    sound(&store).await;
}

/// Commits batches as one group.
async fn together(store: &Files, batches: Vec<Vec<Operation>>) -> Vec<Result<Committed>> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    // The writer is busy until all of them are queued.
    let busy = store.writer.upkeep(move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let commits = batches.into_iter().map(|operations| commit(store, operations));
    let commits = futures_util::future::join_all(commits);
    let release = async { go.send(()).unwrap() };
    tokio::join!(biased; busy, commits, release).1
}

#[tokio::test]
async fn what_a_refused_commit_trimmed_in_a_group_is_known_again() {
    let home = Home::new();
    let store = home.open().await;
    let trim = || Operation::Trim { log: &MESSAGES, stream: Stream::new("x").unwrap(), before: 2 };
    let refused = Operation::DropBlob(Blob::new(&b"kept"[..]).hash());
    let blob = Blob::new(&b"kept"[..]);
    let owner =
        Put { refs: vec![blob.hash()], ..Put::new(key("a"), Json::null(), Save::Any).unwrap() };
    commit(&store, vec![Operation::PutBlob(blob), Operation::Put(owner)]).await.unwrap();
    let answers = together(
        &store,
        vec![
            vec![append("x", &["m1"])],
            vec![trim(), append("x", &["m1"]), refused],
            vec![append("x", &["m1"])],
            vec![append("x", &["m2"])],
            vec![trim(), append("x", &["m1"])],
        ],
    )
    .await;
    let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(Error::kind)).collect();
    let (refused, known) = (Some(Kind::Conflict), Some(Kind::AlreadyExists));
    assert_eq!(kinds, [None, refused, known, None, None]);
    assert_eq!(ids(&store, "x").await.unwrap(), ["m2", "m1"]);
    sound(&store).await;
    store.close().await.unwrap();
    let store = home.open().await;
    assert_eq!(ids(&store, "x").await.unwrap(), ["m2", "m1"]);
    sound(&store).await;
}

#[tokio::test]
async fn a_snapshot_keeps_what_it_needs() {
    let home = Home::new();
    filled(&home).await;
    let (store, other) = (home.open().await, home.open().await);
    let namespace = Namespace::default();
    let snapshot = store.snapshots().unwrap().snapshot(&namespace).await.unwrap();
    let x = || Stream::new("x").unwrap();
    let trim = Operation::Trim { log: &MESSAGES, stream: x(), before: 3 };
    commit(&other, vec![trim]).await.unwrap();
    let (log, stream, body) = (&MESSAGES, x(), Json::null());
    let rewrite = Operation::Rewrite { log, stream, number: 3, body, refs: Vec::new() };
    commit(&other, vec![rewrite]).await.unwrap();
    commit(&other, vec![Operation::Drop { log: &MESSAGES, stream: x() }]).await.unwrap();
    commit(&other, vec![append("x", &["new"])]).await.unwrap();
    let which = Which::Stretches(vec![Stretch { stream: x(), from: 1, to: u64::MAX }]);
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 10 };
    let found = snapshot.read(&namespace, &read).await.unwrap();
    let old: Vec<&str> = found.entries.iter().map(|e| e.body.as_str()).collect();
    assert_eq!(old, [1, 2, 3].map(|i| format!(r#"{{"text":"message m{i}"}}"#)));
    assert_eq!(ids(&store, "x").await.unwrap(), ["new"]);
    drop(snapshot);
    // What it kept goes with the next upkeep.
    assert!(other.maintenance().unwrap().compact().await.unwrap() > 0);
    sound(&other).await;
}

#[tokio::test]
async fn one_who_slept_through_many_turns_sees_all() {
    let home = Home::new();
    filled(&home).await;
    let (store, other) = (home.open().await, home.open().await);
    assert_eq!(containers(&store).await.unwrap(), ["a", "b"]);
    for turn in 0..4 {
        commit(&other, vec![put(&format!("c{turn}"), "{}"), append("x", &[&format!("n{turn}")])])
            .await
            .unwrap();
        // Brings the journal into its place and begins the next turn.
        sound(&other).await;
        if turn == 0 {
            assert_eq!(containers(&store).await.unwrap(), ["a", "b", "c0"]);
        }
    }
    assert_eq!(containers(&store).await.unwrap(), ["a", "b", "c0", "c1", "c2", "c3"]);
    assert_eq!(ids(&store, "x").await.unwrap().len(), 7);
    commit(&store, vec![put("d", "{}")]).await.unwrap();
    assert_eq!(containers(&other).await.unwrap().len(), 7);
    sound(&store).await;
}
