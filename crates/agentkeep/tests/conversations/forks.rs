//! Forks: a shared past, separate futures.

use agentkeep::{At, Image, Kind, List, Session, Store};

use crate::support::{all, ids, message, messages, named, on_every_driver, with_session};

on_every_driver!(
    a_fork_shares_the_past_and_goes_its_own_way,
    a_fork_survives_the_original,
    what_one_changes_the_other_keeps,
    forks_of_forks,
    an_image_is_forked_with_its_conversation,
    a_fork_writes_no_entry,
    refused_forks_change_nothing,
    ids_are_unique_over_the_whole_lineage,
    forks_race_with_writers,
);

async fn a_fork_shares_the_past_and_goes_its_own_way(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..5)).await.unwrap();
    let sessions = store.sessions();
    let fork = sessions.fork("s", At::Message("m2".into()), "f").await.unwrap();
    assert_eq!((fork.id(), fork.image_id().as_str()), ("f", "i"));
    sessions.fork("s", At::Start, "empty").await.unwrap();
    sessions.fork("s", At::End, "end").await.unwrap();
    assert_eq!(all(&store, "f").await, named(0..3));
    assert_eq!(all(&store, "empty").await, named(0..0));
    assert_eq!(all(&store, "end").await, named(0..5));
    store.messages("f").add(message("x")).await.unwrap();
    store.messages("s").add(message("m5")).await.unwrap();
    assert_eq!(all(&store, "f").await, ["m0", "m1", "m2", "x"]);
    assert_eq!(all(&store, "s").await, named(0..6));
    assert_eq!(all(&store, "end").await, named(0..5));
    let fork = store.messages("f");
    assert_eq!((fork.count().await.unwrap(), fork.get("m4").await.unwrap()), (4, None));
    assert_eq!(ids(&fork.last(2).await.unwrap()), ["m2", "x"]);
    assert_eq!(ids(&fork.range(1..4).await.unwrap()), ["m1", "m2", "x"]);
}

async fn a_fork_survives_the_original(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..100)).await.unwrap();
    store.sessions().fork("s", At::Message("m49".into()), "f").await.unwrap();
    assert!(store.sessions().delete("s").await.unwrap());
    assert_eq!(all(&store, "f").await, named(0..50));
    assert_eq!(store.messages("s").all().await.unwrap_err().kind(), Kind::NotFound);
    let report = store.check().await.unwrap();
    assert!(report.due.is_empty(), "{report:?}");
    // What only the original had is gone from the store, not only out of reach.
    let texts = dump(&store).await;
    assert!(texts.contains("\"m49\"") && !texts.contains("\"m50\"") && !texts.contains("\"m99\""));
    store.sessions().delete("f").await.unwrap();
    assert_eq!(store.check().await.unwrap().entries, 0);
}

/// All bodies of all entries.
async fn dump(store: &Store) -> String {
    use agentkeep::driver::{Find, Read, Stretch, Which};
    use agentkeep::schema::{MESSAGES, Namespace, STREAMS, Stream};
    let namespace = Namespace::new(store.namespace_name()).unwrap();
    let find = Find::by(&STREAMS, "key").unwrap();
    let streams = store.driver().find(&namespace, &find).await.unwrap();
    let mut text = String::new();
    for record in streams.records {
        let stream = Stream::new(record.key.parts().nth(1).unwrap()).unwrap();
        let which = Which::Stretches(vec![Stretch { stream, from: 1, to: u64::MAX }]);
        let read = Read { log: &MESSAGES, which, reverse: false, limit: 10_000 };
        for entry in store.driver().read(&namespace, &read).await.unwrap().entries {
            text.push_str(entry.body.as_str());
        }
    }
    text
}

async fn what_one_changes_the_other_keeps(store: Store) {
    with_session(&store).await;
    let (origin, fork) = (store.messages("s"), store.messages("f"));
    origin.add_many(messages(0..6)).await.unwrap();
    store.sessions().fork("s", At::Message("m3".into()), "f").await.unwrap();
    let edited = |id: &str| message(id).with("content", "edited").unwrap();
    origin.edit("m1", edited("m1")).await.unwrap();
    fork.edit("m2", edited("m2")).await.unwrap();
    origin.delete("m0").await.unwrap();
    fork.delete("m3").await.unwrap();
    origin.add(message("m9")).await.unwrap();
    let text = |stored: agentkeep::StoredMessage| stored.message.json().to_string();
    assert_eq!(all(&store, "s").await, ["m1", "m2", "m3", "m4", "m5", "m9"]);
    assert_eq!(all(&store, "f").await, ["m0", "m1", "m2"]);
    assert!(text(origin.get("m1").await.unwrap().unwrap()).contains("edited"));
    assert!(!text(origin.get("m2").await.unwrap().unwrap()).contains("edited"));
    assert!(!text(fork.get("m1").await.unwrap().unwrap()).contains("edited"));
    assert!(text(fork.get("m2").await.unwrap().unwrap()).contains("edited"));
    fork.clear().await.unwrap();
    assert_eq!(all(&store, "s").await, ["m1", "m2", "m3", "m4", "m5", "m9"]);
    origin.pop().await.unwrap();
    origin.truncate_after("m2").await.unwrap();
    assert_eq!(all(&store, "s").await, ["m1", "m2"]);
    assert_eq!(fork.count().await.unwrap(), 0);
}

