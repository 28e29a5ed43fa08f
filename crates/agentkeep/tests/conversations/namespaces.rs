//! Namespaces as a whole: made, told of, copied, renamed, deleted, also with interruptions.

use std::sync::atomic::{AtomicU64, Ordering};

use agentkeep::driver::{Find, MAX_LIMIT, Read, Stretch, Which};
use agentkeep::schema::{AGENTKEEP, BY_KEY, NAMESPACES, Namespace, STREAMS, Stream, Turn};
use agentkeep::{At, Container, Copied, Json, Kind, List, Message, NamespaceInfo, Session, Store};

use crate::support::{all, json, message, messages, named, on_every_driver, with_session};

on_every_driver! {
    are_made_listed_and_told_of,
    a_copy_is_equal_and_its_own,
    an_interrupted_copy_is_hidden_and_goes_on,
    a_copy_can_be_given_up,
    renaming_keeps_everything,
    an_interrupted_renaming_keeps_others_from_writing,
    a_renaming_can_be_given_up,
    a_finished_renaming_leaves_only_the_deletion,
    deleting_takes_everything,
    an_interrupted_deletion_is_due_and_goes_on,
    what_is_written_after_a_deletion_stays,
    names_that_are_taken_or_missing,
}

/// Everything in a namespace that a copy must have: without the store's own times and versions.
pub(crate) async fn dump(store: &Store, name: &str) -> String {
    let (driver, namespace) = (store.driver(), Namespace::new(name).unwrap());
    let mut lines = Vec::new();
    for table in AGENTKEEP.tables.iter().filter(|table| table.name != "deletions") {
        let found = driver.find(&namespace, &Find::new(table, &BY_KEY)).await.unwrap();
        lines.extend(found.records.into_iter().map(|record| {
            format!("{} {} {:?} {:?}", record.key, record.body, record.turn, record.refs)
        }));
    }
    let streams = driver.find(&namespace, &Find::new(&STREAMS, &BY_KEY)).await.unwrap();
    for head in streams.records {
        let numbers = ["first", "last", "count"].map(|name| head.body.member(name));
        lines.push(format!("{} {numbers:?}", head.key));
        let log = AGENTKEEP.log(head.key.first()).unwrap();
        let stream = Stream::new(head.key.parts().nth(1).unwrap()).unwrap();
        let which = Which::Stretches(vec![Stretch { stream, from: 1, to: u64::MAX }]);
        let read = Read { log, which, reverse: false, limit: MAX_LIMIT };
        for entry in driver.read(&namespace, &read).await.unwrap().entries {
            lines.push(format!(
                "{} {:?} {} {:?} {} {:?}",
                entry.number,
                entry.id,
                entry.body,
                entry.turn,
                entry.rewritten.is_some(),
                entry.refs
            ));
        }
    }
    lines.join("\n")
}

/// Sessions that share, cut, edit and attach, in the namespace `from`.
pub(crate) async fn filled(store: &Store) -> Store {
    let from = store.namespace("from").unwrap();
    with_session(&from).await;
    let chat = from.messages("s");
    chat.add_many(messages(0..3_000)).await.unwrap();
    from.sessions().fork("s", At::End, "fork").await.unwrap();
    from.messages("fork").edit("m7", message("m7").with("content", "else").unwrap()).await.unwrap();
    from.messages("fork").truncate_after("m1000").await.unwrap();
    chat.edit("m2999", message("m2999").with("content", "edited").unwrap()).await.unwrap();
    let attachment = from.attachments().put(b"bytes").await.unwrap();
    let mut unit = from.unit().turn(&Turn::new("turn").unwrap());
    unit.messages("fork").add(message("a").attach(&attachment).unwrap());
    unit.sessions().save(Session::new("empty", "i", "c").unwrap());
    unit.commit().await.unwrap();
    from.messages("empty").add_many(messages(0..5)).await.unwrap();
    from.messages("empty").clear().await.unwrap();
    from
}

/// Ends the task that tells its progress, when it has told it so often.
pub(crate) fn stop_after(times: u64) -> impl Fn(&Copied) + Send + Sync {
    let told = AtomicU64::new(0);
    move |_| {
        if told.fetch_add(1, Ordering::Relaxed) == times {
            std::panic::resume_unwind(Box::new("interrupted"));
        }
    }
}

async fn fork_interrupted(store: &Store, after: u64) {
    let store = store.clone();
    let run = tokio::spawn(async move {
        store.namespaces().fork_with("from", "to", stop_after(after)).await.map(|_| ())
    });
    assert!(run.await.unwrap_err().is_panic());
}

async fn rename_interrupted(store: &Store, after: u64) {
    let store = store.clone();
    let run = tokio::spawn(async move {
        store.namespaces().rename_with("from", "to", stop_after(after)).await.map(|_| ())
    });
    assert!(run.await.unwrap_err().is_panic());
}

