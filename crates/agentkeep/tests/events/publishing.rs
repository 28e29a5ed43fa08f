//! Publishing and recovering.

use agentkeep::{Container, Event, Kind, List, Store};
use serde_json::json;

use crate::support::{all, event, on_every_driver, publish};

on_every_driver!(
    cursors_are_ordered_and_of_the_right_form,
    numbers_are_dense_and_bodies_as_given,
    many_are_one_commit,
    the_same_key_publishes_once,
    some_known_keys_do_not_keep_new_events_out,
    a_known_key_keeps_nothing_else_of_its_unit_out,
    publishers_whose_keys_overlap_are_all_answered,
    a_unit_publishes_with_what_it_writes_or_not_at_all,
    topics_do_not_see_each_other,
    namespaces_do_not_see_each_other,
    recovering_says_whether_there_is_more,
    cursors_of_others_are_unknown,
    bad_input_is_refused_and_publishes_nothing,
    topics_tell_counts_and_sizes,
    a_closed_store_publishes_nothing,
    sixteen_publishers_share_a_new_topic,
);

async fn cursors_are_ordered_and_of_the_right_form(store: Store) {
    let mut cursors = publish(&store, "t", 0..40).await;
    cursors.push(store.events().publish("t", event(40)).await.unwrap().to_string());
    assert!(cursors.is_sorted(), "{cursors:?}");
    for cursor in &cursors {
        let (front, end) = cursor.split_once('-').unwrap();
        let digits = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        assert!(front.bytes().all(digits) && !front.is_empty(), "{cursor}");
        assert!(end.len() == 4 && end.bytes().all(|byte| byte.is_ascii_digit()), "{cursor}");
    }
}

async fn numbers_are_dense_and_bodies_as_given(store: Store) {
    let odd = r#"{"b":1,"a":18446744073709551615,"far":1e999,"zero":"\u0000","":null}"#;
    let bodies = [odd, "null", "[]", "\"text\"", "1.50", "true"];
    for body in bodies {
        let event = Event::from_json(agentkeep::Json::parse(body).unwrap());
        store.events().publish("t", event).await.unwrap();
    }
    let found = store.events().recover("t", None, 100).await.unwrap().events;
    let texts: Vec<&str> = found.iter().map(|event| event.body.as_str()).collect();
    assert_eq!(texts, bodies);
    let numbers: Vec<u64> = found.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(found.iter().all(|event| event.topic == "t" && event.time > 1_600_000_000_000));
}

async fn many_are_one_commit(store: Store) {
    let big = Event::of(&"x".repeat(9 << 20)).unwrap();
    let error = store.events().publish_many("t", vec![event(1), big]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    assert_eq!(all(&store, "t").await, [] as [u64; 0]);
    assert_eq!(publish(&store, "t", []).await, [] as [String; 0]);
    publish(&store, "t", 0..1_000).await;
    assert_eq!(all(&store, "t").await, (0..1_000).collect::<Vec<_>>());
}

async fn the_same_key_publishes_once(store: Store) {
    let keyed = |n| event(n).with_key("order-1").unwrap();
    let first = store.events().publish("t", keyed(1)).await.unwrap();
    publish(&store, "t", [2]).await;
    let again = store.events().publish_many("t", vec![keyed(1)]).await.unwrap();
    assert_eq!((&again[0].cursor, again[0].duplicate), (&first, true));
    let error = store.events().publish("t", keyed(3)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict, "{error}");
    assert_eq!(all(&store, "t").await, [1, 2]);
    // Keys are a topic's own.
    store.events().publish("u", keyed(3)).await.unwrap();
    assert_eq!(all(&store, "u").await, [3]);
}

async fn some_known_keys_do_not_keep_new_events_out(store: Store) {
    let keyed = |n: u64| event(n).with_key(&format!("k{n}")).unwrap();
    let first = store.events().publish_many("t", vec![keyed(1), keyed(2)]).await.unwrap();
    let mixed = vec![keyed(3), keyed(2), event(4), keyed(3), keyed(1)];
    let second = store.events().publish_many("t", mixed).await.unwrap();
    let duplicates: Vec<bool> = second.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [false, true, false, false, true]);
    assert_eq!(second[1].cursor, first[1].cursor);
    assert_eq!(second[4].cursor, first[0].cursor);
    assert_eq!(second[0].cursor, second[3].cursor);
    assert_eq!(all(&store, "t").await, [1, 2, 3, 4]);
}

