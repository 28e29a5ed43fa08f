//! Bad input is refused, and changes nothing.

use std::time::Duration;

use agentkeep::{Json, Kind, RunSnapshot, Store};

use crate::support::{begun, json, nothing, on_every_driver, refused};

on_every_driver!(
    unknown_and_finished_runs,
    skipping_steps,
    ids_and_forms,
    another_run_of_the_same_id,
    why_a_run_cannot_be_resumed,
);

async fn unknown_and_finished_runs(store: Store) {
    let runs = store.runs();
    assert_eq!(refused(&store, "r", runs.step("r", json("1"), nothing())).await, Kind::NotFound);
    assert_eq!(refused(&store, "r", runs.complete("r", nothing())).await, Kind::NotFound);
    assert_eq!(refused(&store, "r", runs.on_step_complete(begun("r"))).await, Kind::NotFound);
    assert_eq!(refused(&store, "r", runs.claim("r", "a", Duration::ZERO)).await, Kind::NotFound);
    runs.start(begun("r")).await.unwrap();
    runs.complete("r", nothing()).await.unwrap();
    assert_eq!(refused(&store, "r", runs.step("r", json("1"), nothing())).await, Kind::Conflict);
    assert_eq!(refused(&store, "r", runs.fail("r", "x", nothing())).await, Kind::Conflict);
    assert_eq!(refused(&store, "r", runs.on_step_complete(begun("r"))).await, Kind::Conflict);
    assert_eq!(refused(&store, "r", runs.claim("r", "a", Duration::ZERO)).await, Kind::Conflict);
}

async fn skipping_steps(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    let skip = json(r#"{"stepIndex":2}"#);
    assert_eq!(
        refused(&store, "r", runs.step("r", json("1"), skip.clone())).await,
        Kind::InvalidInput
    );
    assert_eq!(refused(&store, "r", runs.complete("r", skip)).await, Kind::InvalidInput);
    let whole = begun("r").with("stepIndex", &2).unwrap();
    assert_eq!(refused(&store, "r", runs.on_step_complete(whole)).await, Kind::InvalidInput);
    let at = runs.step_at("r", 1, json("1"), nothing());
    assert_eq!(refused(&store, "r", at).await, Kind::InvalidInput);
}

async fn ids_and_forms(store: Store) {
    let long = "x".repeat(129);
    for id in ["", "a b", "a/b", "ü", "a.b", "..", long.as_str()] {
        let text = format!(r#"{{"runId":{},"status":"executing"}}"#, Json::string(id));
        let error = RunSnapshot::from_json(json(&text)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidId, "{id:?}");
        assert_eq!(store.runs().load(id).await.unwrap_err().kind(), Kind::InvalidId);
        let why = store.runs().resumable(id).await.unwrap();
        assert_eq!((why.resumable, why.reason), (false, Some("invalid id")));
    }
    for body in [
        "[]",
        r#"{"status":"executing"}"#,
        r#"{"runId":"r"}"#,
        r#"{"runId":"r","status":"resting"}"#,
        r#"{"runId":"r","status":"executing","trace":{}}"#,
        r#"{"runId":"r","status":"executing","stepIndex":-1}"#,
        r#"{"runId":"r","status":"executing","stepIndex":"1"}"#,
        r#"{"runId":"r","status":"executing","startedAt":"now"}"#,
        r#"{"runId":"r","status":"executing","$run":1}"#,
    ] {
        assert_eq!(
            RunSnapshot::from_json(json(body)).unwrap_err().kind(),
            Kind::InvalidInput,
            "{body}"
        );
    }
    store.runs().start(begun("r")).await.unwrap();
    for changes in [
        "[]",
        r#"{"runId":"x"}"#,
        r#"{"status":"complete"}"#,
        r#"{"trace":[]}"#,
        r#"{"$run":1}"#,
        r#"{"stepIndex":1.5}"#,
        r#"{"history":7}"#,
    ] {
        let runs = store.runs();
        let step = runs.step("r", json("1"), json(changes));
        let step = async { step.await.map_err(|error| error.advice("-")) };
        assert_eq!(refused(&store, "r", step).await, Kind::InvalidInput, "{changes}");
    }
}

async fn another_run_of_the_same_id(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    runs.start(begun("r")).await.unwrap();
    let other = begun("r").with("input", "other").unwrap();
    assert_eq!(refused(&store, "r", runs.start(other.clone())).await, Kind::AlreadyExists);
    assert_eq!(refused(&store, "r", runs.import(other)).await, Kind::AlreadyExists);
    assert!(!runs.import(begun("r")).await.unwrap());
    assert!(runs.import(begun("s").with("status", "failed").unwrap()).await.unwrap());
    let over = begun("t").with("status", "complete").unwrap();
    assert_eq!(refused(&store, "t", runs.start(over)).await, Kind::InvalidInput);
    assert_eq!(refused(&store, "t", runs.on_run_complete(begun("t"))).await, Kind::InvalidInput);
}

async fn why_a_run_cannot_be_resumed(store: Store) {
    let runs = store.runs();
    runs.start(RunSnapshot::new("planless", "x").unwrap()).await.unwrap();
    runs.start(begun("done")).await.unwrap();
    runs.complete("done", nothing()).await.unwrap();
    runs.start(begun("open")).await.unwrap();
    let mut why = Vec::new();
    for id in ["planless", "done", "open", "none"] {
        why.push(runs.resumable(id).await.unwrap().reason);
    }
    assert_eq!(why, [Some("no plan"), Some("complete"), None, Some("not found")]);
}
