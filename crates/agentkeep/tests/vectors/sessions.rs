//! The session language of the vectors.

use std::sync::Arc;

use agentkeep::capabilities::{
    AbortController, AgentRegistry, ContextLayer, RegisterOptions, Runner, SessionContext,
    SessionError, SessionHooks, SessionOptions, Stage, StageEvent, Tool,
};
use agentkeep::{Json, ObjectEditor, Store};

use crate::support::{Answer, text};
use crate::trees::{Trace, json, list, members, truth};
use crate::values::same;

const STAGES: [(&str, Stage); 6] = [
    ("onStart", Stage::Start),
    ("onBeforeContext", Stage::BeforeContext),
    ("onAfterContext", Stage::AfterContext),
    ("onBeforeRun", Stage::BeforeRun),
    ("onAfterRun", Stage::AfterRun),
    ("onError", Stage::Error),
];

#[derive(Clone, Default)]
struct Host {
    trace: Trace,
    controller: Arc<AbortController>,
}

/// A context as traces show it: the signal is a member there.
fn shown(context: &SessionContext) -> Json {
    let mut shown = ObjectEditor::of(&context.json());
    if context.signal().is_some() {
        shown.set("abortSignal", &Json::string("<signal>"));
    }
    shown.finish()
}

fn error(error: &SessionError) -> Json {
    let name = match error {
        SessionError::Aborted(_) => "AgentSessionAbortedError",
        _ => "Error",
    };
    let message = Some(Json::string(&error.to_string()));
    members([("name", Some(Json::string(name))), ("message", message)])
}

fn present(input: &Json) -> Option<Json> {
    Some(input.clone()).filter(|input| !input.is_null())
}

impl Host {
    fn hook(
        &self,
        layer: &str,
        name: &str,
        event: &StageEvent,
        action: &Json,
    ) -> Result<(), String> {
        let mut args = vec!["agent".to_owned()];
        let there = [
            ("context", event.context.is_some()),
            ("error", event.error.is_some()),
            ("input", true),
            ("output", event.output.is_some()),
        ];
        args.extend(there.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()));
        self.trace.push(members([
            ("layer", Some(Json::string(layer))),
            ("stage", Some(Json::string(name))),
            ("args", Some(list(&args))),
            ("context", event.context.as_ref().map(shown)),
            ("output", event.output.clone()),
            ("error", event.error.as_ref().map(error)),
        ]));
        for (name, value) in action.member("setContext").iter().flat_map(Json::members) {
            event.context.as_ref().unwrap().set(&name, &value);
        }
        if let Some(reason) = action.member("abort") {
            self.controller.abort(reason);
        }
        text(action, "throw").map_or(Ok(()), Err)
    }

    fn hooks(&self, layer: &'static str, definition: Option<Json>) -> SessionHooks {
        let mut hooks = SessionHooks::default();
        for (name, action) in definition.iter().flat_map(Json::members) {
            let (name, stage) = *STAGES.iter().find(|(known, _)| *known == name).unwrap();
            let host = self.clone();
            hooks = hooks.on(stage, move |event| {
                let done = host.hook(layer, name, &event, &action);
                async move { done.map_err(Into::into) }
            });
        }
        hooks
    }

    fn layer(&self, piece: &Json) -> ContextLayer {
        if let Some(object) = piece.member("static") {
            return ContextLayer::Static(object);
        }
        let (host, resolver) = (self.clone(), piece.member("resolver").unwrap());
        ContextLayer::resolver(move |_, input, context| {
            let resolver = resolver.clone();
            host.trace.push(members([
                ("resolver", resolver.member("name")),
                ("context", Some(shown(&context))),
            ]));
            async move {
                if let Some(message) = text(&resolver, "throw") {
                    return Err(message.into());
                }
                for (name, value) in resolver.member("mutate").iter().flat_map(Json::members) {
                    context.set(&name, &value);
                }
                if resolver.member("nothing").is_some() {
                    return Ok(None);
                }
                let mut given =
                    ObjectEditor::of(&resolver.member("return").unwrap_or_else(|| json("{}")));
                for (target, source) in resolver.member("copy").iter().flat_map(Json::members) {
                    let copied = match source.to_text().unwrap().as_str() {
                        "$input" => Some(input.clone()),
                        key => context.get(key),
                    };
                    if let Some(copied) = copied {
                        given.set(&target, &copied);
                    }
                }
                Ok(Some(given.finish()))
            }
        })
    }

    fn context(&self, definition: Option<Json>) -> Vec<ContextLayer> {
        match definition {
            None => Vec::new(),
            Some(list) if list.is_array() => list.elements().map(|one| self.layer(&one)).collect(),
            Some(one) => vec![self.layer(&one)],
        }
    }

    fn runner(&self, layer: &'static str, definition: Option<Json>) -> Option<Runner> {
        let (host, definition) = (self.clone(), definition?);
        Some(Runner::new(move |args| {
            let (host, definition) = (host.clone(), definition.clone());
            async move {
                let names = ["agent", "context", "input"].map(str::to_owned);
                host.trace.push(members([
                    ("run", Some(Json::string(layer))),
                    ("args", Some(list(&names))),
                    ("context", Some(shown(&args.context))),
                    ("input", present(&args.input)),
                ]));
                for name in ["throw", "throwSync", "throwValue"] {
                    if let Some(message) = text(&definition, name) {
                        return Err(message.into());
                    }
                }
                if let Some(reason) = definition.member("abort") {
                    host.controller.abort(reason);
                    tokio::task::yield_now().await;
                    host.trace.push(members([
                        ("run", Some(Json::string(layer))),
                        ("note", Some(Json::string("runner kept going after abort"))),
                    ]));
                }
                if let Some(reason) = definition.member("abortThenReturn") {
                    host.controller.abort(reason);
                }
                if definition.member("returnContext").is_some() {
                    return Ok(shown(&args.context));
                }
                Ok(definition.member("return").unwrap_or_else(Json::null))
            }
        }))
    }

    fn register_options(&self, definition: &Json) -> RegisterOptions {
        RegisterOptions {
            hooks: self.hooks("registry", definition.member("hooks")),
            context: self.context(definition.member("ctx")),
            run: self.runner("registry", definition.member("run")),
        }
    }
}

