//! Hints that did not come.

use std::time::Duration;

use agentkeep::driver::Driver as _;
use agentkeep::schema::{MESSAGES, Namespace};
use agentkeep::{Event, Start, Store};
use futures_util::FutureExt as _;

use crate::fixture::{Form, Place};
use crate::grouped::{open, stream};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::{named, opened, prepared};

/// Nobody tells that a hint was lost: so who waits looks now and then.
#[tokio::test]
async fn who_waits_is_woken_also_when_nothing_is_told() {
    needs!(Single, "hints::who_waits_is_woken_also_when_nothing_is_told");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    let namespace = Namespace::default();
    let mut watch = driver.watch(&namespace, &MESSAGES, Some(&stream("a"))).await.unwrap();
    // What was told when listening began.
    while watch.changed().now_or_never().is_some() {}
    let woken = tokio::time::timeout(Duration::from_mins(1), watch.changed()).await;
    assert!(woken.unwrap());
    driver.close().await.unwrap();
}

/// Whoever asks for hints first may have a runtime that ends long before the store does.
#[test]
fn hints_outlive_the_runtime_of_who_asked_first() {
    needs!(Single, "hints::hints_outlive_the_runtime_of_who_asked_first");
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    };
    let patience = Duration::from_mins(1);
    let (long, short, place) = (runtime(), runtime(), Place::new(Form::Single));
    let (store, other) =
        long.block_on(async { (prepared(&place.url()).await, opened(&place.url()).await) });
    let watch = async |store: &Store| {
        store.driver().watch(&Namespace::default(), &MESSAGES, None).await.unwrap()
    };
    let first = short.block_on(watch(&store));
    let mut second = long.block_on(watch(&store));
    short.shutdown_timeout(patience);
    long.block_on(async {
        while second.changed().now_or_never().is_some() {}
        other.messages("s").add(named("m")).await.unwrap();
        assert_eq!(tokio::time::timeout(patience, second.changed()).await, Ok(true));
        drop(first);
        store.close().await.unwrap();
        other.close().await.unwrap();
    });
}

/// Woken, and then not answered: it is there again soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_waits_for_a_server_that_is_away() {
    needs!(Single, "hints::who_follows_waits_for_a_server_that_is_away");
    let server = Server::start("redis", "paused");
    let other = Store::open(&server.url).await.unwrap();
    let store = Store::open(&format!("{}?timeout=1", server.url)).await.unwrap();
    let event = |n: u64| Event::from_json(agentkeep::Json::parse(&n.to_string()).unwrap());
    other.events().publish("t", event(1)).await.unwrap();
    let mut following = store.events().subscribe("t", Start::Beginning).await.unwrap();
    assert_eq!(following.next().await.unwrap().unwrap().number, 1);
    let next = tokio::spawn(async move { following.next().await });
    let channel = format!("agentkeep:{}", store.describe().store_id);
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let mut pause = redis::pipe();
    pause.atomic().cmd("PUBLISH").arg(channel).arg("");
    pause.cmd("CLIENT").arg("PAUSE").arg(4_000).arg("ALL");
    pause.exec(&mut client.get_connection().unwrap()).unwrap();
    // It is answered when the pause is over.
    other.events().publish("t", event(2)).await.unwrap();
    let next = tokio::time::timeout(Duration::from_mins(1), next).await.unwrap().unwrap();
    assert_eq!(next.unwrap().unwrap().number, 2);
    store.close().await.unwrap();
    other.close().await.unwrap();
}
