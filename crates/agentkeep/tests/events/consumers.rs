//! Consumers: acknowledging, seeking, forgetting.

use agentkeep::{Kind, Start, Store};

use crate::support::{on_every_driver, publish, subscribe, take};

on_every_driver!(
    an_acknowledgement_only_goes_forward,
    a_consumer_goes_on_after_what_it_acknowledged,
    consumers_are_independent_and_tell_their_lag,
    seeking_goes_back_and_forward,
    a_forgotten_consumer_begins_anew,
    acknowledgements_at_once_end_at_the_largest,
);

async fn cursor(store: &Store, consumer: &str) -> Option<String> {
    let cursor = store.events().cursor(consumer, "t").await.unwrap();
    cursor.map(|cursor| cursor.to_string())
}

async fn an_acknowledgement_only_goes_forward(store: Store) {
    let cursors = publish(&store, "t", 0..5).await;
    let error = store.events().cursor("c", "t").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    for (acked, expected) in [(1, 1), (3, 3), (0, 3), (3, 3), (2, 3), (4, 4)] {
        store.events().ack("c", "t", &cursors[acked]).await.unwrap();
        assert_eq!(cursor(&store, "c").await.as_ref(), Some(&cursors[expected]));
    }
}

async fn a_consumer_goes_on_after_what_it_acknowledged(store: Store) {
    let cursors = publish(&store, "t", 0..6).await;
    let consumer = || Start::Consumer("c".to_owned());
    let mut first = subscribe(&store, "t", consumer()).await;
    assert_eq!(take(&mut first, 3).await, [0, 1, 2]);
    assert_eq!(cursor(&store, "c").await, None, "registered, nothing acknowledged");
    store.events().ack("c", "t", &cursors[1]).await.unwrap();
    drop(first);
    let mut again = subscribe(&store, "t", consumer()).await;
    assert_eq!(take(&mut again, 4).await, [2, 3, 4, 5]);
}

async fn consumers_are_independent_and_tell_their_lag(store: Store) {
    let cursors = publish(&store, "t", 0..10).await;
    store.events().ack("b", "t", &cursors[8]).await.unwrap();
    store.events().ack("a", "t", &cursors[0]).await.unwrap();
    drop(subscribe(&store, "t", Start::Consumer("new".to_owned())).await);
    store.events().ack("a", "t", &cursors[2]).await.unwrap();
    let found = store.events().consumers("t").await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.consumer.as_str(), one.lag, one.acked.as_ref().map(ToString::to_string)))
        .collect();
    let at = |place: usize| Some(cursors[place].clone());
    assert_eq!(told, [("a", 7, at(2)), ("b", 1, at(8)), ("new", 10, None)]);
    assert!(found.iter().all(|one| one.seen > 0 && one.forgotten.is_none()));
    assert!(store.events().consumers("other").await.unwrap().is_empty());
}

async fn seeking_goes_back_and_forward(store: Store) {
    let cursors = publish(&store, "t", 0..5).await;
    store.events().ack("c", "t", &cursors[4]).await.unwrap();
    store.events().seek("c", "t", Start::After(cursors[1].clone())).await.unwrap();
    assert_eq!(cursor(&store, "c").await.as_ref(), Some(&cursors[1]));
    store.events().seek("c", "t", Start::Beginning).await.unwrap();
    assert_eq!(cursor(&store, "c").await, None);
    store.events().seek("c", "t", Start::Now).await.unwrap();
    assert_eq!(cursor(&store, "c").await.as_ref(), Some(&cursors[4]));
    store.events().seek("new", "t", Start::After(cursors[0].clone())).await.unwrap();
    assert_eq!(cursor(&store, "new").await.as_ref(), Some(&cursors[0]));
    let error = store.events().seek("c", "t", Start::Consumer("new".into())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let error = store.events().seek("c", "t", Start::After("x".into())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownCursor, "{error}");
}

async fn a_forgotten_consumer_begins_anew(store: Store) {
    let cursors = publish(&store, "t", 0..3).await;
    let other = publish(&store, "u", 0..3).await;
    store.events().ack("c", "t", &cursors[2]).await.unwrap();
    store.events().ack("c", "u", &other[2]).await.unwrap();
    store.events().ack("d", "t", &cursors[1]).await.unwrap();
    assert_eq!(store.events().forget("c").await.unwrap(), 2);
    assert_eq!(store.events().forget("c").await.unwrap(), 0);
    assert_eq!(store.events().cursor("c", "t").await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(cursor(&store, "d").await.as_ref(), Some(&cursors[1]));
    let mut again = subscribe(&store, "t", Start::Consumer("c".to_owned())).await;
    assert_eq!(take(&mut again, 3).await, [0, 1, 2]);
}

async fn acknowledgements_at_once_end_at_the_largest(store: Store) {
    let cursors = publish(&store, "t", 0..64).await;
    let tasks: Vec<_> = cursors
        .iter()
        .map(|cursor| {
            let (store, cursor) = (store.clone(), cursor.clone());
            tokio::spawn(async move { store.events().ack("c", "t", &cursor).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(cursor(&store, "c").await.as_ref(), cursors.last());
}
