//! The speed where the shape of the data matters, each as a ratio to a floor of the same run: long
//! sessions, lineages of many segments, random ids, lists, and the memory driver.
//!
//! `AGENTKEEP_BENCH_LONG` sets the length of the long session (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;

use std::sync::Mutex;

use agentkeep::{Container, Image, Json, List, Message, Session, Store};
use rusqlite::Connection;
use tokio::runtime::Runtime;

use common::{Bench, add_all, compare, filled, floor, message, messages, next, select, store};

fn main() {
    let benches: [Bench; 5] = [
        ("last_50_long", last_50_long),
        ("segments", segments),
        ("random_ids", random_ids),
        ("images", images),
        ("memory", memory),
    ];
    common::run(&benches);
}

fn long() -> u64 {
    let set = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(1_000_000)
}

fn last(runtime: &Runtime, store: &Store, session: &str, times: u64) {
    runtime.block_on(async {
        for _ in 0..times {
            assert_eq!(store.messages(session).last(50).await.unwrap().len(), 50);
        }
    });
}

fn last_50_long(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (plain, store) = &filled(runtime, folder.path(), long());
    let sql = "SELECT body FROM messages WHERE session = 's' ORDER BY seq DESC LIMIT 50";
    compare(
        &format!("last 50 of {}", long()),
        200,
        || move || select(plain, sql, 200),
        || move || last(runtime, store, "s", 200),
    );
}

/// Every second message has been deleted from one of two sessions.
fn segments(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(store(folder.path(), "process"));
    runtime.block_on(async {
        store.sessions().save(Session::new("plain", "i", "c").unwrap()).await.unwrap();
        store.messages("plain").add_many(messages(0, 1_000)).await.unwrap();
        store.messages("s").add_many(messages(0, 2_000)).await.unwrap();
        for n in (0..2_000).step_by(2) {
            store.messages("s").delete(&format!("msg_{n:012}")).await.unwrap();
        }
    });
    let read = |session: &'static str| {
        move || {
            move || {
                runtime.block_on(async {
                    for _ in 0..10 {
                        assert_eq!(store.messages(session).all().await.unwrap().len(), 1_000);
                    }
                });
            }
        }
    };
    compare("all 1,000: plain / 1,000 segments", 10 * 1_000, read("plain"), read("s"));
    compare(
        "last 50: plain / 1,000 segments",
        200,
        || move || last(runtime, store, "plain", 200),
        || move || last(runtime, store, "s", 200),
    );
}

/// The ids of the long session, and of what is added, are random.
fn random_ids(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(store(folder.path(), "power"));
    let random = |count: u64| -> Vec<Message> {
        (0..count)
            .map(|n| message(n).with("id", &uuid::Uuid::new_v4().to_string()).unwrap())
            .collect()
    };
    for _ in (0..long()).step_by(10_000) {
        runtime.block_on(store.messages("s").add_many(random(10_000))).unwrap();
    }
    let (count, mut empty) = (200, 0);
    compare(
        &format!("add, random ids: empty / {}", long()),
        count,
        || {
            let id = format!("empty{}", next(&mut empty, 1));
            let session = Session::new(&id, "i", "c").unwrap();
            runtime.block_on(store.sessions().save(session)).unwrap();
            let messages = random(count);
            move || runtime.block_on(add_all(store, &id, messages))
        },
        || {
            let messages = random(count);
            move || runtime.block_on(add_all(store, "s", messages))
        },
    );
}

/// 5,000 images in 50 containers, with 500 names.
fn images(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let plain = &floor(folder.path(), "process");
    let store = &runtime.block_on(store(folder.path(), "process"));
    let image = |n: u64| {
        Image::new(&format!("img{n:05}"), &format!("c{}", n % 50), &format!("name{}", n % 500))
            .unwrap()
            .with("createdAt", &(1_769_990_400_000 + n))
            .unwrap()
    };
    plain
        .execute_batch(
            "CREATE TABLE images(id TEXT PRIMARY KEY, container TEXT, name TEXT, created INTEGER, \
             body TEXT NOT NULL) WITHOUT ROWID; \
             CREATE INDEX by_container ON images(container, created DESC); \
             CREATE INDEX by_name ON images(name, created DESC)",
        )
        .unwrap();
    insert_images(plain, (0..5_000).map(image));
    runtime.block_on(async {
        let mut unit = store.unit();
        for n in 0..50 {
            unit.containers().save(Container::new(&format!("c{n}")).unwrap());
        }
        unit.commit().await.unwrap();
        let mut unit = store.unit();
        for n in 0..5_000 {
            unit.images().save(image(n));
        }
        unit.commit().await.unwrap();
    });
    let by_container = "SELECT body FROM images WHERE container = 'c7' ORDER BY created DESC, id";
    let list = List::of(200).unwrap();
    let list = &list;
    compare(
        "images by container, 100 of 5,000",
        100,
        || move || select(plain, by_container, 100),
        || {
            move || {
                runtime.block_on(async {
                    for _ in 0..100 {
                        let page = store.images().by_container("c7", list).await.unwrap();
                        assert_eq!(page.items.len(), 100);
                    }
                });
            }
        },
    );
    let by_name = "SELECT body FROM images WHERE name = 'name7' ORDER BY created DESC, id";
    compare(
        "images by name, 10 of 5,000",
        400,
        || move || select(plain, by_name, 400),
        || {
            move || {
                runtime.block_on(async {
                    for _ in 0..400 {
                        let page = store.images().by_name("name7", list).await.unwrap();
                        assert_eq!(page.items.len(), 10);
                    }
                });
            }
        },
    );
}

fn insert_images(plain: &Connection, images: impl Iterator<Item = Image>) {
    plain.execute_batch("BEGIN").unwrap();
    let mut insert = plain.prepare("INSERT INTO images VALUES (?1, ?2, ?3, ?4, ?5)").unwrap();
    for image in images {
        let body = image.json().as_str();
        let row = rusqlite::params![
            image.id(),
            image.container_id(),
            image.name(),
            image.created_at(),
            body
        ];
        insert.execute(row).unwrap();
    }
    drop(insert);
    plain.execute_batch("COMMIT").unwrap();
}

/// The floor parses the text and pushes it under a mutex.
fn memory(runtime: &Runtime) {
    let store = &runtime.block_on(async {
        let store = Store::open("memory:").await.unwrap();
        store.containers().save(Container::new("c").unwrap()).await.unwrap();
        store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
        store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
        store
    });
    let (count, mut a, mut b) = (2_000, 0, 0);
    let pushed: &Mutex<Vec<(serde_json::Value, String)>> = &Mutex::default();
    let texts = |from: u64| -> Vec<String> {
        (from..from + count).map(|n| message(n).json().to_string()).collect()
    };
    compare(
        "memory: add / parse and push",
        count,
        || {
            let texts = texts(next(&mut a, count));
            move || {
                for text in texts {
                    let parsed = serde_json::from_str(&text).unwrap();
                    pushed.lock().unwrap().push((parsed, text));
                }
            }
        },
        || {
            let texts = texts(next(&mut b, count));
            move || {
                runtime.block_on(async {
                    for text in texts {
                        let message = Message::from_json(Json::parse(&text).unwrap()).unwrap();
                        store.messages("s").add(message).await.unwrap();
                    }
                });
            }
        },
    );
}
