//! Containers, images and sessions: saving, finding, listing in order and in pages.

use agentkeep::driver::Save;
use agentkeep::{Container, Image, Kind, List, Page, SaveOptions, Session, Store};

use crate::support::{json, on_every_driver, with_session};

on_every_driver!(
    counts_of_many_sessions_are_those_of_each,
    what_goes_in_comes_out,
    lists_are_ordered_and_paged,
    indexes_follow_renames_and_moves,
    names_that_look_alike_stay_apart,
    sessions_of_an_image_come_newest_first,
    tags_are_listed,
    metadata_merges_shallowly_and_stores_null,
    concurrent_merges_lose_nothing,
    saves_say_what_they_mean,
    images_are_kept_apart_by_namespace,
);

fn image(text: &str) -> Image {
    Image::from_json(json(text)).unwrap()
}

fn ids<T>(page: &Page<T>, id: impl Fn(&T) -> &str) -> Vec<String> {
    page.items.iter().map(|item| id(item).to_owned()).collect()
}

async fn what_goes_in_comes_out(store: Store) {
    let text = r#"{"zeta":1.0,"containerId":"c","config":{"n":18446744073709551615,"__proto__":{}},"createdAt":5,"s":"\u0000"}"#;
    store.containers().save(Container::from_json(json(text)).unwrap()).await.unwrap();
    let container = store.containers().get("c").await.unwrap().unwrap();
    assert_eq!(container.json().as_str(), text);
    assert_eq!(container.created_at(), Some(5));
    assert!(store.containers().exists("c").await.unwrap());
    assert!(!store.containers().exists("d").await.unwrap());
    assert_eq!(store.images().get("c").await.unwrap(), None);
    assert!(store.containers().delete("c").await.unwrap());
    assert!(!store.containers().delete("c").await.unwrap());
    assert_eq!(store.containers().get("c").await.unwrap(), None);
}