async fn names(store: &Store) -> Vec<String> {
    store.namespaces().names().await.unwrap()
}

async fn add_fails(store: &Store, name: &str) -> Kind {
    let there = store.namespace(name).unwrap();
    there.messages("s").add(message("late")).await.unwrap_err().kind()
}

async fn are_made_listed_and_told_of(store: Store) {
    let namespaces = store.namespaces();
    let info = NamespaceInfo::from_json("b", json(r#"{"title":"B","n":1.50}"#)).unwrap();
    namespaces.create(info.clone()).await.unwrap();
    assert_eq!(namespaces.create(info).await.unwrap_err().kind(), Kind::AlreadyExists);
    for name in ["a", "c"] {
        with_session(&store.namespace(name).unwrap()).await;
    }
    assert_eq!(names(&store).await, ["a", "b", "c"]);
    let first = namespaces.list(&List::of(2).unwrap()).await.unwrap();
    let next = List::of(2).unwrap().after(&first.next.unwrap());
    let rest = namespaces.list(&next).await.unwrap();
    assert_eq!((first.items.len(), rest.items[0].name(), rest.next), (2, "c", None));
    let tagged = |info: &NamespaceInfo| {
        let mut editor = agentkeep::ObjectEditor::of(info.json());
        editor.set("tags", &json(r#"["x","y"]"#));
        NamespaceInfo::from_json(info.name(), editor.finish())
    };
    namespaces.update("b", tagged).await.unwrap();
    let told = namespaces.get("b").await.unwrap().unwrap();
    assert_eq!(told.json().as_str(), r#"{"title":"B","n":1.50,"tags":["x","y"]}"#);
    assert_eq!(told.tags(), ["x", "y"]);
    assert_eq!(namespaces.update("z", tagged).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(namespaces.get("z").await.unwrap(), None);
    let reserved = NamespaceInfo::from_json("d", json(r#"{"$copying":{}}"#)).unwrap_err();
    assert_eq!(reserved.kind(), Kind::InvalidInput);
    let usage = namespaces.usage("a").await.unwrap();
    assert!(usage.records.contains(&("sessions".to_owned(), 1)), "{usage:?}");
    assert_eq!(namespaces.usage("b").await.unwrap().blobs, 0);
}

async fn a_copy_is_equal_and_its_own(store: Store) {
    let from = filled(&store).await;
    let tell =
        |info: &NamespaceInfo| NamespaceInfo::from_json(info.name(), json(r#"{"title":"T"}"#));
    store.namespaces().update("from", tell).await.unwrap();
    let before = dump(&store, "from").await;
    let copied = store.namespaces().fork("from", "to").await.unwrap();
    assert_eq!((copied.messages, copied.blobs), (copied.messages_in_all, 1));
    assert_eq!(dump(&store, "to").await, before);
    let told = store.namespaces().get("to").await.unwrap().unwrap();
    assert_eq!(told.title().as_deref(), Some("T"));
    let to = store.namespace("to").unwrap();
    assert_eq!(all(&to, "s").await, named(0..3_000));
    let turn = to.turn(&Turn::new("turn").unwrap()).await.unwrap();
    assert_eq!(turn[0].messages.len(), 1);
    let attachment = turn[0].messages[0].message.attachments().remove(0);
    to.messages("s").add(message("more")).await.unwrap();
    to.messages("fork").clear().await.unwrap();
    assert_eq!(dump(&store, "from").await, before);
    store.namespaces().erase("from").await.unwrap().unwrap();
    assert_eq!(from.sessions().all().await.unwrap(), []);
    assert_eq!(to.attachments().get(&attachment).await.unwrap(), b"bytes");
    assert_eq!(to.messages("s").count().await.unwrap(), 3_001);
    let check = store.check().await.unwrap();
    assert_eq!(check.damage, []);
}

async fn an_interrupted_copy_is_hidden_and_goes_on(store: Store) {
    let from = filled(&store).await;
    for after in [0, 2, 4, 9] {
        fork_interrupted(&store, after).await;
        assert_eq!(names(&store).await, ["from"]);
        let to = store.namespace("to").unwrap();
        assert_eq!(to.sessions().all().await.unwrap(), []);
        assert_eq!(to.containers().all().await.unwrap(), []);
        assert_eq!(to.collect().await.unwrap(), agentkeep::Collected::default());
        let save = to.containers().save(Container::new("mine").unwrap()).await;
        assert_eq!(save.unwrap_err().kind(), Kind::Conflict);
        let check = store.check().await.unwrap();
        assert!(check.is_sound() && format!("{:?}", check.due).contains("copy"), "{check:?}");
        // The old one goes on meanwhile, also where the copy has been already.
        let id = format!("s{after}");
        from.sessions().save(Session::new(&id, "i", "c").unwrap()).await.unwrap();
        from.messages("s").add(message(&id)).await.unwrap();
        let edited = message("m2998").with("content", &id).unwrap();
        from.messages("s").edit("m2998", edited).await.unwrap();
        from.sessions().delete("fork").await.unwrap();
    }
    store.namespaces().fork("from", "to").await.unwrap();
    assert_eq!(names(&store).await, ["from", "to"]);
    assert_eq!(dump(&store, "to").await, dump(&store, "from").await);
    assert_eq!(store.check().await.unwrap().damage, []);
    store.namespace("to").unwrap().messages("s").add(message("more")).await.unwrap();
}

async fn a_copy_can_be_given_up(store: Store) {
    filled(&store).await;
    let before = dump(&store, "from").await;
    fork_interrupted(&store, 3).await;
    let other = store.namespaces().fork("elsewhere", "to").await.unwrap_err();
    assert_eq!(other.kind(), Kind::NotFound);
    let rename = store.namespaces().rename("from", "to").await.unwrap_err();
    assert_eq!(rename.kind(), Kind::AlreadyExists);
    assert!(store.namespaces().delete("to").await.unwrap());
    assert_eq!(dump(&store, "to").await, "");
    assert_eq!(dump(&store, "from").await, before);
    let there = store.driver().find(&Namespace::default(), &Find::new(&NAMESPACES, &BY_KEY)).await;
    assert_eq!(there.unwrap().records.len(), 1);
    store.namespaces().fork("from", "to").await.unwrap();
    assert_eq!(dump(&store, "to").await, before);
}

async fn renaming_keeps_everything(store: Store) {
    let from = filled(&store).await;
    let before = dump(&store, "from").await;
    store.namespaces().rename("from", "to").await.unwrap();
    assert_eq!(names(&store).await, ["to"]);
    assert_eq!(dump(&store, "to").await, before);
    assert_eq!(dump(&store, "from").await, "");
    // A handle that remembers the old one makes it anew, or finds nothing in it.
    assert_eq!(add_fails(&store, "from").await, Kind::NotFound);
    from.containers().save(Container::new("new").unwrap()).await.unwrap();
    assert_eq!(names(&store).await, ["from", "to"]);
}

async fn an_interrupted_renaming_keeps_others_from_writing(store: Store) {
    let from = filled(&store).await;
    let before = dump(&store, "from").await;
    from.messages("s").last(1).await.unwrap();
    for after in [0, 3, 6] {
        rename_interrupted(&store, after).await;
        assert_eq!(names(&store).await, ["from"]);
        assert_eq!(add_fails(&store, "from").await, Kind::Conflict);
        assert_eq!(from.sessions().delete("s").await.unwrap_err().kind(), Kind::Conflict);
        assert_eq!(from.messages("s").count().await.unwrap(), 3_000);
        let elsewhere = store.namespaces().rename("from", "elsewhere").await.unwrap_err();
        assert_eq!(elsewhere.kind(), Kind::Conflict);
        store.namespaces().delete("elsewhere").await.unwrap();
        assert_eq!(store.check().await.unwrap().damage, []);
    }
    store.namespaces().rename("from", "to").await.unwrap();
    assert_eq!((names(&store).await, dump(&store, "to").await), (vec!["to".to_owned()], before));
}

async fn a_renaming_can_be_given_up(store: Store) {
    let from = filled(&store).await;
    rename_interrupted(&store, 3).await;
    assert!(store.namespaces().delete("to").await.unwrap());
    from.messages("s").add(message("more")).await.unwrap();
    assert_eq!(names(&store).await, ["from"]);
    assert_eq!(store.check().await.unwrap().due, []);
    store.namespaces().rename("from", "to").await.unwrap();
    assert_eq!(store.namespace("to").unwrap().messages("s").count().await.unwrap(), 3_001);
}

/// The last commits of a renaming, with an interruption between the two.
async fn a_finished_renaming_leaves_only_the_deletion(store: Store) {
    filled(&store).await;
    store.namespaces().fork("from", "to").await.unwrap();
    let pending = agentkeep::schema::Key::new(&agentkeep::schema::DELETIONS, ["pending"]).unwrap();
    let root = |kind| json(&format!(r#"{{"roots":[{{"kind":"{kind}","id":"to"}}]}}"#));
    let put = async |body: Json| {
        let mut batch = agentkeep::driver::Batch::new(Namespace::new("from").unwrap());
        let save = agentkeep::driver::Save::Any;
        let put = agentkeep::driver::Put::new(pending.clone(), body, save).unwrap();
        batch.push(agentkeep::driver::Operation::Put(put));
        store.driver().commit(batch).await.unwrap();
    };
    // Held for a namespace that somebody else made: that one stays, and the old one is let go.
    put(root("move")).await;
    let error = store.namespaces().rename("from", "to").await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
    store.namespace("from").unwrap().messages("s").add(message("more")).await.unwrap();
    put(root("moved")).await;
    let to = store.namespace("to").unwrap();
    to.messages("s").add(message("new")).await.unwrap();
    store.namespaces().rename("from", "to").await.unwrap();
    assert_eq!(names(&store).await, ["to"]);
    assert_eq!(to.messages("s").count().await.unwrap(), 3_001);
}

async fn deleting_takes_everything(store: Store) {
    let from = filled(&store).await;
    with_session(&store.namespace("other").unwrap()).await;
    let other = dump(&store, "other").await;
    assert!(store.namespaces().delete("from").await.unwrap());
    assert!(!store.namespaces().delete("from").await.unwrap());
    assert_eq!(store.namespaces().erase("from").await.unwrap(), None);
    assert_eq!(
        (names(&store).await, dump(&store, "from").await),
        (vec!["other".to_owned()], String::new())
    );
    assert_eq!(dump(&store, "other").await, other);
    assert_eq!(store.namespaces().usage("from").await.unwrap().blobs, 0);
    assert_eq!(from.messages("s").all().await.unwrap_err().kind(), Kind::NotFound);
    let check = store.check().await.unwrap();
    assert_eq!((check.damage, check.due), (vec![], vec![]));
}

async fn an_interrupted_deletion_is_due_and_goes_on(store: Store) {
    let from = filled(&store).await;
    let driver = store.driver();
    // What the first commit of a deletion leaves.
    let namespace = Namespace::new("from").unwrap();
    let mut batch = agentkeep::driver::Batch::new(namespace);
    for (table, key, body) in [
        (&NAMESPACES, "from", r#"{"$deleting":{}}"#),
        (
            &agentkeep::schema::DELETIONS,
            "pending",
            r#"{"roots":[{"kind":"namespace","id":"from","erase":true}]}"#,
        ),
    ] {
        let key = agentkeep::schema::Key::new(table, [key]).unwrap();
        let save = agentkeep::driver::Save::Any;
        let put = agentkeep::driver::Put::new(key, json(body), save).unwrap();
        batch.push(agentkeep::driver::Operation::Put(put));
    }
    driver.commit(batch).await.unwrap();
    assert_eq!(names(&store).await, Vec::<String>::new());
    for empty in [
        from.sessions().all().await.unwrap().len(),
        from.images().all().await.unwrap().len(),
        from.containers().all().await.unwrap().len(),
        from.turn(&Turn::new("turn").unwrap()).await.unwrap().len(),
    ] {
        assert_eq!(empty, 0);
    }
    assert_eq!(from.messages("s").count().await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(add_fails(&store, "from").await, Kind::NotFound);
    let create = store.namespaces().create(NamespaceInfo::new("from").unwrap()).await;
    assert_eq!(create.unwrap_err().kind(), Kind::AlreadyExists);
    let check = store.check().await.unwrap();
    assert!(check.is_sound() && format!("{:?}", check.due).contains("erasure"), "{check:?}");
    let collected = from.collect().await.unwrap();
    assert_eq!((collected.sessions, collected.blobs), (3, 1), "{collected:?}");
    let check = store.check().await.unwrap();
    assert_eq!((check.damage, check.due, check.records), (vec![], vec![], 0));
}

async fn what_is_written_after_a_deletion_stays(store: Store) {
    let from = filled(&store).await;
    let deleted = store.clone();
    let deletion = tokio::spawn(async move { deleted.namespaces().delete("from").await });
    // Before, during or after the deletion: what was acknowledged after it began may stay or go,
    // but whole.
    let container = from.containers().save(Container::new("after").unwrap()).await;
    deletion.await.unwrap().unwrap();
    container.unwrap();
    from.containers().save(Container::new("last").unwrap()).await.unwrap();
    assert!(from.containers().exists("last").await.unwrap());
    assert_eq!(names(&store).await, ["from"]);
    assert_eq!(store.check().await.unwrap().damage, []);
}

async fn names_that_are_taken_or_missing(store: Store) {
    let namespaces = store.namespaces();
    with_session(&store.namespace("a").unwrap()).await;
    with_session(&store.namespace("b").unwrap()).await;
    for error in [
        namespaces.fork("a", "b").await.unwrap_err(),
        namespaces.rename("a", "b").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    }
    for error in [
        namespaces.fork("z", "y").await.unwrap_err(),
        namespaces.rename("z", "y").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
    assert_eq!(namespaces.fork("a", "a").await.unwrap_err().kind(), Kind::InvalidInput);
    assert_eq!(namespaces.rename("a", "").await.unwrap_err().kind(), Kind::InvalidId);
    assert_eq!(names(&store).await, ["a", "b"]);
    store.namespace("a").unwrap().messages("s").add(Message::user("x").unwrap()).await.unwrap();
}
