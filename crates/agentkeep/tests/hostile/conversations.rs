//! Ids of containers, images, sessions and messages.

use std::slice::from_ref;

use agentkeep::{Container, Image, Json, List, Message, Result, Session, Store};

use crate::corpus::fits_the_rule;
use crate::seen::Seen;

/// A document whose ids are all `id`, with a member that tells it from the others.
fn document(members: &[&str], id: &str, n: usize) -> Json {
    let id = Json::string(id);
    let ids: Vec<String> = members.iter().map(|member| format!("\"{member}\":{id},")).collect();
    let text = format!("{{{}\"tags\":[{id}],\"createdAt\":7,\"n\":{n}}}", ids.concat());
    Json::parse(&text).unwrap()
}

pub(crate) fn container(id: &str, n: usize) -> Result<Container> {
    Container::from_json(document(&["containerId"], id, n))
}

pub(crate) fn image(id: &str, n: usize) -> Result<Image> {
    Image::from_json(document(&["imageId", "containerId", "name"], id, n))
}

pub(crate) fn session(id: &str, n: usize) -> Result<Session> {
    Session::from_json(document(&["sessionId", "imageId", "containerId"], id, n))
}

pub(crate) fn message(id: &str, n: usize) -> Result<Message> {
    let quoted = Json::string(id);
    let text = format!(r#"{{"id":{quoted},"subtype":"user","content":{quoted},"n":{n}}}"#);
    Message::from_json(Json::parse(&text)?)
}

/// The session in which every id is the id of a message.
pub(crate) const ALL: &str = "all messages";

/// Puts each id that can be put everywhere; answers those, in the order of the corpus.
pub(crate) async fn fill(store: &Store, ids: &[String], seen: &mut Seen) -> Vec<String> {
    store.containers().save(container(ALL, 0).unwrap()).await.unwrap();
    store.images().save(image(ALL, 0).unwrap()).await.unwrap();
    store.sessions().save(session(ALL, 0).unwrap()).await.unwrap();
    let mut kept = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let answers = [
            seen.answer("container", id, &save_container(store, id, n).await),
            seen.answer("image", id, &save_image(store, id, n).await),
            seen.answer("session", id, &save_session(store, id, n).await),
            seen.answer("message", id, &add(store, ALL, id, n).await),
            seen.answer("own message", id, &add(store, id, id, n).await),
        ];
        assert_eq!(answers, [fits_the_rule(id); 5], "what is done with {id:?}");
        if fits_the_rule(id) {
            kept.push(id.clone());
        }
    }
    kept
}

async fn save_container(store: &Store, id: &str, n: usize) -> Result<()> {
    store.containers().save(container(id, n)?).await
}

async fn save_image(store: &Store, id: &str, n: usize) -> Result<()> {
    store.images().save(image(id, n)?).await
}

async fn save_session(store: &Store, id: &str, n: usize) -> Result<()> {
    store.sessions().save(session(id, n)?).await
}

async fn add(store: &Store, session: &str, id: &str, n: usize) -> Result<()> {
    store.messages(session).add(message(id, n)?).await.map(|_| ())
}

pub(crate) async fn run(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    let kept = fill(&store, &ids, &mut seen).await;
    // Bytes out are bytes in, each under its own id.
    for (n, id) in ids.iter().enumerate() {
        let read = store.containers().get(id).await;
        let fits = seen.answer("get container", id, &read);
        assert_eq!(fits, fits_the_rule(id), "reading {id:?}");
        seen.answer("get image", id, &store.images().get(id).await);
        seen.answer("get session", id, &store.sessions().get(id).await);
        seen.answer("get message", id, &store.messages(ALL).get(id).await);
        seen.answer("all messages", id, &store.messages(id).all().await);
        if fits {
            assert_eq!(read.unwrap().unwrap(), container(id, n).unwrap(), "container {id:?}");
            one(&store, id, n, &kept).await;
        }
    }
    // Whole lists hold each once, by the bytes of the ids (all are of one time).
    let mut sorted: Vec<&str> = kept.iter().map(String::as_str).chain([ALL]).collect();
    sorted.sort_unstable();
    let containers = store.containers().all().await.unwrap();
    assert_eq!(containers.iter().map(Container::id).collect::<Vec<_>>(), sorted);
    let images = store.images().all().await.unwrap();
    assert_eq!(images.iter().map(Image::id).collect::<Vec<_>>(), sorted);
    let sessions = store.sessions().all().await.unwrap();
    assert_eq!(sessions.iter().map(Session::id).collect::<Vec<_>>(), sorted);
    let messages = store.messages(ALL).all().await.unwrap();
    let messages: Vec<&str> = messages.iter().filter_map(|stored| stored.message.id()).collect();
    assert_eq!(messages, kept, "the messages in their order");
    paged(&store, &sorted).await;
    seen
}

/// Everything under one id, and nothing of any other.
async fn one(store: &Store, id: &str, n: usize, kept: &[String]) {
    let list = List::default();
    let (image, session, message) =
        (image(id, n).unwrap(), session(id, n).unwrap(), message(id, n).unwrap());
    assert_eq!(store.images().get(id).await.unwrap().as_ref(), Some(&image));
    assert_eq!(store.sessions().get(id).await.unwrap().as_ref(), Some(&session));
    for found in [
        store.images().by_container(id, &list).await,
        store.images().by_name(id, &list).await,
        store.images().by_tag(id, &list).await,
    ] {
        assert_eq!(found.unwrap().items, from_ref(&image), "images of {id:?}");
    }
    for found in [
        store.sessions().by_container(id, &list).await,
        store.sessions().by_image(id, &list).await,
        store.sessions().by_tag(id, &list).await,
    ] {
        assert_eq!(found.unwrap().items, from_ref(&session), "sessions of {id:?}");
    }
    let own = store.messages(id).all().await.unwrap();
    assert_eq!(own.len(), 1, "messages of the session {id:?}");
    assert_eq!(own[0].message.json(), message.json(), "the message {id:?}");
    let found = store.messages(ALL).get(id).await.unwrap().unwrap();
    assert_eq!(found.message.json(), message.json(), "the message {id:?} among all");
    assert_eq!(kept[usize::try_from(found.index).unwrap()], id);
}

/// Pages put together are the whole, whatever the ids in the continuations.
async fn paged(store: &Store, sorted: &[&str]) {
    let mut ids = Vec::new();
    let mut list = List::of(7).unwrap();
    loop {
        let page = store.sessions().list(&list).await.unwrap();
        ids.extend(page.items.iter().map(|session| session.id().to_owned()));
        match page.next {
            Some(next) => list = list.after(&next),
            None => break,
        }
    }
    assert_eq!(ids, sorted, "in pages");
}
