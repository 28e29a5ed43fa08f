//! Hashes.

use std::cmp::Ordering;

use agentkeep::capabilities::{
    Composable, PolicyResults, StaticHashes, ToolContext, ToolSpec, ToolWire, canonical_json,
    collate, collect_tool_static_hashes, evaluate, hash_plain_object, hash_runtime_tool_binding,
    hash_static, hash_tool_spec, hash_tool_wire, invocation_fingerprint,
    normalize_invocation_context, resolve_runtime_tool_refs, runtime_hash, runtime_payload,
    runtime_tool_binding_payload, static_payload, tool_spec_payload, tool_wire_payload,
};
use agentkeep::{Json, ToolRef};

use crate::support::{Answer, Not, equal, text, texts};
use crate::trees::{World, members};
use crate::values::{input, same};

/// The canonical text and the hash of a payload, or the error.
fn hashed(payload: &Json) -> Result<Vec<(&'static str, Option<Json>)>, Not> {
    match (canonical_json(payload), hash_plain_object(payload)) {
        (Ok(canonical), Ok(hash)) => Ok(vec![
            ("canonical", Some(Json::string(canonical.as_str()))),
            ("hash", Some(Json::string(&hash))),
        ]),
        (Err(error), _) | (_, Err(error)) => Err(Not::Same(error.to_string())),
    }
}

pub(crate) async fn plain_object(_: &Json, given: &Json, expected: &Json) -> Answer {
    let value = input(given, "value")?.ok_or(Not::Askable("undefined"))?;
    same(&members(hashed(&value)?), expected)
}

pub(crate) async fn invocation_context(_: &Json, given: &Json, expected: &Json) -> Answer {
    let allow = texts(given, "allowlist").unwrap_or_default();
    let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
    let context = match given.member("context") {
        Some(context) if context.is_object() && !allow.is_empty() => {
            // What is not allowed is never looked at, whatever it is.
            let kept = context
                .members()
                .filter(|(name, _)| name.starts_with('$') || allow.contains(&name.as_str()));
            let kept: Vec<(String, Json)> = kept.collect();
            let kept =
                members(kept.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))));
            crate::values::value(&kept)?
        }
        _ => input(given, "context")?,
    };
    let context = context.ok_or(Not::Askable("undefined"))?;
    let normalized = normalize_invocation_context(&context, &allow);
    let hash = match invocation_fingerprint(&context, &allow) {
        Ok(hash) => hash,
        Err(error) => return Err(Not::Same(error.to_string())),
    };
    let payload = normalized.as_ref().map(|context| {
        members([("kind", Some(Json::string("invocation"))), ("context", Some(context.clone()))])
    });
    let canonical = payload.map(|payload| canonical_json(&payload).unwrap());
    let or_null = |json: Option<Json>| Some(json.unwrap_or_else(Json::null));
    let mine = [
        ("normalized", or_null(normalized)),
        ("canonical", canonical.map(|canonical| Json::string(canonical.as_str()))),
        ("hash", or_null(hash.map(|hash| Json::string(&hash)))),
    ];
    same(&members(mine), expected)
}

/// The one tool of a tree, as an evaluation leaves it when all policies allow.
async fn spec(tree: &Composable) -> ToolSpec {
    let results = PolicyResults::default();
    let context = ToolContext::new(Json::null());
    evaluate(tree, &context, &results).await.unwrap().tools.remove(0)
}

pub(crate) fn pairs(given: &Json, member: &str) -> StaticHashes {
    let pairs = given.member(member).unwrap();
    let pairs = pairs.elements().map(|pair| {
        let mut pair = pair.elements().map(|one| one.to_text().unwrap());
        (pair.next().unwrap(), pair.next().unwrap())
    });
    let pairs: Vec<(String, String)> = pairs.collect();
    pairs.iter().map(|(name, hash)| (name.as_str(), hash.as_str())).collect()
}

pub(crate) fn augments(given: &Json, member: &str) -> Vec<(String, String)> {
    let augments = given.member(member);
    let augments = augments.iter().flat_map(Json::members);
    augments.map(|(name, binding)| (name, binding.to_text().unwrap())).collect()
}

