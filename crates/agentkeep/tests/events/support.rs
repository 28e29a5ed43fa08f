//! What the tests share.

use std::time::Duration;

use agentkeep::{Event, Start, Store, StoredEvent, Subscription};
use serde_json::json;

pub(crate) use crate::drivers::on_every_driver;

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn event(n: u64) -> Event {
    Event::of(&json!({ "n": n })).unwrap()
}

pub(crate) fn n_of(event: &StoredEvent) -> u64 {
    serde_json::from_str::<serde_json::Value>(event.body.as_str()).unwrap()["n"].as_u64().unwrap()
}

/// Publishes events with these numbers in one commit; answers their cursors.
pub(crate) async fn publish(
    store: &Store,
    topic: &str,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<String> {
    let events = numbers.into_iter().map(event).collect();
    let published = store.events().publish_many(topic, events).await.unwrap();
    published.into_iter().map(|one| one.cursor.to_string()).collect()
}

pub(crate) async fn subscribe(store: &Store, topic: &str, start: Start) -> Subscription {
    store.events().subscribe(topic, start).await.unwrap()
}

/// The next event, which must come.
pub(crate) async fn next(subscription: &mut Subscription) -> StoredEvent {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.unwrap().unwrap().unwrap()
}

/// The numbers of the next so many events.
pub(crate) async fn take(subscription: &mut Subscription, count: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(n_of(&next(subscription).await));
    }
    numbers
}

/// True when nothing is there now: a later event is the next one.
pub(crate) async fn is_at_end(store: &Store, topic: &str, subscription: &mut Subscription) -> bool {
    publish(store, topic, [999_999]).await;
    n_of(&next(subscription).await) == 999_999
}

pub(crate) async fn all(store: &Store, topic: &str) -> Vec<u64> {
    let found = store.events().recover(topic, None, 10_000).await.unwrap();
    assert!(!found.more);
    found.events.iter().map(n_of).collect()
}
