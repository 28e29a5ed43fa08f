//! What the tests share: rows to put into stores.

use agentkeep::{CapabilityLink, Json, LinkRow, OpContext, ToolRef};

pub(crate) use crate::drivers::on_every_driver;

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn op() -> OpContext {
    OpContext::at(1000).actor("ann")
}

/// A link of the agent `a` with these tools, each hashed as its name in capitals.
pub(crate) fn link(tools: &[&str]) -> CapabilityLink {
    let tool =
        |name: &&str| ToolRef { tool_key: (*name).to_owned(), tool_hash: name.to_uppercase() };
    CapabilityLink {
        agent_id: "a".to_owned(),
        agent_name: "Agent".to_owned(),
        static_hash: "s1".to_owned(),
        runtime_hash: format!("r-{}", tools.join("-")),
        tool_refs: tools.iter().map(tool).collect(),
        invocation_hash: None,
    }
}

pub(crate) fn row(id: &str, session: &str, created: i64, link: &CapabilityLink) -> LinkRow {
    LinkRow::of(link, session, created, None).unwrap().with_id(id).unwrap()
}

/// An envelope with a long static block, a long list of tools, and a context of its own.
pub(crate) fn envelope(context: &str) -> Json {
    let long = "instructions ".repeat(400);
    json(&format!(
        r#"{{"schemaVersion":"1","static":{{"staticInstructions":[{long:?}]}},"policy":{{"mode":"hint","results":{{"toString":true,"__proto__":false}}}},"runtime":{{"link":{{"agentId":"a","toolRefs":[{long:?}],"invocationHash":{context:?}}},"affordances":{{"instructions":{long:?},"tools":{{}}}}}},"context":{{"n":1.00,"m":{context:?}}}}}"#
    ))
}
