//! Runs in the unit of work, and writes repeated under operation ids.

use std::time::Duration;

use agentkeep::schema::{OperationId, Turn};
use agentkeep::{Container, Event, Image, Kind, Message, RunStatus, Session, Store};

use crate::support::{begun, json, loaded, nothing, on_every_driver};

on_every_driver!(
    a_step_with_its_message_and_event,
    several_steps_in_one_commit,
    a_unit_that_is_refused_leaves_nothing,
    a_unit_is_repeated_under_its_operation_id,
    a_write_is_repeated_under_its_operation_id,
    a_claim_is_repeated_under_its_operation_id,
);

fn once(id: &str) -> OperationId {
    OperationId::new(id).unwrap()
}

async fn with_session(store: &Store) {
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
}

async fn a_step_with_its_message_and_event(store: Store) {
    with_session(&store).await;
    let lease = store.runs().start_as(begun("r"), "w", Duration::ZERO).await.unwrap();
    for n in 0..3_u64 {
        let mut unit = store.unit().turn(&Turn::new(&format!("turn-{n}")).unwrap());
        unit.runs().under(lease.fence).step_at("r", n, json("{}"), json(r#"{"text":"t"}"#));
        unit.messages("s").add(Message::assistant("done").unwrap());
        unit.events().publish("steps", Event::of(&n).unwrap());
        let done = unit.commit().await.unwrap();
        assert_eq!((done.added.len(), done.published.len()), (1, 1));
    }
    assert_eq!(loaded(&store, "r").await.trace().len(), 3);
    assert_eq!(store.messages("s").count().await.unwrap(), 3);
    let events = store.events().recover("steps", None, 10).await.unwrap().events;
    assert_eq!(events.len(), 3);
    let message = store.messages("s").all().await.unwrap().remove(1);
    let account = store.why("s", message.message.id().unwrap()).await.unwrap();
    assert_eq!((account.steps.len(), account.steps[0].of.as_str()), (1, "r"));
}

async fn several_steps_in_one_commit(store: Store) {
    let mut unit = store.unit();
    unit.runs()
        .start(begun("r"))
        .step("r", json("0"), json(r#"{"stepIndex":1,"a":1}"#))
        .step_at("r", 1, json("1"), json(r#"{"stepIndex":2,"b":2}"#))
        .start(begun("other"));
    unit.commit().await.unwrap();
    for n in 0..3 {
        let mut unit = store.unit();
        unit.runs().step("r", json("2"), nothing()).step("r", json("3"), nothing());
        unit.runs().step("other", json(&n.to_string()), nothing());
        unit.commit().await.unwrap();
        store.runs().step("r", json("4"), nothing()).await.unwrap();
    }
    let mut unit = store.unit();
    unit.runs().step("r", json("9"), nothing()).complete("r", json(r#"{"text":"done"}"#));
    unit.runs().fail("other", "no net", nothing());
    unit.commit().await.unwrap();
    let run = loaded(&store, "r").await;
    let expected: Vec<_> = "0 1 2 3 4 2 3 4 2 3 4 9".split(' ').map(json).collect();
    assert_eq!((run.trace(), run.status()), (expected, RunStatus::Complete));
    assert_eq!((run.json().raw_member("a"), run.json().raw_member("b")), (Some("1"), Some("2")));
    let other = loaded(&store, "other").await;
    assert_eq!(other.json().member("error"), Some(json("\"no net\"")));
    assert_eq!(store.runs().info("other").await.unwrap().unwrap().steps, 3);
}

async fn a_unit_that_is_refused_leaves_nothing(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    store.runs().step("r", json("0"), nothing()).await.unwrap();
    store.runs().step("r", json("1"), nothing()).await.unwrap();
    let refused = async |more: &dyn Fn(&mut agentkeep::Unit)| {
        let mut unit = store.unit();
        unit.runs().step("r", json("2"), json(r#"{"text":"x"}"#));
        unit.events().publish("steps", Event::of(&1).unwrap());
        more(&mut unit);
        let error = unit.commit().await.unwrap_err();
        let run = loaded(&store, "r").await;
        assert_eq!((run.trace().len(), run.json().member("text")), (2, None));
        assert!(store.events().topics(&agentkeep::List::default()).await.unwrap().items.is_empty());
        error.kind()
    };
    let kind = refused(&|unit| _ = unit.runs().step_at("r", 2, json("3"), nothing())).await;
    assert_eq!(kind, Kind::AlreadyExists);
    let kind = refused(&|unit| _ = unit.runs().step_at("r", 4, json("3"), nothing())).await;
    assert_eq!(kind, Kind::InvalidInput);
    let under = |unit: &mut agentkeep::Unit| _ = unit.runs().under(7).complete("r", nothing());
    assert_eq!(refused(&under).await, Kind::LeaseLost);
    let kind = refused(&|unit| _ = unit.runs().step("none", json("3"), nothing())).await;
    assert_eq!(kind, Kind::NotFound);
}

async fn a_unit_is_repeated_under_its_operation_id(store: Store) {
    store.runs().start(begun("r")).await.unwrap();
    for n in 0..6 {
        let id = once(&format!("op-{}", n / 2));
        let mut unit = store.unit().operation(&id);
        unit.runs().step("r", json(&(n / 2).to_string()), nothing());
        unit.events().publish("steps", Event::of(&(n / 2)).unwrap());
        assert_eq!(unit.commit().await.unwrap().replayed, n % 2 == 1);
    }
    assert_eq!(loaded(&store, "r").await.trace(), [json("0"), json("1"), json("2")]);
}

async fn a_write_is_repeated_under_its_operation_id(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    let same = json(r#"{"summary":"waited"}"#);
    for n in 0..5 {
        let id = once(&format!("step-{n}"));
        for _ in 0..2 {
            runs.operation(&id).step("r", same.clone(), nothing()).await.unwrap();
        }
        let other = runs.operation(&id).step("r", json("7"), nothing()).await.unwrap_err();
        assert_eq!(other.kind(), Kind::IdempotencyConflict);
    }
    assert_eq!(loaded(&store, "r").await.trace(), vec![same; 5]);
    // Also when it could not be done any more.
    let end = once("end");
    for _ in 0..2 {
        runs.operation(&end).complete("r", nothing()).await.unwrap();
    }
    runs.operation(&once("step-4"))
        .step("r", json(r#"{"summary":"waited"}"#), nothing())
        .await
        .unwrap();
    let late = runs.operation(&once("late")).step("r", json("7"), nothing()).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Conflict);
}

async fn a_claim_is_repeated_under_its_operation_id(store: Store) {
    let runs = store.runs();
    runs.start(begun("r")).await.unwrap();
    let (id, hour) = (once("claim"), Duration::from_hours(1));
    let first = runs.operation(&id).claim("r", "w", hour).await.unwrap();
    let again = runs.operation(&id).claim("r", "w", hour).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.fence, 1);
    runs.under(1).release("r").await.unwrap();
    runs.claim("r", "other", hour).await.unwrap();
    let lost = runs.operation(&id).claim("r", "w", hour).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::LeaseLost);
}
