//! Round trips, counted, and connections cut in the middle of a commit.

use agentkeep::Container;

use crate::fixture::{Form, Place};
use crate::needs;
use crate::servers::cutting::{Doing, cut_anywhere, event};
use crate::servers::proxy::Proxy;
use crate::servers::{nameless, prepared};

/// The store behind a proxy, on one connection.
async fn behind(place: &Place) -> (Proxy, String) {
    let url = Form::Single.server().unwrap();
    let address = url.rsplit_once('@').unwrap().1.to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let url = url.replace(&address, &format!("127.0.0.1:{}", proxy.port));
    (proxy, format!("{url}?base={}&pool=1", place.base))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_one_round_trip() {
    needs!(Single, "trips::a_commit_is_one_round_trip");
    let place = Place::new(Form::Single);
    let (proxy, url) = behind(&place).await;
    let store = prepared(&url).await;
    store.messages("s").add(nameless("warm")).await.unwrap();
    store.containers().save(Container::new("warm").unwrap()).await.unwrap();
    store.events().publish("t", event("warm")).await.unwrap();
    for round in 0..5 {
        let before = proxy.counts.trips();
        store.messages("s").add(nameless("m")).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "adding a message, round {round}");
        let before = proxy.counts.trips();
        store.containers().save(Container::new(&format!("c{round}")).unwrap()).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "saving a record, round {round}");
        let before = proxy.counts.trips();
        store.events().publish("t", event("e")).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "publishing, round {round}");
    }
}

macro_rules! cut_anywhere {
    ($($name:ident $doing:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            needs!(Single, "trips::cut_anywhere");
            let place = Place::new(Form::Single);
            let (proxy, url) = behind(&place).await;
            // What is asked is long: in steps that meet every field.
            cut_anywhere(Doing::$doing, &proxy, (&url, &place.url()), 0, [7, 1]).await;
        })*
    };
}

cut_anywhere!(
    adding_cut_anywhere_loses_and_doubles_nothing Adding,
    publishing_cut_anywhere_loses_and_doubles_nothing Publishing,
    saving_cut_anywhere_loses_and_doubles_nothing Saving,
    acknowledging_cut_anywhere_loses_and_doubles_nothing Acknowledging
);
