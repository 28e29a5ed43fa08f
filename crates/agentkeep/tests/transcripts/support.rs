//! What the tests share: stores on every driver, nothing else.

use agentkeep::Store;

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
