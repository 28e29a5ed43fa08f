//! The examples of the documents, as they are written there.

use agentkeep::Result;

pub(crate) async fn readme() -> Result<()> {
    // README.md
    use agentkeep::{At, Container, Image, Message, Session, Store};

    let store = Store::open("sqlite:./keep.db").await?;
    store.containers().save(Container::new("acme")?).await?;
    store.images().save(Image::new("helper", "acme", "Helper")?).await?;
    store.sessions().save(Session::new("chat", "helper", "acme")?).await?;

    let chat = store.messages("chat");
    chat.add(Message::user("Where is my order?")?).await?;
    chat.add(Message::assistant("On its way.")?).await?;
    let prompt = chat.window(8_000).await?; // the newest that fit; no tool result without its call

    store.sessions().fork("chat", At::End, "what-if").await?;
    assert_eq!(store.messages("what-if").count().await?, 2);
    // end
    assert_eq!(prompt.len(), 2);
    store.close().await
}

pub(crate) async fn coming_from_agentx() -> Result<()> {
    // docs/coming-from/agentx.md
    use agentkeep::{Container, Image, Json, List, Message, Session, Store};

    let store = Store::open("sqlite:./keep.db").await?;
    store.containers().save(Container::new("container-1")?).await?;
    let image = Image::new("img_abc123", "container-1", "My Assistant")?;
    store.images().save(image.with("systemPrompt", "You are helpful.")?).await?;
    store.sessions().save(Session::new("session-1", "img_abc123", "container-1")?).await?;

    let page = List::of(100)?;
    let by_name = store.images().by_name("My Assistant", &page).await?;
    assert_eq!(by_name.items[0].id(), "img_abc123");
    store.images().merge_metadata("img_abc123", &Json::parse(r#"{"key":"value"}"#)?, &[]).await?;

    let text = r#"{"id":"msg-1","subtype":"user","content":"Hello!","timestamp":1769990400000}"#;
    let message = Message::from_json(Json::parse(text)?)?;
    store.messages("session-1").add(message).await?;
    let messages = store.messages("session-1").all().await?;
    assert_eq!(messages[0].message.json().as_str(), text);
    store.messages("session-1").clear().await?;
    store.sessions().delete("session-1").await?;
    store.images().delete("img_abc123").await?;
    store.containers().delete("container-1").await?;
    // end
    store.close().await
}
