//! The speed of events on SQLite, each as a ratio to a floor measured in the same run (see
//! `conversations`), and how long an event takes to a subscriber.
//!
//! `cargo bench -p agentkeep --bench events` runs all; `-- NAME` one of them.
//! `AGENTKEEP_BENCH_LONG` sets the length of the long topic (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;

use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agentkeep::{Event, Json, Start, Store};
use tokio::runtime::Runtime;

use common::{
    Bench, Writer, at_once, compare, event, events, filled, floor, insert_all, insert_in_groups,
    next, rows, select,
};

/// What the child of this program reads.
const CHILD: &str = "AGENTKEEP_BENCH_CHILD";

fn main() {
    if let Ok(url) = std::env::var(CHILD) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(listen(&url));
        return;
    }
    let benches: [Bench; 8] = [
        ("publish_one", publish_one),
        ("sixty_four", sixty_four),
        ("publish_many_100", publish_many),
        ("with_subscribers", with_subscribers),
        ("recover_10000", recover),
        ("long_topics", long_topics),
        ("delivery", delivery),
        ("idle", idle),
    ];
    common::run(&benches);
}

async fn open(folder: &Path, durability: &str) -> Store {
    let url = format!("sqlite:{}/ours.db?durability={durability}", folder.display());
    Store::open(&url).await.unwrap()
}

async fn publish_all(store: &Store, topic: &str, events: Vec<Event>) {
    for event in events {
        store.events().publish(topic, event).await.unwrap();
    }
}

fn publish_one(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (300, 0, 0);
    let plain = &floor(folder.path(), "power");
    let store = &runtime.block_on(open(folder.path(), "power"));
    compare(
        "publish, one publisher, power",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || insert_all(plain, rows)
        },
        || {
            let events = events(next(&mut b, count), count);
            move || runtime.block_on(publish_all(store, "t", events))
        },
    );
}

fn sixty_four(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (64 * 40, 0, 0);
    let store = &runtime.block_on(open(folder.path(), "power"));
    let writer = &Writer::start(floor(folder.path(), "power"));
    compare(
        "publish, 64 / a writer thread",
        count,
        || {
            let from = next(&mut a, count);
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
        || {
            let from = next(&mut b, count);
            let shares: Vec<_> =
                (0..64).map(|t| events(from + t * (count / 64), count / 64)).collect();
            move || {
                at_once(runtime, shares, |share| {
                    let store = store.clone();
                    async move { publish_all(&store, "t", share).await }
                });
            }
        },
    );
}

fn publish_many(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (2_000, 0, 0);
    let plain = &floor(folder.path(), "power");
    let store = &runtime.block_on(open(folder.path(), "power"));
    compare(
        "publish_many(100), power, an event",
        count,
        || {
            let rows = rows(next(&mut a, count), count);
            move || insert_in_groups(plain, &rows, 100)
        },
        || {
            let events = events(next(&mut b, count), count);
            let groups: Vec<Vec<Event>> = events.chunks(100).map(<[_]>::to_vec).collect();
            move || {
                runtime.block_on(async {
                    for group in groups {
                        store.events().publish_many("t", group).await.unwrap();
                    }
                });
            }
        },
    );
}

/// Publishing to 100 topics in turn, without and with a subscriber on each.
fn with_subscribers(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (count, mut a, mut b) = (500, 0, 0);
    let alone = &runtime.block_on(open(&folder.path().join("alone"), "power"));
    let heard = &runtime.block_on(open(&folder.path().join("heard"), "power"));
    let listeners: Vec<_> = (0..100)
        .map(|topic| {
            let store = heard.clone();
            runtime.spawn(async move {
                let topic = format!("t{topic}");
                let mut heard = store.events().subscribe(&topic, Start::Now).await.unwrap();
                while let Some(event) = heard.next().await {
                    std::hint::black_box(event.unwrap());
                }
            })
        })
        .collect();
    let publish = |store: &'static Store, events: Vec<Event>| {
        runtime.block_on(async {
            for (n, event) in events.into_iter().enumerate() {
                let topic = format!("t{}", n % 100);
                store.events().publish(&topic, event).await.unwrap();
            }
        });
    };
    // Lives as long as the program, as the closures want.
    let (alone, heard): (&'static Store, &'static Store) =
        (Box::leak(Box::new(alone.clone())), Box::leak(Box::new(heard.clone())));
    compare(
        "publish with 100 subscribers / none",
        count,
        || {
            let events = events(next(&mut a, count), count);
            move || publish(alone, events)
        },
        || {
            let events = events(next(&mut b, count), count);
            move || publish(heard, events)
        },
    );
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
}

fn recover(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (plain, store) = filled(runtime, folder.path(), 10_000);
    runtime.block_on(async {
        for from in (0..10_000).step_by(1_000) {
            store.events().publish_many("t", events(from, 1_000)).await.unwrap();
        }
    });
    let (plain, store) = (&plain, &store);
    let sql = "SELECT body FROM messages WHERE session = 's' ORDER BY seq";
    compare(
        "recover 10,000, an event",
        10_000 * 3,
        || move || select(plain, sql, 3),
        || {
            move || {
                runtime.block_on(async {
                    for _ in 0..3 {
                        let found = store.events().recover("t", None, 10_000).await.unwrap();
                        assert_eq!(found.events.len(), 10_000);
                    }
                });
            }
        },
    );
}

