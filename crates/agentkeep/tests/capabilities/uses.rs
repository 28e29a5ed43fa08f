//! Who used what a hash stands for, and since when.

use agentkeep::{HashKind, Kind, List, RegistrationRow, Store};

use crate::support::{json, link, on_every_driver, op, row};

on_every_driver!(every_use_of_a_hash_is_told_with_its_first_time, links_with_a_hash_are_listed);

async fn filled(store: &Store) {
    let keep = store.capabilities();
    let (mut other, with_context) = (link(&["t"]), link(&["t", "u"]));
    "b".clone_into(&mut other.agent_id);
    let with_context =
        agentkeep::CapabilityLink { invocation_hash: Some("i".to_owned()), ..with_context };
    for (id, created, link) in [
        ("l1", 50, &link(&["t"])),
        ("l2", 40, &with_context),
        ("l3", 30, &other),
        ("l4", 60, &other),
        ("l5", 70, &link(&["u"])),
    ] {
        keep.record_session_capability_link(&op(), &row(id, "s", created, link)).await.unwrap();
    }
    let registration = r#"{"registrationId":"r","agentId":"z","staticHash":"s1","staticProps":{},"_ts_created":9}"#;
    let registration = RegistrationRow::from_json(json(registration)).unwrap();
    keep.upsert_registered_agent_snapshot(&op(), &registration).await.unwrap();
}

async fn every_use_of_a_hash_is_told_with_its_first_time(store: Store) {
    filled(&store).await;
    let used = async |hash: &str| {
        let uses = store.capabilities().who_used(hash).await.unwrap();
        uses.into_iter()
            .map(|one| (one.kind, one.agent_id, one.since, one.first))
            .collect::<Vec<_>>()
    };
    let told =
        |kind, agent: &str, since, first: &str| (kind, agent.to_owned(), since, first.to_owned());
    assert_eq!(
        used("s1").await,
        [
            told(HashKind::Registration, "z", 9, "r"),
            told(HashKind::Static, "a", 40, "l2"),
            told(HashKind::Static, "b", 30, "l3"),
        ]
    );
    assert_eq!(
        used("r-t").await,
        [told(HashKind::Runtime, "a", 50, "l1"), told(HashKind::Runtime, "b", 30, "l3")]
    );
    assert_eq!(used("i").await, [told(HashKind::Invocation, "a", 40, "l2")]);
    // A tool, through all lists of tools that have it.
    assert_eq!(
        used("T").await,
        [told(HashKind::Tool, "a", 40, "l2"), told(HashKind::Tool, "b", 30, "l3")]
    );
    assert_eq!(used("nobody").await, []);
}

async fn links_with_a_hash_are_listed(store: Store) {
    filled(&store).await;
    let ids = async |kind, hash: &str, limit| {
        let mut ids = Vec::new();
        let mut list = List::of(limit).unwrap();
        loop {
            let page = store.capabilities().links_with(kind, hash, &list).await.unwrap();
            ids.extend(page.items.into_iter().map(|kept| kept.row.id().unwrap()));
            match page.next {
                Some(next) => list = List::of(limit).unwrap().after(&next),
                None => return ids,
            }
        }
    };
    assert_eq!(ids(HashKind::Static, "s1", 2).await, ["l2", "l1", "l5", "l3", "l4"]);
    assert_eq!(ids(HashKind::Runtime, "r-t", 1).await, ["l1", "l3", "l4"]);
    let mut with_u = ids(HashKind::Tool, "U", 1).await;
    with_u.sort();
    assert_eq!(with_u, ["l2", "l5"]);
    assert_eq!(ids(HashKind::Registration, "s1", 1).await, [""; 0]);
    // The next page is one of the same list.
    let one = List::of(1).unwrap();
    let page = store.capabilities().links_with(HashKind::Static, "s1", &one).await.unwrap();
    let next = one.after(&page.next.unwrap());
    for (kind, hash) in [(HashKind::Static, "s2"), (HashKind::Runtime, "s1")] {
        let error = store.capabilities().links_with(kind, hash, &next).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
}
