//! The speed and size of runs and transcripts on SQLite, each as a ratio to a floor measured in
//! the same run (see `conversations`).
//!
//! `cargo bench -p agentkeep --bench runs` runs all; `-- NAME` one of them.
//! `AGENTKEEP_BENCH_LONG` sets the number of runs in the long list (1,000,000 by default).

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement that cannot be made has nothing to say"
)]

mod common;

use std::path::Path;

use agentkeep::schema::Turn;
use agentkeep::{Json, List, RunFilter, RunSnapshot, Store, TranscriptEntry};
use rusqlite::Connection;
use tokio::runtime::Runtime;

use common::{Bench, compare, floor, insert_all, message, next, rows, select, timed};

/// Steps of a run, and bytes of each.
const STEPS: u64 = 200;
const BYTES: usize = 5_000;

fn main() {
    let benches: [Bench; 6] = [
        ("steps", steps),
        ("size", size),
        ("load_200", load_200),
        ("list_50", list_50),
        ("append", append),
        ("last_50", last_50),
    ];
    common::run(&benches);
}

async fn open(folder: &Path, durability: &str) -> Store {
    let url = format!("sqlite:{}/ours.db?durability={durability}", folder.display());
    Store::open(&url).await.unwrap()
}

fn plain(folder: &Path, durability: &str) -> Connection {
    let plain = floor(folder, durability);
    plain
        .execute_batch(
            "CREATE TABLE steps(run TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, \
             PRIMARY KEY(run, seq)) WITHOUT ROWID; \
             CREATE TABLE runs(id TEXT PRIMARY KEY, started_at INTEGER NOT NULL, body TEXT NOT \
             NULL) WITHOUT ROWID; \
             CREATE INDEX runs_started ON runs(started_at DESC)",
        )
        .unwrap();
    plain
}

/// What a step answered.
fn result(n: u64) -> Json {
    let text = "what the tool said ".repeat(BYTES / 19 - 8);
    let result = format!(
        r#"{{"step":{{"id":"s{n}","description":"step {n}"}},"summary":"{text}","toolCalls":[],"durationMs":{n},"blocked":false}}"#
    );
    Json::parse(&result).unwrap()
}

