//! Subscriptions.

use agentkeep::{Kind, Start, Store, Topics};

use crate::support::{event, is_at_end, n_of, next, on_every_driver, publish, subscribe, take};

on_every_driver!(
    history_then_live,
    a_subscription_begins_where_it_is_told,
    a_topic_may_come_later,
    several_subscribers_get_all,
    a_list_of_topics_is_one_stream,
    topics_below_a_prefix_join_when_they_come,
    a_position_is_gone_on_from,
    waiting_can_be_given_up,
    a_slow_subscriber_keeps_nobody_waiting,
    positions_and_cursors_of_others_are_refused,
    a_namespace_that_is_deleted_ends_its_subscriptions,
);

async fn history_then_live(store: Store) {
    publish(&store, "t", 0..2_500).await;
    let mut subscription = subscribe(&store, "t", Start::Beginning).await;
    assert_eq!(take(&mut subscription, 2_500).await, (0..2_500).collect::<Vec<_>>());
    let waiting = tokio::spawn(async move {
        let events = take(&mut subscription, 3).await;
        (events, subscription)
    });
    publish(&store, "t", [2_500]).await;
    publish(&store, "t", [2_501, 2_502]).await;
    let (events, _subscription) = waiting.await.unwrap();
    assert_eq!(events, [2_500, 2_501, 2_502]);
}

async fn a_subscription_begins_where_it_is_told(store: Store) {
    let cursors = publish(&store, "t", 0..5).await;
    let mut now = subscribe(&store, "t", Start::Now).await;
    let mut after = subscribe(&store, "t", Start::After(cursors[2].clone())).await;
    let mut last = subscribe(&store, "t", Start::After(cursors[4].clone())).await;
    assert_eq!(take(&mut after, 2).await, [3, 4]);
    publish(&store, "t", [5]).await;
    assert_eq!(take(&mut now, 1).await, [5]);
    assert_eq!(take(&mut last, 1).await, [5]);
    assert_eq!(take(&mut after, 1).await, [5]);
}

async fn a_topic_may_come_later(store: Store) {
    for start in [Start::Beginning, Start::Now, Start::Consumer("c".into())] {
        let topic = format!("later/{start:?}").replace('"', "");
        let mut subscription = subscribe(&store, &topic, start).await;
        publish(&store, &topic, [1]).await;
        assert_eq!(take(&mut subscription, 1).await, [1], "{topic}");
        assert!(is_at_end(&store, &topic, &mut subscription).await);
    }
}

async fn several_subscribers_get_all(store: Store) {
    let mut subscriptions = Vec::new();
    for _ in 0..5 {
        subscriptions.push(subscribe(&store, "t", Start::Now).await);
    }
    publish(&store, "t", 0..50).await;
    drop(subscriptions.pop());
    for subscription in &mut subscriptions {
        assert_eq!(take(subscription, 50).await, (0..50).collect::<Vec<_>>());
    }
}

async fn a_list_of_topics_is_one_stream(store: Store) {
    publish(&store, "a", 0..3).await;
    publish(&store, "b", 10..13).await;
    publish(&store, "c", [99]).await;
    let topics = Topics::list(["b", "a", "d", "a"]);
    let mut subscription = store.events().subscribe(topics, Start::Beginning).await.unwrap();
    publish(&store, "d", [20]).await;
    let mut all = take(&mut subscription, 7).await;
    let of = |all: &[u64], from: u64| -> Vec<u64> {
        all.iter().copied().filter(|n| (from..from + 10).contains(n)).collect()
    };
    assert_eq!((of(&all, 0), of(&all, 10)), (vec![0, 1, 2], vec![10, 11, 12]), "order in each");
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 10, 11, 12, 20]);
    publish(&store, "b", [13]).await;
    publish(&store, "c", [98]).await;
    publish(&store, "a", [3]).await;
    let mut live = take(&mut subscription, 2).await;
    live.sort_unstable();
    assert_eq!(live, [3, 13]);
}

async fn topics_below_a_prefix_join_when_they_come(store: Store) {
    for (n, topic) in
        ["chat", "chat/1", "chat/1/tools", "chatter", "cha", "chat0"].iter().enumerate()
    {
        publish(&store, topic, [n as u64]).await;
    }
    let mut now = store.events().subscribe(Topics::below("chat"), Start::Now).await.unwrap();
    let mut all = store.events().subscribe(Topics::below("chat/"), Start::Beginning).await.unwrap();
    let mut any = store.events().subscribe(Topics::below(""), Start::Beginning).await.unwrap();
    let mut found = take(&mut all, 3).await;
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2]);
    assert_eq!(take(&mut any, 6).await.iter().sum::<u64>(), 15);
    publish(&store, "chat/2", [20, 21]).await;
    assert_eq!(take(&mut now, 2).await, [20, 21], "a new topic joins from its beginning");
    assert_eq!(take(&mut all, 2).await, [20, 21]);
    publish(&store, "chats", [30]).await;
    publish(&store, "chat/1", [31]).await;
    assert_eq!(take(&mut now, 1).await, [31]);
}

