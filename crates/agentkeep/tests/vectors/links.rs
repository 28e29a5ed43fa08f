//! Links, differences and their reports, telemetry.

use agentkeep::capabilities::telemetry::{
    Payload, PayloadOptions, link_attributes, payload_attributes, session_attributes,
    span_attributes,
};
use agentkeep::capabilities::{
    DiffSource, Labels, LinkOptions, PolicyResults, ToolContext, ToolSpec, capability_diff,
    collect_tool_static_hashes, create_capability_link, diff_affordance_policy_ids,
    diff_capability_links, diff_policy_results, diff_tool_refs, evaluate_agent,
    explain_capability_link_relationship, format_hash_short_with, link_of,
};
use agentkeep::{CapabilityLink, Json, ToolRef};

use crate::hashes::{augments, pairs};
use crate::support::{Answer, Not, equal, text, texts};
use crate::trees::{World, list, members, truth};
use crate::values::{input, same};

pub(crate) fn link_options(given: &Json) -> Result<LinkOptions, Not> {
    Ok(LinkOptions {
        invocation: input(given, "invocationContext")?,
        invocation_allow: texts(given, "invocationContextAllowlist").unwrap_or_default(),
        augments: augments(given, "runtimeToolAugments"),
    })
}

pub(crate) fn context(given: &Json) -> Result<ToolContext, Not> {
    let ctx = given.member("ctx").unwrap();
    let mut context = ToolContext::new(input(&ctx, "env")?.unwrap_or_else(Json::null));
    context.namespace = text(&ctx, "namespace");
    context.agent_id = text(&ctx, "agentId");
    context.agent_name = text(&ctx, "agentName");
    Ok(context)
}

fn link(given: &Json, side: &str) -> CapabilityLink {
    CapabilityLink::from_json(&given.member(side).unwrap()).unwrap()
}

fn told<T: serde::Serialize>(value: &T, khora: &Json) -> Answer {
    same(&Json::of(value).unwrap(), khora)
}

fn results(given: &Json, side: &str) -> Vec<(String, bool)> {
    let results = given.member(side).unwrap().member("results").unwrap();
    results.members().map(|(id, ok)| (id, ok == truth(true))).collect()
}

fn tools(given: &Json, side: &str) -> Vec<(String, Vec<String>)> {
    let tools = given.member(side).unwrap();
    tools.members().map(|(name, tool)| (name, texts(&tool, "policyIds").unwrap())).collect()
}

pub(crate) async fn links_and_diffs(op: &Json, given: &Json, khora: &Json) -> Answer {
    match op.to_text().unwrap().as_str() {
        "diffToolRefs" => {
            let of = |side| ToolRef::list_from_json(&given.member(side).unwrap()).unwrap();
            told(&diff_tool_refs(&of("first"), &of("second")), khora)
        }
        "diffCapabilityLinks" => {
            told(&diff_capability_links(&link(given, "first"), &link(given, "second")), khora)
        }
        "explainCapabilityLinkRelationship" => {
            let (first, second) = (link(given, "first"), link(given, "second"));
            let mine = explain_capability_link_relationship(&first, &second);
            equal("the text", &Some(mine.to_owned()), &text(khora, "text"))
        }
        "formatHashShort" => {
            let options = given.member("options");
            let length = |name| {
                let length = options.as_ref().and_then(|options| options.member(name));
                length.map_or(6, |length| usize::try_from(length.to_i64().unwrap()).unwrap())
            };
            let hash = text(given, "hash").unwrap();
            let mine = format_hash_short_with(&hash, length("prefix"), length("suffix"));
            equal("the text", &Some(mine), &text(khora, "text"))
        }
        "diffPolicyEvaluationSnapshots" => {
            told(&diff_policy_results(&results(given, "first"), &results(given, "second")), khora)
        }
        "diffAffordancePolicyIds" => {
            let (first, second) = (tools(given, "firstTools"), tools(given, "secondTools"));
            told(&diff_affordance_policy_ids(&first, &second), khora)
        }
        "createCapabilityLink" => {
            let of = given.member("agent").unwrap();
            let of = |name| text(&of, name).unwrap();
            let enabled = texts(given, "enabledToolNames").unwrap();
            let enabled: Vec<&str> = enabled.iter().map(String::as_str).collect();
            let refs = given.member("toolRefs").map(|refs| ToolRef::list_from_json(&refs).unwrap());
            let link = create_capability_link(
                (&of("agentId"), &of("name"), &of("staticHash")),
                &enabled,
                &pairs(given, "nameToStaticHash"),
                |_| None,
                refs,
                &link_options(given)?,
            );
            same(&members([("link", Some(link.unwrap().to_json()))]), khora)
        }
        "computeFullCapabilityLink" => full_link(given, khora).await,
        other => panic!("no such op: {other}"),
    }
}

