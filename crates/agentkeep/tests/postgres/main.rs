//! What only PostgreSQL has: rights, settings, connections that die, a server that is killed, a
//! pooler in between.
//!
//! Most tests use the server of `AGENTKEEP_TEST_POSTGRES`; those that change or kill it start one of
//! their own with `scripts/services`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../fixtures/postgres.rs"]
mod fixture;

mod dying;
mod killing;
mod limits;
mod opening;
mod pooler;
mod proxy;
mod rights;
mod server;
mod settings;
mod trips;
mod upgrading;

use agentkeep::{Container, Image, Json, Message, ObjectEditor, Session, Store};

/// Returns from the test, loudly, where there is no server.
macro_rules! needs_server {
    ($name:literal) => {
        if !crate::fixture::is_there($name) {
            return;
        }
    };
}

pub(crate) use needs_server;

/// A connection as anybody has it.
pub(crate) async fn plain() -> tokio_postgres::Client {
    let url = fixture::server().unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

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
