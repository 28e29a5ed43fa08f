//! Messages: adding, reading, taking away.

use agentkeep::{Content, Kind, Message, Store};

use crate::support::{all, ids, json, message, messages, named, on_every_driver, with_session};

on_every_driver!(
    messages_come_back_in_order_and_text_for_text,
    adding_twice_changes_nothing_and_says_so,
    many_at_once_or_none,
    ranges_and_the_last_ones,
    windows_keep_calls_with_results,
    pop_takes_the_newest,
    a_message_is_edited_in_place,
    one_message_is_deleted,
    clear_and_truncate,
    after_a_cut_ids_are_free_again,
    long_conversations_are_read_whole,
    attachments_are_kept_once,
    concurrent_adders_lose_nothing,
    concurrent_pops_and_adds_agree,
    what_is_remembered_is_never_what_is_answered,
    reads_can_be_waited_for_in_a_spawned_task,
);

async fn messages_come_back_in_order_and_text_for_text(store: Store) {
    with_session(&store).await;
    let texts = [
        r#"{"id":"a","subtype":"user","content":"\u0000 \"x\" 😀","timestamp":1.0,"extra":{"b":1,"a":1e400}}"#,
        r#"{"id":"b","subtype":"tool-call","toolCall":{"id":"q","name":"検索","input":{"$gt":""}}}"#,
        r#"{"id":"c","subtype":"own kind","content":[{"type":"text","text":"t"}]}"#,
        r#"{"subtype":"user","content":null}"#,
        "{}",
    ];
    let chat = store.messages("s");
    for text in texts {
        chat.add(Message::from_json(json(text)).unwrap()).await.unwrap();
    }
    let stored = chat.all().await.unwrap();
    let seen: Vec<&str> = stored.iter().map(|m| m.message.json().as_str()).collect();
    assert_eq!(seen, texts);
    assert_eq!(chat.count().await.unwrap(), 5);
    assert_eq!(chat.get("b").await.unwrap().unwrap().index, 1);
    assert_eq!(chat.get("z").await.unwrap(), None);
    assert_eq!(stored[3].message.content(), Content::Absent);
    assert!(stored.iter().all(|m| m.time > 0 && m.time >= stored[0].time && !m.edited));
}

