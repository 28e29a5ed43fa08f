//! Agents as they are registered.

use super::hash::hash_agent_static;
use super::tool::{Composable, list_of};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::{OpContext, RegistrationRow, new_id};
use crate::schema::check_id;

/// An agent: what it is told, and what it can do. Its static hash covers both, and not its id,
/// name or context.
#[derive(Debug, Clone)]
pub struct RegisteredAgent {
    agent_id: String,
    name: String,
    instructions: Vec<String>,
    context: Option<Json>,
    root: Composable,
    static_hash: String,
}

impl RegisteredAgent {
    /// An agent with this root: Khora's `createRegisteredAgent`.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a number in a schema beyond the range of `f64`.
    pub fn new(
        agent_id: &str,
        name: &str,
        instructions: &[&str],
        root: impl Into<Composable>,
    ) -> Result<Self> {
        check_id("agent", agent_id)?;
        let root = root.into();
        let instructions: Vec<String> =
            instructions.iter().map(|line| (*line).to_owned()).collect();
        let static_hash = hash_agent_static(&root, &instructions)?;
        let (agent_id, name) = (agent_id.to_owned(), name.to_owned());
        Ok(Self { agent_id, name, instructions, context: None, root, static_hash })
    }

    /// The same with a static context, which every session of it begins with: an object.
    #[must_use]
    pub fn context(mut self, context: Json) -> Self {
        self.context = Some(context);
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.agent_id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is told, as given.
    pub fn instructions(&self) -> &[String] {
        &self.instructions
    }

    /// The static context, `{}` when it has none.
    pub fn static_context(&self) -> Json {
        self.context.clone().unwrap_or_else(|| ObjectEditor::default().finish())
    }

    /// What it can do.
    pub fn root(&self) -> &Composable {
        &self.root
    }

    /// Its static hash.
    pub fn static_hash(&self) -> &str {
        &self.static_hash
    }

    /// The plain data of it: Khora's `registeredAgentToWire`.
    pub fn to_wire(&self) -> Json {
        let mut wire = ObjectEditor::default();
        wire.set("agentId", &Json::string(&self.agent_id));
        wire.set("name", &Json::string(&self.name));
        wire.set("staticHash", &Json::string(&self.static_hash));
        wire.set("staticInstructions", &list_of(&self.instructions));
        wire.set("staticContext", &self.static_context());
        wire.finish()
    }

    /// The row of its registration, with an id that nobody has used: Khora's
    /// `registeredAgentToRegistrationRow`.
    ///
    /// # Errors
    /// None: the agent has been checked.
    pub fn to_registration_row(&self, op: &OpContext) -> Result<RegistrationRow> {
        let mut row = ObjectEditor::default();
        row.set(RegistrationRow::ID, &Json::string(&new_id(RegistrationRow::PREFIX)));
        row.set("agentId", &Json::string(&self.agent_id));
        row.set("staticHash", &Json::string(&self.static_hash));
        row.set("staticProps", &self.static_props());
        row.set("_ts_created", &Json::integer(op.now));
        RegistrationRow::from_json(row.finish())
    }

    /// What its registration keeps of it.
    pub fn static_props(&self) -> Json {
        let mut props = ObjectEditor::default();
        props.set("kind", &Json::string("registered-agent"));
        props.set("agentId", &Json::string(&self.agent_id));
        props.set("name", &Json::string(&self.name));
        props.set("instructions", &list_of(&self.instructions));
        props.set("context", &self.static_context());
        props.finish()
    }
}
