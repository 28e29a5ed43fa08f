//! What the tests share: stores on every driver, and something to put into them.

use agentkeep::{Container, Image, Json, Message, Session, Store, StoredMessage};

pub(crate) use crate::drivers::on_every_driver;

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
