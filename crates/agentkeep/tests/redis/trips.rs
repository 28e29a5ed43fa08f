//! Round trips, counted, and connections cut in the middle of a commit.

use std::sync::atomic::Ordering;

use agentkeep::{Container, Event, Json, Store};

use crate::fixture::{Form, Place};
use crate::needs;
use crate::servers::proxy::{Proxy, Way};
use crate::servers::{nameless, prepared, said};

/// The store behind a proxy, on one connection.
async fn behind(place: &Place) -> (Proxy, String) {
    let url = Form::Single.server().unwrap();
    let address = url.rsplit_once('@').unwrap().1.to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let url = url.replace(&address, &format!("127.0.0.1:{}", proxy.port));
    (proxy, format!("{url}?base={}&pool=1", place.base))
}

fn event(text: &str) -> Event {
    Event::from_json(Json::string(text))
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

/// What is cut in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Adding,
    Publishing,
    Saving,
    Acknowledging,
}

impl Doing {
    async fn once(self, store: &Store, text: &str) -> agentkeep::Result<()> {
        match self {
            Self::Adding => store.messages("s").add(nameless(text)).await.map(|_| ()),
            Self::Publishing => store.events().publish("t", event(text)).await.map(|_| ()),
            Self::Saving => store.containers().save(Container::new(text).unwrap()).await,
            Self::Acknowledging => {
                let found = store.events().recover("t", None, 1).await.unwrap();
                let cursor = found.events[0].cursor.to_string();
                store.events().ack(text, "t", cursor).await
            }
        }
    }
}

/// Each ends as done, whatever was cut, and none is done twice.
async fn cut_anywhere(doing: Doing) {
    let place = Place::new(Form::Single);
    let (proxy, url) = behind(&place).await;
    let store = prepared(&url).await;
    let counts = &proxy.counts;
    store.events().publish("t", event("first")).await.unwrap();
    let bytes = async |text: &str| {
        let before = [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way));
        doing.once(&store, text).await.unwrap();
        [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way) - before[way as usize])
    };
    bytes("warm 1").await;
    let lengths = bytes("warm 2").await;
    let mut expected = vec!["warm 1".to_owned(), "warm 2".to_owned()];
    let mut cut = 0;
    for (way, length) in [Way::ToServer, Way::ToClient].into_iter().zip(lengths) {
        // Every byte of the answer; what is asked is long, and in steps that meet every field.
        let step = if way == Way::ToClient { 1 } else { 7 };
        for at in (0..length).step_by(step) {
            let text = format!("{way:?} {at}");
            // A sound connection first.
            bytes(&format!("before {text}")).await;
            expected.push(format!("before {text}"));
            let before = counts.cuts.load(Ordering::SeqCst);
            counts.cut_after(way, i64::try_from(at).unwrap());
            let (working, saying) = (store.clone(), text.clone());
            let done = tokio::spawn(async move { doing.once(&working, &saying).await });
            while counts.cuts.load(Ordering::SeqCst) == before && !done.is_finished() {
                tokio::task::yield_now().await;
            }
            counts.no_cut();
            done.await.unwrap().unwrap();
            expected.push(text);
            cut += u64::from(counts.cuts.load(Ordering::SeqCst) > before);
        }
    }
    assert!(cut > 100, "only {cut} cuts: this run has shown little");
    println!("{doing:?}: {cut} connections cut; {lengths:?} bytes to and from the server");
    let whole = Store::open(&place.url()).await.unwrap();
    let there = there(&whole, doing).await;
    if [Doing::Saving, Doing::Acknowledging].contains(&doing) {
        expected.sort();
    }
    assert_eq!(there, expected);
    assert!(whole.check().await.unwrap().is_sound());
}

/// What was done, as it was named.
async fn there(store: &Store, doing: Doing) -> Vec<String> {
    match doing {
        Doing::Adding => said(store, "s").await,
        Doing::Publishing => {
            let found = store.events().recover("t", None, 10_000).await.unwrap();
            let all = found.events.iter().map(|event| event.body.to_text().unwrap());
            all.filter(|text| text != "first").collect()
        }
        Doing::Saving => {
            let list = agentkeep::List::of(10_000).unwrap();
            let all = store.containers().list(&list).await.unwrap();
            let names = all.items.into_iter().map(|one| one.id().to_owned());
            let mut names: Vec<String> = names.filter(|name| name != "c").collect();
            names.sort();
            names
        }
        Doing::Acknowledging => {
            let found = store.events().consumers("t").await.unwrap();
            let mut names: Vec<String> = found.into_iter().map(|one| one.consumer).collect();
            names.sort();
            names
        }
    }
}

macro_rules! cut_anywhere {
    ($($name:ident $doing:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            needs!(Single, "trips::cut_anywhere");
            cut_anywhere(Doing::$doing).await;
        })*
    };
}

cut_anywhere!(
    adding_cut_anywhere_loses_and_doubles_nothing Adding,
    publishing_cut_anywhere_loses_and_doubles_nothing Publishing,
    saving_cut_anywhere_loses_and_doubles_nothing Saving,
    acknowledging_cut_anywhere_loses_and_doubles_nothing Acknowledging
);
