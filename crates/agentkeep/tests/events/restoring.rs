//! What is known of a cursor whose event a restore took back.

use std::path::Path;

use agentkeep::{Kind, Start, Store};

use crate::drivers::opened;
use crate::support::{all, event, next, on_every_driver, publish, subscribe, take};

on_every_driver!(
    a_lost_future_is_told_from_the_new_one,
    what_was_given_before_a_restore_stays_good,
    a_restore_of_a_store_with_a_restore_behind_it,
    publishers_go_on_in_the_new_epoch,
    every_topic_of_every_namespace_begins_anew,
    nothing_to_restore_is_no_error,
);

/// The cursor of another number, as the topic would have given it.
fn numbered(cursor: &str, number: u8) -> String {
    format!("{:0>13}{}", char::from_digit(number.into(), 36).unwrap(), &cursor[13..])
}

/// Every use of the cursor is refused, from that number on.
async fn is_ahead(store: &Store, cursor: &str, first: u64) {
    let events = store.events();
    let consumers = events.consumers("t").await.unwrap();
    for error in [
        events.recover("t", Some(cursor), 5).await.unwrap_err(),
        events.ack("c", "t", cursor).await.unwrap_err(),
        events.seek("c", "t", Start::After(cursor.to_owned())).await.unwrap_err(),
        events.subscribe("t", Start::After(cursor.to_owned())).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.first()), (Kind::CursorAhead, Some(first)), "{error}");
        assert!(error.advice_text().is_some() && error.to_string().contains("\"t\""), "{error}");
    }
    assert_eq!(events.consumers("t").await.unwrap(), consumers, "nobody was registered or moved");
}

async fn after(store: &Store, cursor: &str) -> Vec<String> {
    let found = store.events().recover("t", Some(cursor), 1_000).await.unwrap();
    found.events.into_iter().map(|event| event.cursor.to_string()).collect()
}

async fn a_lost_future_is_told_from_the_new_one(store: Store) {
    let old = publish(&store, "t", 1..=3).await;
    let lost: Vec<String> = (4..=6).map(|number| numbered(&old[0], number)).collect();
    assert_eq!(store.events().restored().await.unwrap().topics, 1);
    is_ahead(&store, &lost[0], 4).await;
    let new = publish(&store, "t", 4..=8).await;
    for cursor in &lost {
        is_ahead(&store, cursor, 4).await;
    }
    assert!([old, new].concat().is_sorted(), "the order of cursors goes on");
}

async fn what_was_given_before_a_restore_stays_good(store: Store) {
    let old = publish(&store, "t", 1..=3).await;
    store.events().ack("c", "t", &old[1]).await.unwrap();
    let mut before = subscribe(&store, "t", Start::Beginning).await;
    assert_eq!(take(&mut before, 2).await, [1, 2]);
    let position = before.position();
    drop(before);
    store.events().restored().await.unwrap();
    let new = publish(&store, "t", 4..=5).await;
    assert_eq!(after(&store, &old[2]).await, new);
    assert_eq!(after(&store, &new[0]).await, new[1..]);
    let starts = [
        Start::After(old[1].clone()),
        Start::Consumer("c".to_owned()),
        Start::Position(position.clone()),
    ];
    for start in starts {
        let mut subscription = subscribe(&store, "t", start).await;
        assert_eq!(take(&mut subscription, 3).await, [3, 4, 5]);
        let again = Start::Position(subscription.position());
        publish(&store, "u", [1]).await;
        drop(subscribe(&store, "t", again).await);
    }
    store.events().ack("c", "t", &old[2]).await.unwrap();
    let acked = store.events().cursor("c", "t").await.unwrap().unwrap();
    assert_eq!(after(&store, acked.as_str()).await, new);
}

async fn a_restore_of_a_store_with_a_restore_behind_it(store: Store) {
    let first = publish(&store, "t", 1..=2).await;
    store.events().restored().await.unwrap();
    let second = publish(&store, "t", 3..=4).await;
    store.events().restored().await.unwrap();
    let third = publish(&store, "t", 5..=6).await;
    is_ahead(&store, &numbered(&first[0], 3), 3).await;
    is_ahead(&store, &numbered(&second[0], 5), 5).await;
    is_ahead(&store, &numbered(&third[0], 7), 7).await;
    for cursors in [&first, &second, &third] {
        assert!(after(&store, &numbered(&cursors[0], 2)).await.len() == 4, "what all share");
    }
}

