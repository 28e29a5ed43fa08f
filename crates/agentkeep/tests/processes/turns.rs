//! `kill -9` while turns are recorded: link, envelope and transition are all there, or none.

use std::collections::BTreeSet;

use agentkeep::{
    CapabilityLink, Follows, Json, LinkRow, List, OpContext, Store, ToolRef, TransitionRow,
    TurnAttribution,
};

use crate::child::{Running, say, start};
use crate::contention::url;
use crate::kill::Random;
use crate::{Outcome, block_on};

const KILLS: u64 = 40;

fn envelope(id: &str) -> Json {
    let long = "what the agent is told ".repeat(200);
    let text = format!(
        r#"{{"schemaVersion":"1","static":{{"long":{long:?}}},"context":{{"id":{id:?},"own":{:?}}}}}"#,
        id.repeat(300)
    );
    Json::parse(&text).unwrap()
}

fn turn(id: &str) -> TurnAttribution {
    let link = CapabilityLink {
        agent_id: "a".to_owned(),
        agent_name: "A".to_owned(),
        static_hash: "s".to_owned(),
        runtime_hash: id.to_owned(),
        tool_refs: vec![ToolRef { tool_key: "t".to_owned(), tool_hash: id.to_owned() }],
        invocation_hash: None,
    };
    let op = OpContext::at(1);
    let turn = TurnAttribution::new(&op, "s", &link).unwrap().follows(Follows::Latest);
    let mut turn = turn.with_envelope(&envelope(id)).unwrap();
    turn.link = turn.link.with_id(&format!("l-{id}")).unwrap();
    turn.envelope = turn.envelope.map(|row| row.with_id(&format!("e-{id}")).unwrap());
    turn
}

/// The child: one turn after the other.
pub(crate) async fn record(store: &Store, name: &str) {
    for n in 0.. {
        let id = format!("{name}-{n}");
        say(&format!("TRY {id}"));
        let keep = store.capabilities();
        keep.record_turn_attribution(&OpContext::at(1), &turn(&id), None).await.unwrap();
        say(&format!("ACK {id}"));
    }
}

pub(crate) fn all_or_none(scheme: &str) -> Outcome {
    let mut random = Random(u64::from(std::process::id()) << 20 | 1);
    let folder = tempfile::tempdir().unwrap();
    let url = url(scheme, folder.path(), "");
    let (mut tried, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    let mut in_flight = 0;
    for kill in 0..KILLS {
        let Running { mut process, input, mut lines } = start("turns", &url, &format!("k{kill}"));
        let mut note = |line: &str| match line.split_once(' ') {
            Some(("TRY", id)) => drop(tried.insert(id.to_owned())),
            Some(("ACK", id)) => drop(acknowledged.insert(id.to_owned())),
            _ => panic!("the child said {line:?}"),
        };
        for _ in 0..=random.below(12) {
            note(&lines.next().unwrap().unwrap());
        }
        for _ in 0..random.below(20_000) {
            std::hint::spin_loop();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        drop(input);
        lines.for_each(|line| note(&line.unwrap()));
        in_flight += usize::from(tried.len() > acknowledged.len());
    }
    let landed = block_on(verify(&url, &tried, &acknowledged));
    println!(
        "{scheme}: {KILLS} kills; {} turns acknowledged, all there; {landed} others are there, whole",
        acknowledged.len()
    );
    if in_flight == 0 {
        return Err("no kill hit a turn in flight: this run has shown nothing".into());
    }
    Ok(())
}

async fn verify(url: &str, tried: &BTreeSet<String>, acknowledged: &BTreeSet<String>) -> usize {
    let store = Store::open(url).await.unwrap();
    let keep = store.capabilities();
    let lineage = keep.lineage("s").await.unwrap();
    let all = List::of(10_000).unwrap();
    let mut seen = BTreeSet::new();
    let mut before: Option<String> = None;
    for kept in &lineage.links {
        let link = kept.row.id().unwrap();
        let id = link.strip_prefix("l-").unwrap().to_owned();
        let given = turn(&id);
        assert_eq!(kept.row, given.link, "{id} is torn");
        let stored = keep.envelope(kept.with.as_deref().unwrap()).await.unwrap().unwrap();
        assert_eq!(Some(&stored.row), given.envelope.as_ref(), "the envelope of {id} is torn");
        let from: Vec<String> = lineage.leading_to(&link).map(TransitionRow::from_link).collect();
        assert_eq!(from, Vec::from_iter(before.replace(link)), "the transition to {id}");
        assert!(tried.contains(&id), "nobody recorded {id}");
        seen.insert(id);
    }
    // Nothing without its link.
    assert_eq!(keep.envelopes("s", &all).await.unwrap().items.len(), seen.len());
    assert_eq!(lineage.transitions.len(), seen.len() - 1);
    let listed = keep.list_capability_links_for_agent("a", 0, 10_000).await.unwrap().links;
    let rows =
        |links: &[agentkeep::Kept<LinkRow>]| links.iter().map(|l| l.row.id()).collect::<Vec<_>>();
    assert_eq!(rows(&listed), rows(&lineage.links));
    assert!(acknowledged.is_subset(&seen), "{:?}", acknowledged.difference(&seen));
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    seen.len() - acknowledged.len()
}
