//! A turn is one commit.

use agentkeep::schema::{OperationId, Turn};
use agentkeep::{
    At, Container, Follows, Image, Kind, List, Message, RunSnapshot, Session, Store,
    TranscriptEntry, TransitionRow, TurnAttribution,
};

use crate::support::{envelope, json, link, on_every_driver, op};

on_every_driver!(
    a_turn_is_recorded_whole,
    a_turn_recorded_again_is_the_same_turn,
    what_cannot_follow_leaves_nothing,
    a_transition_is_recorded_when_something_changed,
    turns_of_one_session_at_once_follow_each_other,
    a_turn_stands_in_a_unit_with_its_messages,
    why_puts_a_turn_together,
    why_tells_of_runs_and_transcripts_that_were_given_the_turn,
);

fn turn(session: &str, tools: &[&str]) -> TurnAttribution {
    let turn = TurnAttribution::new(&op(), session, &link(tools)).unwrap();
    turn.with_envelope(&envelope("m")).unwrap()
}

async fn a_turn_is_recorded_whole(store: Store) {
    let keep = store.capabilities();
    let named = Turn::new("turn-1").unwrap();
    let given = turn("s", &["t"]).follows(Follows::Latest);
    let first = keep.record_turn_attribution(&op(), &given, Some(&named)).await.unwrap();
    assert_eq!(first.transition_id, None, "the first link of a session follows nothing");
    let second = turn("s", &["t", "u"]).follows(Follows::Latest);
    let second = keep.record_turn_attribution(&op(), &second, Some(&named)).await.unwrap();
    let kept = keep.link(&first.link_id).await.unwrap().unwrap();
    assert_eq!(kept.row, given.link);
    assert_eq!(kept.turn.as_deref(), Some("turn-1"));
    assert_eq!(kept.with, first.envelope_snapshot_id);
    let envelope = keep.envelope(kept.with.as_deref().unwrap()).await.unwrap().unwrap();
    assert_eq!(envelope.with, Some(first.link_id.clone()));
    assert_eq!(Some(&envelope.row), given.envelope.as_ref());
    let transition = keep.transition(&second.transition_id.unwrap()).await.unwrap().unwrap();
    assert_eq!(transition.row.from_link(), first.link_id);
    assert_eq!(transition.row.to_link(), second.link_id);
}

async fn a_turn_recorded_again_is_the_same_turn(store: Store) {
    let keep = store.capabilities();
    keep.record_turn_attribution(&op(), &turn("s", &["t"]), None).await.unwrap();
    let given = turn("s", &["u"]).follows(Follows::Latest);
    let first = keep.record_turn_attribution(&op(), &given, None).await.unwrap();
    assert!(first.transition_id.is_some());
    assert_eq!(keep.record_turn_attribution(&op(), &given, None).await.unwrap(), first);
    keep.record_turn_attribution(&op(), &turn("s", &["v"]), None).await.unwrap();
    // Also when the session has gone on since.
    assert_eq!(keep.record_turn_attribution(&op(), &given, None).await.unwrap(), first);
    let lineage = keep.lineage("s").await.unwrap();
    assert_eq!((lineage.links.len(), lineage.transitions.len()), (3, 1));
}

