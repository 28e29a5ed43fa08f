//! Everything that a namespace holds, carried from each driver to each.

use std::time::Duration;

use agentkeep::{Bounds, Event, Kind, Retention, RunSnapshot, Start, Store, TranscriptEntry};

use crate::drivers::{opened, places};
use crate::namespaces::{dump, filled, stop_after};
use crate::support::json;

/// Of every kind that is kept.
async fn all_kinds(store: &Store) -> Store {
    let from = filled(store).await;
    let event = |n: u32| Event::of(&format!("event {n}")).unwrap();
    let cursor = from.events().publish("chat/1", event(1).with_key("once").unwrap()).await.unwrap();
    for n in 2..300 {
        from.events().publish("chat/1", event(n)).await.unwrap();
    }
    from.events().ack("laptop", "chat/1", &cursor).await.unwrap();
    // Of which nothing is left but how far its numbers were.
    from.events().publish_many("emptied", vec![event(1), event(2), event(3)]).await.unwrap();
    let nothing =
        Retention { keep: Bounds { bytes: Some(1), ..Bounds::default() }, ..Retention::default() };
    from.events().set_retention("emptied", Some(nothing)).await.unwrap();
    from.events().retain().await.unwrap();
    let run = json(r#"{"runId":"r1","status":"executing","startedAt":1,"plan":[],"history":[]}"#);
    from.runs().start(RunSnapshot::from_json(run).unwrap()).await.unwrap();
    from.runs().step("r1", json(r#"{"n":1}"#), json("{}")).await.unwrap();
    from.runs().claim("r1", "me", Duration::from_mins(1)).await.unwrap();
    let entry = json(r#"{"t":1.5,"iter":0,"agent_id":"a","role":"agent","content":"hello"}"#);
    let entry = TranscriptEntry::from_json(entry).unwrap();
    from.transcripts().append_many("thread", vec![entry.clone(), entry]).await.unwrap();
    from
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_driver_gives_to_every_other() {
    for source in places() {
        let from = opened(&source.url).await;
        all_kinds(&from).await;
        let expected = dump(&from, "from").await;
        for target in places() {
            let (a, b) = (source.scheme, target.scheme);
            let to = opened(&target.url).await;
            let copied = from.namespaces().copy_to("from", &to, |_| ()).await.unwrap();
            assert!(copied.messages > 3_000 && copied.blobs == 1, "{a} to {b}: {copied:?}");
            assert_eq!(dump(&to, "from").await, expected, "{a} to {b}");
            let report = to.check().await.unwrap();
            assert!(report.is_sound(), "{a} to {b}: {report:?}");
            goes_on(&to.namespace("from").unwrap()).await;
            to.close().await.unwrap();
        }
        assert_eq!(dump(&from, "from").await, expected, "{}", source.scheme);
        from.close().await.unwrap();
    }
}

/// What stands behind the records goes on where it was: consumers, leases, numbers.
async fn goes_on(store: &Store) {
    let mut rest =
        store.events().subscribe("chat/1", Start::Consumer("laptop".into())).await.unwrap();
    let first = rest.next().await.unwrap().unwrap();
    assert_eq!(first.body.as_str(), "\"event 2\"");
    let again = Event::of("event 1").unwrap().with_key("once").unwrap();
    let told = store.events().publish_many("chat/1", vec![again]).await.unwrap();
    assert!(told[0].duplicate);
    let fourth = store.events().publish_many("emptied", vec![Event::of("fourth").unwrap()]).await;
    assert!(fourth.unwrap()[0].cursor.as_str().starts_with("0000000000004"));
    let claimed = store.runs().claim("r1", "other", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(claimed.kind(), Kind::Conflict);
    assert_eq!(store.transcripts().all("thread").await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_interrupted_copy_between_stores_goes_on_and_what_is_there_is_refused() {
    let (from, to) = (opened("memory:").await, opened("memory:").await);
    filled(&from).await;
    for after in 0..6 {
        let (from, to) = (from.clone(), to.clone());
        let copy = async move { from.namespaces().copy_to("from", &to, stop_after(after)).await };
        assert!(tokio::spawn(copy).await.unwrap_err().is_panic());
    }
    assert_eq!(to.namespaces().names().await.unwrap(), [""; 0]);
    // Another store of the same names is not taken for the one whose copy is under way.
    let other = opened("memory:").await;
    filled(&other).await;
    let refused = other.namespaces().copy_to("from", &to, |_| ()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::AlreadyExists);
    from.namespaces().copy_to("from", &to, |_| ()).await.unwrap();
    assert_eq!(dump(&to, "from").await, dump(&from, "from").await);
    let refused = from.namespaces().copy_to("from", &to, |_| ()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::AlreadyExists);
    let missing = from.namespaces().copy_to("nothing", &to, |_| ()).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
}
