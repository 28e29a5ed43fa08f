//! The speed of conversations on PostgreSQL, each as a ratio to a floor measured in the same run.
//!
//! The floor is plain tokio-postgres on one connection with prepared statements: one table with a
//! primary key and a unique index on the id, body as `json`, the same durability. Floor and ours
//! take turns, so that a slow moment of the disk meets both.
//!
//! `eval "$(scripts/services start postgres)"` first. `AGENTKEEP_BENCH_LONG` sets the length of the
//! long session and topic (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;
#[path = "../tests/fixtures/postgres.rs"]
mod postgres;

use agentkeep::{Container, Image, Message, Session, Store};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

use common::{Bench, add_all, compare, messages, next};
use postgres::Place;

fn main() {
    if !postgres::is_there("the bench of PostgreSQL") {
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

/// Plain tokio-postgres.
struct Floor {
    client: Client,
    insert: Statement,
    many: Statement,
    last: Statement,
}

type Row = (i64, String, String);

impl Floor {
    async fn new(place: &Place) -> Self {
        let (client, connection) =
            tokio_postgres::connect(&postgres::server().unwrap(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let table = format!("\"{}\".floor", place.schema);
        client
            .batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS \"{}\"; CREATE TABLE {table}(session text NOT NULL, \
                 seq bigint NOT NULL, id text NOT NULL, body json NOT NULL, \
                 PRIMARY KEY (session, seq)); CREATE UNIQUE INDEX ON {table}(session, id)",
                place.schema
            ))
            .await
            .unwrap();
        let insert = format!("INSERT INTO {table} VALUES ('s', $1, $2, $3::text::json)");
        let many = format!(
            "INSERT INTO {table} SELECT 's', * FROM \
             (SELECT a, b, c::json FROM unnest($1::bigint[], $2::text[], $3::text[]) AS t(a, b, c)) r"
        );
        let last = format!(
            "SELECT seq, body::text FROM {table} WHERE session = 's' ORDER BY seq DESC LIMIT 50"
        );
        Self {
            insert: client.prepare(&insert).await.unwrap(),
            many: client.prepare(&many).await.unwrap(),
            last: client.prepare(&last).await.unwrap(),
            client,
        }
    }

    async fn insert_all(&self, rows: Vec<Row>) {
        for (seq, id, body) in &rows {
            self.client.execute(&self.insert, &[seq, id, body]).await.unwrap();
        }
    }

    /// Transactions of so many rows, everything in them sent at once.
    async fn insert_in_groups(&self, rows: &[Row], group: usize) {
        for rows in rows.chunks(group) {
            let begin = self.client.batch_execute("BEGIN");
            let inserts = rows.iter().map(|(seq, id, body)| async move {
                self.client.execute(&self.insert, &[seq, id, body]).await.unwrap();
            });
            let inserts = futures_util::future::join_all(inserts);
            let commit = self.client.batch_execute("COMMIT");
            let (started, _, committed) = futures_util::future::join3(begin, inserts, commit).await;
            started.unwrap();
            committed.unwrap();
        }
    }

    /// Statements of so many rows.
    async fn insert_many(&self, rows: &[Row], group: usize) {
        for rows in rows.chunks(group) {
            let seqs: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let ids: Vec<&str> = rows.iter().map(|row| row.1.as_str()).collect();
            let bodies: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
            self.client.execute(&self.many, &[&seqs, &ids, &bodies]).await.unwrap();
        }
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
    let place = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
    let (count, mut a, mut b) = (100 * 20, 0, 0);
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, 1));
    compare(
        "add many, 100 at once",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || runtime.block_on(plain.insert_many(&rows, 100))
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
    let place = Place::new();
    let plain = &runtime.block_on(Floor::new(&place));
    let store = &runtime.block_on(store(&place, 1));
    runtime.block_on(async {
        plain.insert_many(&rows(0, 1000), 100).await;
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
                        let rows = plain.client.query(&plain.last, &[]).await.unwrap();
                        let parse = |row: &tokio_postgres::Row| {
                            agentkeep::Json::parse(row.get::<_, &str>(1)).unwrap()
                        };
                        assert_eq!(rows.iter().map(parse).collect::<Vec<_>>().len(), 50);
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
    let place = Place::new();
    common::long_streams(runtime, &runtime.block_on(store(&place, 2)));
}
