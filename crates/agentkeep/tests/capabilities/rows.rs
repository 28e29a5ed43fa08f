//! Rows go in and come out as they are; ids name one row.

use agentkeep::driver::{Batch, Blob, Find, Operation, Put, Save};
use agentkeep::schema::{BLOBS, BY_KEY, ENVELOPES, Key, Namespace, TOOLSETS, Table};
use agentkeep::{
    CapabilityLink, EnvelopeRow, Json, Kind, LinkRow, List, OpContext, RegistrationRow,
    RuntimeSnapshotRow, Store, TransitionRow, TurnAttribution,
};

use crate::support::{envelope, json, link, on_every_driver, op, row};

on_every_driver!(
    rows_come_back_with_who_wrote_them,
    an_id_names_one_row,
    ids_do_not_repeat_after_a_restart,
    registrations_are_kept_and_one_is_the_latest,
    links_of_an_agent_are_listed_by_place_and_by_time,
    refusals_change_nothing,
    what_is_long_is_kept_once,
    tools_of_envelopes_stand_where_those_of_links_do,
    envelopes_of_before_are_read_and_known,
);

async fn rows_come_back_with_who_wrote_them(store: Store) {
    let keep = store.capabilities();
    let extra = json(
        r#"{"x":1.0,"linkId":"l1","sessionId":"s","_ts_created":5,"agentId":"a","agentName":"","staticHash":"s1","runtimeHash":"r","toolRefs":[{"toolKey":"t","toolHash":"T","more":[]}],"metadata":{"deep":{"k":null}}}"#,
    );
    let given = LinkRow::from_json(extra).unwrap();
    assert_eq!(keep.record_session_capability_link(&op(), &given).await.unwrap(), "l1");
    let kept = keep.link("l1").await.unwrap().unwrap();
    assert_eq!(kept.row, given);
    assert_eq!(kept.op, op());
    assert_eq!(kept.turn, None);
    let snapshot = json(
        r#"{"snapshotId":"x","sessionId":"s","_ts_created":5,"runtimeHash":"r","toolRefs":[{"toolKey":"t","toolHash":"T"}],"z":[]}"#,
    );
    let snapshot = RuntimeSnapshotRow::from_json(snapshot).unwrap();
    keep.record_runtime_tool_ref_snapshot(&op(), &snapshot).await.unwrap();
    assert_eq!(keep.runtime_snapshot("x").await.unwrap().unwrap().row, snapshot);
    assert_eq!(keep.runtime_snapshots("s", &List::default()).await.unwrap().items.len(), 1);
    let row = EnvelopeRow::of(&envelope("m"), "s", 7, Some(&json(r#"{"e":2}"#))).unwrap();
    let id = keep.record_affordance_snapshot_envelope(&op(), &row).await.unwrap();
    let kept = keep.envelope(&id).await.unwrap().unwrap();
    assert_eq!(kept.row, row);
    assert_eq!(keep.envelopes("s", &List::default()).await.unwrap().items, [kept]);
    // Snapshots and envelopes do not share their ids.
    assert!(keep.get_affordance_snapshot_envelope("x").await.unwrap().is_none());
}

async fn an_id_names_one_row(store: Store) {
    let keep = store.capabilities();
    let first = row("l", "s", 1, &link(&["t"]));
    for _ in 0..2 {
        keep.record_session_capability_link(&op(), &first).await.unwrap();
    }
    let of_agent = keep.list_capability_links_for_agent("a", 0, 50).await.unwrap();
    assert_eq!(of_agent.links.len(), 1, "recording the same again is a retry");
    for other in [row("l", "s", 2, &link(&["t"])), row("l", "s", 1, &link(&["u"]))] {
        let error = keep.record_session_capability_link(&op(), &other).await.unwrap_err();
        assert_eq!(error.kind(), Kind::IdempotencyConflict, "{error}");
    }
    assert_eq!(keep.link("l").await.unwrap().unwrap().row, first);
    let mine = EnvelopeRow::of(&envelope("m"), "s", 7, None).unwrap();
    let id = keep.record_affordance_snapshot_envelope(&op(), &mine).await.unwrap();
    keep.record_affordance_snapshot_envelope(&op(), &mine).await.unwrap();
    let other = EnvelopeRow::of(&envelope("n"), "s", 7, None).unwrap().with_id(&id).unwrap();
    let error = keep.record_affordance_snapshot_envelope(&op(), &other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::IdempotencyConflict, "{error}");
    assert_eq!(keep.envelope(&id).await.unwrap().unwrap().row, mine);
}

async fn ids_do_not_repeat_after_a_restart(store: Store) {
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        // Another handle knows nothing of the ids that the one before gave.
        let again = Store::over(std::sync::Arc::clone(store.driver()));
        let given = row("", "s", 1, &link(&["t"]));
        let id = again.capabilities().record_session_capability_link(&op(), &given).await.unwrap();
        assert!(id.starts_with("link_"), "{id}");
        assert!(ids.insert(id));
    }
    let page = store.capabilities().links_of_session("s", 0, 10).await.unwrap();
    assert_eq!(page.links.len(), 3);
}

fn registration(id: &str, hash: &str, name: &str) -> RegistrationRow {
    let text = format!(
        r#"{{"registrationId":{id:?},"agentId":"a","staticHash":{hash:?},"staticProps":{{"name":{name:?}}},"_ts_created":9}}"#
    );
    RegistrationRow::from_json(json(&text)).unwrap()
}

async fn registrations_are_kept_and_one_is_the_latest(store: Store) {
    let keep = store.capabilities();
    for (id, hash, name, answered) in [
        ("r1", "h1", "One", "r1"),
        ("r2", "h2", "Two", "r2"),
        ("r3", "h1", "Renamed", "r1"),
        ("r4", "h1", "Renamed", "r1"),
    ] {
        let row = registration(id, hash, name);
        let id = keep.upsert_registered_agent_snapshot(&op(), &row).await.unwrap();
        assert_eq!(id, answered);
    }
    let latest = keep.get_latest_registered_agent_for_agent("a").await.unwrap().unwrap();
    assert_eq!(latest, registration("r1", "h1", "One"), "an old hash is the latest again");
    let all = keep.registrations("a", &List::default()).await.unwrap();
    let ids: Vec<_> = all.items.iter().map(|kept| kept.row.id().unwrap()).collect();
    assert_eq!(ids, ["r1", "r2"]);
    let agents = keep.agents(&List::default()).await.unwrap();
    assert_eq!(agents.items.len(), 1);
    assert_eq!(agents.items[0].row, latest);
    // Two at once: one row, one latest.
    let other = |hash: &'static str| {
        let store = store.clone();
        tokio::spawn(async move {
            let row = registration("", hash, "x");
            store.capabilities().upsert_registered_agent_snapshot(&op(), &row).await.unwrap()
        })
    };
    let (one, two) = (other("h3"), other("h3"));
    assert_eq!(one.await.unwrap(), two.await.unwrap());
}

async fn links_of_an_agent_are_listed_by_place_and_by_time(store: Store) {
    let keep = store.capabilities();
    // Times go down while places go up.
    for n in 0..25_i64 {
        let row = row(&format!("l{n:02}"), &format!("s{}", n % 4), 1000 - n, &link(&["t"]));
        keep.record_session_capability_link(&op(), &row).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut from = Some(0);
    while let Some(next) = from {
        let page = keep.list_capability_links_for_agent("a", next, 10).await.unwrap();
        seen.extend(page.links.into_iter().map(|kept| kept.row.id().unwrap()));
        from = page.next;
        // What is recorded meanwhile comes at the end.
        if seen.len() == 10 {
            let late = row("late", "s", 1, &link(&["t"]));
            keep.record_session_capability_link(&op(), &late).await.unwrap();
        }
    }
    let mut expected: Vec<String> = (0..25).map(|n| format!("l{n:02}")).collect();
    expected.push("late".to_owned());
    assert_eq!(seen, expected);
    let past = keep.list_capability_links_for_agent("a", 26, 10).await.unwrap();
    assert_eq!((past.links.len(), past.next), (0, None));
    let timed = keep.links_between("a", Some(990), Some(993), &List::default()).await.unwrap();
    let ids: Vec<_> = timed.items.iter().map(|kept| kept.row.id().unwrap()).collect();
    assert_eq!(ids, ["l10", "l09", "l08"]);
    let latest = keep.get_latest_capability_link_for_session("s1").await.unwrap().unwrap();
    assert_eq!(latest.id().unwrap(), "l21");
}

async fn refusals_change_nothing(store: Store) {
    let keep = store.capabilities();
    for text in [
        r#"{"sessionId":"s","_ts_created":1,"agentId":"a","agentName":"","staticHash":"h"}"#,
        r#"{"sessionId":"","_ts_created":1,"agentId":"a","agentName":"","staticHash":"h","runtimeHash":"r"}"#,
        r#"{"sessionId":"s","_ts_created":1.5,"agentId":"a","agentName":"","staticHash":"h","runtimeHash":"r"}"#,
        r#"{"sessionId":"s","_ts_created":1,"agentId":"a\u0000","agentName":"","staticHash":"h","runtimeHash":"r"}"#,
        r#"{"sessionId":"s","_ts_created":1,"agentId":"a","agentName":"","staticHash":"h","runtimeHash":"r","toolRefs":[{}]}"#,
        r#"{"sessionId":"s","_ts_created":1,"agentId":"a","agentName":"","staticHash":"h","runtimeHash":"r","metadata":7}"#,
        "[]",
    ] {
        let error = LinkRow::from_json(json(text)).unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidInput | Kind::InvalidId), "{text}: {error}");
    }
    let other = OpContext::at(1).tenant("somebody-else");
    let given = row("l", "s", 1, &link(&["t"]));
    let error = keep.record_session_capability_link(&other, &given).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert_eq!(error.operation(), Some("capabilities.record_session_capability_link"));
    let transition = |from: &str, to: &str, session: &str| {
        TransitionRow::of(from, to, session, 1, None).unwrap()
    };
    let ghost = transition("ghost", "spirit", "s");
    let error = keep.record_capability_transition(&op(), &ghost).await.unwrap_err();
    assert_eq!(error.kind(), Kind::MissingParent, "{error}");
    keep.record_session_capability_link(&op(), &given).await.unwrap();
    keep.record_session_capability_link(&op(), &row("m", "t", 1, &link(&["t"]))).await.unwrap();
    let across = transition("l", "m", "s");
    let error = keep.record_capability_transition(&op(), &across).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert!(keep.transitions("s", &List::default()).await.unwrap().items.is_empty());
}