/// Publishing, acknowledging and recovering in a topic of 10 and in a long one.
fn long_topics(runtime: &Runtime) {
    let long = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|n| n.parse().ok());
    let long: u64 = long.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(open(folder.path(), "process"));
    runtime.block_on(async {
        store.events().publish_many("short", events(0, 10)).await.unwrap();
        for from in (0..long).step_by(5_000) {
            store.events().publish_many("long", events(from, 5_000)).await.unwrap();
        }
    });
    let (count, mut a, mut b) = (300, 0, 0);
    compare(
        &format!("publish, {long} / 10 events"),
        count,
        || {
            let events = events(next(&mut a, count), count);
            move || runtime.block_on(publish_all(store, "short", events))
        },
        || {
            let events = events(next(&mut b, count), count);
            move || runtime.block_on(publish_all(store, "long", events))
        },
    );
    let cursors = |topic: &'static str| {
        runtime.block_on(async {
            let cursors = store.events().publish_many(topic, events(0, 3_500)).await.unwrap();
            cursors.into_iter().map(|one| one.cursor)
        })
    };
    let (mut short_cursors, mut long_cursors) = (cursors("short"), cursors("long"));
    let ack = |topic: &'static str, cursors: Vec<agentkeep::Cursor>| {
        runtime.block_on(async {
            for cursor in cursors {
                store.events().ack("c", topic, cursor).await.unwrap();
            }
        });
    };
    let ack = &ack;
    compare(
        &format!("ack, {long} / 10 events"),
        count,
        || {
            let cursors: Vec<_> = short_cursors.by_ref().take(300).collect();
            move || ack("short", cursors)
        },
        || {
            let cursors: Vec<_> = long_cursors.by_ref().take(300).collect();
            move || ack("long", cursors)
        },
    );
    let recover = |topic: &'static str| {
        runtime.block_on(async {
            for _ in 0..100 {
                let after = store.events().cursor("c", topic).await.unwrap().unwrap();
                let found = store.events().recover(topic, Some(after.as_str()), 100).await.unwrap();
                assert_eq!(found.events.len(), 100);
            }
        });
    };
    let recover = &recover;
    compare(
        &format!("recover 100, {long} / few events"),
        100,
        || move || recover("short"),
        || move || recover("long"),
    );
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

async fn heard(store: &Store, count: usize, ready: impl FnOnce()) -> Vec<i64> {
    let mut subscription = store.events().subscribe("t", Start::Now).await.unwrap();
    ready();
    let mut late = Vec::new();
    while late.len() < count {
        let event = subscription.next().await.unwrap().unwrap();
        late.push(now() - event.body.to_i64().unwrap());
    }
    late
}

/// Events so many a second, each the time of its publishing.
async fn publish_paced(store: &Store, count: u32, a_second: u32) {
    let start = Instant::now();
    for n in 0..count {
        let due = start + Duration::from_secs(1) * n / a_second;
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        let event = Event::from_json(Json::integer(now()));
        store.events().publish("t", event).await.unwrap();
    }
}

fn told(name: &str, mut late: Vec<i64>) {
    late.sort_unstable();
    let at = |part: usize| late[(late.len() - 1) * part / 100] as f64 / 1e6;
    println!("{name:<34} median {:.2} ms, p99 {:.2} ms, worst {:.2} ms", at(50), at(99), at(100));
}

fn delivery(runtime: &Runtime) {
    const COUNT: u32 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(open(folder.path(), "process"));
    let late = runtime.block_on(async {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let listener = {
            let store = store.clone();
            tokio::spawn(
                async move { heard(&store, COUNT as usize, || ready.send(()).unwrap()).await },
            )
        };
        is_ready.await.unwrap();
        publish_paced(&store, COUNT, 5_000).await;
        listener.await.unwrap()
    });
    told("delivery in process, 5,000 a second", late);
    let url = format!("sqlite:{}/ours.db?durability=process", folder.path().display());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .env(CHILD, &url)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    runtime.block_on(publish_paced(&store, ACROSS, 500));
    let late = lines.map(|line| line.unwrap().parse().unwrap()).collect();
    assert!(child.wait().unwrap().success());
    told("delivery across processes, 500 a s", late);
}

/// Events that the child waits for.
const ACROSS: u32 = 2_000;

async fn listen(url: &str) {
    let store = Store::open(url).await.unwrap();
    for late in heard(&store, ACROSS as usize, || println!("ready")).await {
        println!("{late}");
    }
}

/// The processor time that this process has taken, all threads together.
fn processor() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let spent = tasks.map(|task| {
        let told = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        told.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(spent.sum())
}

/// What it takes to wait for events of other processes while nothing happens.
fn idle(runtime: &Runtime) {
    const FOR: Duration = Duration::from_secs(10);
    if !Path::new("/proc/self/task").exists() {
        println!("idle: this system does not tell the time of threads");
        return;
    }
    for driver in ["sqlite", "file"] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{driver}:{}/ours", folder.path().display());
        let (before, after) = runtime.block_on(async {
            let store = Store::open(&url).await.unwrap();
            store.events().publish("t", event(0)).await.unwrap();
            let mut subscription = store.events().subscribe("t", Start::Now).await.unwrap();
            let heard = tokio::spawn(async move { subscription.next().await.is_some() });
            // It looks less often the longer nothing comes.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let before = processor();
            tokio::time::sleep(FOR).await;
            let after = processor();
            heard.abort();
            store.close().await.unwrap();
            (before, after)
        });
        let share = after.saturating_sub(before).as_secs_f64() / FOR.as_secs_f64() * 100.0;
        println!("waiting for events, {driver:<14} {share:.3} % of a core");
    }
}
