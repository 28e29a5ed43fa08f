//! The speed of conversations on SQLite, each as a ratio to a floor measured in the same run.
//!
//! The floor is plain rusqlite: one table with a primary key and a unique index on the id, one
//! prepared INSERT, no head row, text already valid, the same durability; reads include parsing.
//! Floor and ours take turns, so that a slow moment of the disk meets both.
//!
//! `cargo bench -p agentkeep` runs all; `-- NAME` one of them. `AGENTKEEP_BENCH_LONG` sets the
//! length of the long session (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;

use agentkeep::{At, Message, Session};
use tokio::runtime::Runtime;

use common::{
    Bench, Writer, add_all, at_once, compare, filled, floor, insert_all, insert_in_groups,
    messages, next, rows, select, store,
};

fn main() {
    let benches: [Bench; 7] = [
        ("one_writer_power", |rt| one_writer(rt, "power")),
        ("one_writer_process", |rt| one_writer(rt, "process")),
        ("sixty_four_writers", sixty_four),
        ("add_many_100", add_many),
        ("last_50", last_50),
        ("all_10000", all),
        ("long_sessions", long_sessions),
    ];
    common::run(&benches);
}

fn one_writer(runtime: &Runtime, durability: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (300, 0, 0);
    let plain = &floor(folder.path(), durability);
    let store = &runtime.block_on(store(folder.path(), durability));
    compare(
        &format!("add, one writer, {durability}"),
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || insert_all(plain, rows)
        },
        || {
            let messages = messages(next(&mut b, count), count);
            move || runtime.block_on(add_all(store, "s", messages))
        },
    );
}

fn sixty_four(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (64 * 40, 0, 0);
    let plain = &floor(folder.path(), "power");
    let store = &runtime.block_on(store(folder.path(), "power"));
    let mut ours = || {
        let shares = shares(next(&mut b, count), count);
        move || {
            at_once(runtime, shares, |share| {
                let store = store.clone();
                async move { add_all(&store, "s", share).await }
            });
        }
    };
    compare(
        "add, 64 writers / a bare loop",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || insert_in_groups(plain, &rows, 64)
        },
        &mut ours,
    );
    let writer = &Writer::start(floor(&folder.path().join("thread"), "power"));
    let mut c = 0;
    compare(
        "add, 64 writers / a writer thread",
        count,
        || {
            let from = next(&mut c, count);
            let shares: Vec<_> =
                (0..64).map(|t| rows(from + t * (count / 64), count / 64)).collect();
            move || {
                at_once(runtime, shares, |share| {
                    let writer = writer.clone();
                    async move {
                        for row in share {
                            writer.insert(row).await;
                        }
                    }
                });
            }
        },
        &mut ours,
    );
}

/// The messages of 64 tasks.
fn shares(from: u64, count: u64) -> Vec<Vec<Message>> {
    (0..64).map(|task| messages(from + task * (count / 64), count / 64)).collect()
}

fn add_many(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (2_000, 0, 0);
    let plain = &floor(folder.path(), "power");
    let store = &runtime.block_on(store(folder.path(), "power"));
    compare(
        "add_many(100), power, a message",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || insert_in_groups(plain, &rows, 100)
        },
        || {
            let messages = messages(next(&mut b, count), count);
            let groups: Vec<Vec<Message>> = messages.chunks(100).map(<[_]>::to_vec).collect();
            move || {
                runtime.block_on(async {
                    for group in groups {
                        store.messages("s").add_many(group).await.unwrap();
                    }
                });
            }
        },
    );
}

fn last_50(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (plain, store) = filled(runtime, folder.path(), 20_000);
    let (plain, store) = (&plain, &store);
    let sql = "SELECT body FROM messages WHERE session = 's' ORDER BY seq DESC LIMIT 50";
    compare(
        "last 50 of 20,000",
        200,
        || move || select(plain, sql, 200),
        || {
            move || {
                runtime.block_on(async {
                    for _ in 0..200 {
                        assert_eq!(store.messages("s").last(50).await.unwrap().len(), 50);
                    }
                });
            }
        },
    );
}

fn all(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (plain, store) = filled(runtime, folder.path(), 10_000);
    let (plain, store) = (&plain, &store);
    let sql = "SELECT body FROM messages WHERE session = 's' ORDER BY seq";
    compare(
        "all 10,000, a message",
        10_000 * 3,
        || move || select(plain, sql, 3),
        || {
            move || {
                runtime.block_on(async {
                    for _ in 0..3 {
                        assert_eq!(store.messages("s").all().await.unwrap().len(), 10_000);
                    }
                });
            }
        },
    );
}

/// Does the cost follow the change, or the history? Here "floor" is the empty or short session.
fn long_sessions(runtime: &Runtime) {
    let long = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|text| text.parse().ok());
    let long: u64 = long.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(store(folder.path(), "power"));
    let new_session = |id: &str| {
        runtime.block_on(store.sessions().save(Session::new(id, "i", "c").unwrap())).unwrap();
    };
    for start in (0..long).step_by(10_000) {
        runtime.block_on(store.messages("s").add_many(messages(start, 10_000))).unwrap();
    }
    new_session("short");
    runtime.block_on(store.messages("short").add_many(messages(0, 10))).unwrap();
    let (count, mut at, mut empty) = (200, long, 0);
    compare(
        &format!("add: empty session / {long}"),
        count,
        || {
            let id = format!("empty{}", next(&mut empty, 1));
            new_session(&id);
            let messages = messages(0, count);
            move || runtime.block_on(add_all(store, &id, messages))
        },
        || {
            let messages = messages(next(&mut at, count), count);
            move || runtime.block_on(add_all(store, "s", messages))
        },
    );
    let fork = |from: &str, at: &At, name: &str| {
        runtime.block_on(async {
            for i in 0..50 {
                let id = format!("{name}-{i}");
                store.sessions().fork(from, at.clone(), &id).await.unwrap();
            }
        });
    };
    let fork = &fork;
    let (mut a, mut b) = (0, 0);
    compare(
        &format!("fork: at 10 / at {long}"),
        50,
        || {
            let name = format!("short{}", next(&mut a, 1));
            move || fork("short", &At::Message("msg_000000000009".into()), &name)
        },
        || {
            let name = format!("long{}", next(&mut b, 1));
            move || fork("s", &At::Message(format!("msg_{:012}", long - 1)), &name)
        },
    );
}
