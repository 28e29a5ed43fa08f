//! What the tests of servers share: a proxy that counts and cuts, a server of one's own to kill, and
//! short words for stores.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod cutting;
pub(crate) mod killing;
pub(crate) mod own;
pub(crate) mod proxy;

use agentkeep::{Container, Image, Json, Message, ObjectEditor, Session, Store};

/// Without the upkeep that runs in the background of a store opened from its URL.
pub(crate) async fn opened(url: &str) -> Store {
    Store::over(agentkeep::urls::open(url).await.unwrap())
}

/// A store with container `c`, image `i`, session `s`.
pub(crate) async fn prepared(url: &str) -> Store {
    let store = opened(url).await;
    let mut unit = store.unit();
    unit.containers().save(Container::new("c").unwrap());
    unit.images().save(Image::new("i", "c", "x").unwrap());
    unit.sessions().save(Session::new("s", "i", "c").unwrap());
    unit.commit().await.unwrap();
    store
}

pub(crate) fn named(id: &str) -> Message {
    let mut editor = ObjectEditor::default();
    editor.set("id", &Json::string(id)).set("subtype", &Json::string("user"));
    editor.set("content", &Json::string(id));
    Message::from_json(editor.finish()).unwrap()
}

/// Without an id: one that is written twice is there twice.
pub(crate) fn nameless(text: &str) -> Message {
    let mut editor = ObjectEditor::default();
    editor.set("subtype", &Json::string("user")).set("content", &Json::string(text));
    Message::from_json(editor.finish()).unwrap()
}

/// What the messages of a session say, in order.
pub(crate) async fn said(store: &Store, session: &str) -> Vec<String> {
    let all = store.messages(session).all().await.unwrap();
    let text = |stored: &agentkeep::StoredMessage| match stored.message.content() {
        agentkeep::Content::Text(text) => text,
        other => panic!("{other:?}"),
    };
    all.iter().map(text).collect()
}