pub(crate) async fn tools_agents_runtime(op: &Json, given: &Json, expected: &Json) -> Answer {
    let world = World::of(given);
    let tree = given.member("tree").map(|tree| world.tree(&tree));
    let hash = |hash: String| ("hash", Some(Json::string(&hash)));
    match op.to_text().unwrap().as_str() {
        "computeStaticHash" => {
            let tree = tree.unwrap();
            let mut mine = hashed(&static_payload(&tree).unwrap())?;
            mine.pop();
            mine.push(hash(hash_static(&tree).unwrap()));
            same(&members(mine), expected)
        }
        "hashToolComposableStatic" => match tree.unwrap() {
            tool @ Composable::Tool(_) => {
                same(&members([hash(hash_static(&tool).unwrap())]), expected)
            }
            other => {
                let message = format!(
                    "hashToolComposableStatic: expected composable with kind \"tool\", got {}",
                    other.kind()
                );
                let khora = expected.member("error").unwrap();
                equal("error", &Some(message), &text(&khora, "message"))
            }
        },
        "schemaToHashInput" => {
            let projection = crate::trees::schema(given).projection();
            let hashed = projection.as_ref().map(|json| hash_plain_object(json).unwrap());
            let hashed = hashed.map(|hash| Json::string(&hash));
            same(&members([("hashInput", projection), ("hash", hashed)]), expected)
        }
        "collectToolStaticHashes" => {
            let hashes = collect_tool_static_hashes(&tree.unwrap()).unwrap();
            let pair = |(name, hash)| Json::array(&[Json::string(name), Json::string(hash)]);
            let entries: Vec<Json> = hashes.iter().map(pair).collect();
            same(&members([("entries", Some(Json::array(&entries)))]), expected)
        }
        "hashToolSpecStatic+wire" => {
            let tree = tree.unwrap();
            let spec = spec(&tree).await;
            let wire = spec.to_wire();
            let text = |text: String| Some(Json::string(&text));
            let mine = [
                ("staticHash", text(hash_static(&tree).unwrap())),
                ("specPayload", Some(tool_spec_payload(&spec))),
                ("specHash", text(hash_tool_spec(&spec).unwrap())),
                ("wire", Some(wire.to_json())),
                ("wirePayload", Some(tool_wire_payload(&wire))),
                ("wireHash", text(hash_tool_wire(&wire).unwrap())),
            ];
            same(&members(mine), expected)
        }
        "hashToolSpecWire" => {
            let wire = ToolWire::from_json(&given.member("wire").unwrap()).unwrap();
            let payload = ("payload", Some(tool_wire_payload(&wire)));
            same(&members([payload, hash(hash_tool_wire(&wire).unwrap())]), expected)
        }
        "runtimeCapability" => {
            let refs = ToolRef::list_from_json(&given.member("toolRefs").unwrap()).unwrap();
            let mut mine = hashed(&runtime_payload(&refs))?;
            mine.push(("payload", Some(runtime_payload(&refs))));
            same(&members(mine), expected)
        }
        "hashRuntimeToolBinding" => {
            let of = |member: &str| text(given, member).unwrap();
            let (base, binding) = (of("baseToolHash"), of("runtimeBinding"));
            let mine = hashed(&runtime_tool_binding_payload(&base, &binding))?;
            let own = hash_runtime_tool_binding(&base, &binding).unwrap();
            equal("hash", &Some(Json::string(&own)), &mine[1].1)?;
            same(&members(mine), expected)
        }
        "computeRuntimeHash" => runtime(&world, given, expected).await,
        "createRegisteredAgent" => registered(&world, given, expected),
        other => panic!("no such op: {other}"),
    }
}

async fn runtime(world: &World, given: &Json, expected: &Json) -> Answer {
    let enabled = texts(given, "enabled").unwrap();
    let enabled: Vec<&str> = enabled.iter().map(String::as_str).collect();
    let mut specs = Vec::new();
    for (name, tree) in given.member("fallback").iter().flat_map(Json::members) {
        specs.push((name, spec(&world.tree(&tree)).await));
    }
    let found = |name: &str| specs.iter().find(|(key, _)| key == name).map(|(_, spec)| spec);
    let (hashes, augments) = (pairs(given, "staticHashes"), augments(given, "augments"));
    let refs = resolve_runtime_tool_refs(&enabled, &hashes, found, &augments).unwrap();
    let mine = [
        ("toolRefs", Some(ToolRef::list_to_json(&refs))),
        ("runtimeHash", Some(Json::string(&runtime_hash(&refs).unwrap()))),
    ];
    same(&members(mine), expected)
}

fn registered(world: &World, given: &Json, expected: &Json) -> Answer {
    let agent = world.agent(&given.member("agent").unwrap());
    let root = hash_static(agent.root()).unwrap();
    let payload = agentkeep::capabilities::agent_payload(&root, agent.instructions());
    let canonical = canonical_json(&payload).unwrap();
    let wire = agent.to_wire();
    let mut told = agentkeep::ObjectEditor::of(&wire);
    told.set("staticProps", &agent.static_props());
    let mine = [
        ("canonical", Some(Json::string(canonical.as_str()))),
        ("staticHash", Some(Json::string(agent.static_hash()))),
        ("agent", Some(told.finish())),
    ];
    same(&members(mine), expected)
}

pub(crate) async fn collation(op: &Json, given: &Json, expected: &Json) -> Answer {
    if op.to_text().as_deref() == Some("sortStrings") {
        let mut values = texts(given, "values").unwrap();
        values.sort_by(|a, b| collate(a, b));
        return equal("sorted", &values, &texts(expected, "sorted").unwrap());
    }
    let pairs = given.member("pairs").unwrap();
    let orders = expected.member("order").unwrap();
    let mut wrong = 0;
    for (pair, order) in pairs.elements().zip(orders.elements()) {
        let pair: Vec<String> = pair.elements().map(|one| one.to_text().unwrap()).collect();
        let mine = match collate(&pair[0], &pair[1]) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        };
        wrong += i32::from(order.to_i64() != Some(mine));
    }
    equal("the number of pairs that are ordered otherwise", &wrong, &0)
}
