//! Deletes: each takes its own away and nothing else.

use agentkeep::{Container, Image, Session, Store};

use crate::conversations::{ALL, fill};
use crate::corpus::fits_the_rule;
use crate::seen::Seen;

pub(crate) async fn run(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    let mut left = fill(&store, &ids, &mut seen).await;
    for (n, id) in ids.iter().enumerate() {
        // Refused ids touch nothing, the others one thing: by turns in every way that there is.
        match n % 4 {
            0 => {
                seen.answer("delete session", id, &store.sessions().delete(id).await);
                seen.answer("delete image", id, &store.images().delete(id).await);
                seen.answer("delete container", id, &store.containers().delete(id).await);
            }
            1 => {
                let deleted = store.containers().delete_cascade(id).await;
                seen.answer("delete all of container", id, &deleted);
            }
            2 => {
                seen.answer("delete all of image", id, &store.images().delete_cascade(id).await);
                seen.answer("erase container", id, &store.containers().erase(id).await);
            }
            _ => {
                seen.answer("erase tag", id, &store.erase_tag(id).await);
                seen.answer("delete container", id, &store.containers().delete(id).await);
            }
        }
        seen.answer("delete message", id, &store.messages(ALL).delete(id).await);
        if fits_the_rule(id) {
            left.retain(|other| other != id);
        }
        remain(&store, &left, id).await;
    }
    // Twice is not there any more, and says so.
    for id in &ids {
        let deleted = store.containers().delete(id).await;
        seen.answer("delete again", id, &deleted);
        assert!(!deleted.unwrap_or(false), "{id:?} was there after its deletion");
    }
    seen
}

/// Exactly `left` are there.
async fn remain(store: &Store, left: &[String], after: &str) {
    let mut sorted: Vec<&str> = left.iter().map(String::as_str).chain([ALL]).collect();
    sorted.sort_unstable();
    let containers = store.containers().all().await.unwrap();
    let ids: Vec<_> = containers.iter().map(Container::id).collect();
    assert_eq!(ids, sorted, "containers after deleting {after:?}");
    let images = store.images().all().await.unwrap();
    assert_eq!(images.iter().map(Image::id).collect::<Vec<_>>(), sorted, "images after {after:?}");
    let sessions = store.sessions().all().await.unwrap();
    let ids: Vec<_> = sessions.iter().map(Session::id).collect();
    assert_eq!(ids, sorted, "sessions after deleting {after:?}");
    let messages = store.messages(ALL).all().await.unwrap();
    let ids: Vec<_> = messages.iter().filter_map(|stored| stored.message.id()).collect();
    assert_eq!(ids, left, "messages after deleting {after:?}");
    if let Some(next) = left.first() {
        assert_eq!(store.messages(next).count().await.unwrap(), 1, "{next:?} after {after:?}");
    }
}