async fn lists_are_ordered_and_paged(store: Store) {
    let created = [("b", "7"), ("a", "7"), ("d", "9"), ("c", "1.5"), ("e", "-3")];
    for (id, at) in created {
        let text = format!(r#"{{"containerId":"{id}","createdAt":{at}}}"#);
        store.containers().save(Container::from_json(json(&text)).unwrap()).await.unwrap();
    }
    let undated = Container::from_json(json(r#"{"containerId":"u"}"#)).unwrap();
    store.containers().save(undated).await.unwrap();
    let expected = ["d", "a", "b", "c", "e", "u"];
    let all = store.containers().all().await.unwrap();
    assert_eq!(all.iter().map(Container::id).collect::<Vec<_>>(), expected);
    for limit in 1..=7 {
        let mut list = List::of(limit).unwrap();
        let mut seen = Vec::new();
        loop {
            let page = store.containers().list(&list).await.unwrap();
            assert!(page.items.len() <= limit);
            assert_eq!(page.next.is_some(), seen.len() + page.items.len() < expected.len());
            seen.extend(ids(&page, Container::id));
            match page.next {
                Some(next) => list = list.after(&next),
                None => break,
            }
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    let other = store.images().list(&List::of(1).unwrap().after("garbage")).await.unwrap_err();
    assert_eq!(other.kind(), Kind::InvalidInput);
    let page = store.containers().list(&List::of(2).unwrap()).await.unwrap();
    let foreign = store.images().list(&List::of(1).unwrap().after(&page.next.unwrap())).await;
    assert_eq!(foreign.unwrap_err().kind(), Kind::InvalidInput);
}

async fn indexes_follow_renames_and_moves(store: Store) {
    for id in ["c", "d"] {
        store.containers().save(Container::new(id).unwrap()).await.unwrap();
    }
    let list = List::default();
    store.images().save(Image::new("i", "c", "Old").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "d", "New").unwrap()).await.unwrap();
    assert!(store.images().by_name("Old", &list).await.unwrap().items.is_empty());
    assert!(store.images().by_container("c", &list).await.unwrap().items.is_empty());
    assert_eq!(store.images().by_name("New", &list).await.unwrap().items.len(), 1);
    assert_eq!(store.images().by_container("d", &list).await.unwrap().items.len(), 1);
    store.images().delete("i").await.unwrap();
    assert!(store.images().by_name("New", &list).await.unwrap().items.is_empty());
}

async fn names_that_look_alike_stay_apart(store: Store) {
    let names = [
        "c", "c/sub", "c:sub", "C", "c ", "c%", "c?x", "c?y", "{c}", ".", "..", "1e5", "null", "é",
        "e\u{301}",
    ];
    for name in names {
        store.containers().save(Container::new(name).unwrap()).await.unwrap();
        store.images().save(Image::new(name, name, name).unwrap()).await.unwrap();
        store.sessions().save(Session::new(name, name, name).unwrap()).await.unwrap();
    }
    let list = List::default();
    for name in names {
        let by_name = store.images().by_name(name, &list).await.unwrap();
        assert_eq!(ids(&by_name, Image::id), [name]);
        let by_container = store.images().by_container(name, &list).await.unwrap();
        assert_eq!(ids(&by_container, Image::id), [name]);
        let by_image = store.sessions().by_image(name, &list).await.unwrap();
        assert_eq!(ids(&by_image, Session::id), [name]);
        let by_container = store.sessions().by_container(name, &list).await.unwrap();
        assert_eq!(ids(&by_container, Session::id), [name]);
    }
    assert_eq!(store.images().all().await.unwrap().len(), names.len());
}

async fn sessions_of_an_image_come_newest_first(store: Store) {
    with_session(&store).await;
    for (id, at) in [("a_older", 10), ("z_newer", 30), ("m_middle", 20)] {
        let text =
            format!(r#"{{"sessionId":"{id}","imageId":"i","containerId":"c","createdAt":{at}}}"#);
        store.sessions().save(Session::from_json(json(&text)).unwrap()).await.unwrap();
    }
    let page = store.sessions().by_image("i", &List::default()).await.unwrap();
    assert_eq!(ids(&page, Session::id), ["s", "z_newer", "m_middle", "a_older"]);
}

async fn tags_are_listed(store: Store) {
    with_session(&store).await;
    for (id, tags) in [("a", r#"["x","y","x"]"#), ("b", r#"["y"]"#), ("n", "null")] {
        let text = format!(r#"{{"imageId":"{id}","containerId":"c","createdAt":1,"tags":{tags}}}"#);
        store.images().save(image(&text)).await.unwrap();
    }
    let list = List::default();
    assert_eq!(ids(&store.images().by_tag("x", &list).await.unwrap(), Image::id), ["a"]);
    assert_eq!(ids(&store.images().by_tag("y", &list).await.unwrap(), Image::id), ["a", "b"]);
    let untagged = image(r#"{"imageId":"a","containerId":"c","createdAt":1,"tags":["z"]}"#);
    store.images().save(untagged).await.unwrap();
    assert!(store.images().by_tag("x", &list).await.unwrap().items.is_empty());
    store.sessions().update("s", |session| session.with("tags", &["x"])).await.unwrap();
    assert_eq!(ids(&store.sessions().by_tag("x", &list).await.unwrap(), Session::id), ["s"]);
    let session = store.sessions().get("s").await.unwrap().unwrap();
    assert_eq!(session.tags(), ["x"]);
}

async fn metadata_merges_shallowly_and_stores_null(store: Store) {
    with_session(&store).await;
    let images = store.images();
    images.merge_metadata("i", &json(r#"{"a":1.0,"b":{"x":1}}"#), &[]).await.unwrap();
    images.merge_metadata("i", &json(r#"{"b":null,"c":"new"}"#), &["a", "nope"]).await.unwrap();
    let image = images.get("i").await.unwrap().unwrap();
    assert_eq!(image.metadata().unwrap().as_str(), r#"{"b":null,"c":"new"}"#);
    assert_eq!(image.name().as_deref(), Some("Helper"));
    let unknown = images.merge_metadata("none", &json("{}"), &[]).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    let list = images.merge_metadata("i", &json("[]"), &[]).await.unwrap_err();
    assert_eq!(list.kind(), Kind::InvalidInput);
    store.sessions().merge_metadata("s", &json(r#"{"k":1}"#), &[]).await.unwrap();
}

async fn concurrent_merges_lose_nothing(store: Store) {
    with_session(&store).await;
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let patch = json(&format!(r#"{{"k{i}":{i}}}"#));
                // Five attempts are the unit's; a caller may well try again.
                while let Err(error) = store.images().merge_metadata("i", &patch, &[]).await {
                    assert_eq!(error.kind(), Kind::Conflict);
                    assert!(error.is_retryable());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (image, version) = store.images().get_versioned("i").await.unwrap().unwrap();
    assert_eq!(image.metadata().unwrap().members().count(), 8);
    assert_eq!(version, 9);
}

async fn saves_say_what_they_mean(store: Store) {
    with_session(&store).await;
    let new = |name| Image::new("i", "c", name).unwrap();
    let with = |save| SaveOptions { save, ..SaveOptions::default() };
    let taken = store.images().save_with(new("x"), with(Save::Create)).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::AlreadyExists);
    let (_, version) = store.images().get_versioned("i").await.unwrap().unwrap();
    let stale = store.images().save_with(new("x"), with(Save::At(version + 1))).await.unwrap_err();
    assert_eq!(stale.kind(), Kind::Conflict);
    store.images().save_with(new("x"), with(Save::At(version))).await.unwrap();
    let (image, after) = store.images().get_versioned("i").await.unwrap().unwrap();
    assert_eq!((image.name().as_deref(), after), (Some("x"), version + 1));
}

async fn images_are_kept_apart_by_namespace(store: Store) {
    let (a, ab) = (store.namespace("a").unwrap(), store.namespace("ab").unwrap());
    with_session(&a).await;
    assert_eq!(ab.images().get("i").await.unwrap(), None);
    assert!(ab.sessions().all().await.unwrap().is_empty());
    with_session(&ab).await;
    a.sessions().delete("s").await.unwrap();
    assert!(ab.sessions().exists("s").await.unwrap());
    assert_eq!(store.namespaces().names().await.unwrap(), ["a", "ab"]);
    assert_eq!(store.namespace("a\n").unwrap_err().kind(), Kind::InvalidId);
}

async fn counts_of_many_sessions_are_those_of_each(store: Store) {
    crate::support::with_session(&store).await;
    store.messages("s").add_many(crate::support::messages(0..10)).await.unwrap();
    let mut ids = vec!["s".to_owned(), "nobody".to_owned(), "s".to_owned()];
    for n in 0..1_200 {
        let id = format!("f{n:04}");
        if n % 3 == 0 {
            store.sessions().save(agentkeep::Session::new(&id, "i", "c").unwrap()).await.unwrap();
        } else {
            store
                .sessions()
                .fork("s", agentkeep::At::Message(format!("m{}", n % 10)), &id)
                .await
                .unwrap();
        }
        if n % 50 == 1 {
            store.messages(&id).add(crate::support::message("own")).await.unwrap();
            if n % 3 > 0 {
                store.messages(&id).delete("m0").await.unwrap();
            }
        }
        ids.push(id);
    }
    store.sessions().delete("f0007").await.unwrap();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let counts = store.sessions().message_counts(&ids).await.unwrap();
    assert_eq!(counts.len(), ids.len());
    for (id, count) in ids.iter().zip(counts) {
        assert_eq!(count, store.messages(id).count().await.ok(), "{id}");
    }
    assert_eq!(store.sessions().message_counts(&[]).await.unwrap(), []);
    let error = store.sessions().message_counts(&[""]).await.unwrap_err();
    assert_eq!(error.kind(), agentkeep::Kind::InvalidId);
}
