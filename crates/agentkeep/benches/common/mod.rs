//! What the benches share: a floor of plain rusqlite, and taking turns.
#![allow(dead_code, reason = "each bench uses a part")]

use std::path::Path;
use std::time::{Duration, Instant};

use agentkeep::{Container, Event, Image, Json, Message, Session, Store};
use rusqlite::Connection;
use tokio::runtime::Runtime;

pub(crate) const ROUNDS: usize = 9;

pub(crate) type Bench = (&'static str, fn(&Runtime));

/// Runs those that are wanted.
pub(crate) fn run(benches: &[Bench]) {
    let wanted: Option<String> = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<34} {:>10} {:>10}  ratio: median (min..max)", "", "floor", "ours");
    for (name, bench) in benches {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            bench(&runtime);
        }
    }
}

/// Takes turns; prints time per operation and how many times as fast as the floor ours is.
///
/// Each side is a function that prepares a round and answers the work to be timed.
pub(crate) fn compare<'a, A: FnOnce() + 'a, B: FnOnce() + 'a>(
    name: &str,
    per_round: u64,
    mut floor: impl FnMut() -> A,
    mut ours: impl FnMut() -> B,
) {
    let mut pairs: Vec<(Duration, Duration)> = Vec::new();
    for round in 0..=ROUNDS {
        let (a, b) = if round % 2 == 0 {
            let a = timed(floor());
            (a, timed(ours()))
        } else {
            let b = timed(ours());
            (timed(floor()), b)
        };
        // The first round warms both up.
        if round > 0 {
            pairs.push((a, b));
        }
    }
    let mut ratios: Vec<f64> =
        pairs.iter().map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<Duration> = pairs.iter().map(pick).collect();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6 / per_round as f64
    };
    println!(
        "{name:<34} {:>7.1} us {:>7.1} us  {:.2} ({:.2}..{:.2})",
        median(|pair| pair.0),
        median(|pair| pair.1),
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Plain rusqlite.
pub(crate) fn floor(folder: &Path, durability: &str) -> Connection {
    std::fs::create_dir_all(folder).unwrap();
    let connection = Connection::open(folder.join("floor.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let synchronous = if durability == "power" { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE messages(session TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, \
             body TEXT NOT NULL, PRIMARY KEY(session, seq)) WITHOUT ROWID; \
             CREATE UNIQUE INDEX messages_id ON messages(session, id)",
        )
        .unwrap();
    connection
}

pub(crate) const INSERT: &str =
    "INSERT INTO messages(session, seq, id, body) VALUES ('s', ?1, ?2, ?3)";

/// A message of about 500 bytes with a time-ordered id.
pub(crate) fn message(n: u64) -> Message {
    let text = "lorem ipsum dolor sit amet ".repeat(15);
    let json = format!(
        r#"{{"id":"msg_{n:012}","subtype":"user","content":"{text}","timestamp":1769990500000}}"#
    );
    Message::from_json(Json::parse(&json).unwrap()).unwrap()
}

pub(crate) async fn store(folder: &Path, durability: &str) -> Store {
    let url = format!("sqlite:{}/ours.db?durability={durability}", folder.display());
    let store = Store::open(&url).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    store
}

/// Rows for a stretch of work, made before the clock runs.
pub(crate) fn rows(from: u64, count: u64) -> Vec<(i64, String, String)> {
    (from..from + count)
        .map(|n| (n.cast_signed(), format!("msg_{n:012}"), message(n).json().to_string()))
        .collect()
}

pub(crate) fn insert_all(plain: &Connection, rows: Vec<(i64, String, String)>) {
    let mut insert = plain.prepare_cached(INSERT).unwrap();
    for (n, id, body) in rows {
        insert.execute(rusqlite::params![n, id, body]).unwrap();
    }
}

/// The rows, so many in each transaction.
pub(crate) fn insert_in_groups(plain: &Connection, rows: &[(i64, String, String)], size: usize) {
    for group in rows.chunks(size) {
        plain.execute_batch("BEGIN IMMEDIATE").unwrap();
        insert_all(plain, group.to_vec());
        plain.execute_batch("COMMIT").unwrap();
    }
}

pub(crate) fn messages(from: u64, count: u64) -> Vec<Message> {
    (from..from + count).map(message).collect()
}

pub(crate) async fn add_all(store: &Store, session: &str, messages: Vec<Message>) {
    for message in messages {
        store.messages(session).add(message).await.unwrap();
    }
}

/// Counts on from round to round.
pub(crate) fn next(at: &mut u64, count: u64) -> u64 {
    let from = *at;
    *at += count;
    from
}

/// A session of `count` messages in both.
pub(crate) fn filled(runtime: &Runtime, folder: &Path, count: u64) -> (Connection, Store) {
    let plain = floor(folder, "process");
    insert_in_groups(&plain, &rows(0, count), 1000);
    let store = runtime.block_on(async {
        let store = store(folder, "process").await;
        for start in (0..count).step_by(1000) {
            store.messages("s").add_many(messages(start, 1000)).await.unwrap();
        }
        store
    });
    (plain, store)
}

pub(crate) fn select(plain: &Connection, sql: &str, times: u64) {
    for _ in 0..times {
        let mut statement = plain.prepare_cached(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let body: serde_json::Value =
                serde_json::from_str(row.get_ref(0).unwrap().as_str().unwrap()).unwrap();
            std::hint::black_box(body);
        }
    }
}

/// A task for each share, all at once.
pub(crate) fn at_once<T, F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    shares: Vec<T>,
    work: impl Fn(T) -> F,
) {
    runtime.block_on(async {
        let tasks: Vec<_> = shares.into_iter().map(|share| tokio::spawn(work(share))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

pub(crate) type Row = (i64, String, String);

/// A plain thread that inserts what tasks send it, up to 64 a transaction.
#[derive(Clone)]
pub(crate) struct Writer(
    tokio::sync::mpsc::UnboundedSender<(Row, tokio::sync::oneshot::Sender<()>)>,
);

impl Writer {
    pub(crate) fn start(plain: Connection) -> Self {
        let (sender, mut queue) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while let Some(first) = queue.blocking_recv() {
                let mut group: Vec<(Row, tokio::sync::oneshot::Sender<()>)> = vec![first];
                while group.len() < 64
                    && let Ok(next) = queue.try_recv()
                {
                    group.push(next);
                }
                plain.execute_batch("BEGIN IMMEDIATE").unwrap();
                let mut insert = plain.prepare_cached(INSERT).unwrap();
                for (row, _) in &group {
                    insert.execute(rusqlite::params![row.0, row.1, row.2]).unwrap();
                }
                plain.execute_batch("COMMIT").unwrap();
                for (_, answer) in group {
                    let _ = answer.send(());
                }
            }
        });
        Self(sender)
    }

    pub(crate) async fn insert(&self, row: Row) {
        let (sender, answer) = tokio::sync::oneshot::channel();
        self.0.send((row, sender)).unwrap();
        answer.await.unwrap();
    }
}

pub(crate) fn event(n: u64) -> Event {
    Event::from_json(message(n).json().clone())
}

pub(crate) fn events(from: u64, count: u64) -> Vec<Event> {
    (from..from + count).map(event).collect()
}

/// A long session and a long topic against short ones, which are the floor here. The store has the
/// sessions `s` and `s1`. `AGENTKEEP_BENCH_LONG` sets the length (1,000,000 by default).
pub(crate) fn long_streams(runtime: &Runtime, store: &Store) {
    let length = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|n| n.parse().ok());
    let length: u64 = length.unwrap_or(1_000_000);
    runtime.block_on(async {
        store.events().publish_many("short", events(0, 10)).await.unwrap();
        for from in (0..length).step_by(5_000) {
            let count = 5_000.min(length - from);
            store.messages("s").add_many(messages(from, count)).await.unwrap();
            store.events().publish_many("long", events(from, count)).await.unwrap();
        }
    });
    let count = 300;
    let add = |session: &'static str, mut at: u64| {
        move || {
            let some = messages(next(&mut at, count), count);
            move || runtime.block_on(add_all(store, session, some))
        }
    };
    let long = add("s", length);
    compare(&format!("add: empty / {length} long"), count, add("s1", 2 * length), long);
    let publish = |topic: &'static str| {
        move || {
            let some = events(0, count);
            move || {
                runtime.block_on(async {
                    for event in some {
                        store.events().publish(topic, event).await.unwrap();
                    }
                });
            }
        }
    };
    let name = format!("publish: short / {length} long");
    compare(&name, count, publish("short"), publish("long"));
    let read = |session: &'static str| {
        move || {
            move || {
                runtime.block_on(async {
                    for _ in 0..count {
                        assert_eq!(store.messages(session).last(50).await.unwrap().len(), 50);
                    }
                });
            }
        }
    };
    compare(&format!("last 50: short / {length} long"), count, read("s1"), read("s"));
}
