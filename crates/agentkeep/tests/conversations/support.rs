//! What the tests share: stores on every driver, and something to put into them.

use agentkeep::{Container, Image, Json, Message, Session, Store, StoredMessage};

/// Runs each function as a test on each driver.
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::support::memory().await).await;
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
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::support::on_postgres(stringify!($name), super::$name).await;
            })*
        }
    };
}

pub(crate) use on_every_driver;

pub(crate) async fn memory() -> Store {
    Store::open("memory:").await.unwrap()
}

/// Runs a test on a store in a schema of its own, and looks at the store afterwards.
#[cfg(feature = "postgres")]
pub(crate) async fn on_postgres<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Store) -> F) {
    if !crate::postgres::is_there(name) {
        return;
    }
    let place = crate::postgres::Place::new();
    looked_after(&place.url(), test).await;
}

/// Runs a test on a store that is kept on the disk, and looks at the store afterwards.
pub(crate) async fn kept<F: Future<Output = ()>>(scheme: &str, test: impl FnOnce(Store) -> F) {
    let folder = tempfile::tempdir().unwrap();
    // The tests of this file are about meaning; what survives a power cut is tested elsewhere.
    let url = format!("{scheme}:{}/keep?durability=process", folder.path().display());
    looked_after(&url, test).await;
}

async fn looked_after<F: Future<Output = ()>>(url: &str, test: impl FnOnce(Store) -> F) {
    let store = Store::open(url).await.unwrap();
    test(store.clone()).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    store.close().await.unwrap();
}

/// Container `c`, image `i`, session `s`.
pub(crate) async fn with_session(store: &Store) {
    let mut unit = store.unit();
    unit.containers().save(Container::new("c").unwrap());
    unit.images().save(Image::new("i", "c", "Helper").unwrap().with("sessionId", "s").unwrap());
    unit.sessions().save(Session::new("s", "i", "c").unwrap());
    unit.commit().await.unwrap();
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A user's message with this id, its id as its text.
pub(crate) fn message(id: &str) -> Message {
    Message::from_json(json(&format!(r#"{{"id":"{id}","subtype":"user","content":"{id}"}}"#)))
        .unwrap()
}

pub(crate) fn messages(ids: impl IntoIterator<Item = u64>) -> Vec<Message> {
    ids.into_iter().map(|id| message(&format!("m{id}"))).collect()
}

/// The ids in order, and that the indexes count on.
pub(crate) fn ids(messages: &[StoredMessage]) -> Vec<String> {
    if let Some(first) = messages.first() {
        for (expected, stored) in (first.index..).zip(messages) {
            assert_eq!(stored.index, expected);
        }
    }
    messages.iter().map(|stored| stored.message.id().unwrap_or("-").to_owned()).collect()
}

pub(crate) async fn all(store: &Store, session: &str) -> Vec<String> {
    ids(&store.messages(session).all().await.unwrap())
}

/// `m0 m1 ...` as [`all`] gives them.
pub(crate) fn named(ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter().map(|id| format!("m{id}")).collect()
}
