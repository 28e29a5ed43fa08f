//! The file driver beside a bare append and `fdatasync` of the same lines.
//!
//! `cargo bench -p agentkeep --bench files`

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use agentkeep::{Container, Image, Json, Message, Session, Store};
use tokio::runtime::Runtime;

const ROUNDS: usize = 9;
const CRASH: &str = "AGENTKEEP_BENCH_CRASH";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Ok(folder) = std::env::var(CRASH) {
        runtime.block_on(fill_and_crash(Path::new(&folder)));
    }
    println!("{:<34} {:>10} {:>10}  ratio: median (min..max)", "", "floor", "ours");
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(store(&folder.path().join("keep")));
    let mut floor = File::create(folder.path().join("floor")).unwrap();
    let mut from = 0;
    compare("add, one writer, power", 200, |count| {
        let (lines, messages) = (lines(from, count), messages(from, count));
        from += count;
        let bare = timed(|| {
            for line in &lines {
                floor.write_all(line.as_bytes()).unwrap();
                floor.sync_data().unwrap();
            }
        });
        let ours = timed(|| {
            runtime.block_on(async {
                for message in messages {
                    store.messages("s").add(message).await.unwrap();
                }
            });
        });
        (bare, ours)
    });
    compare("add, 64 writers, power", 64 * 40, |count| {
        let (lines, messages) = (lines(from, count), messages(from, count));
        from += count;
        let bare = timed(|| {
            for group in lines.chunks(64) {
                for line in group {
                    floor.write_all(line.as_bytes()).unwrap();
                }
                floor.sync_data().unwrap();
            }
        });
        let shares: Vec<Vec<Message>> = messages.chunks(40).map(<[_]>::to_vec).collect();
        let ours = timed(|| at_once(&runtime, &store, shares));
        (bare, ours)
    });
    opening(&runtime);
}

/// How long it takes to open a store of 1 GB whose last user was killed.
fn opening(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let status =
        Command::new(std::env::current_exe().unwrap()).env(CRASH, folder.path()).status().unwrap();
    assert!(!status.success(), "the child was to be killed");
    let path = folder.path().join("keep");
    let size = size_of(&path);
    let mut took = Duration::ZERO;
    let opened = timed(|| {
        runtime.block_on(async {
            let store = Store::open(&url(&path)).await.unwrap();
            let first = Instant::now();
            assert_eq!(store.messages("s0").last(10).await.unwrap().len(), 10);
            took = first.elapsed();
        });
    });
    println!(
        "open after a crash, {} MB: {:.0} ms, of which the first read {:.0} ms",
        size >> 20,
        opened.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3
    );
}

async fn fill_and_crash(folder: &Path) {
    let store = store(&folder.join("keep")).await;
    for session in 0..64 {
        let id = format!("s{session}");
        store.sessions().save(Session::new(&id, "i", "c").unwrap()).await.unwrap();
        for start in (0..26_000).step_by(1000) {
            store.messages(&id).add_many(messages(start, 1000)).await.unwrap();
        }
    }
    let pid = std::process::id().to_string();
    let _ = Command::new("kill").args(["-9", &pid]).status();
    std::thread::sleep(Duration::from_mins(1));
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let found = entry.metadata().unwrap();
            if found.is_dir() { size_of(&entry.path()) } else { found.len() }
        })
        .sum()
}

fn at_once(runtime: &Runtime, store: &Store, shares: Vec<Vec<Message>>) {
    runtime.block_on(async {
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let store = store.clone();
                tokio::spawn(async move {
                    for message in share {
                        store.messages("s").add(message).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn compare(name: &str, count: u64, mut round: impl FnMut(u64) -> (Duration, Duration)) {
    // The first round warms both up.
    round(count);
    let mut pairs: Vec<(Duration, Duration)> = (0..ROUNDS).map(|_| round(count)).collect();
    let each = |duration: Duration| {
        duration.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap())
    };
    let ratio = |(bare, ours): &(Duration, Duration)| bare.as_secs_f64() / ours.as_secs_f64();
    pairs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let (bare, ours) = pairs[ROUNDS / 2];
    println!(
        "{name:<34} {:>7.1} us {:>7.1} us  {:.2} ({:.2}..{:.2})",
        each(bare),
        each(ours),
        ratio(&(bare, ours)),
        ratio(&pairs[0]),
        ratio(&pairs[ROUNDS - 1])
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn url(path: &Path) -> String {
    format!("file:{}", path.display())
}

async fn store(path: &Path) -> Store {
    let store = Store::open(&url(path)).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    store
}

/// A message of about 500 bytes with a time-ordered id.
fn message(n: u64) -> String {
    let text = "lorem ipsum dolor sit amet ".repeat(15);
    format!(
        r#"{{"id":"msg_{n:012}","subtype":"user","content":"{text}","timestamp":1769990500000}}"#
    )
}

fn lines(from: u64, count: u64) -> Vec<String> {
    // With what the driver adds to each line.
    let meta =
        r#","_agentkeep":{"seq":1,"id":"msg_000000000000","time":1769990500000,"crc":"00000000"}"#;
    (from..from + count).map(|n| message(n) + meta + "\n").collect()
}

fn messages(from: u64, count: u64) -> Vec<Message> {
    (from..from + count)
        .map(|n| Message::from_json(Json::parse(&message(n)).unwrap()).unwrap())
        .collect()
}
