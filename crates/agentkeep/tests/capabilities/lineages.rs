//! The lineage of a session.

use agentkeep::{Follows, Store, TransitionRow, TurnAttribution};

use crate::support::{link, on_every_driver, op};

on_every_driver!(a_lineage_has_links_in_their_order_and_every_transition);

async fn a_lineage_has_links_in_their_order_and_every_transition(store: Store) {
    let keep = store.capabilities();
    let mut ids = Vec::new();
    for tools in [&["t"][..], &["t", "u"], &["v"]] {
        let turn = TurnAttribution::new(&op(), "s", &link(tools)).unwrap();
        let turn = turn.follows(Follows::Latest);
        ids.push(keep.record_turn_attribution(&op(), &turn, None).await.unwrap().link_id);
    }
    // A graph, not only a chain.
    let back = TransitionRow::of(&ids[0], &ids[2], "s", 1, None).unwrap();
    keep.record_capability_transition(&op(), &back).await.unwrap();
    let lineage = keep.lineage("s").await.unwrap();
    let links: Vec<String> = lineage.links.iter().map(|kept| kept.row.id().unwrap()).collect();
    assert_eq!(links, ids);
    let mut before: Vec<String> =
        lineage.leading_to(&ids[2]).map(TransitionRow::from_link).collect();
    before.sort();
    let mut expected = vec![ids[0].clone(), ids[1].clone()];
    expected.sort();
    assert_eq!(before, expected);
    assert!(keep.lineage("elsewhere").await.unwrap().links.is_empty());
}
