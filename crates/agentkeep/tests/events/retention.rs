//! Retention, with a clock that the tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use agentkeep::{Bounds, Clock, Kind, Retention, Start, Store, SystemClock};

use crate::support::{all, event, on_every_driver, publish, subscribe, take};

on_every_driver!(
    nothing_young_goes,
    what_is_too_old_goes_at_most_half_at_first,
    a_jump_ahead_empties_nothing,
    a_frozen_clock_and_one_gone_back_freeze_nothing,
    counts_and_bytes_are_bounds_too,
    what_a_consumer_needs_is_kept,
    a_hard_bound_takes_it_and_says_so,
    an_absent_consumer_is_forgotten_and_listed,
    a_key_is_known_after_its_event_has_gone,
    one_process_at_a_time,
    rules_are_kept_and_checked,
    registering_and_going_back_race_with_trimming,
    numbers_go_on_after_everything_has_gone,
);

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A clock whose parts are moved by hand.
#[derive(Debug)]
struct Hand {
    wall: AtomicI64,
    passed: AtomicU64,
}

impl Hand {
    fn new() -> Arc<Self> {
        let wall = SystemClock::default().wall();
        Arc::new(Self { wall: AtomicI64::new(wall), passed: AtomicU64::new(0) })
    }

    /// Time passes, and the wall clock shows it.
    fn pass(&self, ms: i64) {
        self.jump(ms);
        self.pass_unseen(ms);
    }

    /// The wall clock jumps.
    fn jump(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }

    /// Time passes, and the wall clock does not show it.
    fn pass_unseen(&self, ms: i64) {
        self.passed.fetch_add(u64::try_from(ms).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }
}

/// The same data as another process sees it that opens the store now.
fn opened(store: &Store) -> (Store, Arc<Hand>) {
    let hand = Hand::new();
    (Store::with_clock(Arc::clone(store.driver()), hand.clone()), hand)
}

async fn trimmed(store: &Store) -> u64 {
    store.events().retain().await.unwrap().trimmed
}

fn count(count: u64) -> Bounds {
    Bounds { count: Some(count), ..Bounds::default() }
}

async fn nothing_young_goes(store: Store) {
    let (store, hand) = opened(&store);
    publish(&store, "t", 0..100).await;
    hand.pass(DAY - HOUR);
    for _ in 0..3 {
        assert_eq!(trimmed(&store).await, 0);
        hand.pass(6 * 60_000);
    }
    assert_eq!(all(&store, "t").await.len(), 100);
}

async fn what_is_too_old_goes_at_most_half_at_first(store: Store) {
    let (store, hand) = opened(&store);
    publish(&store, "t", 0..101).await;
    hand.pass(DAY + HOUR);
    publish(&store, "empty", []).await;
    assert_eq!(trimmed(&store).await, 50, "the first run takes half");
    assert_eq!(trimmed(&store).await, 0, "then it waits an interval");
    hand.pass(4 * 60_000);
    assert_eq!(trimmed(&store).await, 0);
    hand.pass(60_000);
    assert_eq!(trimmed(&store).await, 51);
    assert_eq!(trimmed(&store).await, 0);
    let error = store.events().recover("t", None, 10).await.unwrap();
    assert!(error.events.is_empty());
}

async fn a_jump_ahead_empties_nothing(store: Store) {
    let (store, hand) = opened(&store);
    publish(&store, "t", 0..100).await;
    assert_eq!(trimmed(&store).await, 0);
    hand.jump(DAY);
    for _ in 0..5 {
        assert_eq!(trimmed(&store).await, 0);
        hand.pass(6 * 60_000);
    }
    hand.pass(DAY);
    assert_eq!(trimmed(&store).await, 100);
}

async fn a_frozen_clock_and_one_gone_back_freeze_nothing(store: Store) {
    for (topic, jump) in [("frozen", 0), ("back", -HOUR)] {
        let (store, hand) = opened(&store);
        publish(&store, topic, 0..100).await;
        store.events().retain().await.unwrap();
        hand.jump(jump);
        hand.pass_unseen(DAY + HOUR);
        assert_eq!(trimmed(&store).await, 100, "{topic}");
    }
}

async fn counts_and_bytes_are_bounds_too(store: Store) {
    let (store, _hand) = opened(&store);
    publish(&store, "counted", 0..100).await;
    publish(&store, "weighed", (0..100).map(|_| 1)).await;
    let counted = Retention { keep: count(30), ..Retention::default() };
    store.events().set_retention("counted", Some(counted)).await.unwrap();
    let bytes = Bounds { bytes: Some(75), ..Bounds::default() };
    let weighed = Retention { keep: bytes, ..Retention::default() };
    store.events().set_retention("weighed", Some(weighed)).await.unwrap();
    assert_eq!(trimmed(&store).await, 70 + 90);
    assert_eq!(all(&store, "counted").await, (70..100).collect::<Vec<_>>());
    assert_eq!(all(&store, "weighed").await.len(), 10, "7 bytes each");
    assert_eq!(trimmed(&store).await, 0);
}

async fn what_a_consumer_needs_is_kept(store: Store) {
    let (store, hand) = opened(&store);
    let cursors = publish(&store, "t", 0..100).await;
    store.events().ack("slow", "t", &cursors[9]).await.unwrap();
    store.events().ack("fast", "t", &cursors[90]).await.unwrap();
    store.events().retain().await.unwrap();
    hand.pass(2 * DAY);
    assert_eq!(trimmed(&store).await, 10);
    assert_eq!(all(&store, "t").await[0], 10);
    store.events().ack("slow", "t", &cursors[50]).await.unwrap();
    assert_eq!(trimmed(&store).await, 41);
    let error = store.events().seek("fast", "t", Start::After(cursors[20].clone())).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::Trimmed, Some(52)), "{error}");
    store.events().seek("fast", "t", Start::After(cursors[50].clone())).await.unwrap();
    store.events().forget("slow").await.unwrap();
    store.events().ack("fast", "t", &cursors[99]).await.unwrap();
    assert_eq!(trimmed(&store).await, 49);
}

