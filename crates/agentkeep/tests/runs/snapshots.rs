//! What is given comes back, and only what is new is stored.

use agentkeep::{RunSnapshot, RunStatus, Store};

use crate::support::{begun, json, loaded, nothing, on_every_driver, snapshot};

on_every_driver!(
    steps_add_up,
    text_for_text,
    only_what_is_new_is_stored,
    lists_may_shrink_and_members_go,
    a_step_costs_its_own_size,
    the_last_result_may_come_with_the_end,
    a_run_that_never_began_can_end,
    deleted_and_begun_again,
    other_handles_see_every_step,
    a_step_at_a_place_is_kept_once,
);

async fn steps_add_up(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    runs.step(
        "r",
        json(r#"{"summary":"one"}"#),
        json(r#"{"stepIndex":1,"usage":{"totalTokens":7}}"#),
    )
    .await
    .unwrap();
    let plan = json(r#"{"thought":"again","steps":[]}"#);
    let mut changes = agentkeep::ObjectEditor::of(&json(r#"{"stepIndex":0,"new":1.00}"#));
    changes.set("plan", &plan);
    runs.step("r", json(r#"{"summary":"two"}"#), changes.finish()).await.unwrap();
    let run = loaded(&store, "r").await;
    assert_eq!(run.trace(), [json(r#"{"summary":"one"}"#), json(r#"{"summary":"two"}"#)]);
    assert_eq!(run.json().member("plan"), Some(plan));
    assert_eq!(run.json().raw_member("new"), Some("1.00"));
    assert_eq!((run.step_index(), run.status()), (0, RunStatus::Executing));
    runs.complete("r", json(r#"{"text":"done","completedAt":5}"#)).await.unwrap();
    let run = loaded(&store, "r").await;
    assert_eq!(run.status(), RunStatus::Complete);
    assert_eq!(run.json().raw_member("completedAt"), Some("5"));
    assert!(store.runs().load("other").await.unwrap().is_none());
}

async fn text_for_text(store: Store) {
    let long = "ü\\u0000\\n".repeat(200);
    let text = format!(
        r#"{{"z":1.0,"runId":"r","status":"executing","trace":[],"input":"{long}","big":[{}],"k\"ey":{{"a":1e400}},"history":[1,"x",null],"usage":{{}},"stepIndex":0,"odd":"{long}"}}"#,
        vec!["12345678901234567890"; 40].join(",")
    );
    let run = snapshot(&text);
    store.runs().on_run_start(run.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await.json().as_str(), run.json().as_str());
    // The same in another order, with more in the middle.
    let text = text.replacen(r#""z":1.0,"#, "", 1).replacen('}', r#"},"z":2"#, 1);
    let text = text.replacen("executing\",\"trace\":[]", "executing\",\"trace\":[{\"a\":[]}]", 1);
    if let Ok(json) = agentkeep::Json::parse(&text) {
        let run = RunSnapshot::from_json(json).unwrap();
        store.runs().on_step_complete(run.clone()).await.unwrap();
        assert_eq!(loaded(&store, "r").await.json().as_str(), run.json().as_str());
    }
}

/// A run with so many results of a kilobyte.
fn with_steps(n: usize) -> RunSnapshot {
    let result = |i: usize| json(&format!(r#"{{"summary":"{i}{}"}}"#, "x".repeat(1000)));
    let trace: Vec<_> = (0..n).map(result).collect();
    begun("r").with("trace", &trace).unwrap().with("stepIndex", &n).unwrap()
}

async fn kept_bytes(store: &Store) -> u64 {
    use agentkeep::driver::Find;
    use agentkeep::schema::{Namespace, STREAMS};
    let find = Find::by(&STREAMS, "key").unwrap();
    let found = store.driver().find(&Namespace::default(), &find).await.unwrap();
    found
        .records
        .iter()
        .map(|r| r.body.member("bytes").unwrap().to_i64().unwrap().cast_unsigned())
        .sum()
}

async fn only_what_is_new_is_stored(store: Store) {
    store.runs().on_run_start(with_steps(0)).await.unwrap();
    for n in 1..=20 {
        store.runs().on_step_complete(with_steps(n)).await.unwrap();
        // Repeated, as after a lost answer.
        store.runs().on_step_complete(with_steps(n)).await.unwrap();
    }
    assert_eq!(loaded(&store, "r").await, with_steps(20));
    let bytes = kept_bytes(&store).await;
    assert!((20_000..24_000).contains(&bytes), "{bytes}");
}

async fn lists_may_shrink_and_members_go(store: Store) {
    let runs = store.runs();
    runs.on_run_start(with_steps(0)).await.unwrap();
    for n in [1, 2, 3] {
        runs.on_step_complete(with_steps(n)).await.unwrap();
    }
    let shorter = with_steps(1);
    runs.on_step_complete(shorter.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, shorter);
    let without = snapshot(r#"{"runId":"r","status":"executing","stepIndex":1}"#);
    runs.on_step_complete(without.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, without);
    let again = with_steps(2);
    runs.on_step_complete(again.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, again);
}

async fn a_step_costs_its_own_size(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    let result = json(&format!(r#"{{"summary":"{}"}}"#, "x".repeat(5000)));
    for i in 0..200 {
        let changes = json(&format!(r#"{{"stepIndex":{i},"iterations":{i}}}"#));
        store.runs().step("r", result.clone(), changes).await.unwrap();
    }
    let bytes = kept_bytes(&store).await;
    assert!(bytes < 1_030_000, "{bytes}");
    let run = loaded(&store, "r").await;
    assert_eq!(run.trace().len(), 200);
    assert!(run.trace().iter().all(|step| *step == result));
}

async fn the_last_result_may_come_with_the_end(store: Store) {
    let runs = store.runs();
    runs.on_run_start(with_steps(0)).await.unwrap();
    runs.on_step_complete(with_steps(1)).await.unwrap();
    let end = with_steps(2).with("status", "complete").unwrap().with("text", "done").unwrap();
    runs.on_run_complete(end.clone()).await.unwrap();
    runs.on_run_complete(end.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, end);
}

async fn a_run_that_never_began_can_end(store: Store) {
    let run = snapshot(r#"{"runId":"r","status":"cancelled","trace":[],"input":""}"#);
    store.runs().on_run_complete(run.clone()).await.unwrap();
    assert_eq!(loaded(&store, "r").await, run);
}

async fn deleted_and_begun_again(store: Store) {
    for _ in 0..3 {
        store.runs().start(begun("r")).await.unwrap();
        store.runs().step("r", json("1"), nothing()).await.unwrap();
        assert_eq!(loaded(&store, "r").await.trace(), [json("1")]);
        assert!(store.runs().delete("r").await.unwrap());
        assert!(store.runs().load("r").await.unwrap().is_none());
    }
    assert!(!store.runs().delete("r").await.unwrap());
    assert_eq!(kept_bytes(&store).await, 0);
}

async fn other_handles_see_every_step(store: Store) {
    let other = Store::over(std::sync::Arc::clone(store.driver()));
    store.runs().start(begun("r")).await.unwrap();
    for i in 0..6 {
        let writer = if i % 2 == 0 { &store } else { &other };
        writer.runs().step("r", json(&i.to_string()), nothing()).await.unwrap();
    }
    let trace: Vec<_> = (0..6).map(|i| json(&i.to_string())).collect();
    assert_eq!(loaded(&other, "r").await.trace(), trace);
}

async fn a_step_at_a_place_is_kept_once(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    runs.step_at("r", 0, json("0"), nothing()).await.unwrap();
    let again = runs.step_at("r", 0, json("0"), nothing()).await.unwrap_err();
    assert_eq!(again.kind(), agentkeep::Kind::AlreadyExists);
    runs.step_at("r", 1, json("1"), nothing()).await.unwrap();
    assert_eq!(loaded(&store, "r").await.trace(), [json("0"), json("1")]);
}
