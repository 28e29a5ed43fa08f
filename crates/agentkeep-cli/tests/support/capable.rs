//! An agent whose turns are attributed, in the home's store.

use agentkeep::schema::Turn;
use agentkeep::{
    CapabilityLink, Container, Follows, Image, Json, Message, OpContext, RegistrationRow, Session,
    Store, ToolRef, TurnAttribution,
};

use super::Home;

fn link(tools: &[&str]) -> CapabilityLink {
    let tool = |name: &&str| ToolRef { tool_key: (*name).to_owned(), tool_hash: name.repeat(20) };
    CapabilityLink {
        agent_id: "helper".to_owned(),
        agent_name: "Helper".to_owned(),
        static_hash: "a".repeat(64),
        runtime_hash: tools.join("-").repeat(10),
        tool_refs: tools.iter().map(tool).collect(),
        invocation_hash: None,
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn filled(home: &Home) {
    std::fs::create_dir_all(home.store().parent().unwrap()).unwrap();
    let store = Store::open(&format!("sqlite:{}", home.store().display())).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("chat", "i", "c").unwrap()).await.unwrap();
    let op = OpContext::at(1_769_990_400_000);
    let registration = format!(
        r#"{{"registrationId":"r","agentId":"helper","staticHash":"{}","staticProps":{{"name":"Helper\u001b[31m"}},"_ts_created":1}}"#,
        "a".repeat(64)
    );
    let registration = RegistrationRow::from_json(Json::parse(&registration).unwrap()).unwrap();
    store.capabilities().upsert_registered_agent_snapshot(&op, &registration).await.unwrap();
    for (id, tools) in [("l1", &["search"][..]), ("l2", &["search", "export"])] {
        let mut turn = TurnAttribution::new(&op, "chat", &link(tools)).unwrap();
        turn.link = turn.link.with_id(id).unwrap();
        let turn = turn.follows(Follows::Latest);
        let mut unit = store.unit().turn(&Turn::new(&format!("turn-{id}")).unwrap());
        let message = Message::assistant("Done.").unwrap().with("id", id).unwrap();
        for part in [
            "\"toolCall\":{\"id\":\"call-ID\",\"name\":\"search\",\"input\":{\"query\":1.50}}",
            "\"toolCallId\":\"call-ID\",\"toolResult\":{\"output\":{\"type\":\"text\",\"value\":\"seen\"}}",
        ] {
            let part = format!("{{\"id\":\"{id}-{}\",{}}}", part.len(), part.replace("ID", id));
            unit.messages("chat").add(Message::from_json(Json::parse(&part).unwrap()).unwrap());
        }
        unit.messages("chat").add(message);
        unit.capabilities().record_turn(&op, &turn).unwrap();
        unit.commit().await.unwrap();
    }
    store.close().await.unwrap();
}

/// A turn `m9` of the session `chat` whose envelope `e9` is of a version that nobody knows yet.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn from_the_future(home: &Home) -> String {
    let store = Store::open(&format!("sqlite:{}", home.store().display())).await.unwrap();
    let op = OpContext::at(1_769_990_400_000);
    let text =
        format!(r#"{{"schemaVersion":"9\u001b[31m","runtime":[1.00,{:?}]}}"#, "x".repeat(2_000));
    let envelope = Json::parse(&text).unwrap();
    let turn = TurnAttribution::new(&op, "chat", &link(&["search"])).unwrap();
    let mut turn = turn.with_envelope(&envelope).unwrap();
    turn.envelope = turn.envelope.map(|row| row.with_id("e9").unwrap());
    let mut unit = store.unit().turn(&Turn::new("turn-m9").unwrap());
    unit.messages("chat").add(Message::assistant("Done.").unwrap().with("id", "m9").unwrap());
    unit.capabilities().record_turn(&op, &turn).unwrap();
    unit.commit().await.unwrap();
    store.close().await.unwrap();
    text
}
