//! An agent whose tools change by tier and by flag: three turns, what it could do in each is kept,
//! and afterwards looked at.

use agentkeep::capabilities::{
    AgentRegistry, Attribution, CaptureOptions, DiffSource, DynamicToolkit, EnvKeys, InputSchema,
    Labels, Policy, RegisterOptions, RegisteredAgent, Runner, SessionOptions, Tool, Toolkit,
    capability_diff, explain_capability_link_relationship,
};
use agentkeep::{Json, Store};

fn tool(name: &str, description: &str) -> Tool {
    let schema = InputSchema::Standard { vendor: "example".to_owned(), version: 1 };
    Tool::new(name, schema, |input, _| async move { Ok(input) }).description(description)
}

fn agent() -> agentkeep::Result<RegisteredAgent> {
    let paying = Policy::new("tier-pro", |env| async move {
        Ok(env.member("tier").and_then(|tier| tier.to_text()).as_deref() == Some("pro"))
    });
    // Made for each turn, from a flag.
    let beta = DynamicToolkit::new("beta", |context| async move {
        let flag = context.env.member("beta").is_some_and(|flag| flag.as_str() == "true");
        Ok(if flag { vec![tool("summarise", "Sums up a page").into()] } else { Vec::new() })
    });
    let members = vec![
        tool("search", "Finds pages").into(),
        tool("export", "Writes a file").policies(&[&paying]).into(),
        beta.into(),
    ];
    let root = Toolkit::new("root", members)?.instructions(&["Use the tools."]);
    RegisteredAgent::new("helper", "Helper", &["You help."], root)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open("memory:").await?;
    // Of the environment only what is no secret is kept.
    let env = EnvKeys::Only(vec!["tier".to_owned(), "beta".to_owned()]);
    let capture = CaptureOptions { env, ..CaptureOptions::default() };
    let attribution = Attribution { capture, ..Attribution::default() };
    let registry = AgentRegistry::new(store.clone()).attribute(attribution);
    let run = Runner::new(|args| async move {
        let turn = args.turn.ok_or("turns are attributed")?;
        let tools: Vec<&str> =
            turn.affordances.tools.iter().map(agentkeep::capabilities::ToolSpec::name).collect();
        println!("{} -> {}", args.context.json(), tools.join(", "));
        Ok(Json::of(&tools)?)
    });
    let options = RegisterOptions { run: Some(run), ..RegisterOptions::default() };
    registry.register(agent()?, options).await?;

    for env in [
        r#"{"tier":"free","beta":false}"#,
        r#"{"tier":"pro","beta":false}"#,
        r#"{"tier":"pro","beta":true}"#,
    ] {
        let options = SessionOptions {
            session_id: Some("chat".to_owned()),
            context: vec![Json::parse(env)?.into()],
            ..SessionOptions::default()
        };
        registry.create_session("helper", options)?.start(Json::null()).await?;
    }

    let lineage = store.capabilities().lineage("chat").await?;
    assert_eq!((lineage.links.len(), lineage.transitions.len()), (3, 2));
    for pair in lineage.links.windows(2) {
        let (before, after) = (pair[0].row.link()?, pair[1].row.link()?);
        println!("{}", explain_capability_link_relationship(&before, &after));
    }
    let mut sides = Vec::new();
    for kept in [&lineage.links[0], &lineage.links[2]] {
        let envelope = kept.with.as_deref().ok_or("each link has its envelope")?;
        let envelope = store.capabilities().envelope(envelope).await?.ok_or("it is kept")?;
        sides.push(DiffSource::from_json(&envelope.row.envelope())?);
    }
    let labels = Labels { first: "free".to_owned(), second: "pro with beta".to_owned() };
    let diff = capability_diff(&sides[0], &sides[1], labels);
    print!("{diff}");
    assert_eq!(diff.tools.only_in_second.len(), 2);
    Ok(())
}