async fn forks_of_forks(store: Store) {
    with_session(&store).await;
    let mut parent = "s".to_owned();
    store.messages("s").add(message("m0")).await.unwrap();
    for depth in 1..30_u64 {
        let id = format!("f{depth}");
        store.sessions().fork(&parent, At::End, &id).await.unwrap();
        store.messages(&id).add(message(&format!("m{depth}"))).await.unwrap();
        parent = id;
    }
    for depth in [29, 15, 1] {
        assert_eq!(all(&store, &format!("f{depth}")).await, named(0..=depth));
    }
    assert_eq!(ids(&store.messages("f29").last(3).await.unwrap()), named(27..30));
    for depth in (1..29).rev() {
        store.sessions().delete(&format!("f{depth}")).await.unwrap();
    }
    store.sessions().delete("s").await.unwrap();
    assert_eq!(all(&store, "f29").await, named(0..30));
}

async fn an_image_is_forked_with_its_conversation(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..3)).await.unwrap();
    let (image, session) =
        store.images().fork("i", At::Message("m1".into()), "i2", "s2").await.unwrap();
    assert_eq!(image.parent_image_id().as_deref(), Some("i"));
    assert_eq!(image.session_id().as_deref(), Some("s2"));
    assert_eq!(image.name().as_deref(), Some("Helper"));
    assert_eq!((session.id(), session.image_id().as_str()), ("s2", "i2"));
    assert_eq!(all(&store, "s2").await, named(0..2));
    let forks = store.images().forks_of("i", &List::default()).await.unwrap();
    assert_eq!(forks.items, [image]);
    store.images().delete_cascade("i").await.unwrap();
    assert_eq!(all(&store, "s2").await, named(0..2));
    let gone = store.images().fork("i", At::End, "i3", "s3").await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}

async fn a_fork_writes_no_entry(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..1000)).await.unwrap();
    let before = store.check().await.unwrap();
    store.sessions().fork("s", At::End, "f").await.unwrap();
    store.sessions().fork("s", At::Message("m500".into()), "g").await.unwrap();
    let after = store.check().await.unwrap();
    assert_eq!((before.entries, before.streams), (after.entries, after.streams));
}

async fn refused_forks_change_nothing(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..2)).await.unwrap();
    let before = store.check().await.unwrap();
    let sessions = store.sessions();
    let kind = |result: agentkeep::Result<Session>| result.unwrap_err().kind();
    assert_eq!(kind(sessions.fork("none", At::End, "f").await), Kind::NotFound);
    assert_eq!(kind(sessions.fork("s", At::Message("m9".into()), "f").await), Kind::NotFound);
    assert_eq!(kind(sessions.fork("s", At::End, "s").await), Kind::AlreadyExists);
    assert_eq!(kind(sessions.fork("s", At::End, "").await), Kind::InvalidId);
    let taken: agentkeep::Result<(Image, Session)> =
        store.images().fork("i", At::End, "i", "s2").await;
    assert_eq!(taken.unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(store.check().await.unwrap(), before);
}

async fn ids_are_unique_over_the_whole_lineage(store: Store) {
    with_session(&store).await;
    store.messages("s").add_many(messages(0..3)).await.unwrap();
    store.sessions().fork("s", At::Message("m1".into()), "f").await.unwrap();
    let fork = store.messages("f");
    fork.add(message("own")).await.unwrap();
    let again = fork.add(message("m0")).await.unwrap();
    assert_eq!((again.index, again.duplicate), (0, true));
    let other = message("m0").with("content", "x").unwrap();
    assert_eq!(fork.add(other).await.unwrap_err().kind(), Kind::IdempotencyConflict);
    // m2 belongs to the original only.
    assert!(!fork.add(message("m2")).await.unwrap().duplicate);
    let mixed = fork.add_many(vec![message("m1"), message("new"), message("own")]).await.unwrap();
    let seen: Vec<_> = mixed.iter().map(|a| (a.index, a.duplicate)).collect();
    assert_eq!(seen, [(1, true), (4, false), (2, true)]);
    assert_eq!(all(&store, "f").await, ["m0", "m1", "own", "m2", "new"]);
}

/// Whatever comes in between, a fork is a prefix of the original and stays as it was.
async fn forks_race_with_writers(store: Store) {
    with_session(&store).await;
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for i in 0..80 {
            let added = writer.messages("s").add(message(&format!("m{i}"))).await;
            added.unwrap_or_else(|error| panic!("{error:?}"));
        }
    });
    let mut forks = Vec::new();
    for i in 0..10 {
        let id = format!("f{i}");
        store.sessions().fork("s", At::End, &id).await.unwrap();
        let seen = all(&store, &id).await;
        forks.push((id, seen));
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    let whole = all(&store, "s").await;
    assert_eq!(whole, named(0..80));
    for (id, seen) in forks {
        assert_eq!(all(&store, &id).await, seen);
        assert_eq!(whole[..seen.len()], seen);
    }
}