fn agent(given: &Json) -> agentkeep::capabilities::RegisteredAgent {
    let schema = crate::trees::schema(&json("{}"));
    let tool = Tool::new("t", schema, |_, _| async { Ok(Json::null()) });
    let made = agentkeep::capabilities::RegisteredAgent::new("ag", "Agent", &[], tool).unwrap();
    match given.member("agentContext") {
        Some(context) => made.context(context),
        None => made,
    }
}

fn result(result: Result<Json, SessionError>) -> Json {
    match result {
        Ok(output) => members([("output", present(&output))]),
        Err(failed) => {
            let mut told = ObjectEditor::of(&error(&failed));
            if let SessionError::Aborted(aborted) = &failed {
                if let Some(reason) = present(&aborted.reason) {
                    told.set("reason", &reason);
                }
            }
            members([("error", Some(told.finish()))])
        }
    }
}

pub(crate) async fn answer(_: &Json, given: &Json, khora: &Json) -> Answer {
    let host = Host::default();
    let store = Store::open("memory:").await.unwrap();
    let store = match given.member("storeFails") {
        // Nothing can be written there.
        Some(_) => store.snapshot().await.unwrap(),
        None => store,
    };
    let registry = AgentRegistry::new(store);
    let definition = given.member("register").unwrap();
    let registered = registry.register(agent(given), host.register_options(&definition)).await;
    let mut mine = ObjectEditor::default();
    match &registered {
        // The vectors do not say what agent it is: its hash is told elsewhere.
        Ok(hash) => {
            assert_eq!(hash.len(), 64);
            mine.set("registered", &khora.member("registered").unwrap_or_else(Json::null));
        }
        // What the store says is the store's.
        Err(_) => {
            mine.set("registerError", &khora.member("registerError").unwrap_or_else(Json::null));
        }
    }
    mine.set("has", &truth(registry.has("ag"))).set("keys", &list(&registry.keys()));
    if registered.is_ok() {
        session(&host, &registry, given, &mut mine).await;
    }
    mine.set("trace", &host.trace.json());
    same(&mine.finish(), khora)
}

async fn session(host: &Host, registry: &AgentRegistry, given: &Json, mine: &mut ObjectEditor) {
    let definition = given.member("session").unwrap_or_else(|| json("{}"));
    let of_start = given.member("start").unwrap_or_else(|| json("{}"));
    let signal = |definition: &Json| {
        let wanted = definition.member("signal").filter(|signal| *signal != truth(false));
        wanted.map(|wanted| {
            if let Some(reason) = wanted.member("aborted") {
                host.controller.abort(reason);
            }
            host.controller.signal()
        })
    };
    let options = SessionOptions {
        hooks: host.hooks("session", definition.member("hooks")),
        context: host.context(definition.member("ctx")),
        run: host.runner("session", definition.member("run")),
        session_id: text(&definition, "sessionId"),
        signal: signal(&definition),
        deadline: None,
    };
    let id = text(given, "createSessionFor").unwrap_or_else(|| "ag".to_owned());
    let mut session = match registry.create_session(&id, options) {
        Ok(session) => session,
        Err(failed) => {
            mine.set("createSessionError", &error(&failed));
            return;
        }
    };
    for (name, action) in given.member("builder").iter().flat_map(Json::members) {
        let (name, stage) = *STAGES.iter().find(|(known, _)| *known == name).unwrap();
        let host = host.clone();
        session = session.on(stage, move |event| {
            let done = host.hook("builder", name, &event, &action);
            async move { done.map_err(Into::into) }
        });
    }
    if let Some(again) = given.member("reRegisterBeforeStart") {
        registry.register(agent(given), host.register_options(&again)).await.unwrap();
    }
    let told = [
        ("agentId", Some(Json::string(session.agent().id()))),
        ("sessionId", session.session_id().map(Json::string)),
    ];
    mine.set("session", &members(told));
    let start = async |definition: &Json| {
        let input = definition.member("input").unwrap_or_else(Json::null);
        result(session.start_with(input, signal(definition)).await)
    };
    mine.set("result", &start(&of_start).await);
    if let Some(again) = given.member("startAgain") {
        mine.set("secondResult", &start(&again).await);
    }
}
