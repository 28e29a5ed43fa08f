//! Tenants see nothing of each other.

use agentkeep::{
    EnvelopeRow, Follows, HashKind, List, OpContext, RegistrationRow, Store, TurnAttribution,
};

use crate::support::{envelope, json, link, on_every_driver};

on_every_driver!(
    two_tenants_with_equal_ids_see_nothing_of_each_other,
    a_namespace_takes_its_rows_along_and_away,
);

/// Everything of a tenant, with the same ids for each.
async fn filled(store: &Store, tenant: &str, mark: &str) -> (OpContext, Store) {
    let op = OpContext::at(5).tenant(tenant);
    let store = store.tenant(&op).unwrap();
    let keep = store.capabilities();
    let mut link = link(&["t"]);
    mark.clone_into(&mut link.agent_name);
    for (id, follows) in [("l1", Follows::Nothing), ("l2", Follows::Latest)] {
        let mut turn = TurnAttribution::new(&op, "s", &link).unwrap().follows(follows);
        turn.link = turn.link.with_id(id).unwrap();
        let row = EnvelopeRow::of(&envelope(mark), "s", 5, None).unwrap();
        turn.envelope = Some(row.with_id(&format!("e-{id}")).unwrap());
        keep.record_turn_attribution(&op, &turn, None).await.unwrap();
    }
    let row = format!(
        r#"{{"registrationId":"r","agentId":"a","staticHash":"s1","staticProps":{{"mark":{mark:?}}},"_ts_created":9}}"#
    );
    let row = RegistrationRow::from_json(json(&row)).unwrap();
    keep.upsert_registered_agent_snapshot(&op, &row).await.unwrap();
    (op, store)
}

async fn look(store: &Store) -> Vec<String> {
    let keep = store.capabilities();
    let all = List::default();
    let text = |json: &agentkeep::Json| json.to_string();
    let mut seen = Vec::new();
    if let Some(row) = keep.get_latest_registered_agent_for_agent("a").await.unwrap() {
        seen.push(text(row.json()));
    }
    if let Some(row) = keep.get_latest_capability_link_for_session("s").await.unwrap() {
        seen.push(text(row.json()));
    }
    for kept in keep.list_capability_links_for_agent("a", 0, 50).await.unwrap().links {
        seen.push(text(kept.row.json()));
    }
    for kept in keep.links_with(HashKind::Static, "s1", &all).await.unwrap().items {
        seen.push(text(kept.row.json()));
    }
    for kept in keep.envelopes("s", &all).await.unwrap().items {
        seen.push(text(kept.row.json()));
    }
    for kept in keep.transitions("s", &all).await.unwrap().items {
        seen.push(text(kept.row.json()));
    }
    for id in ["l1", "l2"] {
        if let Some(kept) = keep.link(id).await.unwrap() {
            seen.push(text(kept.row.json()));
        }
    }
    for used in keep.who_used("s1").await.unwrap() {
        seen.push(format!("{used:?}"));
    }
    seen
}

async fn two_tenants_with_equal_ids_see_nothing_of_each_other(store: Store) {
    let (_, one) = filled(&store, "one", "MARK-ONE").await;
    let before = look(&one).await;
    let (op, two) = filled(&store, "two", "MARK-TWO").await;
    assert_eq!(look(&one).await, before);
    let seen = look(&two).await;
    assert_eq!(seen.len(), before.len());
    assert!(seen.len() > 10, "{seen:?}");
    assert!(seen.iter().all(|text| !text.contains("MARK-ONE")), "{seen:?}");
    assert!(look(&store).await.is_empty(), "nor does anybody else");
    // An operation for one tenant is refused by the handle of another.
    let turn = TurnAttribution::new(&op, "s", &link(&["t"])).unwrap();
    one.capabilities().record_turn_attribution(&op, &turn, None).await.unwrap_err();
    assert_eq!(look(&one).await, before);
}

async fn a_namespace_takes_its_rows_along_and_away(store: Store) {
    let (_, one) = filled(&store, "one", "MARK").await;
    let before = look(&one).await;
    store.namespaces().fork("one", "copy").await.unwrap();
    let copy = store.namespace("copy").unwrap();
    assert_eq!(look(&copy).await, before);
    store.namespaces().delete("one").await.unwrap();
    assert!(look(&one).await.is_empty());
    assert_eq!(look(&copy).await, before, "blobs of the copy are its own");
    // The name can be used again, whatever this handle remembers.
    let (_, again) = filled(&store, "one", "AGAIN").await;
    let seen = look(&again).await;
    assert_eq!(seen.len(), before.len());
    assert!(seen.iter().all(|text| !text.contains("MARK")));
}
