//! The drivers that the tests of repositories run on.

#![allow(dead_code, reason = "each test takes what it needs")]

#[cfg(feature = "postgres")]
#[path = "../fixtures/postgres.rs"]
mod postgres;

#[cfg(feature = "redis")]
#[path = "../fixtures/redis.rs"]
mod of_redis;

use agentkeep::Store;

/// Runs each function as a test on each driver.
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::drivers::memory().await).await;
            })*
        }
        mod file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::drivers::kept("file", super::$name).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::drivers::kept("sqlite", super::$name).await;
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::drivers::on_postgres(stringify!($name), super::$name).await;
            })*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::drivers::on_redis(stringify!($name), super::$name).await;
            })*
        }
    };
}

pub(crate) use on_every_driver;

/// Without the upkeep that runs in the background of a store opened from its URL.
pub(crate) async fn opened(url: &str) -> Store {
    Store::over(agentkeep::urls::open(url).await.unwrap())
}

pub(crate) async fn memory() -> Store {
    opened("memory:").await
}

/// Runs a test on a store that is kept on the disk, and looks at the store afterwards.
pub(crate) async fn kept<F: Future<Output = ()>>(scheme: &str, test: impl FnOnce(Store) -> F) {
    let folder = tempfile::tempdir().unwrap();
    // The tests of this file are about meaning; what survives a power cut is tested elsewhere.
    let url = format!("{scheme}:{}/keep?durability=process", folder.path().display());
    looked_after(&url, test).await;
}

/// Runs a test on a store in a schema of its own, and looks at the store afterwards.
#[cfg(feature = "postgres")]
pub(crate) async fn on_postgres<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Store) -> F) {
    if postgres::is_there(name) {
        let place = postgres::Place::new();
        looked_after(&place.url(), test).await;
    }
}

/// Runs a test on a store under a base of its own, and looks at the store afterwards.
#[cfg(feature = "redis")]
pub(crate) async fn on_redis<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Store) -> F) {
    if of_redis::Form::Single.is_there(name) {
        let place = of_redis::Place::new(of_redis::Form::Single);
        looked_after(&place.url(), test).await;
    }
}

async fn looked_after<F: Future<Output = ()>>(url: &str, test: impl FnOnce(Store) -> F) {
    let store = opened(url).await;
    test(store.clone()).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    store.close().await.unwrap();
}

/// Where a new store may be, for as long as this is held.
pub(crate) struct Place {
    pub(crate) scheme: &'static str,
    pub(crate) url: String,
    _held: Box<dyn std::any::Any + Send>,
}

/// A new place on each driver.
pub(crate) fn places() -> Vec<Place> {
    let mut places = vec![Place { scheme: "memory", url: "memory:".into(), _held: Box::new(()) }];
    for scheme in ["file", "sqlite"] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}/keep?durability=process", folder.path().display());
        places.push(Place { scheme, url, _held: Box::new(folder) });
    }
    #[cfg(feature = "postgres")]
    if postgres::is_there("places on every driver") {
        let place = postgres::Place::new();
        places.push(Place { scheme: "postgres", url: place.url(), _held: Box::new(place) });
    }
    #[cfg(feature = "redis")]
    if of_redis::Form::Single.is_there("places on every driver") {
        let place = of_redis::Place::new(of_redis::Form::Single);
        places.push(Place { scheme: "redis", url: place.url(), _held: Box::new(place) });
    }
    places
}
