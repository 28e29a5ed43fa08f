//! What the tests share: stores on every driver, and runs to put into them.

use agentkeep::{Json, Kind, Result, RunSnapshot, Store};

/// Runs each function as a test on each driver.
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name(agentkeep::Store::open("memory:").await.unwrap()).await;
            })*
        }
        mod file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::support::kept("file", super::$name).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::support::kept("sqlite", super::$name).await;
            })*
        }
    };
}

pub(crate) use on_every_driver;

/// Runs a test on a store that is kept on the disk, and looks at the store afterwards.
pub(crate) async fn kept<F: Future<Output = ()>>(scheme: &str, test: impl FnOnce(Store) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{scheme}:{}/keep?durability=process", folder.path().display());
    let store = Store::open(&url).await.unwrap();
    test(store.clone()).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    store.close().await.unwrap();
}

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
