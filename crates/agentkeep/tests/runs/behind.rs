//! Steps that stand in the log behind a run's record.

use std::sync::Arc;
use std::time::Duration;

use agentkeep::driver::{
    Append, Batch, Blob, Expect, Known, NewEntry, Operation, Put, Record, Save,
};
use agentkeep::schema::{Key, Namespace, RUNS, STEPS, Stream};
use agentkeep::{Json, Kind, List, RunFilter, RunStatus, Store};

use crate::support::{begun, json, loaded, nothing, on_every_driver};

on_every_driver!(
    most_steps_leave_the_record_alone,
    a_long_step_is_kept_with_the_record,
    others_find_what_stands_behind_it,
    who_claims_it_goes_on_behind_them,
    a_copy_goes_on_behind_them,
    the_end_tells_of_all,
    writers_with_stale_memories_lose_no_step,
    deleted_and_begun_anew_by_another,
    records_of_before_are_read_and_gone_on_with,
    damage_to_a_run_of_before_is_told,
    an_entry_of_another_run_is_told,
);

fn key() -> Key {
    Key::new(&RUNS, ["r"]).unwrap()
}

async fn record(store: &Store) -> Record {
    let found = store.driver().get(&Namespace::default(), &[key()]).await.unwrap();
    found.into_iter().next().unwrap().unwrap()
}

fn other(store: &Store) -> Store {
    Store::over(Arc::clone(store.driver()))
}

