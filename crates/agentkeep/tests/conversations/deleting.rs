//! Deleting: refused while something belongs to it, or all at once; erasing a person.

use agentkeep::{At, Container, Image, Kind, List, Parents, SaveOptions, Session, Store};

use crate::support::{all, json, message, messages, named, on_every_driver, with_session};

on_every_driver!(
    what_has_children_is_refused,
    a_cascade_takes_all_and_nothing_else,
    a_large_cascade_is_collected,
    an_interrupted_cascade_has_taken_effect,
    ids_can_be_used_again_after_a_deletion,
    a_container_is_erased_with_its_attachments,
    a_tag_is_erased,
    a_session_made_anew_has_none_of_the_old_messages,
    delete_of_a_parent_races_with_a_child,
);

async fn what_has_children_is_refused(store: Store) {
    with_session(&store).await;
    let error = store.containers().delete("c").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("cascade"), "{error}");
    assert_eq!(store.images().delete("i").await.unwrap_err().kind(), Kind::Conflict);
    assert!(store.sessions().delete("s").await.unwrap());
    assert!(store.images().delete("i").await.unwrap());
    assert!(store.containers().delete("c").await.unwrap());
}

async fn a_cascade_takes_all_and_nothing_else(store: Store) {
    for c in ["c", "c/sub", "d"] {
        store.containers().save(Container::new(c).unwrap()).await.unwrap();
        for i in 0..3 {
            let image = format!("{c}-{i}");
            store.images().save(Image::new(&image, c, "x").unwrap()).await.unwrap();
            store.sessions().save(Session::new(&image, &image, c).unwrap()).await.unwrap();
            store.messages(&image).add_many(messages(0..5)).await.unwrap();
        }
    }
    assert!(store.containers().delete_cascade("c").await.unwrap());
    assert!(!store.containers().exists("c").await.unwrap());
    assert_eq!(store.images().all().await.unwrap().len(), 6);
    assert_eq!(store.sessions().all().await.unwrap().len(), 6);
    assert_eq!(store.messages("c-0").count().await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(all(&store, "c/sub-2").await, named(0..5));
    assert!(store.images().delete_cascade("d-1").await.unwrap());
    assert!(!store.sessions().exists("d-1").await.unwrap());
    let report = store.check().await.unwrap();
    assert_eq!((report.entries, report.due.len()), (25, 0));
    assert!(!store.containers().delete_cascade("none").await.unwrap());
}

async fn a_large_cascade_is_collected(store: Store) {
    with_session(&store).await;
    for start in (0..6_000).step_by(3_000) {
        store.messages("s").add_many(messages(start..start + 3_000)).await.unwrap();
    }
    for i in 0..130 {
        let session = Session::new(&format!("s{i}"), "i", "c").unwrap();
        store.sessions().save(session).await.unwrap();
    }
    store.containers().delete_cascade("c").await.unwrap();
    let report = store.check().await.unwrap();
    assert_eq!((report.entries, report.streams, report.due.len()), (0, 0, 0));
    assert!(store.sessions().all().await.unwrap().is_empty());
}

/// The commit that makes it take effect, without the collecting that follows.
async fn interrupted(store: &Store, kind: &str, id: &str) {
    use agentkeep::driver::{Batch, Operation, Put, Save};
    use agentkeep::schema::{CONTAINERS, DELETIONS, Key, Namespace};
    let mut batch = Batch::new(Namespace::default());
    let body = json(&format!(r#"{{"roots":[{{"kind":"{kind}","id":"{id}"}}]}}"#));
    let pending = Key::new(&DELETIONS, ["pending"]).unwrap();
    batch.push(Operation::Put(Put::new(pending, body, Save::Any).unwrap()));
    if kind == "container" {
        batch.push(Operation::Delete(Key::new(&CONTAINERS, [id]).unwrap()));
    }
    store.driver().commit(batch).await.unwrap();
}

async fn an_interrupted_cascade_has_taken_effect(store: Store) {
    with_session(&store).await;
    store.containers().save(Container::new("d").unwrap()).await.unwrap();
    store.images().save(Image::new("j", "d", "x").unwrap()).await.unwrap();
    store.messages("s").add_many(messages(0..5)).await.unwrap();
    interrupted(&store, "container", "c").await;
    assert!(!store.images().exists("i").await.unwrap());
    assert!(!store.sessions().exists("s").await.unwrap());
    assert_eq!(store.images().all().await.unwrap().len(), 1);
    assert!(store.sessions().all().await.unwrap().is_empty());
    assert!(store.images().by_name("Helper", &List::default()).await.unwrap().items.is_empty());
    let chat = store.messages("s");
    assert_eq!(chat.all().await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(chat.add(message("late")).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(chat.pop().await.unwrap_err().kind(), Kind::NotFound);
    let merge = store.images().merge_metadata("i", &json("{}"), &[]).await.unwrap_err();
    assert_eq!(merge.kind(), Kind::NotFound);
    let report = store.check().await.unwrap();
    assert!(report.is_sound());
    assert_eq!(report.due.len(), 1, "{report:?}");
    let collected = store.collect().await.unwrap();
    assert_eq!((collected.sessions, collected.images, collected.messages), (1, 1, 5));
    let report = store.check().await.unwrap();
    assert_eq!((report.entries, report.due.len()), (0, 0));
}

async fn ids_can_be_used_again_after_a_deletion(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..5)).await.unwrap();
    interrupted(&store, "container", "c").await;
    // Making it anew first finishes what is under way.
    with_session(&store).await;
    assert_eq!(store.messages("s").count().await.unwrap(), 0);
    store.messages("s").add(message("m1")).await.unwrap();
    store.collect().await.unwrap();
    assert_eq!(all(&store, "s").await, ["m1"]);
}

async fn a_container_is_erased_with_its_attachments(store: Store) {
    with_session(&store).await;
    store.containers().save(Container::new("d").unwrap()).await.unwrap();
    store.images().save(Image::new("j", "d", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("t", "j", "d").unwrap()).await.unwrap();
    let put = async |bytes: &'static [u8]| store.attachments().put(bytes).await.unwrap();
    let (own, both, fresh) = (put(b"own").await, put(b"both").await, put(b"fresh").await);
    let with = |id, file| message(id).attach(file).unwrap();
    store.messages("s").add(with("a", &own)).await.unwrap();
    store.messages("s").add(with("b", &both)).await.unwrap();
    store.messages("t").add(with("b", &both)).await.unwrap();
    let collected = store.containers().erase("c").await.unwrap();
    assert_eq!((collected.sessions, collected.messages, collected.blobs), (1, 2, 1));
    assert_eq!(store.attachments().get(&own).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.attachments().get(&both).await.unwrap(), b"both");
    assert_eq!(store.attachments().get(&fresh).await.unwrap(), b"fresh");
}

async fn a_tag_is_erased(store: Store) {
    with_session(&store).await;
    let alice = &["person:alice"];
    store.images().update("i", |image| image.with("title", "kept")).await.unwrap();
    let tagged = Image::new("a", "c", "x").unwrap().with("tags", alice).unwrap();
    store.images().save(tagged).await.unwrap();
    store.sessions().save(Session::new("a1", "a", "c").unwrap()).await.unwrap();
    let session = Session::new("a2", "i", "c").unwrap().with("tags", alice).unwrap();
    store.sessions().save(session).await.unwrap();
    for id in ["s", "a1", "a2"] {
        store.messages(id).add(message("m")).await.unwrap();
    }
    store.sessions().fork("a2", At::End, "shared").await.unwrap();
    store.sessions().update("shared", |s| s.with("tags", &[""; 0])).await.unwrap();
    let collected = store.erase_tag("person:alice").await.unwrap();
    assert_eq!((collected.sessions, collected.images), (2, 1));
    let left: Vec<String> =
        store.sessions().all().await.unwrap().iter().map(|s| s.id().to_owned()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(all(&store, "shared").await, ["m"]);
    assert!(store.check().await.unwrap().due.is_empty());
}

async fn a_session_made_anew_has_none_of_the_old_messages(store: Store) {
    with_session(&store).await;
    // A second handle remembers the session as it was.
    let other = store.clone();
    other.messages("s").add_many(messages(0..3)).await.unwrap();
    store.sessions().delete("s").await.unwrap();
    assert_eq!(other.messages("s").add(message("x")).await.unwrap_err().kind(), Kind::NotFound);
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    other.messages("s").add(message("new")).await.unwrap();
    assert_eq!(all(&store, "s").await, ["new"]);
}

async fn delete_of_a_parent_races_with_a_child(store: Store) {
    for round in 0..30 {
        let c = format!("c{round}");
        store.containers().save(Container::new(&c).unwrap()).await.unwrap();
        let (a, b, d) = (store.clone(), store.clone(), c.clone());
        let child = tokio::spawn(async move {
            a.images().save(Image::new(&format!("i-{d}"), &d, "x").unwrap()).await
        });
        let d = c.clone();
        let parent = tokio::spawn(async move { b.containers().delete(&d).await });
        let (child, parent) = (child.await.unwrap(), parent.await.unwrap());
        match (&child, &parent) {
            (Ok(()), Err(error)) => assert_eq!(error.kind(), Kind::Conflict),
            (Err(error), Ok(true)) => assert_eq!(error.kind(), Kind::MissingParent),
            both => panic!("round {round}: {both:?}"),
        }
        assert_eq!(store.containers().exists(&c).await.unwrap(), child.is_ok());
    }
    let orphan = Image::new("o", "nowhere", "x").unwrap();
    let options = SaveOptions { parents: Parents::MayBeMissing, ..SaveOptions::default() };
    store.images().save_with(orphan, options).await.unwrap();
}