async fn what_is_long_is_kept_once(store: Store) {
    let keep = store.capabilities();
    let mut before = 0;
    for n in 0..4 {
        let given = EnvelopeRow::of(&envelope(&format!("m{n}")), "s", n, None).unwrap();
        let id = keep.record_affordance_snapshot_envelope(&op(), &given).await.unwrap();
        assert_eq!(keep.envelope(&id).await.unwrap().unwrap().row, given);
        let count = count(&store, &BLOBS).await;
        assert!(n == 0 || count == before, "turn {n} has {count} blobs, not {before}");
        before = count;
    }
    assert!(before > 0);
    // An envelope of a version that is not known is kept as it is.
    let odd = json(r#"{"schemaVersion":"7","anything":[1,2.50],"runtime":9}"#);
    let given = EnvelopeRow::of(&odd, "s", 1, None).unwrap();
    let id = keep.record_affordance_snapshot_envelope(&op(), &given).await.unwrap();
    let kept = keep.envelope(&id).await.unwrap().unwrap().row;
    assert_eq!(kept.envelope(), odd);
    assert!(!kept.is_known_version());
}

async fn count(store: &Store, table: &'static Table) -> usize {
    let find = Find::new(table, &BY_KEY);
    store.driver().find(&Namespace::default(), &find).await.unwrap().records.len()
}

/// So many tools that a list of them is long, and an envelope that names them twice.
fn many_tools() -> (CapabilityLink, Json) {
    let names: Vec<String> = (0..60).map(|n| format!("tool-{n}")).collect();
    let link = link(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let refs = link.to_json().member("toolRefs").unwrap();
    assert!(refs.len() > 1024);
    let envelope = json(&format!(
        r#"{{"schemaVersion":"1","runtime":{{"link":{{"toolRefs":{refs}}},"toolRefs":{refs},"affordances":{{"toolRefs":{refs}}}}}}}"#
    ));
    (link, envelope)
}

async fn tools_of_envelopes_stand_where_those_of_links_do(store: Store) {
    let keep = store.capabilities();
    let (link, envelope) = many_tools();
    // Alone, before any link has them, and then with a link that has them too.
    let alone = EnvelopeRow::of(&envelope, "s", 1, None).unwrap();
    let alone = keep.record_affordance_snapshot_envelope(&op(), &alone).await.unwrap();
    // The affordances are no list of tools, whatever they hold.
    assert_eq!((count(&store, &TOOLSETS).await, count(&store, &BLOBS).await), (1, 1));
    let turn = TurnAttribution::new(&op(), "s", &link).unwrap().with_envelope(&envelope).unwrap();
    let recorded = keep.record_turn_attribution(&op(), &turn, None).await.unwrap();
    assert_eq!((count(&store, &TOOLSETS).await, count(&store, &BLOBS).await), (1, 1));
    for id in [alone, recorded.envelope_snapshot_id.unwrap()] {
        assert_eq!(keep.envelope(&id).await.unwrap().unwrap().row.envelope(), envelope);
    }
    assert_eq!(keep.link(&recorded.link_id).await.unwrap().unwrap().row.link().unwrap(), link);
    assert_eq!(keep.who_used("TOOL-7").await.unwrap().len(), 1, "an envelope alone is no use");
    // What cannot be looked up as a tool is kept all the same, also beside what can.
    let hash = "h".repeat(2_000);
    let many: Vec<String> =
        (0..100_000).map(|n| format!(r#"{{"toolKey":"tool-{n}","toolHash":"{n:064}"}}"#)).collect();
    let many = format!("[{}]", many.join(","));
    assert!(many.len() > 8 << 20, "more than a record's body may have");
    for refs in [
        many,
        format!(r#"[{{"toolHash":{hash:?}}}]"#),
        format!("[{hash:?},7]"),
        format!("{hash:?}"),
    ] {
        let odd = json(&format!(r#"{{"schemaVersion":"1","runtime":{{"toolRefs":{refs}}}}}"#));
        let row = EnvelopeRow::of(&odd, "s", 2, None).unwrap();
        let id = keep.record_affordance_snapshot_envelope(&op(), &row).await.unwrap();
        assert_eq!(keep.envelope(&id).await.unwrap().unwrap().row, row);
    }
    assert!(store.check().await.unwrap().is_sound());
}

/// Up to format 4 tools were a blob, as everything else that is long.
async fn envelopes_of_before_are_read_and_known(store: Store) {
    let keep = store.capabilities();
    let (_, envelope) = many_tools();
    let row = EnvelopeRow::of(&envelope, "s", 1, None).unwrap().with_id("e").unwrap();
    let refs = envelope.member("runtime").unwrap().member("toolRefs").unwrap();
    let affordances = envelope.member("runtime").unwrap().member("affordances").unwrap();
    let blobs = [refs, affordances].map(|part| Blob::new(part.as_str().as_bytes()));
    let [tools, others] = blobs.each_ref().map(|blob| blob.hash().to_hex());
    let body = json(&format!(
        r#"{{"row":{},"envelope":{{"schemaVersion":"1","runtime":{{"link":{{"toolRefs":null}},"toolRefs":null,"affordances":null}}}},"parts":[["runtime","link","toolRefs","{tools}"],["runtime","toolRefs","{tools}"],["runtime","affordances","{others}"]],"op":{}}}"#,
        row.json().as_str().replace(envelope.as_str(), "null"),
        op().to_json(),
    ));
    let mut put = Put::new(Key::new(&ENVELOPES, ["e"]).unwrap(), body, Save::Any).unwrap();
    put.refs = blobs.iter().map(Blob::hash).collect();
    put.refs.sort_unstable();
    let mut batch = Batch::new(Namespace::default());
    for blob in blobs {
        batch.push(Operation::PutBlob(blob));
    }
    batch.push(Operation::Put(put));
    store.driver().commit(batch).await.unwrap();
    assert_eq!(keep.envelope("e").await.unwrap().unwrap().row, row);
    keep.record_affordance_snapshot_envelope(&op(), &row).await.unwrap();
    assert_eq!(keep.envelope("e").await.unwrap().unwrap().row, row);
}
