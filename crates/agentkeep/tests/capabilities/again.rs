//! Links that repeat one before are left out of the indexes over hashes: nobody may notice.

use std::collections::BTreeMap;

use agentkeep::driver::Find;
use agentkeep::schema::{LINKS, Namespace};
use agentkeep::{CapabilityLink, HashKind, List, OpContext, Store, TurnAttribution};

use crate::support::{link, on_every_driver, op, row};

on_every_driver!(
    whatever_came_in_which_order_the_first_use_is_told,
    what_another_handle_erased_is_no_earlier_link,
    a_turn_that_is_recorded_again_stays_as_it_is,
);

/// How many links an index has.
async fn indexed(store: &Store, index: &str) -> usize {
    let namespace = Namespace::new(store.namespace_name()).unwrap();
    let find = Find::by(&LINKS, index).unwrap();
    store.driver().find(&namespace, &find).await.unwrap().records.len()
}

async fn all_with(store: &Store, kind: HashKind, hash: &str, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut list = List::of(limit).unwrap();
    loop {
        let page = store.capabilities().links_with(kind, hash, &list).await.unwrap();
        assert!(page.items.len() == limit || page.next.is_none(), "a page that is not full");
        assert!(!page.items.is_empty() || ids.is_empty(), "an empty page at the end");
        ids.extend(page.items.into_iter().map(|kept| kept.row.id().unwrap()));
        match page.next {
            Some(next) => list = List::of(limit).unwrap().after(&next),
            None => return ids,
        }
    }
}

/// The same seed, the same links.
struct Dice(u64);

impl Dice {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        all[usize::try_from((self.0 >> 16) % all.len() as u64).unwrap()]
    }

    fn link(&mut self) -> CapabilityLink {
        let mut link = link(self.one_of(&[&["t"], &["u"], &["t", "u"], &[]]));
        self.one_of(&["a", "a", "b", "c"]).clone_into(&mut link.agent_id);
        self.one_of(&["s1", "s1", "s2"]).clone_into(&mut link.static_hash);
        link.invocation_hash = self.one_of(&[None, Some("i"), Some("j")]).map(str::to_owned);
        link
    }
}

/// By agent, then by time, then by id: the ids, and each agent's first.
type Expected = BTreeMap<(HashKind, String), Vec<(String, i64, String)>>;

async fn whatever_came_in_which_order_the_first_use_is_told(store: Store) {
    // Another process: it remembers nothing of what this one did.
    let other = Store::over(store.driver().clone());
    let (mut dice, mut expected) = (Dice(0x9e37_79b9_7f4a_7c15), Expected::new());
    let mut n = 0;
    for round in 0..60 {
        let by = if dice.one_of(&[true, true, true, false]) { &store } else { &other };
        let mut unit = by.unit();
        for _ in 0..dice.one_of(&[1, 1, 3]) {
            let (link, session) = (dice.link(), dice.one_of(&["s", "t"]));
            // Mostly later than those before.
            let created = dice.one_of(&[round, round, round + 5, round / 2]);
            let id = format!("{}{n}", dice.one_of(&["x", "y"]));
            n += 1;
            let mut turn = TurnAttribution::new(&op(), session, &link).unwrap();
            turn.link = row(&id, session, created, &link);
            unit.capabilities().record_turn(&op(), &turn).unwrap();
            let mut hashes =
                vec![(HashKind::Static, link.static_hash), (HashKind::Runtime, link.runtime_hash)];
            hashes.extend(link.invocation_hash.map(|hash| (HashKind::Invocation, hash)));
            hashes.extend(link.tool_refs.into_iter().map(|tool| (HashKind::Tool, tool.tool_hash)));
            for hash in hashes {
                let place = (link.agent_id.clone(), created, id.clone());
                expected.entry(hash).or_default().push(place);
            }
        }
        unit.commit().await.unwrap();
    }
    for ((kind, hash), mut links) in expected {
        links.sort();
        let mut firsts = links.clone();
        firsts.dedup_by(|later, first| later.0 == first.0);
        let uses = store.capabilities().who_used(&hash).await.unwrap();
        let told: Vec<_> = uses
            .into_iter()
            .filter(|one| one.kind == kind)
            .map(|one| (one.agent_id, one.since, one.first))
            .collect();
        assert_eq!(told, firsts, "{kind:?} {hash}");
        let ids: Vec<String> = links.into_iter().map(|(_, _, id)| id).collect();
        for limit in [1, 2, 3, ids.len(), ids.len() + 1] {
            assert_eq!(all_with(&store, kind, &hash, limit).await, ids, "{kind:?} {hash} {limit}");
        }
    }
    let all = indexed(&store, "by_agent").await;
    assert_eq!(all, n);
    for index in ["by_static", "by_runtime", "by_invocation", "by_toolset"] {
        let some = indexed(&store, index).await;
        assert!(0 < some && some < all * 9 / 10, "{index} has {some} of {all}");
    }
    assert_eq!(store.check().await.unwrap().damage, []);
}

async fn what_another_handle_erased_is_no_earlier_link(store: Store) {
    let op = OpContext::at(5).tenant("one");
    let one = store.tenant(&op).unwrap();
    let record = async |store: &Store, id: &str, created| {
        let row = row(id, "s", created, &link(&["t"]));
        store.capabilities().record_session_capability_link(&op, &row).await.unwrap();
    };
    record(&one, "l1", 10).await;
    record(&one, "l2", 11).await;
    assert_eq!(indexed(&one, "by_static").await, 1, "the second one repeats the first");
    // Another process erases all that this one remembers, and begins again; under the same id there
    // is another link now, of another agent.
    let other = Store::over(store.driver().clone());
    other.namespaces().erase("one").await.unwrap();
    let mut stranger = link(&["x"]);
    "z".clone_into(&mut stranger.agent_id);
    for id in ["l1", "l2"] {
        let row = row(id, "s", 1, &stranger);
        let other = other.tenant(&op).unwrap();
        other.capabilities().record_session_capability_link(&op, &row).await.unwrap();
    }
    record(&one, "l3", 12).await;
    record(&one, "l4", 13).await;
    let uses = one.capabilities().who_used("r-t").await.unwrap();
    let told: Vec<_> = uses.iter().map(|one| (one.since, one.first.as_str())).collect();
    assert_eq!(told, [(12, "l3")]);
    assert_eq!(all_with(&one, HashKind::Runtime, "r-t", 1).await, ["l3", "l4"]);
    assert_eq!(indexed(&one, "by_runtime").await, 2, "l3, and the stranger's first");
}

async fn a_turn_that_is_recorded_again_stays_as_it_is(store: Store) {
    let keep = store.capabilities();
    let rows = [("l1", 10), ("l2", 11)].map(|(id, at)| row(id, "s", at, &link(&["t"])));
    for round in 0..3 {
        // In another order, and by who remembers nothing.
        let other = Store::over(store.driver().clone());
        for row in &rows {
            keep.record_session_capability_link(&op(), row).await.unwrap();
        }
        for row in rows.iter().rev() {
            other.capabilities().record_session_capability_link(&op(), row).await.unwrap();
        }
        assert_eq!(indexed(&store, "by_static").await, 1, "round {round}");
        assert_eq!(all_with(&store, HashKind::Static, "s1", 1).await, ["l1", "l2"]);
    }
}
