//! What the tests share: runs to put into stores.

use agentkeep::{Json, Kind, Result, RunSnapshot, Store};

pub(crate) use crate::drivers::on_every_driver;

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn snapshot(text: &str) -> RunSnapshot {
    RunSnapshot::from_json(json(text)).unwrap()
}

/// A run of this id with a plan, begun at 1000.
pub(crate) fn begun(id: &str) -> RunSnapshot {
    let plan = json(r#"{"thought":"t","steps":[{"id":"s1"},{"id":"s2"}]}"#);
    let run = RunSnapshot::new(id, "do it").unwrap();
    run.with("startedAt", &1000).unwrap().with("plan", &plan).unwrap()
}

pub(crate) fn nothing() -> Json {
    json("{}")
}

pub(crate) async fn loaded(store: &Store, id: &str) -> RunSnapshot {
    store.runs().load(id).await.unwrap().unwrap()
}

/// The kind of a refusal, and that it changed nothing.
pub(crate) async fn refused<T: std::fmt::Debug>(
    store: &Store,
    id: &str,
    call: impl Future<Output = Result<T>>,
) -> Kind {
    let before = (store.runs().load(id).await.ok(), store.runs().info(id).await.ok());
    let error = call.await.unwrap_err();
    assert!(error.operation().is_some(), "{error}");
    assert!(error.advice_text().is_some(), "{error}");
    let after = (store.runs().load(id).await.ok(), store.runs().info(id).await.ok());
    assert_eq!(before, after);
    error.kind()
}
