//! What is hashed of tools, agents and runtimes.

use std::collections::HashMap;

use super::{hash_plain_object, sort_by_collation};
use crate::capabilities::tool::{Composable, Policy, Tool, ToolSpec, ToolWire, list_of};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::ToolRef;

/// The static hashes of an agent's tools, by name. Of tools with one name the last one counts; it
/// has the place of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticHashes {
    entries: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl StaticHashes {
    /// Gives a name its hash.
    pub fn insert(&mut self, name: &str, hash: &str) {
        if let Some(entry) = self.places.get(name).and_then(|place| self.entries.get_mut(*place)) {
            hash.clone_into(&mut entry.1);
            return;
        }
        self.places.insert(name.to_owned(), self.entries.len());
        self.entries.push((name.to_owned(), hash.to_owned()));
    }

    /// The hash of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.places.get(name)?;
        self.entries.get(*place).map(|(_, hash)| hash.as_str())
    }

    /// Names and hashes, in the order of the definition.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, hash)| (name.as_str(), hash.as_str()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for StaticHashes {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(entries: I) -> Self {
        let mut hashes = Self::default();
        for (name, hash) in entries {
            hashes.insert(name, hash);
        }
        hashes
    }
}

fn sorted(lines: &[String]) -> Json {
    let mut lines = lines.to_vec();
    sort_by_collation(&mut lines, String::as_str);
    list_of(&lines)
}

fn kind(kind: &str) -> ObjectEditor {
    let mut payload = ObjectEditor::default();
    payload.set("kind", &Json::string(kind));
    payload
}

/// A text, or `null`.
fn optional(text: Option<&str>) -> Json {
    text.map_or_else(Json::null, Json::string)
}

fn ids(policies: &[Policy]) -> Vec<String> {
    policies.iter().map(|policy| policy.id().to_owned()).collect()
}

fn tool_payload(tool: &Tool) -> Json {
    let mut payload = kind("tool");
    payload.set("name", &Json::string(&tool.name));
    payload.set("description", &optional(tool.description.as_deref()));
    if let Some(schema) = tool.schema.projection() {
        payload.set("schema", &schema);
    }
    payload.set("instructions", &sorted(&tool.instructions));
    payload.set("policies", &sorted(&ids(&tool.policies)));
    if !tool.policies.is_empty() {
        let mut policies: Vec<&Policy> = tool.policies.iter().collect();
        sort_by_collation(&mut policies, |policy| policy.id());
        let binding = |policy: &&Policy| {
            let mut binding = ObjectEditor::default();
            binding.set("id", &Json::string(policy.id()));
            binding.set("executeBinding", &Json::string(policy.binding().name()));
            binding.finish()
        };
        let bindings: Vec<Json> = policies.iter().map(binding).collect();
        payload.set("policyBindings", &Json::array(&bindings));
    }
    payload.finish()
}

/// What is hashed of a tool or toolkit as it was defined.
///
/// # Errors
/// `InvalidInput` for a number in a schema beyond the range of `f64`.
pub fn static_payload(composable: &Composable) -> Result<Json> {
    let lines = |lines: &Option<Vec<String>>| lines.as_deref().map_or_else(Json::null, list_of);
    match composable {
        Composable::Tool(tool) => Ok(tool_payload(tool)),
        Composable::Toolkit(toolkit) => {
            let mut members = Vec::new();
            for member in &toolkit.members {
                members.push((member.name(), hash_static(member)?));
            }
            sort_by_collation(&mut members, |(name, _)| name);
            let member = |(name, hash): &(&str, String)| named(name, hash);
            let members: Vec<Json> = members.iter().map(member).collect();
            let mut payload = kind("toolkit");
            payload.set("name", &Json::string(&toolkit.name));
            payload.set("instructions", &lines(&toolkit.instructions));
            payload.set("members", &Json::array(&members));
            Ok(payload.finish())
        }
        Composable::Dynamic(toolkit) => {
            let mut payload = kind("dynamicToolkit");
            payload.set("name", &Json::string(&toolkit.name));
            payload.set("instructions", &lines(&toolkit.instructions));
            payload.set("policies", &sorted(&ids(&toolkit.policies)));
            Ok(payload.finish())
        }
    }
}

fn named(name: &str, hash: &str) -> Json {
    let mut member = ObjectEditor::default();
    member.set("name", &Json::string(name)).set("hash", &Json::string(hash));
    member.finish()
}

/// The static hash of a tool or toolkit: Khora's `computeStaticHash`.
///
/// # Errors
/// As for [`static_payload`].
pub fn hash_static(composable: &Composable) -> Result<String> {
    let Composable::Tool(tool) = composable else {
        return hash_plain_object(&static_payload(composable)?);
    };
    if let Some(hash) = tool.hash.get() {
        return Ok(hash.clone());
    }
    let hash = hash_plain_object(&tool_payload(tool))?;
    Ok(tool.hash.get_or_init(|| hash).clone())
}

/// The static hashes of all tools that are not made dynamically: Khora's
/// `collectToolStaticHashes`.
///
/// # Errors
/// As for [`static_payload`].
pub fn collect_tool_static_hashes(root: &Composable) -> Result<StaticHashes> {
    fn walk(composable: &Composable, hashes: &mut StaticHashes) -> Result<()> {
        match composable {
            Composable::Tool(tool) => hashes.insert(&tool.name, &hash_static(composable)?),
            Composable::Toolkit(toolkit) => {
                for member in &toolkit.members {
                    walk(member, hashes)?;
                }
            }
            Composable::Dynamic(_) => {}
        }
        Ok(())
    }
    let mut hashes = StaticHashes::default();
    walk(root, &mut hashes)?;
    Ok(hashes)
}