fn changes(n: u64) -> Json {
    json(&format!(r#"{{"stepIndex":{n},"usage":{{"totalTokens":{n}}}}}"#))
}

/// So many steps more.
async fn steps(store: &Store, fence: u64, from: u64, to: u64) {
    for n in from..to {
        let result = json(&format!(r#"{{"n":{n}}}"#));
        store.runs().under(fence).step_at("r", n, result, changes(n + 1)).await.unwrap();
    }
}

async fn is_after(store: &Store, n: u64) {
    let run = loaded(store, "r").await;
    let trace: Vec<Json> = (0..n).map(|n| json(&format!(r#"{{"n":{n}}}"#))).collect();
    assert_eq!(run.trace(), trace);
    assert_eq!(run.step_index(), n);
    let usage = Some(json(&format!(r#"{{"totalTokens":{n}}}"#)));
    assert_eq!(run.json().member("usage"), usage);
    let listed = store.runs().list(&RunFilter::default(), &List::default()).await.unwrap();
    let info = store.runs().info("r").await.unwrap().unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&info));
    assert_eq!((info.steps, info.usage), (n, usage));
}

async fn most_steps_leave_the_record_alone(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    let (mut versions, mut longest) = (Vec::new(), 0);
    for n in 0..100 {
        steps(&store, 0, n, n + 1).await;
        let version = record(&store).await.version;
        if versions.last().is_some_and(|(last, _)| *last == version) {
            versions.last_mut().unwrap().1 += 1;
        } else {
            versions.push((version, 0));
        }
        longest = longest.max(versions.last().unwrap().1);
    }
    assert!(versions.len() <= 5, "{versions:?}");
    // Whoever takes it up has few to read.
    assert!(longest < 32, "{versions:?}");
    is_after(&store, 100).await;
}

/// Lists read the last step of every run that goes on.
async fn a_long_step_is_kept_with_the_record(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 3).await;
    let version = record(&store).await.version;
    let long = Json::string(&"x".repeat(20_000));
    store.runs().step("r", long.clone(), changes(4)).await.unwrap();
    assert_eq!(record(&store).await.version, version + 1);
    store.runs().step("r", json("5"), changes(5)).await.unwrap();
    assert_eq!(record(&store).await.version, version + 1);
    let run = loaded(&other(&store), "r").await;
    assert_eq!((&run.trace()[3..], run.step_index()), (&[long, json("5")][..], 5));
}

async fn others_find_what_stands_behind_it(store: Store) {
    let other = other(&store);
    store.runs().start(begun("r")).await.unwrap();
    for n in 1..40 {
        steps(&store, 0, n - 1, n).await;
        is_after(&other, n).await;
    }
    let totals = other.runs().totals(&RunFilter::default()).await.unwrap();
    assert_eq!(totals[0].usage["totalTokens"], 39);
    let abandoned = other.runs().abandoned(&List::default()).await.unwrap();
    assert_eq!(abandoned.items[0].steps, 39);
    let resumable = other.runs().resumable("r").await.unwrap();
    assert_eq!(resumable.run.unwrap().steps, 39);
    // The whole state is compared with what stands behind the record, too.
    let whole = loaded(&other, "r").await;
    let version = record(&store).await.version;
    other.runs().on_step_complete(whole.clone()).await.unwrap();
    assert_eq!(record(&store).await.version, version);
    let more = whole.with("text", "more").unwrap();
    other.runs().on_step_complete(more.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, more);
}

async fn who_claims_it_goes_on_behind_them(store: Store) {
    let other = other(&store);
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 5).await;
    let fence = other.runs().claim("r", "b", Duration::from_hours(1)).await.unwrap().fence;
    let error = store.runs().step("r", json("7"), nothing()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::LeaseLost);
    steps(&other, fence, 5, 9).await;
    other.runs().under(fence).heartbeat("r", Duration::from_hours(2)).await.unwrap();
    steps(&other, fence, 9, 12).await;
    is_after(&store, 12).await;
    assert_eq!(store.runs().info("r").await.unwrap().unwrap().owner.as_deref(), Some("b"));
}

async fn a_copy_goes_on_behind_them(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 5).await;
    store.namespaces().fork("default", "copy").await.unwrap();
    let copy = store.namespace("copy").unwrap();
    steps(&copy, 0, 5, 8).await;
    steps(&store, 0, 5, 6).await;
    is_after(&copy, 8).await;
    is_after(&store, 6).await;
}

async fn the_end_tells_of_all(store: Store) {
    let other = other(&store);
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 5).await;
    other.runs().fail("r", "no net", json(r#"{"completedAt":5}"#)).await.unwrap();
    is_after(&store, 5).await;
    assert!(!record(&store).await.body.as_str().contains("\"ahead\""));
    let fence = store.runs().claim("r", "w", Duration::ZERO).await.unwrap().fence;
    assert_eq!(loaded(&store, "r").await.status(), RunStatus::Failed);
    steps(&store, fence, 5, 8).await;
    is_after(&other, 8).await;
    other.runs().under(fence).complete("r", nothing()).await.unwrap();
    is_after(&store, 8).await;
    assert_eq!(loaded(&store, "r").await.status(), RunStatus::Complete);
}

async fn writers_with_stale_memories_lose_no_step(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|writer| {
            let store = other(&store);
            tokio::spawn(async move {
                for n in 0..25 {
                    let result = json(&format!("[{writer},{n}]"));
                    while let Err(error) = store.runs().step("r", result.clone(), nothing()).await {
                        assert_eq!(error.kind(), Kind::Conflict, "{error}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut trace: Vec<String> =
        loaded(&store, "r").await.trace().iter().map(Json::to_string).collect();
    for writer in 0..4 {
        let own: Vec<&String> =
            trace.iter().filter(|step| step.starts_with(&format!("[{writer},"))).collect();
        let expected: Vec<String> = (0..25).map(|n| format!("[{writer},{n}]")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
    trace.sort();
    trace.dedup();
    assert_eq!(trace.len(), 100);
}

async fn deleted_and_begun_anew_by_another(store: Store) {
    let other = other(&store);
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 5).await;
    other.runs().delete("r").await.unwrap();
    other.runs().start(begun("r")).await.unwrap();
    let error = store.runs().step_at("r", 5, json("5"), nothing()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    steps(&other, 0, 0, 3).await;
    steps(&store, 0, 3, 6).await;
    is_after(&other, 6).await;
}

fn chained(before: &str, element: &str) -> String {
    let blob = Blob::new(format!("{before}\n{element}").into_bytes());
    blob.hash().to_hex()[..32].to_owned()
}

/// A run as versions before this one kept it: its record tells of every entry.
async fn before(store: &Store, first: &str) {
    let mut batch = Batch::new(Namespace::default());
    let hash = chained(&chained("0", r#"{"n":0}"#), r#"{"n":1}"#);
    let body = r#"{"runId":"r","status":"executing","startedAt":1000,"input":"x","trace":null,"usage":{"totalTokens":2},"stepIndex":2,"plan":{"steps":[]},"$run":{"parts":{"trace":{"n":2,"hash":"HASH"}},"last":3,"fence":0}}"#;
    let body = body.replace("HASH", &hash);
    batch.expect(Expect::Absent(key()));
    let entries = [r#"{"set":{"trace":[]}}"#, first, r#"{"add":{"trace":[{"n":1}]}}"#];
    let entries = entries.map(|body| NewEntry { id: None, body: json(body), refs: Vec::new() });
    batch.push(Operation::Append(Append {
        log: &STEPS,
        stream: Stream::new("r").unwrap(),
        entries: entries.into(),
        known: Known::Refuse,
        start: None,
    }));
    batch.push(Operation::Put(Put::new(key(), json(&body), Save::Create).unwrap()));
    store.driver().commit(batch).await.unwrap();
}

async fn records_of_before_are_read_and_gone_on_with(store: Store) {
    before(&store, r#"{"add":{"trace":[{"n":0}]}}"#).await;
    is_after(&store, 2).await;
    steps(&store, 0, 2, 40).await;
    is_after(&other(&store), 40).await;
    store.runs().claim("r", "w", Duration::ZERO).await.unwrap();
    steps(&store, 1, 40, 42).await;
    is_after(&store, 42).await;
}

async fn damage_to_a_run_of_before_is_told(store: Store) {
    before(&store, r#"{"add":{"trace":[{"n":7}]}}"#).await;
    let error = store.runs().load("r").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    // So that the store is found sound afterwards.
    store.runs().delete("r").await.unwrap();
}

async fn an_entry_of_another_run_is_told(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    steps(&store, 0, 0, 3).await;
    let mut batch = Batch::new(Namespace::default());
    let (stream, refs) = (Stream::new("r").unwrap(), Vec::new());
    let body = json(r#"{"birth":"0123456789abcdef","set":{"trace":[]}}"#);
    batch.push(Operation::Rewrite { log: &STEPS, stream, number: 1, body, refs });
    store.driver().commit(batch).await.unwrap();
    let error = store.runs().load("r").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    store.runs().delete("r").await.unwrap();
}
