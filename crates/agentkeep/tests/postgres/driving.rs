//! Who drives a connection: callers that are left lying, runtimes that end, connections that die at
//! rest.

use std::pin::pin;

use agentkeep::Store;
use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::fixture::Place;
use crate::servers::{nameless, prepared, said};
use crate::{needs_server, plain};

async fn add(store: &Store, text: &str) {
    store.messages("s").add(nameless(text)).await.unwrap();
}

#[tokio::test]
async fn callers_left_lying_hold_up_nobody() {
    needs_server!("driving::callers_left_lying_hold_up_nobody");
    let place = Place::new();
    let store = prepared(&format!("{}&pool=2", place.url())).await;
    for text in ["one", "two"] {
        add(&store, text).await;
    }
    let messages = store.messages("s");
    // It has sent, and drives its connection as far as it is polled.
    let mut reading = pin!(messages.all());
    assert!(reading.as_mut().now_or_never().is_none());
    let mut adding = pin!(messages.add(nameless("three")));
    assert!(adding.as_mut().now_or_never().is_none());
    add(&store, "four").await;
    assert!(reading.await.unwrap().len() >= 2);
    adding.await.unwrap();
    assert_eq!(said(&store, "s").await, ["one", "two", "three", "four"]);
}

#[test]
fn a_store_outlives_the_runtime_that_opened_it() {
    needs_server!("driving::a_store_outlives_the_runtime_that_opened_it");
    let place = Place::new();
    let runtime = || -> Runtime {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let store = first.block_on(prepared(&format!("{}&pool=1", place.url())));
    first.block_on(add(&store, "one"));
    // On a connection of the other one.
    second.block_on(add(&store, "two"));
    assert_eq!(second.block_on(said(&store, "s")), ["one", "two"]);
    drop(first);
    second.block_on(add(&store, "three"));
    assert_eq!(second.block_on(said(&store, "s")), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_connection_that_dies_at_rest_is_noticed() {
    needs_server!("driving::a_connection_that_dies_at_rest_is_noticed");
    let place = Place::new();
    let store = prepared(&format!("{}&pool=1", place.url())).await;
    let client = plain().await;
    let schema = format!("%{}%", place.schema);
    let mut expected = Vec::new();
    for round in 0..5 {
        let text = format!("round {round}");
        add(&store, &text).await;
        expected.push(text);
        let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                   WHERE application_name = 'agentkeep' AND query LIKE $1";
        let ended: i64 = client.query_one(end, &[&schema]).await.unwrap().get(0);
        assert_eq!(ended, 1);
        // Some are noticed by the task, some only as they are used.
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(said(&store, "s").await, expected);
    }
}
