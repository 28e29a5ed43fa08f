//! The seam between history and live, with everybody at full speed.

use agentkeep::{Start, Store};

use crate::support::{event, next, on_every_driver};

on_every_driver!(a_hundred_subscriptions_start_while_others_publish);

const PUBLISHERS: u64 = 4;
const EACH: u64 = 400;

async fn a_hundred_subscriptions_start_while_others_publish(store: Store) {
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    if n % 3 == 0 {
                        let two = vec![event(publisher), event(n)];
                        store.events().publish_many("t", two).await.unwrap();
                    } else {
                        store.events().publish("t", event(n)).await.unwrap();
                    }
                }
            })
        })
        .collect();
    let all = PUBLISHERS * (EACH + EACH.div_ceil(3));
    let subscribers: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                // Starts are spread over the publishing by waiting for events.
                let from = n * all / 120;
                let mut ahead = store.events().subscribe("t", Start::Now).await.unwrap();
                let mut last = 0;
                while last < from {
                    last = next(&mut ahead).await.number;
                }
                let (start, first) = match n % 3 {
                    0 => (Start::Beginning, Some(1)),
                    1 if last > 0 => {
                        let first = store.events().recover("t", None, 1).await.unwrap();
                        (Start::After(first.events[0].cursor.to_string()), Some(2))
                    }
                    _ => (Start::Now, None),
                };
                let mut subscription = store.events().subscribe("t", start).await.unwrap();
                let mut expected = first;
                loop {
                    let number = next(&mut subscription).await.number;
                    assert_eq!(number, expected.unwrap_or(number), "dense, in order, once");
                    assert!(expected.is_some() || number > last, "now is after what was seen");
                    if number >= all {
                        return;
                    }
                    expected = Some(number + 1);
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    // Who subscribed after the last of them waits for one more.
    let extra = store.clone();
    let poker = tokio::spawn(async move {
        loop {
            extra.events().publish("t", event(0)).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for subscriber in subscribers {
        subscriber.await.unwrap();
    }
    poker.abort();
    let _ = poker.await;
}
