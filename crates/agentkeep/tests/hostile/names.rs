//! Names and tags, which may be any text, and the ids that forks are given.

use agentkeep::{At, Image, Json, List, Session, Store};

use crate::conversations::{ALL, container, image, message, session};
use crate::corpus::fits_the_rule;
use crate::seen::Seen;

pub(crate) async fn run(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    store.containers().save(container("c", 0).unwrap()).await.unwrap();
    let mut kept = Vec::new();
    for (n, name) in ids.iter().enumerate() {
        let quoted = Json::string(name);
        let text = format!(
            r#"{{"imageId":"i{n}","containerId":"c","name":{quoted},"title":{quoted},"tags":["every",{quoted}],"createdAt":7}}"#
        );
        let image = Image::from_json(Json::parse(&text).unwrap()).unwrap();
        let saved = seen.answer("name", name, &store.images().save(image.clone()).await);
        // An indexed text has at most 1,024 bytes, whatever they are.
        assert_eq!(saved, name.len() <= 1024, "the name {name:?}");
        if saved {
            kept.push((name, image));
        }
    }
    let list = List::of(1000).unwrap();
    assert_eq!(store.images().by_tag("every", &list).await.unwrap().items.len(), kept.len());
    for (name, image) in &kept {
        for found in
            [store.images().by_name(name, &list).await, store.images().by_tag(name, &list).await]
        {
            assert_eq!(found.unwrap().items, std::slice::from_ref(image), "{name:?}");
        }
    }
    // Erasing a tag takes exactly its own away.
    for (i, (name, _)) in kept.iter().enumerate() {
        seen.answer("erase tag", name, &store.erase_tag(name).await);
        let left = store.images().by_tag("every", &list).await.unwrap().items;
        assert_eq!(left.len(), kept.len() - i - 1, "after erasing the tag {name:?}");
        assert!(left.iter().all(|image| kept[i + 1..].iter().any(|(_, other)| other == image)));
    }
    seen
}

/// Forks a session and an image to each id.
pub(crate) async fn forks(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    let images = store.namespace("images").unwrap();
    for space in [&store, &images] {
        space.containers().save(container(ALL, 0).unwrap()).await.unwrap();
        let named = image(ALL, 0).unwrap().with("sessionId", ALL).unwrap();
        space.images().save(named).await.unwrap();
        space.sessions().save(session(ALL, 0).unwrap()).await.unwrap();
        space.messages(ALL).add(message("m", 0).unwrap()).await.unwrap();
    }
    for id in &ids {
        let forked = store.sessions().fork(ALL, At::End, id).await;
        assert_eq!(seen.answer("fork session", id, &forked), fits_the_rule(id), "{id:?}");
        let forked = images.images().fork(ALL, At::End, id, id).await;
        assert_eq!(seen.answer("fork image", id, &forked), fits_the_rule(id), "{id:?}");
        if !fits_the_rule(id) {
            continue;
        }
        // What is added to one is in no other.
        store.messages(id).add(message(id, 1).unwrap()).await.unwrap();
        let list = List::default();
        let found = images.sessions().by_image(id, &list).await.unwrap().items;
        assert_eq!(found.iter().map(Session::id).collect::<Vec<_>>(), [id]);
    }
    let kept: Vec<&String> = ids.iter().filter(|id| fits_the_rule(id)).collect();
    for id in &kept {
        let messages = store.messages(id).all().await.unwrap();
        let ids: Vec<_> = messages.iter().map(|stored| stored.message.id().unwrap()).collect();
        assert_eq!(ids, ["m", id.as_str()], "the fork {id:?}");
    }
    let forks = images.images().forks_of(ALL, &List::of(1000).unwrap()).await.unwrap().items;
    assert_eq!(forks.len(), kept.len());
    seen
}
