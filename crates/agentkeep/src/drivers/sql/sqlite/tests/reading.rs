//! Where reads run: small ones at once, and elsewhere what turns out to be large or has to wait.

use super::*;
use crate::drivers::sql::sqlite::readers::Place;

async fn where_it_runs(store: &Sqlite) -> std::thread::ThreadId {
    let here = |_: &rusqlite::Connection, _: &_| Ok(std::thread::current().id());
    store.readers.run(Place::Here, here).await.unwrap()
}

#[tokio::test]
async fn a_small_read_runs_where_it_is_asked_for() {
    let home = Home::new();
    let store = home.open().await;
    let here = std::thread::current().id();
    // The first one opens the connection, elsewhere.
    assert_ne!(where_it_runs(&store).await, here);
    // The machine may be so busy that one took long.
    let mut ran_here = false;
    for _ in 0..1_000 {
        ran_here |= where_it_runs(&store).await == here;
    }
    assert!(ran_here);
    store.close().await.unwrap();
    assert_eq!(refused(get(&store, "a")).await.kind(), Kind::Closed);
}

#[tokio::test]
async fn reads_that_took_long_keep_the_next_ones_away() {
    let home = Home::new();
    let store = home.open().await;
    let here = std::thread::current().id();
    where_it_runs(&store).await;
    let slow = |_: &rusqlite::Connection, _: &_| {
        std::thread::sleep(Duration::from_millis(5));
        Ok(std::thread::current().id())
    };
    // Each time twice as many, for as long as all that run here are slow.
    for times in 2..6 {
        while store.readers.run(Place::Here, slow).await.unwrap() != here {}
        if times == 5 {
            for _ in 0..4 << 3 {
                assert_ne!(where_it_runs(&store).await, here);
            }
        }
    }
}

#[tokio::test]
async fn a_read_with_much_to_read_runs_elsewhere_and_answers_all() {
    let home = Home::new();
    let store = home.open().await;
    let large = format!("\"{}\"", "x".repeat(200_000));
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        commit(&store, [append_to("s", Some(id), &large, None)]).await;
        commit(&store, [put(id, &format!(r#"{{"kind":"k","rank":{number},"x":{large}}}"#))]).await;
    }
    let mut find = Find::by(&THINGS, "by_kind").unwrap().equal(Value::text("k"));
    find.limit = 100;
    let keys = ["a", "b", "c"].map(thing);
    for _ in 0..10 {
        assert_eq!(names(&store, &find).await, ["c", "b", "a"]);
        assert!(store.get(&space(), &keys).await.unwrap().iter().all(Option::is_some));
        let which = Which::Stretches(vec![Stretch { stream: stream("s"), from: 1, to: 3 }]);
        let read = Read { log: &NOTES, which, reverse: true, limit: 3 };
        assert_eq!(store.read(&space(), &read).await.unwrap().entries.len(), 3);
    }
}

#[tokio::test]
async fn a_small_read_that_meets_a_lock_waits_for_it_elsewhere() {
    let home = Home::new();
    let store = home.open().await;
    where_it_runs(&store).await;
    let here = std::thread::current().id();
    let locked_here = move |_: &rusqlite::Connection, _: &_| {
        let locked = Error::new(Kind::Timeout, "the database stayed locked");
        if std::thread::current().id() == here { Err(locked) } else { Ok(()) }
    };
    for _ in 0..10 {
        store.readers.run(Place::Here, locked_here).await.unwrap();
    }
}

/// Maximal stretches of the numbers whose bits are set; 1 is the lowest.
fn stretches_of(name: &str, bits: u32) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for number in (1..=32_u64).filter(|number| bits >> (number - 1) & 1 == 1) {
        match stretches.last_mut().filter(|last| last.to + 1 == number) {
            Some(last) => last.to = number,
            None => stretches.push(Stretch { stream: stream(name), from: number, to: number }),
        }
    }
    stretches
}

#[tokio::test]
async fn stretches_that_lie_close_together_give_what_each_gives_alone() {
    let home = Home::new();
    let store = home.open().await;
    // Small bodies, which are walked over, and large ones, which are not.
    let large = format!("\"{}\"", "x".repeat(3_000));
    for name in ["small", "large"] {
        let body = if name == "small" { "1" } else { &large };
        commit(&store, (0..12).map(|_| append_to(name, None, body, None))).await;
        let trim = Operation::Trim { log: &NOTES, stream: stream(name), before: 2 };
        commit(&store, [trim]).await;
    }
    let numbers = async |stretches: &[Stretch], reverse, limit| {
        let which = Which::Stretches(stretches.to_vec());
        let read = Read { log: &NOTES, which, reverse, limit };
        let found = store.read(&space(), &read).await.unwrap();
        assert_eq!(found.heads.len(), stretches.len());
        let place = |entry: &crate::driver::Entry| (entry.stream.clone(), entry.number);
        (found.entries.iter().map(place).collect::<Vec<_>>(), found.more)
    };
    for bits in (0..1 << 13).step_by(3) {
        let mut stretches = stretches_of("small", bits);
        stretches.extend(stretches_of("large", bits.reverse_bits() >> 19));
        let mut all = Vec::new();
        for stretch in &stretches {
            all.extend(numbers(std::slice::from_ref(stretch), false, 1_000).await.0);
        }
        for reverse in [false, true] {
            for limit in [1, 4, 1_000] {
                let mut expected = all.clone();
                if reverse {
                    expected.reverse();
                }
                let more = expected.len() > limit;
                expected.truncate(limit);
                let found = numbers(&stretches, reverse, limit).await;
                assert_eq!(found, (expected, more), "{stretches:?} {reverse} {limit}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_of_others_come_while_we_write_ourselves() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    commit(&ours, [append_to("ours", None, "1", None)]).await;
    commit(&theirs, [append_to("theirs", None, "1", None)]).await;
    let watched = stream("theirs");
    let mut watch = ours.watch(&space(), &NOTES, Some(&watched)).await.unwrap();
    let which = || Which::Stretches(vec![Stretch { stream: stream("theirs"), from: 1, to: 1_000 }]);
    for last in 2..200 {
        let (_, _) = tokio::join!(
            commit(&ours, [append_to("ours", None, "1", None)]),
            commit(&theirs, [append_to("theirs", None, "1", None)]),
        );
        // What we wrote ourselves must not hide it.
        let heard = async {
            loop {
                assert!(watch.changed().await);
                let read = Read { log: &NOTES, which: which(), reverse: true, limit: 1 };
                let found = ours.read(&space(), &read).await.unwrap().entries;
                if found.first().is_some_and(|entry| entry.number == last) {
                    return;
                }
            }
        };
        within(Duration::from_secs(5), heard).await;
    }
}
