//! Evaluating, the gate, instructions.

use std::collections::HashMap;
use std::sync::Mutex;

use agentkeep::Json;
use agentkeep::capabilities::{
    AbortController, Evaluated, Gate, PipelineHooks, PolicyMode, PolicyResults, PolicySnapshot,
    Tool, ToolContext, ToolWire, assemble_instructions, evaluate, evaluate_agent, gate_tool,
    hydrate_affordances,
};

use crate::support::{Answer, text, texts};
use crate::trees::{World, json, list, members, truth};
use crate::values::{input, same};

pub(crate) async fn answer(op: &Json, given: &Json, expected: &Json) -> Answer {
    match op.to_text().unwrap().as_str() {
        "evaluateComposable" => composable(given, expected).await,
        "gateToolPoliciesAtExecute" => gate(given, expected).await,
        "assembleToolkitAgentInstructions" => {
            let tools = given.member("tools").unwrap();
            let tools: Vec<(String, String)> = tools
                .members()
                .map(|(name, tool)| (name, text(&tool, "instructions").unwrap()))
                .collect();
            let tools = tools.iter().map(|(name, text)| (name.as_str(), text.as_str()));
            let mine = assemble_instructions(&text(given, "instructions").unwrap(), tools);
            same(&members([("text", Some(Json::string(&mine)))]), expected)
        }
        "evaluateRegisteredAgentAffordances" => {
            let world = World::of(given);
            let agent = world.agent(&given.member("agent").unwrap());
            let (context, results) = (context(given)?, PolicyResults::default());
            let affordances = evaluate_agent(&agent, &context, &results).await.unwrap();
            let tools = affordances.tools.iter().map(|tool| tool.name().to_owned());
            let mine = [
                ("tools", Some(list(&tools.collect::<Vec<_>>()))),
                ("instructions", Some(Json::string(&affordances.instructions))),
            ];
            same(&members(mine), expected)
        }
        "capturePolicyResults" => {
            let entries = given.member("entries").unwrap();
            let entries: Vec<Vec<Json>> =
                entries.elements().map(|entry| entry.elements().collect()).collect();
            let ids: Vec<String> =
                entries.iter().map(|entry| entry[0].to_text().unwrap()).collect();
            let results = ids.iter().zip(&entries);
            let results = results.map(|(id, entry)| (id.as_str(), entry[1] == truth(true)));
            let mode = match text(given, "mode").as_deref() {
                Some("authoritative") => PolicyMode::Authoritative,
                _ => PolicyMode::Hint,
            };
            same(&PolicySnapshot::of_entries(results, mode).to_json(), expected)
        }
        "hydrateAffordances" => hydrated(given, expected).await,
        "mergeToolPipelineHooks" => merged(given, expected),
        other => panic!("no such op: {other}"),
    }
}

fn context(given: &Json) -> Result<ToolContext, crate::support::Not> {
    let env = input(given, "env")?.unwrap_or_else(|| json("{}"));
    Ok(ToolContext::new(env))
}

/// The results of policies by their names in the vector.
fn results(world: &World, given: &Json, member: &str) -> PolicyResults {
    let results = PolicyResults::default();
    for (name, value) in given.member(member).iter().flat_map(Json::members) {
        results.set(&world.policies[&name], value == truth(true));
    }
    results
}

fn named(world: &World, results: &PolicyResults) -> Json {
    let name = |policy| world.policies.iter().find(|(_, one)| *one == policy).unwrap().0.as_str();
    let all = results.all();
    members(all.iter().map(|(policy, ok)| (name(policy), Some(truth(*ok)))))
}

fn thrown(failure: &(dyn std::error::Error + Send + Sync)) -> Json {
    let message = Json::string(&failure.to_string());
    members([("name", Some(Json::string("Error"))), ("message", Some(message))])
}

async fn composable(given: &Json, expected: &Json) -> Answer {
    let world = World::of(given);
    let tree = world.tree(&given.member("tree").unwrap());
    let results = results(&world, given, "preResolved");
    let mut context = context(given)?;
    context.hooks = world.hooks(text(given, "runtimeHooks"));
    let evaluated = match evaluate(&tree, &context, &results).await {
        Ok(evaluated) => evaluated,
        Err(failure) => {
            let mine = [
                ("error", Some(thrown(&*failure))),
                ("evaluatedPolicies", Some(world.asked())),
                ("trace", Some(world.trace.json())),
            ];
            return same(&members(mine), expected);
        }
    };
    let called = match given.member("call") {
        Some(call) => called(&evaluated, &call).await?,
        None => Vec::new(),
    };
    let tools = &evaluated.tools;
    let names: Vec<String> = tools.iter().map(|tool| tool.name().to_owned()).collect();
    let texts = tools.iter().map(|tool| (tool.name(), tool.instructions()));
    let assembled = assemble_instructions(&evaluated.instructions, texts);
    let ids = tools.iter().map(|tool| (tool.name(), Some(list(tool.policy_ids()))));
    let mut mine = vec![
        ("tools", Some(list(&names))),
        ("instructions", Some(Json::string(&evaluated.instructions))),
        ("assembled", Some(Json::string(&assembled))),
        ("policyIds", Some(members(ids))),
        ("evaluatedPolicies", Some(world.asked())),
        ("policyResults", Some(named(&world, &results))),
        ("trace", Some(world.trace.json())),
    ];
    mine.extend(called);
    same(&members(mine), expected)
}

