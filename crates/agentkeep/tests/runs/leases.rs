//! Exactly one may go on.

use std::time::Duration;

use agentkeep::{Kind, List, RunStatus, Store};

use crate::support::{begun, json, loaded, nothing, on_every_driver, refused};

const LONG: Duration = Duration::from_hours(1);

on_every_driver!(
    the_old_number_is_refused,
    a_living_lease_keeps_others_out,
    heartbeats_and_release,
    abandoned_are_those_without_a_living_lease,
    many_claim_one_wins,
    a_failed_run_goes_on_after_a_claim,
    the_end_ends_the_lease,
    stale_memory_does_not_answer,
);

async fn the_old_number_is_refused(store: Store) {
    let runs = store.runs();
    let first = runs.start_as(begun("r"), "a", Duration::ZERO).await.unwrap();
    assert_eq!((first.fence, first.owner.as_str()), (1, "a"));
    runs.under(1).step("r", json("1"), nothing()).await.unwrap();
    let second = runs.claim("r", "b", LONG).await.unwrap();
    assert_eq!(second.fence, 2);
    for old in [0, 1, 3] {
        let old = runs.under(old);
        assert_eq!(
            refused(&store, "r", old.step("r", json("2"), nothing())).await,
            Kind::LeaseLost
        );
        assert_eq!(refused(&store, "r", old.complete("r", nothing())).await, Kind::LeaseLost);
        let whole = begun("r").with("stepIndex", &1).unwrap();
        assert_eq!(refused(&store, "r", old.on_step_complete(whole)).await, Kind::LeaseLost);
        assert_eq!(refused(&store, "r", old.heartbeat("r", LONG)).await, Kind::LeaseLost);
        assert_eq!(refused(&store, "r", old.release("r")).await, Kind::LeaseLost);
    }
    runs.under(2).step("r", json("2"), nothing()).await.unwrap();
    assert_eq!(loaded(&store, "r").await.trace(), [json("1"), json("2")]);
}

async fn a_living_lease_keeps_others_out(store: Store) {
    let runs = store.runs();
    runs.start_as(begun("r"), "a", LONG).await.unwrap();
    assert_eq!(refused(&store, "r", runs.claim("r", "b", LONG)).await, Kind::Conflict);
    // The same owner, begun again: its old self is out.
    assert_eq!(runs.claim("r", "a", LONG).await.unwrap().fence, 2);
    assert_eq!(
        refused(&store, "r", runs.under(1).step("r", json("1"), nothing())).await,
        Kind::LeaseLost
    );
    assert_eq!(runs.resumable("r").await.unwrap().reason, Some("held"));
}

async fn heartbeats_and_release(store: Store) {
    let runs = store.runs();
    let lease = runs.start_as(begun("r"), "a", Duration::ZERO).await.unwrap();
    let longer = runs.under(1).heartbeat("r", LONG).await.unwrap();
    assert!(longer.until > lease.until && longer.fence == 1);
    assert_eq!(refused(&store, "r", runs.claim("r", "b", LONG)).await, Kind::Conflict);
    runs.under(1).release("r").await.unwrap();
    assert_eq!(runs.claim("r", "b", LONG).await.unwrap().fence, 2);
    runs.start(begun("free")).await.unwrap();
    assert_eq!(refused(&store, "free", runs.heartbeat("free", LONG)).await, Kind::LeaseLost);
}

async fn abandoned_are_those_without_a_living_lease(store: Store) {
    let runs = store.runs();
    runs.start(begun("never")).await.unwrap();
    runs.start_as(begun("over"), "a", Duration::ZERO).await.unwrap();
    runs.start_as(begun("held"), "a", LONG).await.unwrap();
    runs.start_as(begun("done"), "a", LONG).await.unwrap();
    runs.under(1).complete("done", nothing()).await.unwrap();
    let all = runs.abandoned(&List::default()).await.unwrap();
    let ids = |items: &[agentkeep::RunInfo]| -> Vec<String> {
        items.iter().map(|run| run.run_id.clone()).collect()
    };
    assert_eq!((ids(&all.items), all.next), (vec!["never".into(), "over".into()], None));
    let first = runs.abandoned(&List::of(1).unwrap()).await.unwrap();
    assert_eq!(ids(&first.items), ["never"]);
    let next = List::of(1).unwrap().after(&first.next.unwrap());
    assert_eq!(ids(&runs.abandoned(&next).await.unwrap().items), ["over"]);
}

async fn many_claim_one_wins(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let store = Store::over(std::sync::Arc::clone(store.driver()));
            tokio::spawn(async move {
                loop {
                    match store.runs().claim("r", &format!("owner-{n}"), LONG).await {
                        Ok(lease) => return Some(lease.fence),
                        Err(error) if error.message().contains("holds the run") => return None,
                        Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
                    }
                }
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    assert_eq!(won, [1]);
}

async fn a_failed_run_goes_on_after_a_claim(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    runs.step("r", json("1"), nothing()).await.unwrap();
    runs.fail("r", "no network", nothing()).await.unwrap();
    assert_eq!(refused(&store, "r", runs.step("r", json("2"), nothing())).await, Kind::Conflict);
    let failed = loaded(&store, "r").await;
    assert!(runs.resumable("r").await.unwrap().resumable);
    let lease = runs.claim("r", "b", LONG).await.unwrap();
    assert_eq!(loaded(&store, "r").await, failed);
    runs.under(lease.fence).step("r", json("2"), nothing()).await.unwrap();
    let run = loaded(&store, "r").await;
    assert_eq!((run.status(), run.trace().len()), (RunStatus::Executing, 2));
    assert!(run.json().member("error").is_none() && run.json().member("completedAt").is_none());
}

async fn the_end_ends_the_lease(store: Store) {
    let runs = store.runs();
    runs.start_as(begun("r"), "a", LONG).await.unwrap();
    runs.under(1).cancel("r", nothing()).await.unwrap();
    let info = runs.info("r").await.unwrap().unwrap();
    assert_eq!((info.until, info.owner, info.fence), (None, None, 1));
    assert_eq!(
        refused(&store, "r", runs.under(1).step("r", json("1"), nothing())).await,
        Kind::Conflict
    );
    assert_eq!(runs.claim("r", "b", LONG).await.unwrap().fence, 2);
}

/// One handle remembers a lease that another has given back.
async fn stale_memory_does_not_answer(store: Store) {
    let other = Store::over(std::sync::Arc::clone(store.driver()));
    store.runs().start_as(begun("r"), "a", LONG).await.unwrap();
    assert_eq!(other.runs().claim("r", "b", LONG).await.unwrap_err().kind(), Kind::Conflict);
    store.runs().under(1).release("r").await.unwrap();
    assert_eq!(other.runs().claim("r", "b", LONG).await.unwrap().fence, 2);
}
