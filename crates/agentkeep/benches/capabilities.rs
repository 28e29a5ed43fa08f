//! The speed of hashes, evaluations, turns and lists of links; turns as a ratio to a floor measured
//! in the same run (see `conversations`).
//!
//! `cargo bench -p agentkeep --bench capabilities` runs all; `-- NAME` one of them.
//! `AGENTKEEP_BENCH_LONG` sets the number of links of the long agent (20,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use agentkeep::capabilities::{
    Composable, InputSchema, LinkOptions, Policy, RegisteredAgent, Tool, ToolContext, Toolkit,
    compute_full_capability_link, hash_plain_object,
};
use agentkeep::{CapabilityLink, Json, OpContext, Store, ToolRef, TurnAttribution};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use common::{Bench, compare, floor, next, timed};

fn main() {
    let benches: [Bench; 4] =
        [("hash", hash), ("evaluate_100", evaluate_100), ("turn", turn), ("links", links)];
    common::run(&benches);
}

/// For aims that are times: the median of the rounds, an operation.
fn absolute(name: &str, per_round: u32, mut work: impl FnMut()) {
    let mut round = || timed(|| (0..per_round).for_each(|_| work())) / per_round;
    round();
    let mut times: Vec<_> = (0..common::ROUNDS).map(|_| round()).collect();
    times.sort();
    let us = |place: usize| times[place].as_secs_f64() * 1e6;
    let (middle, last) = (times.len() / 2, times.len() - 1);
    println!("{name:<34} {:>21.1} us  ({:.1}..{:.1})", us(middle), us(0), us(last));
}

/// An object of tools as a model is told of them, about 10 KB, its keys in no order.
fn object() -> String {
    let mut text = String::from("{");
    for n in 0..28 {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}"tool-{}":{{"name":"search_{n}","description":"Searches what there is, and answers with the lines that fit.","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string","maxLength":1{n}00}},"limit":{{"type":"integer","default":{n}.5e1}},"Deep":{{"type":"boolean"}}}},"required":["query"]}},"policyIds":["tier-pro","region-eu"],"cost":0.{n}5}}"#,
            n * 7919 % 1000
        );
    }
    text.push('}');
    text
}

fn hash(_: &Runtime) {
    let text = &object();
    let json = &Json::parse(text).unwrap();
    let times = 500;
    let raw = || {
        || {
            for _ in 0..times {
                black_box(serde_json::from_str::<serde_json::Value>(text).unwrap());
                black_box(Sha256::digest(text.as_bytes()));
            }
        }
    };
    compare(&format!("hash of {} bytes of text", text.len()), times, raw, || {
        || {
            for _ in 0..times {
                black_box(hash_plain_object(&Json::parse(text).unwrap()).unwrap());
            }
        }
    });
    compare("the same, of what is parsed", times, raw, || {
        || {
            for _ in 0..times {
                black_box(hash_plain_object(json).unwrap());
            }
        }
    });
}

/// 100 tools, of which every second one asks one of ten policies.
fn tools() -> Composable {
    let policies: Vec<Policy> = (0..10)
        .map(|n| Policy::new(&format!("p{n}"), move |_| async move { Ok(n != 3) }))
        .collect();
    let schema = Json::parse(
        r#"{"type":"object","properties":{"query":{"type":"string"},"limit":{"type":"integer"}}}"#,
    )
    .unwrap();
    let tool = |n: usize| -> Composable {
        let schema = InputSchema::Json(schema.clone());
        let tool = Tool::new(&format!("tool_{n}"), schema, |input, _| async move { Ok(input) })
            .description("Searches what there is, and answers with the lines that fit.")
            .instructions(&["Ask it before you answer.", "Never ask it twice for one thing."]);
        if n.is_multiple_of(2) {
            tool.policies(&[&policies[n / 2 % 10]]).into()
        } else {
            tool.into()
        }
    };
    Toolkit::new("root", (0..100).map(tool).collect()).unwrap().into()
}