async fn a_position_is_gone_on_from(store: Store) {
    let topics = || Topics::list(["a", "b"]);
    publish(&store, "a", 0..3).await;
    publish(&store, "b", 10..13).await;
    let mut first = store.events().subscribe(topics(), Start::Beginning).await.unwrap();
    let mut seen = take(&mut first, 4).await;
    let position = first.position();
    drop(first);
    publish(&store, "b", [13]).await;
    let again = Start::Position(position);
    let mut second = store.events().subscribe(topics(), again).await.unwrap();
    seen.extend(take(&mut second, 3).await);
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 10, 11, 12, 13]);
    // A subscription that has not been asked yet is where it began.
    let idle = store.events().subscribe(topics(), Start::Now).await.unwrap();
    publish(&store, "a", [3]).await;
    let again = Start::Position(idle.position());
    let mut third = store.events().subscribe(topics(), again).await.unwrap();
    assert_eq!(take(&mut third, 1).await, [3]);
}

async fn waiting_can_be_given_up(store: Store) {
    let mut subscription = subscribe(&store, "t", Start::Beginning).await;
    for n in 0..50 {
        // Given up at some instant of its work, over and over.
        for _ in 0..n % 4 {
            let given_up = std::time::Duration::from_micros(n * 7);
            if let Ok(event) = tokio::time::timeout(given_up, subscription.next()).await {
                panic!("an event that nobody published: {event:?}");
            }
        }
        publish(&store, "t", [n]).await;
        loop {
            let given_up = std::time::Duration::from_micros(n * 13);
            if let Ok(event) = tokio::time::timeout(given_up, subscription.next()).await {
                assert_eq!(n_of(&event.unwrap().unwrap()), n);
                break;
            }
        }
    }
}

async fn a_slow_subscriber_keeps_nobody_waiting(store: Store) {
    let mut slow = subscribe(&store, "t", Start::Now).await;
    publish(&store, "t", [0]).await;
    assert_eq!(take(&mut slow, 1).await, [0]);
    for start in (1..10_001).step_by(1_000) {
        publish(&store, "t", start..start + 1_000).await;
    }
    assert_eq!(take(&mut slow, 10_000).await, (1..10_001).collect::<Vec<_>>());
}

async fn positions_and_cursors_of_others_are_refused(store: Store) {
    let cursor = publish(&store, "t", [1]).await.remove(0);
    let other = publish(&store, "u", [1]).await.remove(0);
    let events = store.events();
    let refused = async |topics: Topics, start| events.subscribe(topics, start).await.unwrap_err();
    let error = refused("t".into(), Start::After(other)).await;
    assert_eq!(error.kind(), Kind::UnknownCursor, "{error}");
    let error = refused("nothing".into(), Start::After(cursor.clone())).await;
    assert_eq!(error.kind(), Kind::UnknownCursor, "{error}");
    let error = refused(Topics::list(["t", "u"]), Start::After(cursor)).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    for position in ["", "x", "bm8", "WyJ0b3BpY3MtMSIsMV0"] {
        let error = refused("t".into(), Start::Position(position.into())).await;
        assert_eq!(error.kind(), Kind::UnknownCursor, "{position}: {error}");
    }
    let elsewhere = Store::open("memory:").await.unwrap();
    publish(&elsewhere, "t", [1]).await;
    let foreign = subscribe(&elsewhere, "t", Start::Now).await.position();
    let error = refused("t".into(), Start::Position(foreign)).await;
    assert_eq!(error.kind(), Kind::UnknownCursor, "{error}");
    let error = refused(Topics::list(Vec::<String>::new()), Start::Now).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

async fn a_namespace_that_is_deleted_ends_its_subscriptions(store: Store) {
    let gone = store.namespace("gone").unwrap();
    publish(&gone, "t", 0..3).await;
    let mut subscription = subscribe(&gone, "t", Start::Beginning).await;
    assert_eq!(take(&mut subscription, 3).await, [0, 1, 2]);
    assert!(store.namespaces().delete("gone").await.unwrap());
    gone.events().publish("t", event(3)).await.unwrap();
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "the new topic is another one: {error}");
    assert!(subscription.next().await.is_none());
    let mut anew = subscribe(&gone, "t", Start::Beginning).await;
    assert_eq!(n_of(&next(&mut anew).await), 3);
}
