//! The store that is damaged: something of everything, closed.

use std::fs;
use std::path::Path;

use agentkeep::schema::{OperationId, Turn};
use agentkeep::{At, Container, Image, Json, Message, Session, Store};

use crate::reading::{self, Reading};

pub(crate) struct Original {
    pub(crate) bytes: Vec<u8>,
    /// What it answers.
    pub(crate) reading: Reading,
    /// What it answers to the writes that come next.
    pub(crate) next: Reading,
}

pub(crate) fn url(folder: &Path) -> String {
    format!("sqlite:{}/keep.db?durability=process&readers=1&timeout=20", folder.display())
}

impl Original {
    pub(crate) fn make(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&url(folder)).await.unwrap();
            fill(&store).await;
            fill_a_little(&store.namespace("tenant").unwrap()).await;
            let report = store.check().await.unwrap();
            assert!(report.is_sound() && report.due.len() == 1, "{report:?}");
            store.close().await.unwrap();
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "it is all in one file");
            let bytes = fs::read(folder.join("keep.db")).unwrap();
            let store = Store::open(&url(folder)).await.unwrap();
            let reading = reading::whole(&store).await;
            assert!(reading.errors.is_empty(), "{:?}", reading.errors);
            let next = reading::next(&store).await;
            assert!(next.errors.is_empty(), "{:?}", next.errors);
            assert!(next.text.contains("replayed"), "{}", next.text);
            store.close().await.unwrap();
            Self { bytes, reading, next }
        })
    }
}

fn message(id: &str, text: &str) -> Message {
    let (id, text) = (Json::string(id), Json::string(text));
    let text = format!(r#"{{"id":{id},"subtype":"user","content":{text}}}"#);
    Message::from_json(Json::parse(&text).unwrap()).unwrap()
}

/// The change that is made again later, under the same operation id.
pub(crate) fn repeated(store: &Store) -> agentkeep::Unit {
    let mut unit = store.unit().operation(&OperationId::new("op-1").unwrap());
    unit.messages("s0").add(message("once", "exactly once"));
    unit
}

async fn fill(store: &Store) {
    for c in 0..3 {
        store.containers().save(Container::new(&format!("c{c}")).unwrap()).await.unwrap();
    }
    for i in 0..6 {
        let image = Image::new(&format!("i{i}"), &format!("c{}", i % 3), "Helper").unwrap();
        let image = image.with("tags", &["even", "odd", "all"][i % 2..]).unwrap();
        let image = image.with("systemPrompt", &"Be brief. ".repeat(20 * i)).unwrap();
        store.images().save(image.with("sessionId", &format!("s{i}")).unwrap()).await.unwrap();
        let session = Session::new(&format!("s{i}"), &format!("i{i}"), &format!("c{}", i % 3));
        let session = session.unwrap().with("tags", &["kept", "every"][..=i % 2]).unwrap();
        store.sessions().save(session).await.unwrap();
    }
    let small = store.attachments().put(b"a small attachment").await.unwrap();
    let large = store.attachments().put(&[7; 9_000]).await.unwrap();
    store.attachments().put(b"nobody refers to this").await.unwrap();
    for session in 0..4 {
        let name = format!("s{session}");
        let messages = store.messages(&name);
        let texts = (0..12).map(|n| message(&format!("m{n}"), &"What? ".repeat(n * (session + 1))));
        messages.add_many(texts.collect()).await.unwrap();
        let mut unit = store.unit().turn(&Turn::new(&format!("turn-{session}")).unwrap());
        unit.messages(&name).add(message("with", "attached").attach(&small).unwrap());
        unit.messages(&name)
            .add(message("long", &"long ".repeat(1_200 / (session + 1))).attach(&large).unwrap());
        unit.commit().await.unwrap();
        messages.edit("m3", message("m3", "edited")).await.unwrap();
        messages.delete("m5").await.unwrap();
    }
    store.sessions().fork("s0", At::End, "fork").await.unwrap();
    store.messages("fork").add(message("forked", "on the fork")).await.unwrap();
    store
        .images()
        .merge_metadata("i1", &Json::parse(r#"{"k":[1,2]}"#).unwrap(), &[])
        .await
        .unwrap();
    remember(store).await;
}

/// Another namespace, with the same ids.
async fn fill_a_little(store: &Store) {
    store.containers().save(Container::new("c0").unwrap()).await.unwrap();
    store.images().save(Image::new("i0", "c0", "Helper").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s0", "i0", "c0").unwrap()).await.unwrap();
    let small = store.attachments().put(b"a small attachment").await.unwrap();
    let attached = message("m0", "of a tenant").attach(&small).unwrap();
    store.messages("s0").add(attached).await.unwrap();
    remember(store).await;
}

/// What later writes depend on.
async fn remember(store: &Store) {
    repeated(store).commit().await.unwrap();
    // Floors: what is made anew must start above what was deleted.
    for _ in 0..9 {
        store.containers().save(Container::new("gone").unwrap()).await.unwrap();
    }
    assert!(store.containers().delete("gone").await.unwrap());
}
