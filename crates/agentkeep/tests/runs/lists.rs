//! Lists and totals.

use agentkeep::{List, RunFilter, RunSnapshot, RunStatus, Store};

use crate::support::{begun, json, on_every_driver};

on_every_driver!(by_status_time_and_error, totals_by_day_and_status, namespaces_are_apart);

const DAY: i64 = 86_400_000;

fn run(n: i64) -> RunSnapshot {
    let status = RunStatus::ALL[usize::try_from(n % 4).unwrap()];
    let run = begun(&format!("r{n:02}")).with("startedAt", &(n * DAY / 4)).unwrap();
    let run = run.with("status", status.name()).unwrap();
    let run =
        run.with("usage", &json(&format!(r#"{{"inputTokens":{n},"totalTokens":{}}}"#, 2 * n)));
    let run = run.unwrap();
    if status == RunStatus::Failed {
        run.with("error", &format!("Error: {} of n{n:02}", "long ".repeat(100))).unwrap()
    } else {
        run
    }
}

async fn ids(store: &Store, filter: &RunFilter, limit: usize) -> Vec<String> {
    let mut list = List::of(limit).unwrap();
    let mut ids = Vec::new();
    loop {
        let page = store.runs().list(filter, &list).await.unwrap();
        assert!(page.items.len() <= limit);
        ids.extend(page.items.into_iter().map(|run| run.run_id));
        match page.next {
            Some(next) => list = List::of(limit).unwrap().after(&next),
            None => return ids,
        }
    }
}

async fn by_status_time_and_error(store: Store) {
    for n in 0..20 {
        assert!(store.runs().import(run(n)).await.unwrap());
    }
    for limit in [1, 3, 100] {
        let named =
            |of: Vec<i64>| -> Vec<String> { of.iter().map(|n| format!("r{n:02}")).collect() };
        let all = RunFilter::default();
        assert_eq!(ids(&store, &all, limit).await, named((0..20).rev().collect()));
        let failed = RunFilter { status: Some(RunStatus::Failed), ..all.clone() };
        assert_eq!(ids(&store, &failed, limit).await, named(vec![18, 14, 10, 6, 2]));
        let some = RunFilter { since: Some(2 * DAY), before: Some(3 * DAY), ..all.clone() };
        assert_eq!(ids(&store, &some, limit).await, named(vec![11, 10, 9, 8]));
        let early = RunFilter { before: Some(DAY / 2), ..all.clone() };
        assert_eq!(ids(&store, &early, limit).await, named(vec![1, 0]));
        let error = RunFilter { error: Some("of n1".into()), ..all.clone() };
        assert_eq!(ids(&store, &error, limit).await, named(vec![18, 14, 10]));
        let none = RunFilter { error: Some("nowhere".into()), ..all };
        assert!(ids(&store, &none, limit).await.is_empty());
    }
}

async fn totals_by_day_and_status(store: Store) {
    for n in 0..8 {
        store.runs().import(run(n)).await.unwrap();
        store.runs().import(run(n).with("runId", &format!("again-{n}")).unwrap()).await.unwrap();
    }
    let totals = store.runs().totals(&RunFilter::default()).await.unwrap();
    assert_eq!(totals.len(), 8);
    for (n, total) in (0_i64..).zip(&totals) {
        assert_eq!(total.day, Some(n / 4 * DAY));
        assert_eq!(total.status, RunStatus::ALL[usize::try_from(n % 4).unwrap()]);
        assert_eq!(
            (total.runs, total.usage["inputTokens"], total.usage["totalTokens"]),
            (2, 2 * n, 4 * n)
        );
    }
    let one =
        RunFilter { status: Some(RunStatus::Complete), since: Some(DAY), ..RunFilter::default() };
    assert_eq!(store.runs().totals(&one).await.unwrap().len(), 1);
}

async fn namespaces_are_apart(store: Store) {
    let other = store.namespace("other").unwrap();
    store.runs().start(begun("r")).await.unwrap();
    other.runs().start(begun("r").with("input", "other").unwrap()).await.unwrap();
    other.runs().step("r", json("1"), json("{}")).await.unwrap();
    assert!(store.runs().load("r").await.unwrap().unwrap().trace().is_empty());
    store.namespaces().delete("other").await.unwrap();
    assert!(other.runs().load("r").await.unwrap().is_none());
    assert!(store.runs().load("r").await.unwrap().is_some());
}