async fn publishers_go_on_in_the_new_epoch(store: Store) {
    publish(&store, "t", [0]).await;
    // They know the topic's record as it was, and must look again.
    let publisher = |from: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut cursors = Vec::new();
            for number in from..from + 50 {
                cursors.push(store.events().publish("t", event(number)).await.unwrap().to_string());
            }
            cursors
        })
    };
    let publishers = [publisher(100), publisher(200), publisher(300)];
    for _ in 0..5 {
        // Publishers may always be first, as long as there are any.
        while let Err(error) = store.events().restored().await {
            assert_eq!(error.kind(), Kind::Conflict, "{error}");
        }
    }
    let mut given = Vec::new();
    for publisher in publishers {
        given.extend(publisher.await.unwrap());
    }
    given.sort();
    assert_eq!(all(&store, "t").await.len(), 151);
    for (place, cursor) in given.iter().enumerate() {
        assert_eq!(after(&store, cursor).await.len(), 149 - place, "no cursor was given in vain");
    }
}

async fn every_topic_of_every_namespace_begins_anew(store: Store) {
    let other = store.namespace("other").unwrap();
    for number in 0..130 {
        publish(&store, &format!("t/{number}"), [1]).await;
    }
    let old = publish(&other, "t", [1]).await;
    assert_eq!(store.restored().await.unwrap().topics, 131);
    publish(&other, "t", [2]).await;
    is_ahead(&other, &numbered(&old[0], 2), 2).await;
}

async fn nothing_to_restore_is_no_error(store: Store) {
    assert_eq!(store.restored().await.unwrap().topics, 0);
    store.events().set_retention("quiet", None).await.unwrap();
    assert_eq!(store.restored().await.unwrap().topics, 1, "a topic without events");
    assert_eq!(publish(&store, "quiet", [1]).await.len(), 1);
}

/// Puts a copy of the store's files back, as an operator does.
async fn from_a_backup(scheme: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (place, backup) = (folder.path().join("keep"), folder.path().join("backup"));
    let url = format!("{scheme}:{}?durability=process", place.display());
    let store = opened(&url).await;
    let shared = publish(&store, "t", 1..=3).await;
    store.close().await.unwrap();
    copy(&place, &backup);

    let mut lost: Vec<(String, String)> = Vec::new();
    for told in [false, true, true] {
        put_back(&backup, &place);
        let store = opened(&url).await;
        if told {
            store.restored().await.unwrap();
        }
        let mut subscription = subscribe(&store, "t", Start::After(shared[0].clone())).await;
        let future = publish(&store, "t", 4..=6).await;
        assert_eq!(take(&mut subscription, 5).await, [2, 3, 4, 5, 6]);
        let position = subscription.position();
        drop(subscription);
        for (cursor, position) in &lost {
            is_ahead(&store, cursor, 4).await;
            let start = Start::Position(position.clone());
            let error = store.events().subscribe("t", start).await.unwrap_err();
            assert_eq!((error.kind(), error.first()), (Kind::CursorAhead, Some(4)), "{error}");
        }
        assert_eq!(after(&store, &shared[2]).await, future);
        let mut subscription = subscribe(&store, "t", Start::Position(position.clone())).await;
        publish(&store, "t", [7]).await;
        assert_eq!(next(&mut subscription).await.number, 7);
        drop(subscription);
        store.close().await.unwrap();
        lost.extend(future.into_iter().map(|cursor| (cursor, position.clone())));
    }
}

#[tokio::test]
async fn a_backup_of_files_put_back_three_times() {
    from_a_backup("file").await;
}

#[tokio::test]
async fn a_backup_of_sqlite_put_back_three_times() {
    from_a_backup("sqlite").await;
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn put_back(backup: &Path, place: &Path) {
    if place.is_dir() {
        std::fs::remove_dir_all(place).unwrap();
    } else {
        std::fs::remove_file(place).unwrap();
    }
    for aside in ["-wal", "-shm"] {
        // Closing has taken them away; what a crash had left would not belong to the backup.
        let _ = std::fs::remove_file(format!("{}{aside}", place.display()));
    }
    copy(backup, place);
}
