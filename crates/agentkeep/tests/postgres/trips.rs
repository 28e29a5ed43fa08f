//! Round trips, counted, and connections cut in the middle of a commit.

use std::sync::atomic::Ordering;

use agentkeep::{Container, Store};

use crate::fixture::{Place, server};
use crate::needs_server;
use crate::servers::proxy::{Proxy, Way};
use crate::servers::{nameless, prepared, said};

/// The store behind a proxy, on one connection.
async fn behind(place: &Place) -> (Proxy, String) {
    let url = server().unwrap();
    let address = url.rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let url = url.replace(&address, &format!("127.0.0.1:{}", proxy.port));
    (proxy, format!("{url}?schema={}&pool=1", place.schema))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_one_round_trip() {
    needs_server!("trips::a_commit_is_one_round_trip");
    let place = Place::new();
    let (proxy, url) = behind(&place).await;
    let store = prepared(&url).await;
    store.messages("s").add(nameless("warm")).await.unwrap();
    store.containers().save(Container::new("warm").unwrap()).await.unwrap();
    for round in 0..5 {
        let before = proxy.counts.trips();
        store.messages("s").add(nameless("m")).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "adding a message, round {round}");
        let before = proxy.counts.trips();
        store.containers().save(Container::new(&format!("c{round}")).unwrap()).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "saving a record, round {round}");
    }
}

/// Each ends as done, whatever was cut, and none is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_anywhere_loses_and_doubles_nothing() {
    needs_server!("trips::a_connection_cut_anywhere_loses_and_doubles_nothing");
    let place = Place::new();
    let (proxy, url) = behind(&place).await;
    let store = prepared(&url).await;
    let counts = &proxy.counts;
    let bytes = async |text: &str| {
        let before = [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way));
        store.messages("s").add(nameless(text)).await.unwrap();
        [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way) - before[way as usize])
    };
    bytes("warm 1").await;
    let lengths = bytes("warm 2").await;
    let mut expected = vec!["warm 1".to_owned(), "warm 2".to_owned()];
    let mut cut = 0;
    for (way, length) in [Way::ToServer, Way::ToClient].into_iter().zip(lengths) {
        // Every byte of the answer; what is asked is long, and in steps that meet every field.
        let step = if way == Way::ToClient { 1 } else { 17 };
        for at in (0..length).step_by(step) {
            let text = format!("{way:?} {at}");
            // A sound connection first, its statements prepared.
            bytes(&format!("before {text}")).await;
            expected.push(format!("before {text}"));
            let before = counts.cuts.load(Ordering::SeqCst);
            counts.cut_after(way, i64::try_from(at).unwrap());
            let adding = store.clone();
            let message = nameless(&text);
            let added = tokio::spawn(async move { adding.messages("s").add(message).await });
            while counts.cuts.load(Ordering::SeqCst) == before && !added.is_finished() {
                tokio::task::yield_now().await;
            }
            counts.no_cut();
            added.await.unwrap().unwrap();
            expected.push(text);
            cut += u64::from(counts.cuts.load(Ordering::SeqCst) > before);
        }
    }
    assert!(cut > 100, "only {cut} cuts: this run has shown little");
    println!("{cut} connections cut; {lengths:?} bytes to and from the server");
    let whole = Store::open(&place.url()).await.unwrap();
    assert_eq!(said(&whole, "s").await, expected);
    assert!(whole.check().await.unwrap().is_sound());
}
