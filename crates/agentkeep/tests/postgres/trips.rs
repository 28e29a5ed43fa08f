//! Round trips, counted, and connections cut in the middle of a commit.

use std::time::{Duration, Instant};

use agentkeep::{Container, Session, Start};

use crate::fixture::{Place, server};
use crate::needs_server;
use crate::servers::cutting::{Doing, cut_anywhere, event};
use crate::servers::own::Server;
use crate::servers::proxy::Proxy;
use crate::servers::{nameless, prepared};

/// A proxy before a server, and the URL through it.
async fn before(server: &str) -> (Proxy, String) {
    let address = server.rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let url = server.replace(&address, &format!("127.0.0.1:{}", proxy.port));
    (proxy, url)
}

/// The store behind a proxy, on one connection.
async fn behind(place: &Place) -> (Proxy, String) {
    let (proxy, url) = before(&server().unwrap()).await;
    (proxy, format!("{url}?schema={}&pool=1", place.schema))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_one_round_trip() {
    needs_server!("trips::a_commit_is_one_round_trip");
    let place = Place::new();
    let (proxy, url) = behind(&place).await;
    let store = prepared(&url).await;
    // The first makes stream and topic, the second prepares what is sent from then on.
    for warm in ["one", "two"] {
        store.messages("s").add(nameless(warm)).await.unwrap();
        store.containers().save(Container::new(warm).unwrap()).await.unwrap();
        store.events().publish("t", event(warm)).await.unwrap();
    }
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
        let new = format!("s{round}");
        store.sessions().save(Session::new(&new, "i", "c").unwrap()).await.unwrap();
        let before = proxy.counts.trips();
        store.messages(&new).add(nameless("m")).await.unwrap();
        assert_eq!(proxy.counts.trips() - before, 1, "the first message, round {round}");
    }
}

/// At every byte, both ways. After each cut a client pauses, so some of them are cut side by side.
async fn cut_at_every_byte(doing: Doing) {
    const SHARES: usize = 8;
    let shares = (0_u64..).take(SHARES).map(|from| async move {
        let place = Place::new();
        let (proxy, url) = behind(&place).await;
        cut_anywhere(doing, &proxy, (&url, &place.url()), from, [SHARES; 2]).await;
    });
    futures_util::future::join_all(shares).await;
}

macro_rules! cut_anywhere {
    ($($name:ident $doing:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            needs_server!("trips::cut_anywhere");
            cut_at_every_byte(Doing::$doing).await;
        })*
    };
}

cut_anywhere!(
    adding_cut_anywhere_loses_and_doubles_nothing Adding,
    publishing_cut_anywhere_loses_and_doubles_nothing Publishing,
    saving_cut_anywhere_loses_and_doubles_nothing Saving,
    acknowledging_cut_anywhere_loses_and_doubles_nothing Acknowledging
);

/// Whoever only waits asks seldom, where he is told of what is written and where he is not. However
/// slow the machine is, more cannot become of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_asks_at_most_four_times_a_second() {
    needs_server!("trips::who_waits_asks_at_most_four_times_a_second");
    // Its own: what others write to a server is a reason to look.
    let server = Server::start("postgres", "idle");
    for (hints, least) in [("listen", 0), ("poll", 1)] {
        let (proxy, url) = before(&server.url).await;
        let store = prepared(&format!("{url}?schema={hints}&hints={hints}")).await;
        store.events().publish("t", event("first")).await.unwrap();
        let mut events = store.events().subscribe("t", Start::Beginning).await.unwrap();
        assert!(events.next().await.unwrap().is_ok());
        // What was written before may be looked at once more.
        let settling = tokio::time::timeout(Duration::from_secs(2), events.next()).await;
        let (began, before) = (Instant::now(), proxy.counts.trips());
        let waited = tokio::time::timeout(Duration::from_secs(6), events.next()).await;
        let (trips, waiting) = (proxy.counts.trips() - before, began.elapsed());
        assert!(settling.is_err() && waited.is_err(), "something came");
        println!("hints={hints}: {trips} queries in {waiting:.1?}");
        // One may have been under way.
        let most = u64::try_from(waiting.as_millis()).unwrap() * 4 / 1000 + 1;
        assert!(trips <= most, "hints={hints}: {trips} queries in {waiting:?}");
        assert!(trips >= least, "nobody asked");
        store.events().publish("t", event("second")).await.unwrap();
        assert!(events.next().await.unwrap().is_ok(), "it still hears");
        store.close().await.unwrap();
    }
}
