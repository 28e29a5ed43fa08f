//! The unit of work: several changes, one commit, one turn.

use agentkeep::schema::{OperationId, Turn};
use agentkeep::{Container, Image, Kind, Message, Session, Store};

use crate::support::{all, json, message, messages, on_every_driver, with_session};

on_every_driver!(
    all_or_nothing,
    one_turn_for_all,
    a_repeated_operation_changes_nothing,
    a_record_is_written_once,
    a_new_session_can_be_given_messages,
    several_adds_to_one_session_keep_their_order,
    known_in_one_session_and_new_in_another,
);

async fn all_or_nothing(store: Store) {
    with_session(&store).await;
    let before = store.check().await.unwrap();
    let mut unit = store.unit();
    unit.messages("s").add(message("a"));
    unit.images().merge_metadata("i", &json(r#"{"k":1}"#), &[]);
    unit.sessions().save(Session::new("orphan", "none", "c").unwrap());
    let error = unit.commit().await.unwrap_err();
    assert_eq!(error.kind(), Kind::MissingParent);
    assert_eq!(store.check().await.unwrap(), before);
    assert!(all(&store, "s").await.is_empty());
    assert_eq!(store.images().get("i").await.unwrap().unwrap().metadata(), None);
}

async fn one_turn_for_all(store: Store) {
    with_session(&store).await;
    let turn = Turn::unique();
    let mut unit = store.unit().turn(&turn);
    unit.messages("s").add(message("a")).add(message("b"));
    unit.images().merge_metadata("i", &json(r#"{"k":1}"#), &[]);
    let done = unit.commit().await.unwrap();
    assert_eq!(done.added.len(), 2);
    store.messages("s").add(message("c")).await.unwrap();
    store.sessions().fork("s", agentkeep::At::Message("a".into()), "f").await.unwrap();
    let wrote = store.turn(&turn).await.unwrap();
    let seen: Vec<(String, Vec<&str>)> = wrote
        .iter()
        .map(|t| (t.session_id.clone(), t.messages.iter().filter_map(|m| m.message.id()).collect()))
        .collect();
    assert_eq!(seen, [("f".to_owned(), vec!["a"]), ("s".to_owned(), vec!["a", "b"])]);
    let stored = store.messages("s").all().await.unwrap();
    let turns: Vec<Option<&str>> = stored.iter().map(|m| m.turn.as_deref()).collect();
    assert_eq!(turns, [Some(turn.as_str()), Some(turn.as_str()), None]);
    assert!(stored[0].time == done.time && stored[1].time == done.time);
    assert!(store.turn(&Turn::unique()).await.unwrap().is_empty());
}

async fn a_repeated_operation_changes_nothing(store: Store) {
    with_session(&store).await;
    let operation = OperationId::unique();
    let anonymous = Message::from_json(json(r#"{"content":"no id"}"#)).unwrap();
    let unit = || {
        let mut unit = store.unit().operation(&operation);
        unit.messages("s").add(anonymous.clone());
        unit.containers().save(Container::from_json(json(r#"{"containerId":"new"}"#)).unwrap());
        unit
    };
    let first = unit().commit().await.unwrap();
    assert!(!first.replayed);
    let again = unit().commit().await.unwrap();
    assert_eq!((again.replayed, again.time), (true, first.time));
    assert_eq!(store.messages("s").count().await.unwrap(), 1);
    // Also when it could not be planned any more.
    store.sessions().delete("s").await.unwrap();
    assert!(unit().commit().await.unwrap().replayed);
    let mut other = store.unit().operation(&operation);
    other.containers().save(Container::new("other").unwrap());
    assert_eq!(other.commit().await.unwrap_err().kind(), Kind::IdempotencyConflict);
    let mut unknown = store.unit().operation(&OperationId::unique());
    unknown.messages("s").add(message("x"));
    assert_eq!(unknown.commit().await.unwrap_err().kind(), Kind::NotFound);
}

async fn a_record_is_written_once(store: Store) {
    with_session(&store).await;
    let mut unit = store.unit();
    unit.images().save(Image::new("i", "c", "a").unwrap()).save(Image::new("i", "c", "b").unwrap());
    assert_eq!(unit.commit().await.unwrap_err().kind(), Kind::InvalidInput);
    let name = store.images().get("i").await.unwrap().unwrap().name();
    assert_eq!(name.as_deref(), Some("Helper"));
}

async fn a_new_session_can_be_given_messages(store: Store) {
    let mut unit = store.unit();
    unit.containers().save(Container::new("c").unwrap());
    unit.images().save(Image::new("i", "c", "x").unwrap());
    unit.sessions().save(Session::new("s", "i", "c").unwrap());
    unit.messages("s").add_many(messages(0..3));
    unit.commit().await.unwrap();
    assert_eq!(all(&store, "s").await.len(), 3);
    store.unit().commit().await.unwrap();
}

async fn several_adds_to_one_session_keep_their_order(store: Store) {
    with_session(&store).await;
    let mut unit = store.unit();
    unit.messages("s").add(message("a")).add(message("b"));
    unit.containers().save(Container::new("d").unwrap());
    unit.messages("s").add(message("c"));
    let done = unit.commit().await.unwrap();
    let indexes: Vec<u64> = done.added.iter().flatten().map(|added| added.index).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!(all(&store, "s").await, ["a", "b", "c"]);
}

/// One session knows its message, the other does not: nothing may be taken for known.
async fn known_in_one_session_and_new_in_another(store: Store) {
    with_session(&store).await;
    store.sessions().save(Session::new("t", "i", "c").unwrap()).await.unwrap();
    store.messages("s").add(message("a")).await.unwrap();
    let mut unit = store.unit();
    unit.messages("s").add(message("a"));
    unit.messages("t").add(message("b"));
    let done = unit.commit().await.unwrap();
    let seen: Vec<(u64, bool)> =
        done.added.iter().flatten().map(|a| (a.index, a.duplicate)).collect();
    assert_eq!(seen, [(0, true), (0, false)]);
    assert_eq!(all(&store, "t").await, ["b"]);
}