async fn a_hard_bound_takes_it_and_says_so(store: Store) {
    let (store, _hand) = opened(&store);
    let cursors = publish(&store, "t", 0..100).await;
    store.events().ack("slow", "t", &cursors[9]).await.unwrap();
    let mut following = subscribe(&store, "t", Start::Beginning).await;
    let rule = Retention { hard: count(20), ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    assert_eq!(trimmed(&store).await, 80);
    let consumer = Start::Consumer("slow".to_owned());
    let error = store.events().subscribe("t", consumer).await.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::Trimmed, Some(81)), "{error}");
    let error = store.events().recover("t", Some(&cursors[9]), 10).await.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::Trimmed, Some(81)), "{error}");
    let error = following.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::Trimmed, Some(81)), "{error}");
    assert!(following.next().await.is_none());
    // Right before the first one kept nothing is missing.
    let rest = store.events().recover("t", Some(&cursors[79]), 100).await.unwrap();
    assert_eq!(rest.events.len(), 20);
    let mut begun = subscribe(&store, "t", Start::Beginning).await;
    assert_eq!(take(&mut begun, 20).await, (80..100).collect::<Vec<_>>());
}

async fn an_absent_consumer_is_forgotten_and_listed(store: Store) {
    let (store, hand) = opened(&store);
    let cursors = publish(&store, "t", 0..10).await;
    store.events().ack("gone", "t", &cursors[1]).await.unwrap();
    let rule = Retention { forget_after_ms: Some(7 * 86_400_000), ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    hand.pass(6 * DAY);
    let run = store.events().retain().await.unwrap();
    assert_eq!((run.trimmed, run.forgotten), (2, vec![]));
    hand.pass(DAY + HOUR);
    let run = store.events().retain().await.unwrap();
    assert_eq!(run.forgotten, [("t".to_owned(), "gone".to_owned())]);
    assert_eq!(run.trimmed, 8);
    let listed = store.events().consumers("t").await.unwrap();
    assert!(listed[0].forgotten.is_some(), "{listed:?}");
    assert_eq!(store.events().cursor("gone", "t").await.unwrap_err().kind(), Kind::NotFound);
    let consumer = Start::Consumer("gone".to_owned());
    let error = store.events().subscribe("t", consumer.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Trimmed, "it is told what it has missed: {error}");
    store.events().seek("gone", "t", Start::Beginning).await.unwrap();
    publish(&store, "t", [10]).await;
    let mut again = subscribe(&store, "t", consumer).await;
    assert_eq!(take(&mut again, 1).await, [10]);
}

async fn a_key_is_known_after_its_event_has_gone(store: Store) {
    let (store, hand) = opened(&store);
    let keyed = |n: u64| event(n).with_key(&format!("k{n}")).unwrap();
    let first = store.events().publish("t", keyed(1)).await.unwrap();
    publish(&store, "t", 2..10).await;
    let rule = Retention { keep: count(1), ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    assert_eq!(trimmed(&store).await, 8);
    let again = store.events().publish_many("t", vec![keyed(1), keyed(20)]).await.unwrap();
    assert_eq!((&again[0].cursor, again[0].duplicate), (&first, true));
    assert!(!again[1].duplicate);
    let other = event(7).with_key("k1").unwrap();
    let error = store.events().publish("t", other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict, "{error}");
    assert_eq!(all(&store, "t").await, [9, 20]);
    // Even old keys are held while there are few.
    hand.pass(3 * DAY);
    store.events().retain().await.unwrap();
    let again = store.events().publish_many("t", vec![keyed(1)]).await.unwrap();
    assert!(again[0].duplicate);
}

async fn one_process_at_a_time(store: Store) {
    let (one, _) = opened(&store);
    publish(&one, "t", 0..100).await;
    let rule = Retention { keep: count(10), ..Retention::default() };
    one.events().set_retention("t", Some(rule)).await.unwrap();
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let (other, _) = opened(&store);
            tokio::spawn(async move { other.events().retain().await })
        })
        .collect();
    let mut sum = 0;
    for run in runs {
        match run.await.unwrap() {
            Ok(run) if run.elsewhere => assert_eq!(run.trimmed, 0),
            Ok(run) => sum += run.trimmed,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(sum, 90);
    assert_eq!(all(&one, "t").await.len(), 10);
}

async fn rules_are_kept_and_checked(store: Store) {
    let events = store.events();
    assert_eq!(events.retention("t").await.unwrap(), Retention::default());
    let own = Retention { keep: count(5), ..Retention::forever() };
    events.set_retention("t", Some(own)).await.unwrap();
    events.set_default_retention(&Retention::forever()).await.unwrap();
    assert_eq!(events.retention("t").await.unwrap(), own);
    assert_eq!(events.retention("u").await.unwrap(), Retention::forever());
    events.set_retention("t", None).await.unwrap();
    assert_eq!(events.retention("t").await.unwrap(), Retention::forever());
    let nothing = Retention { hard: count(0), ..Retention::default() };
    let error = events.set_retention("t", Some(nothing)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let error = events.set_default_retention(&nothing).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

async fn registering_and_going_back_race_with_trimming(store: Store) {
    let (store, _hand) = opened(&store);
    let rule = Retention { keep: count(1), ..Retention::default() };
    for round in 0..20 {
        let topic = format!("t{round}");
        let cursors = publish(&store, &topic, 0..20).await;
        store.events().set_retention(&topic, Some(rule)).await.unwrap();
        let seeking = {
            let (store, topic, cursor) = (store.clone(), topic.clone(), cursors[4].clone());
            tokio::spawn(
                async move { store.events().seek("c", &topic, Start::After(cursor)).await },
            )
        };
        let trimming = {
            let store = store.clone();
            tokio::spawn(async move { store.events().retain().await })
        };
        let sought = seeking.await.unwrap();
        trimming.await.unwrap().unwrap();
        match sought {
            // What it claimed is there, or it was told that it is not.
            Ok(()) => assert_eq!(all(&store, &topic).await, (5..20).collect::<Vec<_>>()),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Trimmed, "{error}");
                assert_eq!(all(&store, &topic).await, [19]);
            }
        }
    }
}

async fn numbers_go_on_after_everything_has_gone(store: Store) {
    let (store, hand) = opened(&store);
    let cursors = publish(&store, "t", 0..10).await;
    store.events().retain().await.unwrap();
    hand.pass(2 * DAY);
    assert_eq!(trimmed(&store).await, 10);
    let mut following = subscribe(&store, "t", Start::After(cursors[9].clone())).await;
    let next = publish(&store, "t", [10]).await.remove(0);
    assert!(next > cursors[9]);
    assert_eq!(take(&mut following, 1).await, [10]);
}

#[tokio::test]
async fn a_store_that_is_opened_trims_by_itself_and_stops_with_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/keep", folder.path().display());
    let store = Store::over(agentkeep::urls::open(&url).await.unwrap());
    publish(&store, "t", 0..100).await;
    let rule = Retention { keep: count(10), ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    store.close().await.unwrap();
    let store = Store::open(&url).await.unwrap();
    let mut subscription = subscribe(&store, "t", Start::Now).await;
    while all(&store, "t").await.len() > 10 {
        tokio::task::yield_now().await;
    }
    publish(&store, "t", [100]).await;
    assert_eq!(take(&mut subscription, 1).await, [100]);
    let alive = Arc::downgrade(store.driver());
    drop((store, subscription));
    while alive.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
