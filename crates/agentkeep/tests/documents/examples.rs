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

pub(crate) async fn queue_of_agentx() -> Result<()> {
    // docs/coming-from/agentx.md
    use agentkeep::{Event, Start, Store};

    let store = Store::open("sqlite:./keep.db").await?;
    let events = store.events();

    let delta = serde_json::json!({"type": "text_delta", "data": {"text": "Hello"}});
    let cursor = events.publish("session-123", Event::of(&delta)?).await?;

    // First what this client has missed, then what comes.
    let start = Start::Consumer("laptop".to_owned());
    let mut stream = events.subscribe("session-123", start).await?;
    if let Some(event) = stream.next().await {
        let event = event?;
        assert_eq!(event.cursor, cursor);
        events.ack("laptop", "session-123", &event.cursor).await?;
    }

    let missed = events.recover("session-123", Some(cursor.as_str()), 100).await?;
    assert!(missed.events.is_empty() && !missed.more);
    // end
    drop(stream);
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

pub(crate) async fn coming_from_agentrylab() -> Result<()> {
    // docs/coming-from/agentrylab.md
    use agentkeep::{Json, Store, TranscriptEntry};

    let store = Store::open("sqlite:./keep.db").await?;
    let threads = store.transcripts();

    let text = r#"{"t":1795230577.66,"iter":0,"agent_id":"pro","role":"agent","content":"Hello","metadata":null,"actions":null}"#;
    threads.append("research/1", TranscriptEntry::from_json(Json::parse(text)?)?).await?;
    let said = Json::string("So far, so good.");
    threads.append("research/1", TranscriptEntry::new(1, "moderator", "moderator", &said)?).await?;

    assert_eq!(threads.last("research/1", 1).await?[0].entry.iteration(), Some(1));
    let exported = threads.export("research/1").await?;
    assert_eq!(exported.lines().next(), Some(text));
    // end
    store.close().await
}

#[allow(clippy::expect_used, reason = "as it is written there")]
pub(crate) async fn coming_from_run_snapshots() -> Result<()> {
    // docs/coming-from/run-snapshots.md
    use std::time::Duration;

    use agentkeep::{Json, List, RunSnapshot, Store};

    let store = Store::open("sqlite:./keep.db").await?;
    let runs = store.runs();
    let plan = Json::parse(r#"{"thought":"two","steps":[{"id":"s1"},{"id":"s2"}]}"#)?;
    runs.start(RunSnapshot::new("run-1", "Find it")?.with("plan", &plan)?).await?;
    let result = Json::parse(r#"{"step":{"id":"s1"},"summary":"found","durationMs":45}"#)?;
    let changes = Json::parse(r#"{"stepIndex":1,"iterations":1,"usage":{"totalTokens":45}}"#)?;
    runs.step_at("run-1", 0, result.clone(), changes.clone()).await?;

    // Elsewhere, after the process has died:
    let dead = runs.abandoned(&List::default()).await?;
    assert_eq!(dead.items[0].run_id, "run-1");
    let lease = runs.claim("run-1", "worker-7", Duration::from_mins(1)).await?;
    let mine = runs.under(lease.fence);
    let run = mine.load("run-1").await?.expect("it was claimed");
    assert_eq!(run.trace().len(), 1); // goes on after it
    mine.complete("run-1", Json::parse(r#"{"text":"Here it is."}"#)?).await?;

    // Whoever held it before can write no more.
    assert!(runs.step_at("run-1", 1, result, changes).await.is_err());
    // end
    store.close().await
}
