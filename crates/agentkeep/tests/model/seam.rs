//! The seam between history and live.

use agentkeep::{Event, Start, Store};
use shuttle::future::spawn;

use crate::{check, store};

/// Events of the two publishers.
const ALL: u64 = 4;

#[test]
fn a_subscription_has_no_gap_and_no_repetition_in_any_schedule() {
    check(|| async {
        let store = store();
        let publishers = [1, 2].map(|publisher| {
            let store = store.clone();
            spawn(async move {
                let event = |n: u64| Event::of(&(publisher * 10 + n)).unwrap();
                if publisher == 1 {
                    store.events().publish_many("t", vec![event(0), event(1)]).await.unwrap();
                } else {
                    store.events().publish("t", event(0)).await.unwrap();
                    store.events().publish("t", event(1)).await.unwrap();
                }
            })
        });
        let subscribers = [Start::Beginning, Start::Now, Start::Consumer("c".into())]
            .map(|start| spawn(follow(store.clone(), start)));
        for publisher in publishers {
            publisher.await.unwrap();
        }
        // Who began at the end still waits for one.
        store.events().publish("t", Event::of("end").unwrap()).await.unwrap();
        for subscriber in subscribers {
            subscriber.await.unwrap();
        }
    });
}

async fn follow(store: Store, start: Start) {
    let from_now = start == Start::Now;
    let mut subscription = store.events().subscribe("t", start).await.unwrap();
    let mut expected = None;
    // One that begins after the end waits for ever: it is told so by the topic's end.
    if from_now {
        let there = store.events().recover("t", None, 10).await.unwrap().events;
        if there.last().is_some_and(|last| last.number == ALL + 1) {
            return;
        }
    } else {
        expected = Some(1);
    }
    loop {
        let event = subscription.next().await.unwrap().unwrap();
        assert_eq!(event.number, expected.unwrap_or(event.number));
        if event.number == ALL + 1 {
            return;
        }
        expected = Some(event.number + 1);
    }
}
