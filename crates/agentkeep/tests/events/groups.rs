//! Groups of workers.

use std::time::Duration;

use agentkeep::{Bounds, Event, GroupOptions, Kind, Leased, Retention, Store};

use crate::support::{n_of, on_every_driver, publish};

on_every_driver!(
    each_event_goes_to_one_worker,
    what_runs_out_is_handed_out_again_and_put_aside_in_the_end,
    what_is_given_back_comes_at_once,
    large_events_are_put_aside_too,
    a_lost_lease_ends_nothing,
    what_a_group_needs_is_kept,
    workers_at_once_share_without_repeating,
    bad_input_is_refused,
    what_a_hard_bound_took_is_told,
);

fn numbers(leased: &[Leased]) -> Vec<u64> {
    leased.iter().map(|one| n_of(&one.event)).collect()
}

/// Leases that have run out at once.
fn at_once(max_deliveries: u32) -> GroupOptions {
    GroupOptions { timeout: Duration::from_millis(1), max_deliveries }
}

/// Waits until a lease of one millisecond has run out.
async fn run_out(leased: &[Leased]) {
    let until = leased.iter().map(|one| one.until).max().unwrap_or(0);
    let clock = agentkeep::SystemClock::default();
    while agentkeep::Clock::wall(&clock) <= until {
        tokio::task::yield_now().await;
    }
}

async fn each_event_goes_to_one_worker(store: Store) {
    publish(&store, "t", 0..5).await;
    let group = store.events().group("t", "g", GroupOptions::default()).await.unwrap();
    let same = store.events().group("t", "g", GroupOptions::default()).await.unwrap();
    let a = group.receive("a", 2).await.unwrap();
    let b = same.receive("b", 2).await.unwrap();
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1], vec![2, 3]));
    for leased in a.iter().chain(&b) {
        assert_eq!(leased.deliveries, 1);
        group.ack(leased).await.unwrap();
    }
    assert_eq!(numbers(&group.receive("a", 10).await.unwrap()), [4]);
    assert!(group.receive("b", 10).await.unwrap().is_empty());
    publish(&store, "t", [5]).await;
    let info = group.info().await.unwrap();
    assert_eq!((info.waiting, info.leased, info.dead), (1, 1, 0));
    // Another group has all of them.
    let other = store.events().group("t", "h", GroupOptions::default()).await.unwrap();
    assert_eq!(numbers(&other.receive("a", 10).await.unwrap()), [0, 1, 2, 3, 4, 5]);
}

