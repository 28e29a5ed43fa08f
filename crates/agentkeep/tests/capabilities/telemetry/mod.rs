//! What a subscriber of `tracing` is told: Khora's names, bounded values, and no secrets.

mod watcher;

use std::sync::LazyLock;

use agentkeep::capabilities::telemetry::{
    HookOptions, Passed, Payload, PayloadOptions, pipeline_hooks,
};
use agentkeep::capabilities::{
    AbortController, AgentRegistry, Attribution, CaptureOptions, EnvKeys, Gate, InputSchema,
    PipelineHooks, Policy, RegisterOptions, RegisteredAgent, Runner, SessionOptions, Tool, Toolkit,
    gate_tool,
};
use agentkeep::{Json, Store};
use tracing::Dispatch;

use self::watcher::{Seen, Watcher};
use crate::support::json;

/// What the model is told, or asks for; at 2 bytes a unit it is beyond every bound.
fn long() -> String {
    "\u{e4}".repeat(5_000)
}

fn agent(hooks: PipelineHooks) -> RegisteredAgent {
    let yes = Policy::new("allows", |_| async { Ok(true) });
    let no = Policy::new("denies", |_| async { Ok(false) });
    let fails = Policy::new("fails", |_| async { Err(long().into()) });
    let schema = || InputSchema::Json(json(r#"{"type":"object"}"#));
    let echo = |input, _| async move { Ok(input) };
    let members = vec![
        Tool::new("echo", schema(), echo).policies(&[&yes]).into(),
        Tool::new("hidden", schema(), echo).policies(&[&no]).into(),
        Tool::new("broken", schema(), echo).policies(&[&fails]).into(),
    ];
    let root = Toolkit::new("root", members).unwrap().hooks(hooks);
    RegisteredAgent::new("helper", "Helper", &["Help."], root).unwrap()
}

/// While there is only one, `tracing` asks nobody else about a span that a thread meets which nobody
/// watches, and nobody is ever told of that span.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Watcher::default()));

/// One session whose runner calls its tool, as a subscriber sees it.
async fn watched(options: HookOptions, input: &Json, signal: Option<&AbortController>) -> Seen {
    LazyLock::force(&ANOTHER);
    let watcher = Watcher::default();
    let seen = watcher.0.clone();
    let watching = tracing::subscriber::set_default(watcher);
    let store = Store::open("memory:").await.unwrap();
    let capture =
        CaptureOptions { env: EnvKeys::Only(vec!["tier".to_owned()]), ..CaptureOptions::default() };
    let registry =
        AgentRegistry::new(store).attribute(Attribution { capture, ..Attribution::default() });
    let hooks = pipeline_hooks(options);
    let run = Some(Runner::new(move |args| {
        let hooks = hooks.clone();
        async move {
            let turn = args.turn.unwrap();
            let tool = turn.affordances.tools.iter().find(|tool| tool.name() == "echo").unwrap();
            let gate = Gate { hooks, ..Gate::new(args.context.json()) };
            gate_tool(tool, &gate).await.map_err(|refused| refused.to_string())?;
            tool.call(args.input.clone(), None).await?;
            match args.input.to_text().as_deref() {
                Some("fail") => Err(long().into()),
                Some("wait") => std::future::pending().await,
                _ => Ok(args.input),
            }
        }
    }));
    let registered = RegisterOptions { run, ..RegisterOptions::default() };
    registry.register(agent(pipeline_hooks(options)), registered).await.unwrap();
    let env = json(r#"{"tier":"pro","apiKey":"SECRET","nested":{"password":"SECRET"}}"#);
    let options = SessionOptions {
        context: vec![env.into()],
        session_id: Some("chat".to_owned()),
        ..SessionOptions::default()
    };
    let session = registry.create_session("helper", options).unwrap();
    let started = session.start_with(input.clone(), signal.map(AbortController::signal));
    match signal {
        None => drop(started.await),
        Some(controller) => {
            let abort = async {
                tokio::task::yield_now().await;
                controller.abort(Json::string("enough"));
            };
            drop(futures_util::future::join(started, abort).await);
        }
    }
    drop(watching);
    std::mem::take(&mut *seen.lock().unwrap())
}

fn everything() -> HookOptions {
    let payloads =
        PayloadOptions { input: Payload::Text, output: Payload::Text, ..PayloadOptions::default() };
    HookOptions { payloads, passed: Passed::Span }
}

#[tokio::test]
async fn spans_and_events_have_khoras_names() {
    let seen = watched(everything(), &Json::string("hello"), None).await;
    let mut names: Vec<&str> = seen.spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let expected = [
        "agent.affordance.evaluate",
        "agent.policy.denied",
        "agent.policy.passed",
        "agent.session",
        "agent.tool.execute",
    ];
    assert_eq!(names, expected);
    let session = seen.spans("agent.session")[0];
    let expected = [
        "agent.id",
        "agent.name",
        "agent.runtime_hash",
        "agent.session.duration_ms",
        "agent.static_hash",
        "agent.tool_count",
        "ok",
        "session.id",
    ];
    assert_eq!(session.names(), expected);
    assert_eq!((session.value("agent.tool_count"), session.value("ok")), ("1", "true"));
    assert_eq!(session.value("agent.runtime_hash").len(), 64);
    let evaluated = seen.spans("agent.affordance.evaluate");
    assert_eq!((evaluated.len(), seen.parent(evaluated[0])), (1, "agent.session"));
    assert_eq!(evaluated[0].names(), ["agent.tool_count"]);
    assert_eq!(evaluated[0].value("agent.tool_count"), "1");
    for denied in seen.spans("agent.policy.denied") {
        let expected = ["composable.name", "policy.error", "policy.id", "policy.phase"];
        assert_eq!(denied.names(), expected, "{denied:?}");
        assert_eq!(denied.value("policy.phase"), "toolkit");
        assert_eq!(seen.parent(denied), "agent.affordance.evaluate");
    }
    let passed: Vec<(&str, &str)> = seen
        .spans("agent.policy.passed")
        .iter()
        .map(|span| (span.value("policy.id"), span.value("policy.phase")))
        .collect();
    assert_eq!(passed, [("allows", "toolkit"), ("allows", "execute")]);
    let tool = seen.spans("agent.tool.execute")[0];
    let expected = ["agent.tool.duration_ms", "tool.input", "tool.name", "tool.ok", "tool.output"];
    assert_eq!(tool.names(), expected);
    assert_eq!((tool.value("tool.name"), tool.value("tool.input")), ("echo", "\"hello\""));
    let refs = seen.events("agent.tool.ref");
    assert_eq!((refs.len(), seen.parent(refs[0])), (1, "agent.session"));
    assert_eq!(refs[0].names(), ["tool.hash", "tool.key"]);
    let ends = [seen.events("agent.session.start").len(), seen.events("agent.session.end").len()];
    assert_eq!(ends, [1, 1]);
}

#[tokio::test]
async fn a_failure_and_a_cancellation_are_told_apart() {
    let seen = watched(HookOptions::default(), &Json::string("fail"), None).await;
    assert_eq!(seen.spans("agent.session")[0].value("ok"), "false");
    let errors = seen.events("agent.session.error");
    assert_eq!(errors[0].names(), ["error"]);
    assert!(seen.events("agent.session.end").is_empty());
    let seen =
        watched(HookOptions::default(), &Json::string("wait"), Some(&AbortController::default()))
            .await;
    let session = seen.spans("agent.session")[0];
    assert_eq!((session.value("ok"), session.value("agent.session.cancelled")), ("true", "true"));
    assert_eq!(seen.events("agent.session.cancelled").len(), 1);
}

#[tokio::test]
async fn a_policy_that_allowed_is_a_span_where_that_is_asked_for() {
    for (passed, spans, events) in
        [(Passed::Event, 0, 2), (Passed::ExecuteOnly, 1, 1), (Passed::Span, 2, 0)]
    {
        let options = HookOptions { passed, ..HookOptions::default() };
        let seen = watched(options, &Json::null(), None).await;
        assert_eq!(seen.spans("agent.policy.passed").len(), spans, "{passed:?}");
        assert_eq!(seen.events("agent.policy.passed").len(), events, "{passed:?}");
        assert_eq!(seen.spans("agent.policy.denied").len(), 2);
    }
}

#[tokio::test]
async fn payloads_are_bounded_and_nothing_secret_is_told() {
    let hashed =
        PayloadOptions { input: Payload::Hash, output: Payload::Hash, ..PayloadOptions::default() };
    let long = Json::string(&long());
    for (options, told) in [
        (HookOptions::default(), &[][..]),
        (everything(), &["tool.input", "tool.output"]),
        (hashed.into(), &["tool.input_hash", "tool.output_hash"]),
    ] {
        for input in [&long, &Json::string("fail")] {
            let seen = watched(options, input, None).await;
            let tool = seen.spans("agent.tool.execute")[0];
            let payloads: Vec<&str> = tool.names();
            let payloads: Vec<&str> = payloads
                .into_iter()
                .filter(|name| name.starts_with("tool.in") || name.starts_with("tool.out"))
                .collect();
            assert_eq!(payloads, told);
            for one in seen.spans.iter().chain(&seen.events) {
                for (name, value) in &one.values {
                    assert!(value.encode_utf16().count() <= 1025, "{} {name}", one.name);
                    assert!(!value.contains("SECRET"), "{} {name} {value}", one.name);
                    assert!(!value.contains("tier"), "{} {name} {value}", one.name);
                }
            }
            let errors = seen.spans("agent.policy.denied");
            let broken = errors.iter().find(|span| span.value("policy.id") == "fails").unwrap();
            assert!(broken.value("policy.error").ends_with('\u{2026}'));
        }
    }
}