async fn what_cannot_follow_leaves_nothing(store: Store) {
    let keep = store.capabilities();
    let given = turn("s", &["t"]).follows(Follows::Link("ghost".to_owned()));
    let error = keep.record_turn_attribution(&op(), &given, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::MissingParent, "{error}");
    assert_eq!(error.operation(), Some("capabilities.record_turn_attribution"));
    assert!(keep.get_latest_capability_link_for_session("s").await.unwrap().is_none());
    assert!(keep.envelopes("s", &List::default()).await.unwrap().items.is_empty());
    let elsewhere = keep.record_turn_attribution(&op(), &turn("t", &["t"]), None).await.unwrap();
    let given = turn("s", &["t"]).follows(Follows::Link(elsewhere.link_id));
    let error = keep.record_turn_attribution(&op(), &given, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert!(keep.lineage("s").await.unwrap().links.is_empty());
}

async fn a_transition_is_recorded_when_something_changed(store: Store) {
    let keep = store.capabilities();
    let mut transitions = Vec::new();
    for tools in [&["t"][..], &["t"], &["t", "u"], &["t", "u"]] {
        let given = turn("s", tools).follows(Follows::Changed);
        let done = keep.record_turn_attribution(&op(), &given, None).await.unwrap();
        transitions.push(done.transition_id.is_some());
    }
    assert_eq!(transitions, [false, false, true, false]);
}

async fn turns_of_one_session_at_once_follow_each_other(store: Store) {
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let given = turn("s", &[&format!("t{n}")]).follows(Follows::Latest);
                loop {
                    let keep = store.capabilities();
                    match keep.record_turn_attribution(&op(), &given, None).await {
                        Ok(done) => return done,
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let lineage = store.capabilities().lineage("s").await.unwrap();
    assert_eq!((lineage.links.len(), lineage.transitions.len()), (4, 3));
    for pair in lineage.links.windows(2) {
        let (from, to) = (pair[0].row.id().unwrap(), pair[1].row.id().unwrap());
        let before: Vec<String> = lineage.leading_to(&to).map(TransitionRow::from_link).collect();
        assert_eq!(before, [from], "each link follows the one before it");
    }
}

async fn a_turn_stands_in_a_unit_with_its_messages(store: Store) {
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    let given = turn("s", &["t"]);
    let operation = OperationId::new("op-1").unwrap();
    let message = Message::new("assistant", "Done.").unwrap().with("id", "m").unwrap();
    for replayed in [false, true] {
        let mut unit = store.unit().turn(&Turn::new("turn-9").unwrap()).operation(&operation);
        unit.messages("s").add(message.clone());
        unit.capabilities().record_turn(&op(), &given).unwrap();
        assert_eq!(unit.commit().await.unwrap().replayed, replayed);
    }
    let latest = store.capabilities().get_latest_capability_link_for_session("s").await.unwrap();
    let id = latest.unwrap().id().unwrap();
    let kept = store.capabilities().link(&id).await.unwrap().unwrap();
    assert_eq!(kept.turn.as_deref(), Some("turn-9"));
    // What refuses the messages refuses the turn.
    let mut unit = store.unit();
    unit.messages("nowhere").add(Message::new("assistant", "x").unwrap());
    unit.capabilities().record_turn(&op(), &turn("s", &["u"])).unwrap();
    unit.commit().await.unwrap_err();
    assert_eq!(store.capabilities().lineage("s").await.unwrap().links.len(), 1);
}

async fn why_puts_a_turn_together(store: Store) {
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    let text = |id: &str| Message::new("user", id).unwrap().with("id", id).unwrap();
    store.messages("s").add(text("asked")).await.unwrap();
    let given = turn("s", &["search"]);
    let mut unit = store.unit().turn(&Turn::new("turn-1").unwrap());
    let call = Message::tool_call("call-1", "search", &crate::support::json("{}")).unwrap();
    unit.messages("s").add_many(vec![call, text("said")]);
    unit.events().publish("done", agentkeep::Event::of("told").unwrap());
    unit.capabilities().record_turn(&op(), &given).unwrap();
    unit.commit().await.unwrap();
    // What comes later is not of the turn.
    store.capabilities().record_turn_attribution(&op(), &turn("s", &["t"]), None).await.unwrap();
    store.sessions().fork("s", At::End, "f").await.unwrap();
    for session in ["s", "f"] {
        let account = store.why(session, "said").await.unwrap();
        assert_eq!((account.turn.as_deref(), account.before), (Some("turn-1"), 2));
        assert_eq!(account.messages.len(), 1, "the call");
        assert!(account.own_link);
        assert_eq!(account.link.unwrap().row, given.link);
        assert_eq!(Some(account.envelope.unwrap().row), given.envelope);
        assert_eq!((account.events.len(), &*account.events[0].of), (1, "done"));
        assert_eq!((account.steps.len(), account.transcripts.len()), (0, 0));
    }
    // A message without a turn has the last link before it, and none before the first.
    let account = store.why("s", "asked").await.unwrap();
    assert_eq!((account.turn, account.own_link, account.before), (None, false, 0));
    store.messages("s").add(text("later")).await.unwrap();
    let account = store.why("s", "later").await.unwrap();
    assert_eq!(account.link.unwrap().row.link().unwrap().runtime_hash, "r-t");
    assert_eq!(store.why("s", "nothing").await.unwrap_err().kind(), Kind::NotFound);
}

async fn why_tells_of_runs_and_transcripts_that_were_given_the_turn(store: Store) {
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    let entry = |n: u64| TranscriptEntry::new(n, "a", "agent", &json("\"x\"")).unwrap();
    let said = |n: u64| Message::assistant("x").unwrap().with("id", &format!("said-{n}")).unwrap();
    let step = |n: u64| json(&format!(r#"{{"step":{{"id":"s{n}"}},"summary":"did {n}"}}"#));
    let (runs, threads) = (store.runs(), store.transcripts());
    let plan = json(r#"{"steps":[{"id":"s1"},{"id":"s2"}]}"#);
    let run = RunSnapshot::new("r", "do it").unwrap().with("plan", &plan).unwrap();
    runs.start(run).await.unwrap();
    for n in [1, 2] {
        let turn = Turn::new(&format!("turn-{n}")).unwrap();
        runs.turn(&turn).step_at("r", n - 1, step(n), json("{}")).await.unwrap();
        threads.turn(&turn).append("alone", entry(n)).await.unwrap();
        let mut unit = store.unit().turn(&turn);
        unit.messages("s").add(said(n));
        unit.transcripts().append("t", entry(n)).append("u", entry(n)).append("t", entry(n + 10));
        unit.commit().await.unwrap();
    }
    // What has no turn, or another one, is of neither.
    threads.append("t", entry(99)).await.unwrap();
    runs.turn(&Turn::new("turn-3").unwrap()).complete("r", json("{}")).await.unwrap();
    for n in [1, 2] {
        let account = store.why("s", &format!("said-{n}")).await.unwrap();
        assert_eq!(account.steps.len(), 1, "{:?}", account.steps);
        let step = &account.steps[0];
        let did = format!("\"did {n}\"");
        assert_eq!((step.of.as_str(), step.body.to_string().contains(&did)), ("r", true));
        assert_eq!((account.runs.len(), account.runs[0].status.name()), (1, "complete"));
        let mut told: Vec<(String, u64, u64)> = account
            .transcripts
            .iter()
            .map(|one| (one.of.clone(), one.number, one.body.member("iter").unwrap().to().unwrap()))
            .collect();
        told.sort();
        let expected = [("alone", n, n), ("t", 2 * n - 1, n), ("t", 2 * n, n + 10), ("u", n, n)];
        assert_eq!(told, expected.map(|(of, number, iter)| (of.to_owned(), number, iter)));
    }
}
