//! What AgentX's own queue promises, restated.

use agentkeep::{Start, Store};

use crate::support::{all, event, on_every_driver, publish, subscribe, take};

on_every_driver!(
    cursors_are_unique,
    whoever_unsubscribes_gets_nothing_more,
    a_client_that_reconnects_misses_nothing,
    independent_consumers_acknowledge_on_their_own,
);

async fn cursors_are_unique(store: Store) {
    let mut cursors = Vec::new();
    for topic in ["a", "b"] {
        for n in 0..50 {
            cursors.push(store.events().publish(topic, event(n)).await.unwrap().to_string());
        }
    }
    cursors.sort();
    cursors.dedup();
    assert_eq!(cursors.len(), 100);
}

async fn whoever_unsubscribes_gets_nothing_more(store: Store) {
    let mut subscription = subscribe(&store, "t", Start::Now).await;
    publish(&store, "t", [1]).await;
    assert_eq!(take(&mut subscription, 1).await, [1]);
    drop(subscription);
    publish(&store, "t", [2]).await;
    assert_eq!(all(&store, "t").await, [1, 2], "publishing goes on");
}

async fn a_client_that_reconnects_misses_nothing(store: Store) {
    publish(&store, "t", 0..3).await;
    let mut subscription = subscribe(&store, "t", Start::Beginning).await;
    take(&mut subscription, 2).await;
    let last = crate::support::next(&mut subscription).await.cursor;
    store.events().ack("client", "t", &last).await.unwrap();
    drop(subscription);
    publish(&store, "t", 3..6).await;
    let mut again = subscribe(&store, "t", Start::Consumer("client".to_owned())).await;
    assert_eq!(take(&mut again, 3).await, [3, 4, 5]);
    let recovered = store.events().recover("t", Some(last.as_str()), 2).await.unwrap();
    assert!(recovered.more);
    assert_eq!(recovered.events.len(), 2);
}

async fn independent_consumers_acknowledge_on_their_own(store: Store) {
    let cursors = publish(&store, "t", 0..4).await;
    for (consumer, place) in [("a", 0), ("b", 3), ("c", 1)] {
        store.events().ack(consumer, "t", &cursors[place]).await.unwrap();
    }
    for (consumer, left) in [("a", vec![1, 2, 3]), ("c", vec![2, 3])] {
        let mut own = subscribe(&store, "t", Start::Consumer(consumer.to_owned())).await;
        assert_eq!(take(&mut own, left.len() as u64).await, left);
    }
}
