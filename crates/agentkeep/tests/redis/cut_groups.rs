//! Groups whose connection is cut in the middle.

use std::sync::atomic::Ordering;

use agentkeep::Kind;
use agentkeep::driver::{Batch, Driver as _, Operation};
use agentkeep::drivers::redis::Redis;
use agentkeep::schema::MESSAGES;
use futures_util::future::{Either, select};

use crate::fixture::{Form, Place};
use crate::grouped::{add, batch, kinds, numbers, open, stream, texts, together, told, warm};
use crate::needs;
use crate::servers::proxy::{Proxy, Way};

fn group(round: &str) -> Vec<Batch> {
    let to = |n: usize| if n.is_multiple_of(3) { "b" } else { "a" };
    let id = |n: usize| if n.is_multiple_of(2) { format!("{round} {n}") } else { String::new() };
    (0..9).map(|n| add(to(n), &id(n), &format!("{round} {n}"))).collect()
}

async fn behind(place: &Place, options: &str) -> (Proxy, Redis) {
    let url = Form::Single.server().unwrap();
    let address = url.rsplit_once('@').unwrap().1.to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let url = url.replace(&address, &format!("127.0.0.1:{}", proxy.port));
    let driver = open(&format!("{url}?base={}&pool=1{options}", place.base)).await;
    (proxy, driver)
}

/// Every caller of a group is answered, whatever was cut, and none is there twice.
#[tokio::test]
async fn a_group_cut_anywhere_loses_and_doubles_nothing() {
    needs!(Single, "cut_groups::a_group_cut_anywhere_loses_and_doubles_nothing");
    let place = Place::new(Form::Single);
    let (proxy, driver) = behind(&place, "").await;
    warm(&driver, &["a", "b"]).await;
    let mut cut = 0;
    for (way, length, step) in [(Way::ToServer, 5000, 97), (Way::ToClient, 140, 5)] {
        for at in (0..length).step_by(step) {
            // A connection that has been made.
            driver.commit(add("b", "", "sound")).await.unwrap();
            let before = proxy.counts.cuts.load(Ordering::SeqCst);
            proxy.counts.cut_after(way, at);
            let once = async {
                while proxy.counts.cuts.load(Ordering::SeqCst) == before {
                    tokio::task::yield_now().await;
                }
                proxy.counts.no_cut();
            };
            let round = format!("{way:?} {at}");
            let all = together(&driver, group(&round));
            let answers = match select(Box::pin(all), Box::pin(once)).await {
                Either::Left((answers, _)) => answers,
                Either::Right(((), all)) => {
                    cut += 1;
                    all.await
                }
            };
            proxy.counts.no_cut();
            assert_eq!(kinds(&answers), [None; 9], "{round}");
            for (to, callers) in [("a", [1, 2, 4, 5, 7, 8].as_slice()), ("b", &[0, 3, 6])] {
                let found = told(&driver, &MESSAGES, to).await;
                for caller in callers {
                    let text = format!("{round} {caller}");
                    let places: Vec<u64> =
                        found.iter().filter(|(_, told)| *told == text).map(|(n, _)| *n).collect();
                    assert_eq!(places, numbers(&answers[*caller]), "{text}");
                }
            }
            let trim =
                |to| batch(Operation::Trim { log: &MESSAGES, stream: stream(to), before: 1 << 40 });
            driver.commit(trim("a")).await.unwrap();
            driver.commit(trim("b")).await.unwrap();
        }
    }
    assert!(cut > 30, "only {cut} cuts: this run has shown little");
    assert!(driver.check().await.unwrap().is_sound());
}

/// Nobody can be asked any more: each caller is told so, and finds out by the ids.
#[tokio::test]
async fn an_outcome_that_cannot_be_told_is_unknown_to_each() {
    needs!(Single, "cut_groups::an_outcome_that_cannot_be_told_is_unknown_to_each");
    for (way, happened) in [(Way::ToServer, false), (Way::ToClient, true)] {
        let place = Place::new(Form::Single);
        let (proxy, driver) = behind(&place, "&timeout=4").await;
        warm(&driver, &["a", "b"]).await;
        let all = || (0..5).map(|n| add(["a", "b"][n % 2], &n.to_string(), &n.to_string()));
        proxy.counts.cut_after(way, 0);
        let answers = together(&driver, all().collect()).await;
        assert_eq!(kinds(&answers), [Some(Kind::OutcomeUnknown); 5], "{answers:?}");
        proxy.counts.no_cut();
        for answer in together(&driver, all().collect()).await {
            assert_eq!(answer.unwrap().replayed, happened);
        }
        let expected = [(1, "first"), (2, "0"), (3, "2"), (4, "4")];
        assert_eq!(texts(&told(&driver, &MESSAGES, "a").await), expected);
        assert_eq!(texts(&told(&driver, &MESSAGES, "b").await), [(1, "first"), (2, "1"), (3, "3")]);
        assert!(driver.check().await.unwrap().is_sound());
    }
}
