//! Names of namespaces.

use agentkeep::{Result, Store};

use crate::conversations::{container, image, message, session};
use crate::corpus::fits_the_rule;
use crate::seen::Seen;

pub(crate) async fn run(store: Store, ids: Vec<String>) -> Seen {
    let mut seen = Seen::default();
    for (n, id) in ids.iter().enumerate() {
        let made = seen.answer("namespace", id, &make(&store, id, n).await);
        assert_eq!(made, fits_the_rule(id), "the namespace {id:?}");
    }
    let mut kept: Vec<&String> = ids.iter().filter(|id| fits_the_rule(id)).collect();
    for (n, id) in ids.iter().enumerate().filter(|(_, id)| fits_the_rule(id)) {
        holds(&store, id, n).await;
    }
    kept.sort();
    let names = store.namespaces().names().await.unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), kept, "the names in order");
    // Every second one is emptied; the others keep what they have.
    for (n, id) in ids.iter().enumerate().filter(|(n, id)| n % 2 == 0 && fits_the_rule(id)) {
        let space = store.namespace(id).unwrap();
        assert!(space.containers().delete_cascade("c").await.unwrap(), "{n} {id:?}");
        assert!(space.sessions().all().await.unwrap().is_empty());
    }
    for (n, id) in ids.iter().enumerate().filter(|(n, id)| n % 2 == 1 && fits_the_rule(id)) {
        holds(&store, id, n).await;
    }
    seen
}

async fn make(store: &Store, id: &str, n: usize) -> Result<()> {
    let space = store.namespace(id)?;
    space.containers().save(container("c", n)?).await?;
    space.images().save(image("c", n)?).await?;
    space.sessions().save(session("c", n)?).await?;
    space.messages("c").add(message(id, n)?).await.map(|_| ())
}

async fn holds(store: &Store, id: &str, n: usize) {
    let space = store.namespace(id).unwrap();
    assert_eq!(space.containers().all().await.unwrap(), [container("c", n).unwrap()], "{id:?}");
    assert_eq!(space.images().all().await.unwrap(), [image("c", n).unwrap()], "{id:?}");
    assert_eq!(space.sessions().all().await.unwrap(), [session("c", n).unwrap()], "{id:?}");
    let messages = space.messages("c").all().await.unwrap();
    assert_eq!(messages.len(), 1, "{id:?}");
    assert_eq!(messages[0].message.json(), message(id, n).unwrap().json(), "{id:?}");
}
