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
async fn a_read_that_took_long_keeps_the_next_ones_away() {
    let home = Home::new();
    let store = home.open().await;
    let here = std::thread::current().id();
    where_it_runs(&store).await;
    let slow = |_: &rusqlite::Connection, _: &_| {
        std::thread::sleep(Duration::from_millis(5));
        Ok(std::thread::current().id())
    };
    while store.readers.run(Place::Here, slow).await.unwrap() != here {}
    for _ in 0..10 {
        assert_ne!(where_it_runs(&store).await, here);
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
