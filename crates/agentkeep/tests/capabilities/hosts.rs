//! The host of sessions: what goes wrong, what is kept, what a restart finds.

use std::sync::Arc;
use std::time::Duration;

use agentkeep::capabilities::{
    AbortController, AgentRegistry, Attribution, CaptureOptions, EnvKeys, InputSchema, Policy,
    RegisterOptions, RegisteredAgent, Runner, SessionError, SessionHooks, SessionOptions, Stage,
    Tool, Toolkit,
};
use agentkeep::{Json, List, Store};

use crate::support::{json, on_every_driver};

on_every_driver!(
    every_turn_is_attributed_however_it_ends,
    a_restart_finds_what_was_registered,
    an_output_outlives_its_attribution,
);

fn agent(line: &str) -> RegisteredAgent {
    let paying = Policy::new("tier-pro", |env| async move {
        Ok(env.member("tier").and_then(|tier| tier.to_text()).as_deref() == Some("pro"))
    });
    let schema = || InputSchema::Json(json(r#"{"type":"object"}"#));
    let nothing = |_, _| async { Ok(Json::null()) };
    let members = vec![
        Tool::new("search", schema(), nothing).into(),
        Tool::new("export", schema(), nothing).policies(&[&paying]).into(),
    ];
    let root = Toolkit::new("root", members).unwrap();
    RegisteredAgent::new("helper", "Helper", &[line], root).unwrap()
}

fn runs<F>(run: F) -> RegisterOptions
where
    F: Fn(Json) -> Result<Json, String> + Send + Sync + 'static,
{
    let run = Runner::new(move |args| {
        let done = run(args.input);
        async move { done.map_err(Into::into) }
    });
    RegisterOptions { run: Some(run), ..RegisterOptions::default() }
}

fn session(id: &str) -> SessionOptions {
    SessionOptions { session_id: Some(id.to_owned()), ..SessionOptions::default() }
}

async fn every_turn_is_attributed_however_it_ends(store: Store) {
    let capture =
        CaptureOptions { env: EnvKeys::Only(vec!["tier".to_owned()]), ..CaptureOptions::default() };
    let attribution = Attribution { capture, ..Attribution::default() };
    let registry = AgentRegistry::new(store.clone()).attribute(attribution);
    let fails = |input: Json| match input.to_text().as_deref() {
        Some("fail") => Err("as asked".to_owned()),
        Some("panic") => panic!("the runner's own fault"),
        _ => Ok(json("1")),
    };
    registry.register(agent("Help."), runs(fails)).await.unwrap();
    for (tier, input) in [("free", "go"), ("pro", "fail"), ("pro", "panic")] {
        let tier = json(&format!(r#"{{"tier":{tier:?},"apiKey":"SECRET"}}"#));
        let options = SessionOptions { context: vec![tier.into()], ..session("s") };
        let session = registry.create_session("helper", options).unwrap();
        let done = session.start(Json::string(input)).await;
        match input {
            "go" => assert_eq!(done.unwrap(), json("1")),
            "fail" => assert_eq!(done.unwrap_err().to_string(), "as asked"),
            _ => assert!(matches!(done.unwrap_err(), SessionError::Panicked(_))),
        }
    }
    let lineage = store.capabilities().lineage("s").await.unwrap();
    let told: Vec<(String, usize)> = lineage
        .links
        .iter()
        .map(|kept| {
            let metadata = kept.row.json().member("metadata").unwrap();
            let outcome = metadata.member("outcome").unwrap().to_text().unwrap();
            (outcome, kept.row.link().unwrap().tool_refs.len())
        })
        .collect();
    let expected = [("ok", 1), ("error", 2), ("error", 2)];
    assert_eq!(told, expected.map(|(outcome, tools)| (outcome.to_owned(), tools)));
    assert_eq!(lineage.transitions.len(), 1, "only where something changed");
    for kept in store.capabilities().envelopes("s", &List::default()).await.unwrap().items {
        let text = kept.row.json().to_string();
        assert!(text.contains(r#""env":{"tier":"#), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
    }
}

async fn a_restart_finds_what_was_registered(store: Store) {
    let first = AgentRegistry::new(store.clone());
    first.register(agent("Help."), RegisterOptions::default()).await.unwrap();
    assert!(first.missing().await.unwrap().is_empty());
    let second = AgentRegistry::new(store);
    assert!(!second.has("helper"));
    let missing = second.missing().await.unwrap();
    let ids: Vec<String> = missing.iter().map(agentkeep::RegistrationRow::agent_id).collect();
    assert_eq!(ids, ["helper"]);
    let error = second.create_session("helper", SessionOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "agent not registered: helper");
    second.register(agent("Help better."), RegisterOptions::default()).await.unwrap();
    assert!(second.missing().await.unwrap().is_empty());
    // The first one's live part is not what was registered last.
    assert_eq!(first.missing().await.unwrap().len(), 1);
}

async fn an_output_outlives_its_attribution(store: Store) {
    let registry = AgentRegistry::new(store.clone()).attribute(Attribution::default());
    let hooks = SessionHooks::default()
        .on(Stage::AfterRun, |_| async { panic!("a turn that was not kept is no success") });
    let options = RegisterOptions { hooks, ..runs(|_| Ok(json("7"))) };
    registry.register(agent("Help."), options).await.unwrap();
    // No link can have this session.
    let session = registry.create_session("helper", session("\u{1}")).unwrap();
    match session.start(Json::null()).await.unwrap_err() {
        SessionError::NotKept { output, error } => {
            assert_eq!(output, Some(json("7")));
            assert_eq!(error.kind(), agentkeep::Kind::InvalidId);
        }
        other => panic!("{other:?}"),
    }
    drop(store);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_never_ends_is_ended() {
    let registry = AgentRegistry::in_memory().await.unwrap().deadline(Duration::from_secs(5));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let hooks = SessionHooks::default().on(Stage::Error, move |event| {
        seen.lock().unwrap().push(event.error.unwrap().to_string());
        async { Ok(()) }
    });
    let run = Some(Runner::new(|_| std::future::pending()));
    let options = RegisterOptions { hooks, run, ..RegisterOptions::default() };
    registry.register(agent("Help."), options).await.unwrap();
    let session = registry.create_session("helper", SessionOptions::default()).unwrap();
    let error = session.start(Json::null()).await.unwrap_err();
    assert!(matches!(error, SessionError::Deadline(_)), "{error}");
    assert_eq!(*told.lock().unwrap(), ["the runner took longer than 5s"]);
}

#[tokio::test]
async fn a_session_runs_once_at_a_time_and_again_after_that() {
    let registry = AgentRegistry::in_memory().await.unwrap();
    let controller = AbortController::default();
    let run = Some(Runner::new(|args| async move {
        match args.input.to_text() {
            Some(_) => std::future::pending().await,
            None => Ok(json("2")),
        }
    }));
    let options = RegisterOptions { run, ..RegisterOptions::default() };
    registry.register(agent("Help."), options).await.unwrap();
    let options = SessionOptions { signal: Some(controller.signal()), ..SessionOptions::default() };
    let session = Arc::new(registry.create_session("helper", options).unwrap());
    let running = Arc::clone(&session);
    let first = tokio::spawn(async move { running.start(Json::string("wait")).await });
    tokio::task::yield_now().await;
    let error = session.start(Json::null()).await.unwrap_err();
    assert!(matches!(error, SessionError::Running), "{error}");
    controller.abort(json(r#""enough""#));
    match first.await.unwrap().unwrap_err() {
        SessionError::Aborted(aborted) => assert_eq!(aborted.reason, json(r#""enough""#)),
        other => panic!("{other:?}"),
    }
    let fresh = AbortController::default();
    let again = session.start_with(Json::null(), Some(fresh.signal())).await;
    assert_eq!(again.unwrap(), json("2"));
}

#[test]
fn two_members_of_one_name_are_refused() {
    let tool = || Tool::new("t", InputSchema::Nothing, |_, _| async { Ok(Json::null()) }).into();
    let error = Toolkit::new("k", vec![tool(), tool()]).unwrap_err();
    assert_eq!(error.kind(), agentkeep::Kind::InvalidInput);
}