/// What is hashed of an agent: what its root is, and what it is told. Its id, name and context are
/// not covered.
pub fn agent_payload(root_hash: &str, instructions: &[String]) -> Json {
    let trimmed = instructions.iter().map(|line| ecma_trim(line)).filter(|line| !line.is_empty());
    let lines: Vec<Json> = trimmed.map(Json::string).collect();
    let mut payload = ObjectEditor::default();
    payload.set("rootComposableHash", &Json::string(root_hash));
    payload.set("agentInstructions", &Json::array(&lines));
    payload.finish()
}

/// An agent's static hash.
///
/// # Errors
/// As for [`static_payload`].
pub fn hash_agent_static(root: &Composable, instructions: &[String]) -> Result<String> {
    hash_plain_object(&agent_payload(&hash_static(root)?, instructions))
}

/// Without white space at the ends, as ECMAScript means it: U+0085 stays, U+FEFF goes.
pub(crate) fn ecma_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || (c != '\u{85}' && c.is_whitespace()))
}

fn spec_payload(
    name: &str,
    description: Option<&str>,
    schema: Option<&Json>,
    instructions: &str,
    policies: &Json,
) -> Json {
    let mut lines: Vec<String> = match instructions {
        "" => Vec::new(),
        text => text.split("\n\n").map(str::to_owned).collect(),
    };
    sort_by_collation(&mut lines, String::as_str);
    let mut payload = kind("tool");
    payload.set("name", &Json::string(name));
    payload.set("description", &optional(description));
    if let Some(schema) = schema {
        payload.set("schema", schema);
    }
    payload.set("instructions", &list_of(&lines)).set("policies", policies);
    payload.finish()
}

/// What is hashed of a tool that an evaluation left.
pub fn tool_spec_payload(spec: &ToolSpec) -> Json {
    let (schema, policies) = (spec.schema.projection(), list_of(&spec.policy_ids));
    let description = spec.description.as_deref();
    spec_payload(&spec.name, description, schema.as_ref(), &spec.instructions, &policies)
}

/// The hash of a tool that an evaluation left: what stands for tools that were made dynamically.
///
/// # Errors
/// As for [`static_payload`].
pub fn hash_tool_spec(spec: &ToolSpec) -> Result<String> {
    hash_plain_object(&tool_spec_payload(spec))
}

/// What is hashed of the plain data of a tool.
pub fn tool_wire_payload(wire: &ToolWire) -> Json {
    let description = Some(wire.description.as_str()).filter(|text| !text.is_empty());
    let policies = sorted(&wire.policy_ids);
    let schema = wire.input_schema.as_ref();
    spec_payload(&wire.name, description, schema, &wire.instructions, &policies)
}

/// The hash of the plain data of a tool.
///
/// # Errors
/// As for [`static_payload`].
pub fn hash_tool_wire(wire: &ToolWire) -> Result<String> {
    hash_plain_object(&tool_wire_payload(wire))
}

/// What is hashed of the tools that an agent had.
pub fn runtime_payload(refs: &[ToolRef]) -> Json {
    let tools: Vec<Json> = refs.iter().map(|one| named(&one.tool_key, &one.tool_hash)).collect();
    let mut payload = kind("runtime");
    payload.set("tools", &Json::array(&tools));
    payload.finish()
}

/// The runtime hash over the tools that an agent had.
///
/// # Errors
/// None for texts; the type is that of all hashes.
pub fn runtime_hash(refs: &[ToolRef]) -> Result<String> {
    hash_plain_object(&runtime_payload(refs))
}

/// What is hashed of a tool that was bound to something at run time.
pub fn runtime_tool_binding_payload(base: &str, binding: &str) -> Json {
    let mut payload = kind("runtime_tool_binding");
    payload.set("baseToolHash", &Json::string(base));
    payload.set("runtimeBinding", &Json::string(binding));
    payload.finish()
}

/// The hash of a tool that was bound to something at run time.
///
/// # Errors
/// As for [`runtime_hash`].
pub fn hash_runtime_tool_binding(base: &str, binding: &str) -> Result<String> {
    hash_plain_object(&runtime_tool_binding_payload(base, binding))
}

/// The references of the tools that are there: for each name, by collation, the static hash, or
/// that of the tool as it was evaluated; names without either are left out. `augments` are bindings
/// at run time, by name.
///
/// # Errors
/// As for [`static_payload`].
pub fn resolve_runtime_tool_refs<'a>(
    enabled: &[&str],
    hashes: &StaticHashes,
    spec: impl Fn(&str) -> Option<&'a ToolSpec>,
    augments: &[(String, String)],
) -> Result<Vec<ToolRef>> {
    let mut names = enabled.to_vec();
    sort_by_collation(&mut names, |name| name);
    let mut refs = Vec::with_capacity(names.len());
    for name in names {
        let base = match hashes.get(name).filter(|hash| !hash.is_empty()) {
            Some(hash) => hash.to_owned(),
            None => match spec(name) {
                Some(spec) => hash_tool_spec(spec)?,
                None => continue,
            },
        };
        let augment = augments.iter().rev().find(|(augmented, _)| augmented == name);
        let tool_hash = match augment {
            Some((_, binding)) => hash_runtime_tool_binding(&base, binding)?,
            None => base,
        };
        refs.push(ToolRef { tool_key: name.to_owned(), tool_hash });
    }
    Ok(refs)
}