/// What a key spares is its own event.
async fn a_known_key_keeps_nothing_else_of_its_unit_out(store: Store) {
    let keyed = || event(1).with_key("k").unwrap();
    let first = store.events().publish("t", keyed()).await.unwrap();
    let mut unit = store.unit();
    unit.containers().save(Container::new("c").unwrap());
    unit.events().publish("t", keyed()).publish("other", event(2));
    let done = unit.commit().await.unwrap();
    assert!(!done.replayed);
    assert_eq!((&done.published[0][0].cursor, done.published[0][0].duplicate), (&first, true));
    assert!(!done.published[1][0].duplicate);
    assert_eq!((all(&store, "t").await, all(&store, "other").await), (vec![1], vec![2]));
    assert!(store.containers().get("c").await.unwrap().is_some());
    // Two topics, nothing but events, one of them without a key.
    let mut unit = store.unit();
    unit.events().publish("t", keyed()).publish("other", event(3));
    unit.commit().await.unwrap();
    assert_eq!((all(&store, "t").await, all(&store, "other").await), (vec![1], vec![2, 3]));
}

/// Each finds some of its keys published by others, also while it looks which.
async fn publishers_whose_keys_overlap_are_all_answered(store: Store) {
    let keyed = |n: u64| event(n).with_key(&format!("k{n}")).unwrap();
    store.events().publish("t", keyed(0)).await.unwrap();
    for round in 0..20 {
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let store = store.clone();
                let events = [0, 100 + round, 1_000 + 10 * round + task].map(keyed).to_vec();
                tokio::spawn(async move { store.events().publish_many("t", events).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap().len(), 3);
        }
    }
    assert_eq!(all(&store, "t").await.len(), 1 + 20 * 5);
}

async fn a_unit_publishes_with_what_it_writes_or_not_at_all(store: Store) {
    let turn = agentkeep::schema::Turn::new("turn-7").unwrap();
    let mut unit = store.unit().turn(&turn);
    unit.containers().save(Container::new("c").unwrap());
    unit.events().publish("t", event(1)).publish_many("u", vec![event(2), event(3)]);
    unit.events().publish("t", event(4));
    let done = unit.commit().await.unwrap();
    let counts: Vec<usize> = done.published.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 1]);
    assert!(done.published[0][0].cursor < done.published[2][0].cursor);
    let found = store.events().recover("t", None, 10).await.unwrap().events;
    assert_eq!(found[1].cursor, done.published[2][0].cursor);
    assert!(found.iter().all(|event| event.turn.as_deref() == Some("turn-7")));

    let mut unit = store.unit();
    unit.events().publish("t", event(5));
    unit.messages("no such session").add(agentkeep::Message::user("lost").unwrap());
    assert_eq!(unit.commit().await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(all(&store, "t").await, [1, 4]);
}

async fn topics_do_not_see_each_other(store: Store) {
    for (n, topic) in ["a", "a/", "A", "a/b", "a b", "é", "%", "a'; --"].iter().enumerate() {
        publish(&store, topic, [n as u64]).await;
    }
    for (n, topic) in ["a", "a/", "A", "a/b", "a b", "é", "%", "a'; --"].iter().enumerate() {
        assert_eq!(all(&store, topic).await, [n as u64], "{topic}");
    }
}

async fn namespaces_do_not_see_each_other(store: Store) {
    let other = store.namespace("other").unwrap();
    let cursor = publish(&store, "t", [1]).await.remove(0);
    assert_eq!(all(&other, "t").await, [] as [u64; 0]);
    publish(&other, "t", [2]).await;
    let error = other.events().recover("t", Some(&cursor), 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownCursor);
    assert_eq!(all(&store, "t").await, [1]);
    assert_eq!(all(&other, "t").await, [2]);
}

async fn recovering_says_whether_there_is_more(store: Store) {
    let cursors = publish(&store, "t", 0..10).await;
    let recover = async |after: Option<usize>, limit| {
        let after = after.map(|place| cursors[place].as_str());
        let found = store.events().recover("t", after, limit).await.unwrap();
        let numbers: Vec<u64> = found.events.iter().map(crate::support::n_of).collect();
        (numbers, found.more)
    };
    assert_eq!(recover(None, 10).await, ((0..10).collect(), false));
    assert_eq!(recover(None, 9).await, ((0..9).collect(), true));
    assert_eq!(recover(Some(4), 3).await, (vec![5, 6, 7], true));
    assert_eq!(recover(Some(4), 100).await, (vec![5, 6, 7, 8, 9], false));
    assert_eq!(recover(Some(9), 100).await, (vec![], false));
    let nothing = store.events().recover("nothing", None, 5).await.unwrap();
    assert!(nothing.events.is_empty() && !nothing.more);
}

