//! Connections cut in the middle of a commit, at every place of what goes to and fro.

use std::sync::atomic::Ordering;

use agentkeep::{Container, Event, Json, Store};

use super::proxy::{Proxy, Way};
use super::{nameless, prepared, said};

/// What is cut in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Adding,
    Publishing,
    Saving,
    Acknowledging,
}

pub(crate) fn event(text: &str) -> Event {
    Event::from_json(Json::string(text))
}

impl Doing {
    async fn once(self, store: &Store, cursor: &str, text: &str) -> agentkeep::Result<()> {
        match self {
            Self::Adding => store.messages("s").add(nameless(text)).await.map(|_| ()),
            Self::Publishing => store.events().publish("t", event(text)).await.map(|_| ()),
            Self::Saving => store.containers().save(Container::new(text).unwrap()).await,
            Self::Acknowledging => store.events().ack(text, "t", cursor).await,
        }
    }

    /// What was done, as it was named.
    async fn done(self, store: &Store) -> Vec<String> {
        match self {
            Self::Adding => said(store, "s").await,
            Self::Publishing => {
                let found = store.events().recover("t", None, 10_000).await.unwrap();
                let all = found.events.iter().map(|event| event.body.to_text().unwrap());
                all.filter(|text| text != "first").collect()
            }
            Self::Saving => {
                let list = agentkeep::List::of(10_000).unwrap();
                let all = store.containers().list(&list).await.unwrap();
                let names = all.items.into_iter().map(|one| one.id().to_owned());
                names.filter(|name| name != "c").collect()
            }
            Self::Acknowledging => {
                let found = store.events().consumers("t").await.unwrap();
                found.into_iter().map(|one| one.consumer).collect()
            }
        }
    }
}

/// Each ends as done, whatever was cut, and none is done twice.
///
/// `through` is the store behind the proxy on one connection, `past` the same without it. It is cut
/// after `from` bytes, and then in steps: of what is asked, and of what is answered.
pub(crate) async fn cut_anywhere(
    doing: Doing,
    proxy: &Proxy,
    (through, past): (&str, &str),
    from: u64,
    steps: [usize; 2],
) {
    let store = prepared(through).await;
    let counts = &proxy.counts;
    store.events().publish("t", event("first")).await.unwrap();
    let found = store.events().recover("t", None, 1).await.unwrap();
    let cursor = found.events[0].cursor.to_string();
    let bytes = async |text: &str| {
        let before = [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way));
        doing.once(&store, &cursor, text).await.unwrap();
        [Way::ToServer, Way::ToClient].map(|way| counts.bytes(way) - before[way as usize])
    };
    // Until nothing is done for the first time.
    let mut expected = ["warm 1", "warm 2", "warm 3"].map(str::to_owned).to_vec();
    let mut lengths = [0; 2];
    for warm in &expected {
        lengths = bytes(warm).await;
    }
    let mut cut = 0;
    for (way, length) in [Way::ToServer, Way::ToClient].into_iter().zip(lengths) {
        for at in (from..length).step_by(steps[way as usize]) {
            let text = format!("{way:?} {at}");
            // A sound connection first, with all that it remembers.
            bytes(&format!("before {text}")).await;
            expected.push(format!("before {text}"));
            let before = counts.cuts.load(Ordering::SeqCst);
            counts.cut_after(way, i64::try_from(at).unwrap());
            let (working, at, saying) = (store.clone(), cursor.clone(), text.clone());
            let done = tokio::spawn(async move { doing.once(&working, &at, &saying).await });
            while counts.cuts.load(Ordering::SeqCst) == before && !done.is_finished() {
                tokio::task::yield_now().await;
            }
            counts.no_cut();
            done.await.unwrap().unwrap();
            expected.push(text);
            cut += u64::from(counts.cuts.load(Ordering::SeqCst) > before);
        }
    }
    // What takes few bytes has few places, in steps even fewer.
    assert!(cut >= 40, "only {cut} cuts: this run has shown little");
    println!("{doing:?}: {cut} connections cut; {lengths:?} bytes to and from the server");
    let whole = Store::open(past).await.unwrap();
    let mut done = doing.done(&whole).await;
    if [Doing::Saving, Doing::Acknowledging].contains(&doing) {
        expected.sort();
        done.sort();
    }
    assert_eq!(done, expected);
    assert!(whole.check().await.unwrap().is_sound());
}
