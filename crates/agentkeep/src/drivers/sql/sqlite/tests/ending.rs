//! Closing and dropping.

use super::*;

#[tokio::test]
async fn closing_does_not_wait_for_readers() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", "{}")]).await;
    let frozen = store.snapshots().unwrap().snapshot(&space()).await.unwrap();
    // A WAL with something in it that the snapshot does not see.
    commit(&store, [put("b", "{}")]).await;
    within(Duration::from_secs(5), store.close()).await.unwrap();
    drop(frozen);
    let store = home.open().await;
    assert!(get(&store, "b").await.unwrap().is_some());
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", "{}")]).await;
    get(&store, "a").await.unwrap();
    assert!(home.contents().len() > 1);
    store.close().await.unwrap();
    let files: Vec<PathBuf> = home.contents().into_iter().map(|(path, _)| path).collect();
    assert_eq!(files, [home.path()]);
}

#[tokio::test]
async fn a_closed_store_gives_nothing_away() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", "{}")]).await;
    let snapshots = store.snapshots().unwrap();
    let frozen = snapshots.snapshot(&space()).await.unwrap();
    let mut watch = store.watch(&space(), &NOTES, None).await.unwrap();
    store.close().await.unwrap();
    assert!(!within(Duration::from_secs(5), watch.changed()).await);
    assert_eq!(refused(snapshots.snapshot(&space())).await.kind(), Kind::Closed);
    assert_eq!(refused(frozen.get(&space(), &[thing("a")])).await.kind(), Kind::Closed);
    let upkeep = store.maintenance().unwrap();
    assert_eq!(refused(upkeep.compact()).await.kind(), Kind::Closed);
    assert_eq!(refused(upkeep.usage(&space())).await.kind(), Kind::Closed);
    assert_eq!(refused(upkeep.upgrade()).await.kind(), Kind::Closed);
}

#[tokio::test]
async fn dropping_ends_watches() {
    let home = Home::new();
    let store = home.open().await;
    let mut watch = store.watch(&space(), &NOTES, None).await.unwrap();
    drop(store);
    // The thread that looks for commits of others held the sender, and goes with it.
    within(Duration::from_secs(5), async { while watch.changed().await {} }).await;
    let store = home.open().await;
    commit(&store, [put("a", "{}")]).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn watching_again_and_again_never_loses_a_hint() {
    let home = Home::new();
    let (store, other) = (home.open().await, home.open().await);
    commit(&other, [append("first")]).await;
    for i in 0..40 {
        let mut watch = store.watch(&space(), &NOTES, None).await.unwrap();
        if i % 2 == 0 {
            // The thread may be about to end because nobody watched for a moment.
            drop(watch);
            tokio::time::sleep(Duration::from_millis(i)).await;
            watch = store.watch(&space(), &NOTES, None).await.unwrap();
        }
        commit(&other, [append(&format!("e{i}"))]).await;
        assert!(within(Duration::from_secs(5), watch.changed()).await, "round {i}");
    }
}