async fn cursors_of_others_are_unknown(store: Store) {
    let mine = publish(&store, "t", [1]).await.remove(0);
    let other = publish(&store, "u", [1]).await.remove(0);
    let elsewhere = Store::open("memory:").await.unwrap();
    let foreign = publish(&elsewhere, "t", [1]).await.remove(0);
    let upper = mine.to_uppercase();
    for cursor in [other.as_str(), &foreign, &upper, "", "0000-0000", "né", "' OR 1=1"] {
        let error = store.events().recover("t", Some(cursor), 5).await.unwrap_err();
        assert_eq!(error.kind(), Kind::UnknownCursor, "{cursor}: {error}");
        let error = store.events().ack("c", "t", cursor).await.unwrap_err();
        assert_eq!(error.kind(), Kind::UnknownCursor, "{cursor}: {error}");
        assert!(error.advice_text().is_some());
    }
    // The number of an event that a lost future had.
    let ahead = format!("{:0>13}{}", "zz", &mine[13..]);
    let error = store.events().recover("t", Some(&ahead), 5).await.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::CursorAhead, Some(2)), "{error}");
    let error = store.events().ack("c", "t", &ahead).await.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::CursorAhead, Some(2)), "{error}");
    assert!(store.events().consumers("t").await.unwrap().is_empty(), "nobody was registered");
}

async fn bad_input_is_refused_and_publishes_nothing(store: Store) {
    let long = "x".repeat(256);
    for topic in ["", "a\nb", &long] {
        for error in [
            store.events().publish(topic, event(1)).await.unwrap_err(),
            store.events().publish_many(topic, vec![event(1)]).await.unwrap_err(),
            store.events().recover(topic, None, 1).await.unwrap_err(),
            store.events().subscribe(topic, agentkeep::Start::Now).await.unwrap_err(),
            store.events().consumers(topic).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::InvalidId, "{topic:?}: {error}");
        }
    }
    publish(&store, "t", [1]).await;
    for consumer in ["", "a\u{0}b", &long] {
        let cursor = store.events().recover("t", None, 1).await.unwrap().events.remove(0).cursor;
        let error = store.events().ack(consumer, "t", &cursor).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidId, "{consumer:?}: {error}");
    }
    for limit in [0, 10_001] {
        let error = store.events().recover("t", None, limit).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
    assert_eq!(Event::of("x").unwrap().with_key("").unwrap_err().kind(), Kind::InvalidId);
    let names: Vec<String> = topics(&store).await.into_iter().map(|topic| topic.0).collect();
    assert_eq!(names, ["t"]);
}

async fn topics(store: &Store) -> Vec<(String, u64, u64)> {
    let page = store.events().topics(&List::default()).await.unwrap();
    page.items.into_iter().map(|topic| (topic.topic, topic.events, topic.bytes)).collect()
}

async fn topics_tell_counts_and_sizes(store: Store) {
    assert_eq!(topics(&store).await, []);
    publish(&store, "b", 0..3).await;
    publish(&store, "a", [7]).await;
    store.events().publish("a", Event::of(&json!("é")).unwrap()).await.unwrap();
    assert_eq!(topics(&store).await, [("a".into(), 2, 7 + 4), ("b".into(), 3, 21)]);
    let first = store.events().topics(&List::of(1).unwrap()).await.unwrap();
    assert_eq!(first.items[0].topic, "a");
    let list = List::default().after(&first.next.unwrap());
    let rest = store.events().topics(&list).await.unwrap();
    assert_eq!((rest.items[0].topic.as_str(), rest.next), ("b", None));
    let found = store.events().recover("b", None, 10).await.unwrap().events;
    let info = &rest.items[0];
    assert_eq!(info.first.as_ref(), Some(&found[0].cursor));
    assert_eq!(info.last.as_ref(), Some(&found[2].cursor));
}

async fn a_closed_store_publishes_nothing(store: Store) {
    // The store that the test was given is looked at afterwards.
    drop(store);
    let closed = Store::open("memory:").await.unwrap();
    publish(&closed, "t", [1]).await;
    let mut subscription =
        closed.events().subscribe("t", agentkeep::Start::Beginning).await.unwrap();
    assert_eq!(crate::support::take(&mut subscription, 1).await, [1]);
    closed.close().await.unwrap();
    let error = closed.events().publish("t", event(2)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed, "{error}");
    assert!(subscription.next().await.is_none(), "a subscription ends with the store");
}

async fn sixteen_publishers_share_a_new_topic(store: Store) {
    let publishers: Vec<_> = (0..16)
        .map(|publisher: u64| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    store.events().publish("t", event(publisher * 100 + n)).await.unwrap();
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let found = store.events().recover("t", None, 1_000).await.unwrap().events;
    let numbers: Vec<u64> = found.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    for publisher in 0..16 {
        let own = found.iter().map(crate::support::n_of).filter(|n| n / 100 == publisher);
        assert!(own.eq(publisher * 100..publisher * 100 + 25), "in the order of each");
    }
}