async fn full_link(given: &Json, khora: &Json) -> Answer {
    let world = World::of(given);
    let agent = world.agent(&given.member("agent").unwrap());
    let (context, options) = (context(given)?, link_options(given)?);
    let affordances = evaluate_agent(&agent, &context, &PolicyResults::default()).await.unwrap();
    let link = link_of(&agent, &affordances, &options).unwrap();
    let again =
        agentkeep::capabilities::compute_full_capability_link(&agent, &context, &options).await;
    equal("the link of both ways", &again.unwrap(), &link)?;
    let enabled: Vec<String> =
        affordances.tools.iter().map(ToolSpec::name).map(str::to_owned).collect();
    let hashes = collect_tool_static_hashes(agent.root()).unwrap();
    let pair = |(name, hash)| Json::array(&[Json::string(name), Json::string(hash)]);
    let hashes: Vec<Json> = hashes.iter().map(pair).collect();
    let mine = [
        ("link", Some(link.to_json())),
        ("runtimeHash", Some(Json::string(&link.runtime_hash))),
        ("toolRefs", Some(ToolRef::list_to_json(&link.tool_refs))),
        ("enabled", Some(list(&enabled))),
        ("nameToStaticHash", Some(Json::array(&hashes))),
    ];
    same(&members(mine), khora)
}

pub(crate) async fn diff_cli(op: &Json, given: &Json, khora: &Json) -> Answer {
    let op = op.to_text().unwrap();
    match op.as_str() {
        "parseDiffInput" | "extractDiffSources" => parsed(&op, given, khora),
        "formatCapabilityDiffReport" | "buildCapabilityDiffJsonReport" => {
            let of = |side| DiffSource::from_json(&given.member(side).unwrap()).unwrap();
            let labels = given.member("labels");
            let labels = labels.map_or_else(Labels::default, |labels| Labels {
                first: text(&labels, "first").unwrap(),
                second: text(&labels, "second").unwrap(),
            });
            let diff = capability_diff(&of("first"), &of("second"), labels);
            let mine = match op.as_str() {
                "formatCapabilityDiffReport" => diff.to_string(),
                _ => serde_json::to_string_pretty(&diff).unwrap(),
            };
            equal("the report", &Some(mine), &text(khora, "text"))
        }
        // Asked of the command.
        "capability-diff" => Err(Not::Here),
        other => panic!("no such op: {other}"),
    }
}

fn parsed(op: &str, given: &Json, khora: &Json) -> Answer {
    let json = given.member("json").unwrap();
    let source = match (DiffSource::from_json(&json), khora.member("error")) {
        (Err(error), Some(khora)) => {
            let message = error.message().to_owned();
            return equal("the error", &Some(message), &text(&khora, "message"));
        }
        // Khora takes an envelope in first, and looks for its link later.
        (Err(_), None) if text(khora, "kind").as_deref() == Some("envelope") => return Ok(()),
        (Err(error), None) => return Err(Not::Same(error.to_string())),
        (Ok(_), Some(khora)) => return Err(Not::Same(format!("it is taken, not {khora}"))),
        (Ok(source), None) => source,
    };
    if text(khora, "kind").as_deref() == Some("envelope") {
        return Ok(());
    }
    let kind = (op == "parseDiffInput").then(|| Json::string("link"));
    let mut mine = agentkeep::ObjectEditor::of(khora);
    mine.set("link", &source.link.to_json());
    if let Some(kind) = kind {
        mine.set("kind", &kind);
    }
    let policy = khora.member("policy").map(|_| results(khora, "policy"));
    equal("policies", &source.policies, &policy)?;
    let affordances = khora.member("affordances").map(|wire| tools(&wire, "tools"));
    equal("tools", &source.tools, &affordances)?;
    same(&mine.finish(), khora)
}

pub(crate) async fn telemetry(op: &Json, given: &Json, khora: &Json) -> Answer {
    let options = given.member("options").unwrap_or_else(|| members([]));
    let told = match op.to_text().unwrap().as_str() {
        "toSpanAttributes" => {
            let allow = texts(&options, "allowlist");
            let allow: Option<Vec<&str>> =
                allow.as_ref().map(|allow| allow.iter().map(String::as_str).collect());
            let prefix = text(&options, "prefix").unwrap_or_default();
            let value = input(given, "value")?.unwrap_or_else(Json::null);
            span_attributes(&value, &prefix, allow.as_deref())
        }
        "sessionContextAttributes" => session_attributes(&input(given, "context")?.unwrap()),
        "capabilityLinkAttributes" => {
            let names = options.member("includeToolNames") != Some(truth(false));
            let length = options.member("hashPrefixLength").and_then(|length| length.to_i64());
            let length = length.map(|length| usize::try_from(length).unwrap());
            link_attributes(&link(given, "link"), names, length)
        }
        "toolPayloadAttributes" => {
            let event = given.member("event").unwrap();
            let how = |name| match options.member(name).map(|how| how.to_string()).as_deref() {
                Some("true") => Payload::Text,
                Some("\"hash-only\"") => Payload::Hash,
                _ => Payload::None,
            };
            let max = options.member("maxStringLength").and_then(|max| max.to_i64());
            let options = PayloadOptions {
                input: how("includeInput"),
                output: how("includeOutput"),
                max: max.map_or(1024, |max| usize::try_from(max).unwrap()),
            };
            let output = match event.member("ok") == Some(truth(true)) {
                true => input(&event, "output")?,
                false => None,
            };
            payload_attributes(input(&event, "input")?.as_ref(), output.as_ref(), options)
        }
        other => panic!("no such op: {other}"),
    };
    let mine = told.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
    same(&members(mine), khora)
}