async fn called(
    evaluated: &Evaluated,
    call: &Json,
) -> Result<Vec<(&'static str, Option<Json>)>, crate::support::Not> {
    let name = text(call, "tool").unwrap();
    let tool = evaluated.tools.iter().find(|tool| tool.name() == name).unwrap();
    let with = call.member("ctx").filter(|context| !context.is_null());
    let with = with.map(|context| ToolContext::new(context.member("env").unwrap()));
    let given = input(call, "input")?.unwrap_or_else(Json::null);
    Ok(match tool.call(given, with).await {
        Ok(output) => vec![("callResult", Some(output))],
        Err(failure) => vec![("callError", Some(thrown(&*failure)))],
    })
}

async fn gate(given: &Json, expected: &Json) -> Answer {
    let world = World::of(given);
    let spec = given.member("spec").unwrap();
    let policies = texts(&spec, "policies").unwrap();
    let policies: Vec<_> = policies.iter().map(|name| &world.policies[name]).collect();
    // A tool whose policies have all been asked before keeps its policies in their order.
    let results_of_all = PolicyResults::default();
    for policy in &policies {
        results_of_all.set(policy, true);
    }
    let handler = |_, _| async { Ok(Json::null()) };
    let tool = Tool::new(&text(&spec, "name").unwrap(), json("{}"), handler).policies(&policies);
    let context = ToolContext::new(json("{}"));
    let tool = evaluate(&tool.into(), &context, &results_of_all).await.unwrap().tools.remove(0);

    let mut gate = Gate::new(input(given, "env")?.unwrap_or_else(|| json("{}")));
    gate.hooks = world.hooks(Some("runtime".to_owned()));
    let resolved = given.member("resolved").map(|_| results(&world, given, "resolved"));
    gate.results.clone_from(&resolved);
    let snapshot = given.member("policyResults");
    let snapshot = snapshot.iter().flat_map(Json::members);
    gate.snapshot = snapshot.map(|(id, ok)| (id, ok == truth(true))).collect::<HashMap<_, _>>();
    if text(given, "mode").as_deref() == Some("authoritative") {
        gate.mode = PolicyMode::Authoritative;
    }
    let controller = AbortController::default();
    if given.member("aborted") == Some(truth(true)) {
        controller.abort(Json::null());
        gate.abort = Some(controller.signal());
    }
    let refused = gate_tool(&tool, &gate).await.err();
    let error = refused.as_ref().map(|refused| {
        let name = match refused {
            agentkeep::capabilities::Refused::Aborted(_) => "AgentSessionAbortedError",
            _ => "Error",
        };
        let message = Json::string(&refused.to_string());
        members([("name", Some(Json::string(name))), ("message", Some(message))])
    });
    let mine = [
        ("allowed", Some(truth(refused.is_none()))),
        ("error", error),
        ("evaluated", Some(world.asked())),
        ("trace", Some(world.trace.json())),
        ("resolvedAfter", resolved.map(|resolved| named(&world, &resolved))),
    ];
    same(&members(mine), expected)
}

async fn hydrated(given: &Json, expected: &Json) -> Answer {
    let wire = given.member("wire").unwrap();
    let (other, hashes) = (text(given, "bindReturnsName"), Mutex::new(Vec::new()));
    let bind = async |plain: ToolWire, hash: String| {
        hashes.lock().unwrap().push((plain.name.clone(), hash));
        let name = other.clone().unwrap_or(plain.name);
        let tool = Tool::new(&name, json("{}"), |_, _| async { Ok(Json::null()) });
        let (context, results) = (ToolContext::new(Json::null()), PolicyResults::default());
        Ok(evaluate(&tool.into(), &context, &results).await?.tools.remove(0))
    };
    let hydrated = match hydrate_affordances(&wire, bind).await {
        Ok(hydrated) => hydrated,
        Err(error) => return same(&members([("error", Some(thrown(&error)))]), expected),
    };
    let hashes = hashes.into_inner().unwrap();
    let bound = hashes.iter().map(|(name, hash)| (name.as_str(), Some(Json::string(hash))));
    let tools: Vec<String> = hydrated.tools.iter().map(|tool| tool.name().to_owned()).collect();
    let mine = [
        ("instructions", Some(Json::string(&hydrated.instructions))),
        ("tools", Some(list(&tools))),
        ("hashes", Some(members(bound))),
    ];
    same(&members(mine), expected)
}

fn merged(given: &Json, expected: &Json) -> Answer {
    let world = World::default();
    let layers = given.member("layers").unwrap();
    let mut merged = PipelineHooks::default();
    for layer in layers.elements() {
        merged = merged.then(&world.hooks(layer.to_text()));
    }
    let mine = merged.is_empty().then(Json::null);
    same(&members([("merged", mine)]), expected)
}