async fn adding_twice_changes_nothing_and_says_so(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    let first = chat.add(message("a")).await.unwrap();
    assert_eq!((first.index, first.duplicate), (0, false));
    let again = chat.add(message("a")).await.unwrap();
    assert_eq!((again.index, again.duplicate), (0, true));
    let other = message("a").with("content", "other").unwrap();
    let error = chat.add(other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict);
    let anonymous = || Message::from_json(json(r#"{"content":"x"}"#)).unwrap();
    chat.add(anonymous()).await.unwrap();
    assert_eq!(chat.add(anonymous()).await.unwrap().index, 2);
    assert_eq!(chat.count().await.unwrap(), 3);
}

async fn many_at_once_or_none(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    let added = chat.add_many(messages(0..100)).await.unwrap();
    assert!(added.iter().zip(0..).all(|(added, i)| added.index == i && !added.duplicate));
    // Some are there, some are new.
    let added = chat.add_many(messages(95..105)).await.unwrap();
    assert_eq!(added.iter().map(|a| a.index).collect::<Vec<_>>(), (95..105).collect::<Vec<_>>());
    assert_eq!(added.iter().filter(|a| a.duplicate).count(), 5);
    // All are there.
    let added = chat.add_many(messages(0..10)).await.unwrap();
    assert!(added.iter().all(|a| a.duplicate));
    // One with other content: none.
    let mut mixed = messages(200..203);
    mixed.push(message("m7").with("content", "changed").unwrap());
    let error = chat.add_many(mixed).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict);
    // The same one twice in one call is one.
    let added = chat.add_many(vec![message("twice"), message("twice")]).await.unwrap();
    assert_eq!(added[0].index, added[1].index);
    chat.add_many(Vec::new()).await.unwrap();
    assert_eq!(chat.count().await.unwrap(), 106);
}

async fn ranges_and_the_last_ones(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    assert!(chat.last(3).await.unwrap().is_empty());
    assert!(chat.all().await.unwrap().is_empty());
    chat.add_many(messages(0..10)).await.unwrap();
    assert_eq!(ids(&chat.last(3).await.unwrap()), named(7..10));
    assert_eq!(ids(&chat.last(10).await.unwrap()), named(0..10));
    assert_eq!(ids(&chat.last(99).await.unwrap()), named(0..10));
    assert!(chat.last(0).await.unwrap().is_empty());
    assert_eq!(ids(&chat.range(2..5).await.unwrap()), named(2..5));
    assert_eq!(ids(&chat.range(..=1).await.unwrap()), named(0..2));
    assert_eq!(ids(&chat.range(8..).await.unwrap()), named(8..10));
    assert_eq!(ids(&chat.range(8..99).await.unwrap()), named(8..10));
    assert!(chat.range(99..).await.unwrap().is_empty());
    assert!(chat.range(5..5).await.unwrap().is_empty());
}

async fn windows_keep_calls_with_results(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(vec![
        message("m0"),
        Message::tool_call("q", "search", &json(r#"{"x":1}"#)).unwrap(),
        Message::tool_result("q", &json("42")).unwrap(),
        message("m3"),
    ])
    .await
    .unwrap();
    let one_each = |_: &Message| 1;
    let sizes = [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4), (9, 4)];
    for (budget, expected) in sizes {
        let window = chat.window_by(budget, one_each).await.unwrap();
        assert_eq!(window.len(), expected, "budget {budget}");
        assert_eq!(window.last().map(|m| m.index), (expected > 0).then_some(3));
    }
    assert_eq!(chat.window(1_000_000).await.unwrap().len(), 4);
}

async fn pop_takes_the_newest(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    assert_eq!(chat.pop().await.unwrap(), None);
    chat.add_many(messages(0..3)).await.unwrap();
    for expected in ["m2", "m1"] {
        assert_eq!(chat.pop().await.unwrap().unwrap().message.id(), Some(expected));
    }
    chat.add(message("m9")).await.unwrap();
    assert_eq!(all(&store, "s").await, ["m0", "m9"]);
    for expected in [Some("m9"), Some("m0"), None] {
        let popped = chat.pop().await.unwrap();
        assert_eq!(popped.as_ref().and_then(|m| m.message.id()), expected);
    }
    assert_eq!(chat.count().await.unwrap(), 0);
}

async fn a_message_is_edited_in_place(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(messages(0..3)).await.unwrap();
    let edited = message("m1").with("content", "better").unwrap();
    chat.edit("m1", edited.clone()).await.unwrap();
    let stored = chat.get("m1").await.unwrap().unwrap();
    assert_eq!((stored.index, stored.edited), (1, true));
    assert_eq!(stored.message.json(), edited.json());
    assert_eq!(all(&store, "s").await, named(0..3));
    let renamed = chat.edit("m1", message("m7")).await.unwrap_err();
    assert_eq!(renamed.kind(), Kind::InvalidInput);
    assert_eq!(chat.edit("m7", message("m7")).await.unwrap_err().kind(), Kind::NotFound);
    chat.add(message("m3")).await.unwrap();
    assert_eq!(chat.count().await.unwrap(), 4);
}

async fn one_message_is_deleted(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(messages(0..5)).await.unwrap();
    chat.delete("m2").await.unwrap();
    assert_eq!(all(&store, "s").await, ["m0", "m1", "m3", "m4"]);
    assert_eq!(chat.delete("m2").await.unwrap_err().kind(), Kind::NotFound);
    chat.add(message("m5")).await.unwrap();
    chat.add(message("m2")).await.unwrap();
    assert_eq!(all(&store, "s").await, ["m0", "m1", "m3", "m4", "m5", "m2"]);
    assert!(chat.add(message("m1")).await.unwrap().duplicate);
    chat.delete("m0").await.unwrap();
    chat.delete("m2").await.unwrap();
    assert_eq!(ids(&chat.last(2).await.unwrap()), ["m4", "m5"]);
    assert_eq!(chat.count().await.unwrap(), 4);
}

async fn clear_and_truncate(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(messages(0..10)).await.unwrap();
    chat.truncate_after("m9").await.unwrap();
    assert_eq!(chat.count().await.unwrap(), 10);
    chat.truncate_after("m3").await.unwrap();
    assert_eq!(all(&store, "s").await, named(0..4));
    let unknown = chat.truncate_after("m8").await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    chat.add_many(messages(20..23)).await.unwrap();
    assert_eq!(ids(&chat.last(5).await.unwrap()), ["m2", "m3", "m20", "m21", "m22"]);
    chat.truncate_after("m20").await.unwrap();
    assert_eq!(chat.count().await.unwrap(), 5);
    chat.clear().await.unwrap();
    assert_eq!(chat.count().await.unwrap(), 0);
    chat.clear().await.unwrap();
    assert!(store.sessions().exists("s").await.unwrap());
    assert!(store.check().await.unwrap().due.is_empty());
}

async fn after_a_cut_ids_are_free_again(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(messages(0..4)).await.unwrap();
    chat.truncate_after("m1").await.unwrap();
    let other = message("m2").with("content", "second try").unwrap();
    assert!(!chat.add(other).await.unwrap().duplicate);
    assert!(chat.add(message("m0")).await.unwrap().duplicate);
    let changed = message("m0").with("content", "x").unwrap();
    assert_eq!(chat.add(changed).await.unwrap_err().kind(), Kind::IdempotencyConflict);
    assert_eq!(all(&store, "s").await, named(0..3));
    chat.clear().await.unwrap();
    chat.add_many(messages(0..2)).await.unwrap();
    assert_eq!(all(&store, "s").await, named(0..2));
}

async fn long_conversations_are_read_whole(store: Store) {
    with_session(&store).await;
    let chat = store.messages("s");
    for start in (0..12_000).step_by(4_000) {
        chat.add_many(messages(start..start + 4_000)).await.unwrap();
    }
    assert_eq!(all(&store, "s").await, named(0..12_000));
    assert_eq!(ids(&chat.last(6_000).await.unwrap()), named(6_000..12_000));
    let too_many = chat.add_many(messages(20_000..30_001)).await.unwrap_err();
    assert_eq!(too_many.kind(), Kind::TooLarge);
    assert_eq!(chat.count().await.unwrap(), 12_000);
}

async fn attachments_are_kept_once(store: Store) {
    with_session(&store).await;
    let bytes = vec![7_u8; 100_000];
    let file = store.attachments().put(&bytes).await.unwrap().name("a.bin").media_type("x/y");
    assert_eq!(store.attachments().put(&bytes).await.unwrap().hash(), file.hash());
    let chat = store.messages("s");
    for id in ["a", "b"] {
        chat.add(message(id).attach(&file).unwrap()).await.unwrap();
    }
    let stored = chat.get("b").await.unwrap().unwrap();
    assert_eq!(stored.message.attachments(), std::slice::from_ref(&file));
    assert_eq!(stored.message.refs(), [file.hash()]);
    assert_eq!(store.attachments().get(&file).await.unwrap(), bytes);
    assert_eq!(store.check().await.unwrap().blobs, 1);
    let missing = agentkeep::Attachment::of(b"never put");
    let error = chat.add(message("c").attach(&missing).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(store.attachments().get(&missing).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(chat.count().await.unwrap(), 2);
}

async fn concurrent_adders_lose_nothing(store: Store) {
    with_session(&store).await;
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    let id = format!("t{task}-{i}");
                    assert!(!store.messages("s").add(message(&id)).await.unwrap().duplicate);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stored = all(&store, "s").await;
    assert_eq!(stored.len(), 320);
    for task in 0..16 {
        let prefix = format!("t{task}-");
        let own: Vec<&String> = stored.iter().filter(|id| id.starts_with(&prefix)).collect();
        let expected: Vec<String> = (0..20).map(|i| format!("t{task}-{i}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

/// What was popped and what is left are together exactly what was added.
async fn concurrent_pops_and_adds_agree(store: Store) {
    with_session(&store).await;
    let adder = store.clone();
    let adding = tokio::spawn(async move {
        for i in 0..60 {
            let id = format!("m{i}");
            while let Err(error) = adder.messages("s").add(message(&id)).await {
                assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
            }
        }
    });
    let popper = store.clone();
    let popping = tokio::spawn(async move {
        let mut taken = Vec::new();
        for _ in 0..30 {
            match popper.messages("s").pop().await {
                Ok(message) => taken.extend(message.map(|m| m.message.id().unwrap().to_owned())),
                Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
            }
        }
        taken
    });
    adding.await.unwrap();
    let mut seen = popping.await.unwrap();
    seen.extend(all(&store, "s").await);
    seen.sort();
    let mut expected = named(0..60);
    expected.sort();
    assert_eq!(seen, expected);
}

/// Reads guess the lineage that they have seen last: another handle changes it in every way.
async fn what_is_remembered_is_never_what_is_answered(store: Store) {
    let other = Store::over(std::sync::Arc::clone(store.driver()));
    with_session(&store).await;
    let chat = store.messages("s");
    let theirs = other.messages("s");
    theirs.add_many(messages(0..20)).await.unwrap();
    let mut expected = named(0..20);
    let check = async |expected: &[String]| {
        let from = expected.len().saturating_sub(3);
        assert_eq!(ids(&chat.last(3).await.unwrap()), expected[from..]);
        assert_eq!(ids(&chat.range(1..3).await.unwrap()), expected[1..3]);
        assert_eq!(chat.count().await.unwrap(), expected.len() as u64);
        assert_eq!(ids(&chat.all().await.unwrap()), expected);
        assert_eq!(ids(&chat.window(1_000_000).await.unwrap()), expected);
    };
    check(&expected).await;
    theirs.delete("m5").await.unwrap();
    expected.remove(5);
    check(&expected).await;
    theirs.add_many(messages(100..110)).await.unwrap();
    expected.extend(named(100..110));
    check(&expected).await;
    theirs.truncate_after("m3").await.unwrap();
    expected.truncate(4);
    check(&expected).await;
    theirs.add_many(messages(200..203)).await.unwrap();
    expected.extend(named(200..203));
    check(&expected).await;
    other.sessions().delete("s").await.unwrap();
    assert_eq!(chat.last(3).await.unwrap_err().kind(), Kind::NotFound);
    with_session(&other).await;
    theirs.add_many(messages(300..305)).await.unwrap();
    check(&named(300..305)).await;
    // Made anew in a namespace made anew.
    other.namespaces().delete("default").await.unwrap();
    with_session(&other).await;
    theirs.add_many(messages(400..406)).await.unwrap();
    check(&named(400..406)).await;
    other.namespaces().delete("default").await.unwrap();
    assert_eq!(chat.count().await.unwrap_err().kind(), Kind::NotFound);
}

/// A task on a runtime of several threads can wait for every read.
async fn reads_can_be_waited_for_in_a_spawned_task(store: Store) {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    with_session(&store).await;
    let chat = store.messages("s");
    chat.add_many(messages(0..5)).await.unwrap();
    assert_eq!(sendable(chat.range(1..3)).await.unwrap().len(), 2);
    assert_eq!(sendable(chat.range(..)).await.unwrap().len(), 5);
    assert_eq!(sendable(chat.all()).await.unwrap().len(), 5);
    assert_eq!(sendable(chat.last(3)).await.unwrap().len(), 3);
    assert_eq!(sendable(chat.count()).await.unwrap(), 5);
    assert!(sendable(chat.get("m1")).await.unwrap().is_some());
    assert_eq!(sendable(chat.window(1_000)).await.unwrap().len(), 5);
}
