//! Tools, and what is put together of them.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;

use super::{Failure, InputSchema, PipelineHooks, Policy, ToolContext};
use crate::error::{Error, Kind, Result as KeepResult};
use crate::json::Json;

pub(crate) type Handler =
    dyn Fn(Json, ToolContext) -> BoxFuture<'static, Result<Json, Failure>> + Send + Sync;
type Create =
    dyn Fn(ToolContext) -> BoxFuture<'static, Result<Vec<Composable>, Failure>> + Send + Sync;

/// A tool, a toolkit, or a toolkit that is made when it is asked for. Clones are cheap and the
/// same.
#[derive(Debug, Clone)]
pub enum Composable {
    /// One tool.
    Tool(Arc<Tool>),
    /// Several.
    Toolkit(Arc<Toolkit>),
    /// Several, made when they are asked for.
    Dynamic(Arc<DynamicToolkit>),
}

/// One thing that an agent can do.
pub struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) schema: InputSchema,
    pub(crate) instructions: Vec<String>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) hooks: PipelineHooks,
    pub(crate) handler: Arc<Handler>,
    /// Its static hash, once somebody asked.
    pub(crate) hash: OnceLock<String>,
}

/// Tools and toolkits under one name.
#[derive(Debug)]
pub struct Toolkit {
    pub(crate) name: String,
    pub(crate) members: Vec<Composable>,
    pub(crate) instructions: Option<Vec<String>>,
    pub(crate) hooks: PipelineHooks,
}

/// A toolkit whose members are made for each evaluation.
pub struct DynamicToolkit {
    pub(crate) name: String,
    pub(crate) policies: Vec<Policy>,
    pub(crate) instructions: Option<Vec<String>>,
    pub(crate) hooks: PipelineHooks,
    pub(crate) create: Box<Create>,
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

impl Tool {
    /// A tool of this name, which takes what `schema` says.
    pub fn new<F, R>(name: &str, schema: impl Into<InputSchema>, handler: F) -> Self
    where
        F: Fn(Json, ToolContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Json, Failure>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            description: None,
            schema: schema.into(),
            instructions: Vec::new(),
            policies: Vec::new(),
            hooks: PipelineHooks::default(),
            handler: Arc::new(move |input, context| Box::pin(handler(input, context))),
            hash: OnceLock::new(),
        }
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        self.description = Some(description.to_owned());
        self
    }

    /// What the model is told of it.
    #[must_use]
    pub fn instructions(mut self, lines: &[&str]) -> Self {
        self.instructions = owned(lines);
        self
    }

    /// Under which policies an agent has it: all of them.
    #[must_use]
    pub fn policies(mut self, policies: &[&Policy]) -> Self {
        self.policies = policies.iter().map(|policy| (*policy).clone()).collect();
        self
    }

    /// Who is told of it.
    #[must_use]
    pub fn hooks(mut self, hooks: PipelineHooks) -> Self {
        self.hooks = hooks;
        self
    }
}

impl Toolkit {
    /// A toolkit of these members.
    ///
    /// # Errors
    /// `InvalidInput` when two members have one name: one would hide the other.
    pub fn new(name: &str, members: Vec<Composable>) -> KeepResult<Self> {
        let mut names = HashSet::new();
        for member in &members {
            if !names.insert(member.name()) {
                let message = format!("the toolkit {name:?} has two members {:?}", member.name());
                return Err(Error::new(Kind::InvalidInput, message)
                    .advice("give each member of a toolkit a name of its own"));
            }
        }
        Ok(Self::with_any_names(name, members))
    }

    /// As [`new`](Self::new), but names may repeat, as Khora lets them: of tools with one name the
    /// last one allowed is there.
    pub fn with_any_names(name: &str, members: Vec<Composable>) -> Self {
        let hooks = PipelineHooks::default();
        Self { name: name.to_owned(), members, instructions: None, hooks }
    }

    /// What the model is told of it, if any of its tools is there.
    #[must_use]
    pub fn instructions(mut self, lines: &[&str]) -> Self {
        self.instructions = Some(owned(lines));
        self
    }

    /// Who is told of it and of all that is in it.
    #[must_use]
    pub fn hooks(mut self, hooks: PipelineHooks) -> Self {
        self.hooks = hooks;
        self
    }
}

impl DynamicToolkit {
    /// A toolkit whose members `create` makes.
    pub fn new<F, R>(name: &str, create: F) -> Self
    where
        F: Fn(ToolContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<Composable>, Failure>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            policies: Vec::new(),
            instructions: None,
            hooks: PipelineHooks::default(),
            create: Box::new(move |context| Box::pin(create(context))),
        }
    }

    /// Under which policies it is made at all.
    #[must_use]
    pub fn policies(mut self, policies: &[&Policy]) -> Self {
        self.policies = policies.iter().map(|policy| (*policy).clone()).collect();
        self
    }

    /// What the model is told of it, if any of its tools is there.
    #[must_use]
    pub fn instructions(mut self, lines: &[&str]) -> Self {
        self.instructions = Some(owned(lines));
        self
    }

    /// Who is told of it and of all that is in it.
    #[must_use]
    pub fn hooks(mut self, hooks: PipelineHooks) -> Self {
        self.hooks = hooks;
        self
    }
}

impl Composable {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(tool) => &tool.name,
            Self::Toolkit(toolkit) => &toolkit.name,
            Self::Dynamic(toolkit) => &toolkit.name,
        }
    }

    /// What it is, as hashes say it: `tool`, `toolkit` or `dynamicToolkit`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Toolkit(_) => "toolkit",
            Self::Dynamic(_) => "dynamicToolkit",
        }
    }

    pub(crate) fn own_hooks(&self) -> &PipelineHooks {
        match self {
            Self::Tool(tool) => &tool.hooks,
            Self::Toolkit(toolkit) => &toolkit.hooks,
            Self::Dynamic(toolkit) => &toolkit.hooks,
        }
    }

    /// Its policies and, of a toolkit, those of all its members.
    pub(crate) fn all_policies(&self, out: &mut Vec<Policy>) {
        match self {
            Self::Tool(tool) => out.extend(tool.policies.iter().cloned()),
            Self::Dynamic(toolkit) => out.extend(toolkit.policies.iter().cloned()),
            Self::Toolkit(toolkit) => {
                for member in &toolkit.members {
                    member.all_policies(out);
                }
            }
        }
    }
}

impl From<Tool> for Composable {
    fn from(tool: Tool) -> Self {
        Self::Tool(Arc::new(tool))
    }
}

impl From<Toolkit> for Composable {
    fn from(toolkit: Toolkit) -> Self {
        Self::Toolkit(Arc::new(toolkit))
    }
}

impl From<DynamicToolkit> for Composable {
    fn from(toolkit: DynamicToolkit) -> Self {
        Self::Dynamic(Arc::new(toolkit))
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({:?}, {:?})", self.name, self.policies)
    }
}

impl fmt::Debug for DynamicToolkit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicToolkit({:?}, {:?})", self.name, self.policies)
    }
}
