//! Which tools an agent has: evaluating policies over a tree.

use std::collections::HashMap;

use futures_util::future::{BoxFuture, try_join_all};

use super::composable::{Composable, DynamicToolkit, Tool};
use super::hooks::{Phase, PipelineHooks, PolicyEvaluated};
use super::{Failure, Policy, PolicyResults, ToolContext, ToolSpec};
use crate::capabilities::hash::as_members;

/// What an evaluation left.
#[derive(Debug, Clone, Default)]
pub struct Evaluated {
    /// The tools that are there, each name once.
    pub tools: Vec<ToolSpec>,
    /// What the model is told of them.
    pub instructions: String,
    /// Names that more than one allowed tool had, where the last one is there: hashes by name may
    /// speak of another one.
    pub hidden: Vec<String>,
}

/// For which tool or toolkit a policy is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) phase: Phase,
    pub(super) tool: Option<&'a str>,
    pub(super) composable: Option<&'a str>,
}

/// One evaluation.
struct Evaluation<'a> {
    context: &'a ToolContext,
    results: &'a PolicyResults,
}

/// Which tools a tree has in this context. What `results` knows is not asked again.
///
/// # Errors
/// What a hook or the maker of a dynamic toolkit gives. A policy that fails denies.
pub async fn evaluate(
    root: &Composable,
    context: &ToolContext,
    results: &PolicyResults,
) -> Result<Evaluated, Failure> {
    Evaluation { context, results }.node(root, PipelineHooks::default()).await
}

/// Why a policy denied, as events and errors say it.
pub(super) fn denial(id: &str) -> String {
    format!("Policy denied: {id}")
}

/// Asks a policy, unless `known`, and tells of it.
pub(super) async fn ask(
    policy: &Policy,
    env: &crate::Json,
    known: Option<bool>,
    results: Option<&PolicyResults>,
    hooks: &PipelineHooks,
    asked: Asked<'_>,
) -> Result<bool, Failure> {
    let (ok, thrown) = match known {
        Some(ok) => (ok, None),
        None => match policy.check(env.clone()).await {
            Ok(ok) => (ok, None),
            Err(failure) => (false, Some(failure.to_string())),
        },
    };
    if let (None, Some(results)) = (known, results) {
        results.set(policy, ok);
    }
    if hooks.tells_of_policies() {
        let event = PolicyEvaluated {
            ok,
            policy_id: policy.id().to_owned(),
            error: if ok { None } else { thrown.or_else(|| Some(denial(policy.id()))) },
            env: env.clone(),
            phase: asked.phase,
            tool_name: asked.tool.map(str::to_owned),
            composable_name: asked.composable.map(str::to_owned),
        };
        hooks.policy_evaluated(&event).await?;
    }
    Ok(ok)
}

impl Evaluation<'_> {
    fn node<'b>(
        &'b self,
        node: &'b Composable,
        inherited: PipelineHooks,
    ) -> BoxFuture<'b, Result<Evaluated, Failure>> {
        Box::pin(async move {
            let passed_on = inherited.then(node.own_hooks());
            // The hooks of the runtime come last and are not inherited: nobody is told twice.
            let hooks = passed_on.then(&self.context.hooks);
            match node {
                Composable::Tool(tool) => self.tool(tool, hooks).await,
                Composable::Toolkit(toolkit) => {
                    let (name, lines) = (&toolkit.name, toolkit.instructions.as_deref());
                    self.members(name, &toolkit.members, lines, &passed_on, &hooks).await
                }
                Composable::Dynamic(toolkit) => self.dynamic(toolkit, &passed_on, &hooks).await,
            }
        })
    }

    async fn tool(&self, tool: &Tool, hooks: PipelineHooks) -> Result<Evaluated, Failure> {
        let asked = Asked { phase: Phase::Tool, tool: Some(&tool.name), composable: None };
        for policy in &tool.policies {
            let allowed = if let Some(known) = self.results.get(policy) {
                known
            } else {
                let (env, results) = (&self.context.env, Some(self.results));
                ask(policy, env, None, results, &hooks, asked).await?
            };
            if !allowed {
                return Ok(Evaluated::default());
            }
        }
        let context =
            ToolContext { abort: None, hooks: PipelineHooks::default(), ..self.context.clone() };
        let spec = ToolSpec::of(tool, context, hooks);
        let instructions = spec.instructions.clone();
        Ok(Evaluated { tools: vec![spec], instructions, hidden: Vec::new() })
    }

    async fn dynamic(
        &self,
        toolkit: &DynamicToolkit,
        passed_on: &PipelineHooks,
        hooks: &PipelineHooks,
    ) -> Result<Evaluated, Failure> {
        let name = Some(toolkit.name.as_str());
        let asked = Asked { phase: Phase::DynamicToolkit, tool: None, composable: name };
        for policy in &toolkit.policies {
            let known = self.results.get(policy);
            let (env, results) = (&self.context.env, Some(self.results));
            if !ask(policy, env, known, results, hooks, asked).await? {
                return Ok(Evaluated::default());
            }
        }
        let members = (toolkit.create)(self.context.clone()).await?;
        let lines = toolkit.instructions.as_deref();
        self.members(&toolkit.name, &members, lines, passed_on, hooks).await
    }

    /// Members of a toolkit: all their policies first, then the members at once.
    async fn members(
        &self,
        name: &str,
        members: &[Composable],
        lines: Option<&[String]>,
        passed_on: &PipelineHooks,
        hooks: &PipelineHooks,
    ) -> Result<Evaluated, Failure> {
        let mut policies = Vec::new();
        for member in members {
            member.all_policies(&mut policies);
        }
        let asked = Asked { phase: Phase::Toolkit, tool: None, composable: Some(name) };
        for policy in &policies {
            if self.results.get(policy).is_none() {
                let (env, results) = (&self.context.env, Some(self.results));
                ask(policy, env, None, results, hooks, asked).await?;
            }
        }
        let members = members.iter().map(|member| self.node(member, passed_on.clone()));
        Ok(merged(lines.unwrap_or_default(), try_join_all(members).await?))
    }
}

fn merged(lines: &[String], members: Vec<Evaluated>) -> Evaluated {
    let mut tools: Vec<ToolSpec> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let (mut texts, mut hidden) = (lines.to_vec(), Vec::new());
    for member in members {
        texts.push(member.instructions);
        hidden.extend(member.hidden);
        for tool in member.tools {
            if let Some(place) = places.get(&tool.name) {
                hidden.push(tool.name.clone());
                tools[*place] = tool;
            } else {
                places.insert(tool.name.clone(), tools.len());
                tools.push(tool);
            }
        }
    }
    if tools.is_empty() {
        return Evaluated::default();
    }
    texts.retain(|text| !text.is_empty());
    as_members(&mut tools, |tool| &tool.name);
    Evaluated { tools, instructions: texts.join("\n\n"), hidden }
}
