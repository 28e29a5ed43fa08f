//! The speed of conversations on Redis, each as a ratio to a floor measured in the same run.
//!
//! The floor is the plain client on one connection: for each row an entry of a Redis stream and a
//! field of a hash that knows it by its id, in one transaction, the same durability. Floor and ours
//! take turns, so that a slow moment of the disk meets both.
//!
//! `eval "$(scripts/services start redis)"` first. `AGENTKEEP_BENCH_LONG` sets the length of the
//! long session and topic (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;
#[path = "../tests/fixtures/redis.rs"]
mod of_redis;

use agentkeep::{Container, Image, Message, Session, Store};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use common::{Bench, add_all, compare, messages, next};
use of_redis::{Form, Place};

fn main() {
    if !Form::Single.is_there("the bench of Redis") {
        return;
    }
    let benches: [Bench; 6] = [
        ("one_writer", one_writer),
        ("sixty_four_one_session", |rt| sixty_four(rt, 1)),
        ("sixty_four_sessions", |rt| sixty_four(rt, 64)),
        ("add_many_100", add_many),
        ("last_50", last_50),
        ("long_streams", long_streams),
    ];
    common::run(&benches);
}

/// The plain client.
struct Floor {
    client: MultiplexedConnection,
    entries: String,
    ids: String,
}

type Row = (i64, String, String);

impl Floor {
    async fn new(place: &Place) -> Self {
        let client = redis::Client::open(Form::Single.server().unwrap()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let client = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        let key = |name: &str| format!("{}:floor:{name}", place.base);
        Self { client, entries: key("entries"), ids: key("ids") }
    }

    /// Numbers begin at 0, which no entry of a stream may have.
    async fn transaction(&self, rows: &[Row]) {
        let mut all = redis::pipe();
        all.atomic();
        for (seq, id, body) in rows {
            let number = format!("{}-0", seq + 1);
            all.cmd("XADD").arg(&self.entries).arg(&number).arg("id").arg(id).arg("body").arg(body);
            all.cmd("HSET").arg(&self.ids).arg(id).arg(&number);
        }
        all.exec_async(&mut self.client.clone()).await.unwrap();
    }

    async fn insert_all(&self, rows: Vec<Row>) {
        for row in rows.chunks(1) {
            self.transaction(row).await;
        }
    }

    /// Transactions of so many rows, everything in them sent at once.
    async fn insert_in_groups(&self, rows: &[Row], group: usize) {
        for rows in rows.chunks(group) {
            self.transaction(rows).await;
        }
    }

    async fn last_50(&self) -> Vec<agentkeep::Json> {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(&self.entries).arg("+").arg("-").arg("COUNT").arg(50);
        let rows = last.query_async::<Vec<(String, Vec<String>)>>(&mut self.client.clone()).await;
        rows.unwrap().iter().map(|(_, row)| agentkeep::Json::parse(&row[3]).unwrap()).collect()
    }
}

async fn store(place: &Place, sessions: u64) -> Store {
    let store = Store::open(&place.url()).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    for n in 0..sessions {
        store.sessions().save(Session::new(&session(n), "i", "c").unwrap()).await.unwrap();
    }
    store
}

fn session(n: u64) -> String {
    if n == 0 { "s".to_owned() } else { format!("s{n}") }
}

fn rows(from: u64, count: u64) -> Vec<Row> {
    common::rows(from, count)
}

fn one_writer(runtime: &Runtime) {
    let place = Place::new(Form::Single);
    let (count, mut a, mut b) = (300, 0, 0);
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, 1));
    compare(
        "add, one writer",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || runtime.block_on(plain.insert_all(rows))
        },
        || {
            let messages = messages(next(&mut b, count), count);
            move || runtime.block_on(add_all(store, "s", messages))
        },
    );
}

fn sixty_four(runtime: &Runtime, sessions: u64) {
    let place = Place::new(Form::Single);
    let (count, mut a, mut b) = (64 * 40, 0, 0);
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, sessions));
    compare(
        &format!("add, 64 writers, {sessions} session(s)"),
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || runtime.block_on(plain.insert_in_groups(&rows, 32))
        },
        || {
            let mut all = messages(next(&mut b, count), count);
            let shares: Vec<Vec<Message>> =
                (0..64).map(|_| all.split_off(all.len() - 40)).collect();
            move || {
                runtime.block_on(async {
                    let tasks: Vec<_> = shares
                        .into_iter()
                        .enumerate()
                        .map(|(n, share)| {
                            let (store, session) = (store.clone(), session(n as u64 % sessions));
                            tokio::spawn(async move { add_all(&store, &session, share).await })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            }
        },
    );
}

fn add_many(runtime: &Runtime) {
    let place = Place::new(Form::Single);
    let (count, mut a, mut b) = (100 * 20, 0, 0);
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, 1));
    compare(
        "add many, 100 at once",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || runtime.block_on(plain.insert_in_groups(&rows, 100))
        },
        || {
            let mut all = messages(next(&mut b, count), count);
            let mut groups: Vec<Vec<Message>> = Vec::new();
            while !all.is_empty() {
                let rest = all.split_off(100);
                groups.push(std::mem::replace(&mut all, rest));
            }
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
    let place = Place::new(Form::Single);
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, 1));
    runtime.block_on(async {
        plain.insert_in_groups(&rows(0, 1000), 100).await;
        store.messages("s").add_many(messages(0, 1000)).await.unwrap();
    });
    let count = 300;
    compare(
        "the last 50 of 1,000",
        count,
        || {
            || {
                runtime.block_on(async {
                    for _ in 0..count {
                        assert_eq!(plain.last_50().await.len(), 50);
                    }
                });
            }
        },
        || {
            || {
                runtime.block_on(async {
                    for _ in 0..count {
                        assert_eq!(store.messages("s").last(50).await.unwrap().len(), 50);
                    }
                });
            }
        },
    );
}

fn long_streams(runtime: &Runtime) {
    let place = Place::new(Form::Single);
    common::long_streams(runtime, &runtime.block_on(store(&place, 2)));
}
