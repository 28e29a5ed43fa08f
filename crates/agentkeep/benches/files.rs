//! The file driver beside a bare append and `fdatasync` of the same lines.
//!
//! `cargo bench -p agentkeep --bench files -- sixty`

#![allow(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "figures are approximate, and a bench that cannot go on should say where"
)]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread::Scope;
use std::time::{Duration, Instant};

use agentkeep::{Container, Image, Message, Session, Store};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use common::{Bench, add_all, at_once, compare, messages, next, timed};

const CRASH: &str = "AGENTKEEP_BENCH_CRASH";
const BENCHES: &[Bench] =
    &[("one_writer", one_writer), ("sixty_four_writers", sixty_four_writers), ("opening", opening)];

fn main() {
    if let Ok(folder) = std::env::var(CRASH) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(fill_and_crash(Path::new(&folder)));
    }
    common::run(BENCHES);
}

fn one_writer(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(store(&folder.path().join("keep")));
    let mut floor = &File::create(folder.path().join("floor")).unwrap();
    let (count, mut a, mut b) = (200, 0, 0);
    compare(
        "add, one writer, power",
        count,
        || {
            let lines = lines(next(&mut a, count), count);
            move || {
                for line in lines {
                    floor.write_all(line.as_bytes()).unwrap();
                    floor.sync_data().unwrap();
                }
            }
        },
        || {
            let messages = messages(next(&mut b, count), count);
            move || runtime.block_on(add_all(store, "s", messages))
        },
    );
}

fn sixty_four_writers(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let store = &runtime.block_on(store(&folder.path().join("keep")));
    let mut floor = &File::create(folder.path().join("floor")).unwrap();
    let (count, mut a, mut b, mut c, mut d) = (64 * 40, 0, 0, 0, 0);
    let mut ours = || {
        let from = next(&mut b, count);
        let shares: Vec<Vec<Message>> = (0..64).map(|t| messages(from + t * 40, 40)).collect();
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
            let lines = lines(next(&mut a, count), count);
            move || {
                for group in lines.chunks(64) {
                    for line in group {
                        floor.write_all(line.as_bytes()).unwrap();
                    }
                    floor.sync_data().unwrap();
                }
            }
        },
        &mut ours,
    );
    let writer = Writer::start(File::create(folder.path().join("thread")).unwrap());
    compare(
        "add, 64 writers / a writer thread",
        count,
        || {
            let from = next(&mut c, count);
            let shares: Vec<Vec<String>> = (0..64).map(|t| lines(from + t * 40, 40)).collect();
            let writer = &writer;
            move || {
                at_once(runtime, shares, |share| {
                    let writer = writer.clone();
                    async move {
                        for line in share {
                            writer.append(line).await;
                        }
                    }
                });
            }
        },
        &mut ours,
    );
    let mut options = File::options();
    let common = options.append(true).create(true).open(folder.path().join("common")).unwrap();
    compare(
        "add, 64 writers / 64 threads",
        count,
        || {
            let from = next(&mut d, count);
            let shares: Vec<Vec<String>> = (0..64).map(|t| lines(from + t * 40, 40)).collect();
            let common = &common;
            move || {
                std::thread::scope(|scope| {
                    for share in &shares {
                        each(scope, common, share);
                    }
                });
            }
        },
        &mut ours,
    );
}

/// A thread that brings each of its lines to the disk by itself.
fn each<'s>(scope: &'s Scope<'s, '_>, mut file: &'s File, lines: &'s [String]) {
    scope.spawn(move || {
        for line in lines {
            file.write_all(line.as_bytes()).unwrap();
            file.sync_data().unwrap();
        }
    });
}

/// A plain thread that appends the lines that tasks send it, up to 64 for each sync.
#[derive(Clone)]
struct Writer(mpsc::UnboundedSender<(String, oneshot::Sender<()>)>);

impl Writer {
    fn start(mut file: File) -> Self {
        let (sender, mut queue) = mpsc::unbounded_channel::<(String, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            while let Some(first) = queue.blocking_recv() {
                let mut group = vec![first];
                while group.len() < 64
                    && let Ok(next) = queue.try_recv()
                {
                    group.push(next);
                }
                for (line, _) in &group {
                    file.write_all(line.as_bytes()).unwrap();
                }
                file.sync_data().unwrap();
                for (_, answer) in group {
                    let _ = answer.send(());
                }
            }
        });
        Self(sender)
    }

    async fn append(&self, line: String) {
        let (answer, answered) = oneshot::channel();
        self.0.send((line, answer)).unwrap();
        answered.await.unwrap();
    }
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

/// The lines of messages, with what the driver adds to each.
fn lines(from: u64, count: u64) -> Vec<String> {
    let meta =
        r#","_agentkeep":{"seq":1,"id":"msg_000000000000","time":1769990500000,"crc":"00000000"}"#;
    let messages = messages(from, count).into_iter();
    messages.map(|message| message.json().to_string() + meta + "\n").collect()
}