fn evaluate_100(runtime: &Runtime) {
    let root = tools();
    let context = ToolContext::new(Json::parse(r#"{"tier":"pro"}"#).unwrap());
    let options = LinkOptions::default();
    let agent = || RegisteredAgent::new("a", "A", &["Help."], root.clone()).unwrap();
    let link = |agent: &RegisteredAgent| {
        let link = compute_full_capability_link(agent, &context, &options);
        black_box(runtime.block_on(link).unwrap());
    };
    let one = agent();
    absolute("evaluate 100 tools, and the link", 20, || link(&one));
    absolute("the same of a new agent", 20, || link(&agent()));
}

fn link_of(agent: &str, tools: u64) -> CapabilityLink {
    let tool = |n| ToolRef { tool_key: format!("tool_{n}"), tool_hash: format!("{n:064x}") };
    CapabilityLink {
        agent_id: agent.to_owned(),
        agent_name: "Agent".to_owned(),
        static_hash: format!("{:064x}", 1),
        runtime_hash: format!("{tools:064x}"),
        tool_refs: (0..tools).map(tool).collect(),
        invocation_hash: None,
    }
}

/// About 50 KB, of which the instructions and the tools say `n`.
fn envelope(n: u64) -> Json {
    let lines = format!("{n} {}", "what the agent is told ".repeat(870));
    let mut tools = String::new();
    for tool in 0..100 {
        let comma = if tool == 0 { "" } else { "," };
        let _ = write!(
            tools,
            r#"{comma}"tool_{tool}":{{"name":"tool_{tool}","description":"Searches what there is, and answers with the lines that fit, in turn {n}.","instructions":"","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string"}},"limit":{{"type":"integer"}}}}}},"policyIds":["tier-pro"]}}"#
        );
    }
    let link = link_of("a", 20).to_json();
    let refs = link.member("toolRefs").unwrap();
    Json::parse(&format!(
        r#"{{"schemaVersion":"1","static":{{"staticInstructions":[{lines:?}]}},"policy":{{"mode":"hint","results":{{"tier-pro":true}}}},"runtime":{{"link":{link},"toolRefs":{refs},"affordances":{{"instructions":"","tools":{{{tools}}}}}}},"context":{{"n":1}}}}"#
    ))
    .unwrap()
}

fn attribution(turn: u64, envelope: &Json) -> TurnAttribution {
    let op = OpContext::at(1_769_990_400_000 + turn.cast_signed());
    let turn = TurnAttribution::new(&op, "s", &link_of("a", 20)).unwrap();
    turn.with_envelope(envelope).unwrap()
}

async fn open(folder: &Path, durability: &str) -> Store {
    let url = format!("sqlite:{}/ours.db?durability={durability}", folder.display());
    Store::open(&url).await.unwrap()
}

/// The rows of each turn, in one transaction.
fn insert_turns(plain: &Connection, turns: Vec<(i64, [String; 2])>) {
    for (n, [link, envelope]) in turns {
        plain.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = plain.prepare_cached(common::INSERT).unwrap();
        insert.execute(rusqlite::params![2 * n, format!("link_{n:012}"), link]).unwrap();
        insert.execute(rusqlite::params![2 * n + 1, format!("env_{n:012}"), envelope]).unwrap();
        plain.execute_batch("COMMIT").unwrap();
    }
}

/// So many turns to a round: most bring both logs into their files, SQLite's own after 1,000 pages, ours
/// after 4,000; and the first one, which warms up, lets the logs reach their length.
const TURNS: u64 = 200;

fn turn(runtime: &Runtime) {
    for changes in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (0, 0);
        let plain = &floor(folder.path(), "power");
        let store = &runtime.block_on(open(folder.path(), "power"));
        let told = if changes { "new" } else { "unchanged" };
        let of = |from: u64| -> Vec<TurnAttribution> {
            let envelope = |n| envelope(if changes { n } else { 0 });
            (from..from + TURNS).map(|n| attribution(n, &envelope(n))).collect()
        };
        let floor = |from: u64| {
            let texts = |turn: TurnAttribution| {
                [turn.link.json().to_string(), turn.envelope.unwrap().json().to_string()]
            };
            let turns = of(from).into_iter().map(texts);
            let turns = (from.cast_signed()..).zip(turns).collect();
            move || insert_turns(plain, turns)
        };
        let ours = |from: u64| {
            let turns = of(from);
            move || {
                runtime.block_on(async {
                    let (op, keep) = (OpContext::at(1), store.capabilities());
                    for turn in turns {
                        keep.record_turn_attribution(&op, &turn, None).await.unwrap();
                    }
                });
            }
        };
        compare(
            &format!("turn, {} bytes, {told}", envelope(0).len()),
            TURNS,
            || floor(next(&mut a, TURNS)),
            || ours(next(&mut b, TURNS)),
        );
    }
}

async fn fill(store: &Store, agent: &str, count: u64) {
    for from in (0..count).step_by(100) {
        let mut unit = store.unit();
        for n in from..(from + 100).min(count) {
            let (op, link) = (OpContext::at(n.cast_signed()), link_of(agent, 20 + n % 3));
            let turn = TurnAttribution::new(&op, &format!("s{}", n % 500), &link).unwrap();
            unit.capabilities().record_turn(&op, &turn).unwrap();
        }
        unit.commit().await.unwrap();
    }
}

fn links(runtime: &Runtime) {
    let long = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|text| text.parse().ok());
    let (long, times): (u64, u64) = (long.unwrap_or(20_000), 50);
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(open(folder.path(), "none"));
    runtime.block_on(async {
        fill(store, "short", 60).await;
        fill(store, "long", long).await;
    });
    let page = |agent: &'static str| {
        move || {
            for _ in 0..times {
                let keep = store.capabilities();
                let page = keep.list_capability_links_for_agent(agent, 0, 50);
                assert_eq!(runtime.block_on(page).unwrap().links.len(), 50);
            }
        }
    };
    let name = format!("first 50 links of 60 / of {long}");
    compare(&name, times, || page("short"), || page("long"));
}
