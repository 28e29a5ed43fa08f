//! Acknowledging, seeking and trimming at once.

use agentkeep::{Bounds, Event, Kind, Retention, Start, Store};
use shuttle::future::spawn;

use crate::{check, store};

async fn published(store: &Store) -> Vec<String> {
    let events = (0..4_u64).map(|n| Event::of(&n).unwrap()).collect();
    let published = store.events().publish_many("t", events).await.unwrap();
    published.into_iter().map(|one| one.cursor.to_string()).collect()
}

/// Others may keep changing what an acknowledgement depends on.
async fn ack(store: &Store, cursor: &str) {
    while let Err(error) = store.events().ack("c", "t", cursor).await {
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
    }
}

#[test]
fn an_acknowledgement_never_goes_back_in_any_schedule() {
    check(|| async {
        let store = store();
        let cursors = published(&store).await;
        let tasks = [1, 3, 2].map(|place: usize| {
            let (store, cursor) = (store.clone(), cursors[place].clone());
            spawn(async move {
                ack(&store, &cursor).await;
                let now = store.events().cursor("c", "t").await.unwrap().unwrap();
                assert!(now.as_str() >= cursor.as_str());
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let now = store.events().cursor("c", "t").await.unwrap().unwrap();
        assert_eq!(now.as_str(), cursors[3]);
    });
}

#[test]
fn what_is_claimed_is_not_trimmed_in_any_schedule() {
    check(|| async {
        let store = store();
        let cursors = published(&store).await;
        let bounds = Bounds { count: Some(1), ..Bounds::default() };
        let rule = Retention { keep: bounds, ..Retention::default() };
        store.events().set_retention("t", Some(rule)).await.unwrap();
        store.events().ack("a", "t", &cursors[2]).await.unwrap();
        let trimming = {
            let store = store.clone();
            spawn(async move { store.events().retain().await })
        };
        let back = {
            let (store, cursor) = (store.clone(), cursors[0].clone());
            spawn(async move { store.events().seek("a", "t", Start::After(cursor)).await })
        };
        let new = {
            let store = store.clone();
            spawn(async move { store.events().subscribe("t", Start::Consumer("b".into())).await })
        };
        let run = trimming.await.unwrap();
        if let Err(error) = &run {
            assert_eq!(error.kind(), Kind::Conflict, "{error}");
        }
        let back = back.await.unwrap();
        let kept = store.events().recover("t", None, 10).await.unwrap().events;
        let first = kept[0].number;
        match back {
            Ok(()) => assert!(first <= 2, "what it went back to is there: {first}"),
            Err(error) => assert!(
                matches!(error.kind(), Kind::Trimmed | Kind::Conflict),
                "or it was told: {error}"
            ),
        }
        match new.await.unwrap() {
            Ok(mut subscription) => {
                let begun = subscription.next().await.unwrap().unwrap();
                assert_eq!(begun.number, first, "nothing was trimmed after it had begun");
            }
            Err(error) => {
                assert!(matches!(error.kind(), Kind::Trimmed | Kind::Conflict), "{error}");
            }
        }
    });
}