fn changes(n: u64) -> Json {
    let changes = format!(r#"{{"stepIndex":{n},"iterations":{n},"usage":{{"totalTokens":{n}}}}}"#);
    Json::parse(&changes).unwrap()
}

fn begun(id: &str) -> RunSnapshot {
    let plan = Json::parse(r#"{"thought":"t","steps":[{"id":"s1"}]}"#).unwrap();
    RunSnapshot::new(id, "do it").unwrap().with("plan", &plan).unwrap()
}

/// 200 rows of 5 KB, each in a transaction of its own.
fn insert_steps(plain: &Connection, run: &str, results: &[Json]) {
    let mut insert =
        plain.prepare_cached("INSERT INTO steps(run, seq, body) VALUES (?1, ?2, ?3)").unwrap();
    for (n, result) in (0_i64..).zip(results) {
        insert.execute(rusqlite::params![run, n, result.as_str()]).unwrap();
    }
}

async fn keep_steps(store: &Store, run: &str, results: &[Json]) {
    for (n, result) in (0..).zip(results) {
        store.runs().step_at(run, n, result.clone(), changes(n)).await.unwrap();
    }
}

fn results() -> Vec<Json> {
    (0..STEPS).map(result).collect()
}

fn steps(runtime: &Runtime) {
    for durability in ["power", "process"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (0, 0);
        let plain = &plain(folder.path(), durability);
        let store = &runtime.block_on(open(folder.path(), durability));
        compare(
            &format!("200 steps of 5 KB, {durability}"),
            STEPS,
            || {
                let (run, results) = (format!("r{}", next(&mut a, 1)), results());
                move || insert_steps(plain, &run, &results)
            },
            || {
                let (run, results) = (format!("r{}", next(&mut b, 1)), results());
                runtime.block_on(store.runs().start(begun(&run))).unwrap();
                move || runtime.block_on(keep_steps(store, &run, &results))
            },
        );
    }
}

/// Bytes that this process has given to the system to write.
fn written() -> u64 {
    let told = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    line.parse().unwrap()
}

fn bytes_in(folder: &Path, name: &str) -> u64 {
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    let of = files.filter(|file| file.file_name().to_string_lossy().starts_with(name));
    of.map(|file| file.metadata().unwrap().len()).sum()
}

/// What 200 steps write, and by what the store grows once its log is in it.
fn size(runtime: &Runtime) {
    let results = results();
    let bodies: usize = results.iter().map(Json::len).sum();
    let folder = tempfile::tempdir().unwrap();
    let plain = plain(folder.path(), "power");
    let before = written();
    insert_steps(&plain, "r", &results);
    let floor = written() - before;
    drop(plain);
    let floor_in_all = written() - before;
    let (run, keep) = ("r", runtime.block_on(open(folder.path(), "power")));
    runtime.block_on(keep.runs().start(begun(run))).unwrap();
    runtime.block_on(keep.close()).unwrap();
    let empty = bytes_in(folder.path(), "ours.db");
    let store = runtime.block_on(open(folder.path(), "power"));
    let before = written();
    runtime.block_on(keep_steps(&store, run, &results));
    let ours = written() - before;
    runtime.block_on(store.close()).unwrap();
    let in_all = written() - before;
    let grown = bytes_in(folder.path(), "ours.db") - empty;
    println!(
        "200 steps of 5 KB ({bodies} bytes): written with the log {floor} and {ours}, {:.2} times; \
         once all is in the one file {floor_in_all} and {in_all}, {:.2} times; the store grows by \
         {grown}",
        ours as f64 / floor as f64,
        in_all as f64 / floor_in_all as f64
    );
}

fn load_200(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let plain = &plain(folder.path(), "process");
    insert_steps(plain, "r", &results());
    let store = &runtime.block_on(open(folder.path(), "process"));
    runtime.block_on(store.runs().start(begun("r"))).unwrap();
    runtime.block_on(keep_steps(store, "r", &results()));
    let times = 20;
    compare(
        "load of a run of 200 steps",
        times,
        || || select(plain, "SELECT body FROM steps WHERE run = 'r' ORDER BY seq", times),
        || {
            move || {
                for _ in 0..times {
                    let run = runtime.block_on(store.runs().load("r")).unwrap().unwrap();
                    std::hint::black_box(run);
                }
            }
        },
    );
}

/// How a run of the long list looks.
fn listed(n: u64) -> RunSnapshot {
    let status = ["complete", "failed", "executing", "cancelled"][usize::try_from(n % 4).unwrap()];
    let run = format!(
        r#"{{"runId":"run-{n:07}","status":"{status}","startedAt":{},"input":"request {n}","trace":[],"usage":{{"inputTokens":80,"outputTokens":40,"totalTokens":120}},"stepIndex":2,"iterations":3,"revisions":0}}"#,
        1_769_990_400_000 + n * 1_000
    );
    RunSnapshot::from_json(Json::parse(&run).unwrap()).unwrap()
}

fn list_50(runtime: &Runtime) {
    let long = std::env::var("AGENTKEEP_BENCH_LONG").ok().and_then(|text| text.parse().ok());
    let long: u64 = long.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let plain = &plain(folder.path(), "process");
    plain.execute_batch("BEGIN").unwrap();
    for n in 0..long {
        let run = listed(n);
        let started = run.json().member("startedAt").unwrap().to_i64().unwrap();
        let sql = "INSERT INTO runs(id, started_at, body) VALUES (?1, ?2, ?3)";
        let mut insert = plain.prepare_cached(sql).unwrap();
        insert.execute(rusqlite::params![run.id(), started, run.json().as_str()]).unwrap();
    }
    plain.execute_batch("COMMIT").unwrap();
    let store = &runtime.block_on(open(folder.path(), "none"));
    let taken = timed(|| {
        runtime.block_on(async {
            let mut load = store.load(&Turn::new("long").unwrap()).await.unwrap();
            for n in 0..long {
                load.run(listed(n)).await.unwrap();
            }
            load.begin(false).await.unwrap();
            for n in 0..long {
                load.run(listed(n)).await.unwrap();
            }
            load.finish().await.unwrap();
        });
    });
    println!("{long} runs taken in within {:.0} s", taken.as_secs_f64());
    let (times, list) = (100, &List::of(50).unwrap());
    for (what, filter, condition) in [
        ("", RunFilter::default(), ""),
        (
            " begun before",
            RunFilter {
                before: Some(1_769_990_400_000 + 500 * 1_000 * 1_000),
                ..RunFilter::default()
            },
            "WHERE started_at < 1770490400000",
        ),
    ] {
        let sql = &format!("SELECT body FROM runs {condition} ORDER BY started_at DESC LIMIT 50");
        let filter = &filter;
        compare(
            &format!("list 50 of {long} runs{what}"),
            times,
            || || select(plain, sql, times),
            || {
                move || {
                    for _ in 0..times {
                        let page = runtime.block_on(store.runs().list(filter, list)).unwrap();
                        assert_eq!(page.items.len(), 50);
                    }
                }
            },
        );
    }
}

fn entries(from: u64, count: u64) -> Vec<TranscriptEntry> {
    let entry = |n| TranscriptEntry::foreign(message(n).json().clone()).unwrap();
    (from..from + count).map(entry).collect()
}

fn append(runtime: &Runtime) {
    for durability in ["power", "process"] {
        let folder = tempfile::tempdir().unwrap();
        let (count, mut a, mut b) = (300, 0, 0);
        let plain = &floor(folder.path(), durability);
        let store = &runtime.block_on(open(folder.path(), durability));
        compare(
            &format!("append, one writer, {durability}"),
            count,
            || {
                let rows = rows(next(&mut a, count), count);
                move || insert_all(plain, rows)
            },
            || {
                let entries = entries(next(&mut b, count), count);
                move || {
                    runtime.block_on(async {
                        for entry in entries {
                            store.transcripts().append("t", entry).await.unwrap();
                        }
                    });
                }
            },
        );
    }
}

fn last_50(runtime: &Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let (long, times) = (100_000, 200);
    let plain = &floor(folder.path(), "process");
    common::insert_in_groups(plain, &rows(0, long), 1_000);
    let store = &runtime.block_on(open(folder.path(), "process"));
    for from in (0..long).step_by(1_000) {
        let entries = entries(from, 1_000);
        runtime.block_on(store.transcripts().append_many("t", entries)).unwrap();
    }
    compare(
        "last 50 of 100,000 entries",
        times,
        || {
            let sql = "SELECT body FROM messages WHERE session = 's' ORDER BY seq DESC LIMIT 50";
            move || select(plain, sql, times)
        },
        || {
            move || {
                for _ in 0..times {
                    let last = runtime.block_on(store.transcripts().last("t", 50)).unwrap();
                    assert_eq!(last.len(), 50);
                }
            }
        },
    );
}
