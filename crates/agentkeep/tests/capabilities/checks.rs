//! What `check` finds among capabilities.

use agentkeep::driver::{Batch, Find, Operation, Put, Record, Save};
use agentkeep::schema::{BY_KEY, Namespace, TOOLSETS};
use agentkeep::{EnvelopeRow, Json, RuntimeSnapshotRow, Store, TurnAttribution};

use crate::support::{json, link, on_every_driver, op, row};

on_every_driver!(lists_of_tools_are_missed, a_list_of_tools_is_what_it_is_called_after,);

/// A link, a snapshot and an envelope, each with tools of its own, and a turn whose link and envelope
/// share theirs.
async fn filled(store: &Store) {
    let keep = store.capabilities();
    keep.record_session_capability_link(&op(), &row("l", "s", 1, &link(&["t1"]))).await.unwrap();
    let snapshot = json(
        r#"{"snapshotId":"x","sessionId":"s","_ts_created":5,"runtimeHash":"r","toolRefs":[{"toolKey":"t","toolHash":"T2"}]}"#,
    );
    let snapshot = RuntimeSnapshotRow::from_json(snapshot).unwrap();
    keep.record_runtime_tool_ref_snapshot(&op(), &snapshot).await.unwrap();
    let refs = |of: &agentkeep::CapabilityLink| of.to_json().member("toolRefs").unwrap();
    let of_tools =
        |refs: &Json| json(&format!(r#"{{"schemaVersion":"1","runtime":{{"toolRefs":{refs}}}}}"#));
    let many: Vec<String> = (0..60).map(|n| format!("tool-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let alone = EnvelopeRow::of(&of_tools(&refs(&link(&many))), "s", 1, None).unwrap();
    let alone = alone.with_id("e").unwrap();
    keep.record_affordance_snapshot_envelope(&op(), &alone).await.unwrap();
    let shared = link(&many[1..]);
    let turn = TurnAttribution::new(&op(), "s", &shared).unwrap();
    let turn = turn.with_envelope(&of_tools(&refs(&shared))).unwrap();
    keep.record_turn_attribution(&op(), &turn, None).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
}

async fn commit(store: &Store, operations: Vec<Operation>) {
    let mut batch = Batch::new(Namespace::default());
    for operation in operations {
        batch.push(operation);
    }
    store.driver().commit(batch).await.unwrap();
}

async fn lists(store: &Store) -> Vec<Record> {
    let find = Find::new(&TOOLSETS, &BY_KEY);
    store.driver().find(&Namespace::default(), &find).await.unwrap().records
}

fn put(list: &Record, body: &Json) -> Operation {
    Operation::Put(Put::new(list.key.clone(), body.clone(), Save::Any).unwrap())
}

async fn lists_of_tools_are_missed(store: Store) {
    filled(&store).await;
    let lists = lists(&store).await;
    assert_eq!(lists.len(), 4);
    let delete = |list: &Record| Operation::Delete(list.key.clone());
    commit(&store, lists.iter().map(delete).collect()).await;
    let damage = store.check().await.unwrap().damage;
    let told = |what: &str| damage.iter().filter(|finding| finding.place.contains(what)).count();
    // The link of the turn, and its envelope.
    let (links, envelopes) = (told("capability_links"), told("capability_envelopes"));
    assert_eq!((links, told("capability_tool_snapshots"), envelopes), (2, 1, 2), "{damage:?}");
    assert!(damage.iter().all(|finding| finding.what.ends_with("is missing")), "{damage:?}");
    commit(&store, lists.iter().map(|list| put(list, &list.body)).collect()).await;
}

async fn a_list_of_tools_is_what_it_is_called_after(store: Store) {
    filled(&store).await;
    let of_snapshot =
        lists(&store).await.into_iter().find(|list| list.body.as_str().contains("\"T2\"")).unwrap();
    let other = json(r#"{"toolRefs":[{"toolKey":"t","toolHash":"T3"}],"hashes":["T3"]}"#);
    commit(&store, vec![put(&of_snapshot, &other)]).await;
    let damage = store.check().await.unwrap().damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].place.contains("capability_tool_snapshots"), "{damage:?}");
    assert!(damage[0].what.ends_with("is another one"), "{damage:?}");
    commit(&store, vec![put(&of_snapshot, &of_snapshot.body)]).await;
}