async fn what_runs_out_is_handed_out_again_and_put_aside_in_the_end(store: Store) {
    publish(&store, "t", 0..2).await;
    let group = store.events().group("t", "g", at_once(3)).await.unwrap();
    for delivery in 1..=3 {
        let leased = group.receive("a", 10).await.unwrap();
        assert_eq!(numbers(&leased), [0, 1]);
        assert!(leased.iter().all(|one| one.deliveries == delivery));
        run_out(&leased).await;
    }
    assert!(group.receive("a", 10).await.unwrap().is_empty());
    let dead = group.dead_letters().await.unwrap();
    assert_eq!(dead.len(), 2);
    assert_eq!((dead[0].deliveries, dead[0].reason.as_str()), (3, "its time ran out"));
    assert_eq!(dead[1].event.as_str(), r#"{"n":1}"#);
    let info = group.info().await.unwrap();
    assert_eq!((info.waiting, info.leased, info.dead), (0, 0, 2));
}

/// One that leaves no room for what a dead letter tells besides, and so many at once that they are too
/// much for one commit.
async fn large_events_are_put_aside_too(store: Store) {
    let text = |bytes: usize| Event::of(&"x".repeat(bytes - 2)).unwrap();
    store.events().publish("t", text(8 << 20)).await.unwrap();
    for _ in 0..9 {
        store.events().publish("t", text(15 << 19)).await.unwrap();
    }
    let group = store.events().group("t", "g", at_once(1)).await.unwrap();
    let leased = group.receive("a", 100).await.unwrap();
    assert_eq!(leased.len(), 10);
    run_out(&leased).await;
    publish(&store, "t", [1]).await;
    let mut next = Vec::new();
    while next.is_empty() {
        next = group.receive("a", 100).await.unwrap();
    }
    assert_eq!(numbers(&next), [1]);
    while group.info().await.unwrap().dead < 10 {
        group.receive("a", 100).await.unwrap();
    }
    let dead = group.dead_letters().await.unwrap();
    assert_eq!(
        (dead[0].event.as_str(), dead[0].cursor.as_str()),
        ("null", leased[0].event.cursor.as_str())
    );
    assert!(
        dead[0].reason.starts_with("its time ran out (its 8388608 bytes"),
        "{}",
        dead[0].reason
    );
    assert!(dead[1..10].iter().all(|letter| letter.event.len() == 15 << 19));
}

async fn what_is_given_back_comes_at_once(store: Store) {
    publish(&store, "t", 0..1).await;
    let options = GroupOptions { max_deliveries: 2, ..GroupOptions::default() };
    let group = store.events().group("t", "g", options).await.unwrap();
    let mut leased = group.receive("a", 1).await.unwrap();
    group.nack(&leased[0], "no tool for it").await.unwrap();
    leased = group.receive("b", 1).await.unwrap();
    assert_eq!((numbers(&leased), leased[0].deliveries), (vec![0], 2));
    group.nack(&leased[0], "still none").await.unwrap();
    assert!(group.receive("a", 1).await.unwrap().is_empty());
    let dead = group.dead_letters().await.unwrap();
    assert_eq!((dead[0].reason.as_str(), dead[0].deliveries), ("still none", 2));
    assert_eq!(dead[0].cursor, leased[0].event.cursor.as_str());
}

async fn a_lost_lease_ends_nothing(store: Store) {
    publish(&store, "t", 0..1).await;
    let group = store.events().group("t", "g", at_once(100)).await.unwrap();
    let mut old = group.receive("a", 1).await.unwrap();
    run_out(&old).await;
    let new = group.receive("b", 1).await.unwrap();
    assert_eq!(numbers(&new), [0]);
    for error in [
        group.ack(&old[0]).await.unwrap_err(),
        group.nack(&old[0], "late").await.unwrap_err(),
        group.extend(&mut old[0]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::LeaseLost, "{error}");
    }
    let mut new = new.into_iter().next().unwrap();
    let until = new.until;
    group.extend(&mut new).await.unwrap();
    assert!(new.until >= until);
    group.ack(&new).await.unwrap();
    assert_eq!(group.ack(&new).await.unwrap_err().kind(), Kind::LeaseLost);
    assert!(group.receive("a", 1).await.unwrap().is_empty());
}

async fn what_a_group_needs_is_kept(store: Store) {
    publish(&store, "t", 0..10).await;
    let group = store.events().group("t", "g", GroupOptions::default()).await.unwrap();
    let bounds = Bounds { count: Some(1), ..Bounds::default() };
    let rule = Retention { keep: bounds, ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    let leased = group.receive("a", 5).await.unwrap();
    for one in &leased[1..] {
        group.ack(one).await.unwrap();
    }
    assert_eq!(store.events().retain().await.unwrap().trimmed, 0, "the first is still leased");
    group.ack(&leased[0]).await.unwrap();
    assert_eq!(store.events().retain().await.unwrap().trimmed, 5);
    assert_eq!(numbers(&group.receive("a", 10).await.unwrap()), [5, 6, 7, 8, 9]);
}

async fn workers_at_once_share_without_repeating(store: Store) {
    publish(&store, "t", 0..120).await;
    let group = store.events().group("t", "g", GroupOptions::default()).await.unwrap();
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let group = group.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let leased = match group.receive(&format!("w{worker}"), 7).await {
                        Err(error) if error.kind() == Kind::Conflict => continue,
                        leased => leased.unwrap(),
                    };
                    if leased.is_empty() {
                        return done;
                    }
                    for one in &leased {
                        group.ack(one).await.unwrap();
                    }
                    done.extend(numbers(&leased));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..120).collect::<Vec<_>>());
}

async fn bad_input_is_refused(store: Store) {
    let events = store.events();
    let default = GroupOptions::default;
    for (topic, group) in [("", "g"), ("t", ""), ("t", "a\nb")] {
        let error = events.group(topic, group, default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidId, "{error}");
    }
    for options in [
        GroupOptions { timeout: Duration::ZERO, ..default() },
        GroupOptions { max_deliveries: 0, ..default() },
    ] {
        let error = events.group("t", "g", options).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
    let group = events.group("t", "g", default()).await.unwrap();
    for (worker, limit, kind) in
        [("", 1, Kind::InvalidId), ("w", 0, Kind::InvalidInput), ("w", 1_001, Kind::InvalidInput)]
    {
        assert_eq!(group.receive(worker, limit).await.unwrap_err().kind(), kind);
    }
}

async fn what_a_hard_bound_took_is_told(store: Store) {
    publish(&store, "t", 0..10).await;
    let group = store.events().group("t", "g", at_once(5)).await.unwrap();
    let leased = group.receive("a", 2).await.unwrap();
    let bounds = Bounds { count: Some(3), ..Bounds::default() };
    let rule = Retention { hard: bounds, ..Retention::default() };
    store.events().set_retention("t", Some(rule)).await.unwrap();
    assert_eq!(store.events().retain().await.unwrap().trimmed, 7);
    run_out(&leased).await;
    let error = group.receive("a", 10).await.unwrap_err();
    assert_eq!((error.kind(), error.first()), (Kind::Trimmed, Some(8)), "{error}");
    assert_eq!(group.skip_trimmed().await.unwrap(), 5);
    assert_eq!(numbers(&group.receive("a", 10).await.unwrap()), [7, 8, 9]);
    let dead = group.dead_letters().await.unwrap();
    assert_eq!(dead.len(), 2, "what was leased and is there no more is told: {dead:?}");
    assert!(dead.iter().all(|one| one.event.is_null() && one.reason.contains("trimmed")));
}
