//! The tree language of the vectors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use agentkeep::capabilities::{
    Composable, DynamicToolkit, ExecuteBinding, InputSchema, PipelineHooks, Policy,
    RegisteredAgent, Tool, Toolkit,
};
use agentkeep::{Json, ObjectEditor};

use crate::support::{text, texts};

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<Json>>>);

impl Trace {
    pub(crate) fn push(&self, json: Json) {
        self.0.lock().unwrap().push(json);
    }

    pub(crate) fn json(&self) -> Json {
        Json::array(&*self.0.lock().unwrap())
    }
}

/// The policies of a vector, and which of them were asked.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) policies: HashMap<String, Policy>,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) trace: Trace,
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn members<'a>(members: impl IntoIterator<Item = (&'a str, Option<Json>)>) -> Json {
    let mut object = ObjectEditor::default();
    for (name, value) in members {
        if let Some(value) = value {
            object.set(name, &value);
        }
    }
    object.finish()
}

pub(crate) fn truth(truth: bool) -> Json {
    json(if truth { "true" } else { "false" })
}

pub(crate) fn list(texts: &[String]) -> Json {
    Json::of(texts).unwrap()
}

impl World {
    pub(crate) fn of(input: &Json) -> Self {
        let mut world = Self::default();
        for (key, definition) in input.member("policies").iter().flat_map(Json::members) {
            let id = text(&definition, "id").unwrap();
            let binding = match text(&definition, "executeBinding").as_deref() {
                Some("snapshot") => ExecuteBinding::Snapshot,
                _ => ExecuteBinding::Live,
            };
            let (asked, name) = (Arc::clone(&world.asked), key.clone());
            let policy = Policy::bound(&id, binding, move |env| {
                asked.lock().unwrap().push(name.clone());
                let definition = definition.clone();
                async move {
                    if let Some(message) = text(&definition, "throws") {
                        return Err(message.into());
                    }
                    if let Some(equals) = definition.member("envEquals") {
                        let mut equals = equals.elements();
                        let key = equals.next().unwrap().to_text().unwrap();
                        return Ok(env.member(&key) == equals.next());
                    }
                    Ok(definition.member("allow") != Some(json("false")))
                }
            });
            world.policies.insert(key, policy);
        }
        world
    }

    fn policies(&self, tree: &Json) -> Vec<&Policy> {
        let names = texts(tree, "policies").unwrap_or_default();
        names.iter().map(|name| &self.policies[name]).collect()
    }

    /// Hooks that write into the trace under this label.
    pub(crate) fn hooks(&self, label: Option<String>) -> PipelineHooks {
        let Some(label) = label else { return PipelineHooks::default() };
        let (one, other) = (self.trace.clone(), self.trace.clone());
        let (hook, hook_of_tools) = (Json::string(&label), Json::string(&label));
        PipelineHooks::default()
            .on_policy_evaluated(move |event| {
                let told = told(&hook, "policy", &Json::of(&event).unwrap());
                one.push(told);
                async { Ok(()) }
            })
            .on_tool_executed(move |event| {
                other.push(told(&hook_of_tools, "tool", &Json::of(&event).unwrap()));
                async { Ok(()) }
            })
    }

    pub(crate) fn tree(&self, tree: &Json) -> Composable {
        let name = text(tree, "name").unwrap();
        let lines = texts(tree, "instructions");
        let lines =
            lines.as_ref().map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
        let hooks = self.hooks(text(tree, "hooks"));
        match text(tree, "kind").unwrap().as_str() {
            "tool" => {
                let (throws, returns) = (text(tree, "handlerThrows"), tree.member("returns"));
                let tool = Tool::new(&name, schema(tree), move |input, _| {
                    let (throws, returns) = (throws.clone(), returns.clone());
                    async move {
                        match (throws, returns) {
                            (Some(message), _) => Err(message.into()),
                            (None, Some(returns)) => Ok(returns),
                            (None, None) => Ok(members([("echoed", Some(input))])),
                        }
                    }
                });
                let mut tool = tool.policies(&self.policies(tree)).hooks(hooks);
                if let Some(description) = text(tree, "description") {
                    tool = tool.description(&description);
                }
                tool.instructions(lines.as_deref().unwrap_or_default()).into()
            }
            "toolkit" => {
                let members = tree.member("members").unwrap();
                let members = members.elements().map(|member| self.tree(&member)).collect();
                let mut toolkit = Toolkit::with_any_names(&name, members).hooks(hooks);
                if let Some(lines) = lines {
                    toolkit = toolkit.instructions(&lines);
                }
                toolkit.into()
            }
            "dynamicToolkit" => {
                let (world, creates) = (self.clone(), tree.member("creates"));
                let label = name.clone();
                let mut toolkit = DynamicToolkit::new(&name, move |_| {
                    let event = [
                        ("event", Some(Json::string("create"))),
                        ("name", Some(Json::string(&label))),
                    ];
                    world.trace.push(members(event));
                    let made = creates.iter().flat_map(Json::elements);
                    let made = made.map(|member| world.tree(&member)).collect();
                    async move { Ok(made) }
                });
                toolkit = toolkit.policies(&self.policies(tree)).hooks(hooks);
                if let Some(lines) = lines {
                    toolkit = toolkit.instructions(&lines);
                }
                toolkit.into()
            }
            other => panic!("no such kind: {other}"),
        }
    }

    pub(crate) fn agent(&self, agent: &Json) -> RegisteredAgent {
        let lines = texts(agent, "instructions").unwrap_or_default();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let of =
            |member: &str, other: &str| text(agent, member).unwrap_or_else(|| other.to_owned());
        let root = self.tree(&agent.member("root").unwrap());
        let (id, name) = (of("agentId", "agent"), of("name", "Agent"));
        let made = RegisteredAgent::new(&id, &name, &lines, root).unwrap();
        match agent.member("context") {
            Some(context) => made.context(context),
            None => made,
        }
    }

    pub(crate) fn asked(&self) -> Json {
        list(&self.asked.lock().unwrap())
    }
}

/// An event as the traces of the vectors have it.
fn told(hook: &Json, kind: &str, event: &Json) -> Json {
    let mut told = ObjectEditor::default();
    told.set("hook", hook).set("event", &Json::string(kind));
    for (name, value) in event.members().filter(|(name, _)| name != "env") {
        told.set(&name, &value);
    }
    told.finish()
}

pub(crate) fn schema(tree: &Json) -> InputSchema {
    let Some(schema) = tree.member("schema") else {
        return InputSchema::Standard { vendor: "test".to_owned(), version: 1 };
    };
    match schema.member("json") {
        Some(json) if json == crate::trees::json(r#"{"$undefined":true}"#) => InputSchema::Nothing,
        Some(json) => InputSchema::Json(json),
        None => InputSchema::Standard {
            vendor: text(&schema, "vendor").unwrap(),
            version: schema.member("version").unwrap().to_i64().unwrap(),
        },
    }
}
