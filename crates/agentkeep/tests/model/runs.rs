//! Runs whose steps stand in the log behind their records.

use std::sync::Arc;
use std::time::Duration;

use agentkeep::driver::Driver;
use agentkeep::drivers::memory::Memory;
use agentkeep::schema::AGENTKEEP;
use agentkeep::{Json, Kind, RunSnapshot, Store};
use shuttle::future::spawn;

use crate::check;
use crate::yielding::{Patient, Yielding};

/// Two handles, each with a memory of its own.
fn stores() -> [Store; 2] {
    let driver: Arc<dyn Driver> = Arc::new(Yielding(Memory::open(&AGENTKEEP)));
    [0, 1].map(|_| Store::with_clock(Arc::clone(&driver), Arc::new(Patient::default())))
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A step whose changes say how many there are: so every state tells whether it ever was one.
async fn step(store: &Store, fence: u64, index: u64) -> Result<(), Kind> {
    let count = index + 1;
    let changes = json(&format!(r#"{{"usage":{{"n":{count}}},"text":"{count}"}}"#));
    loop {
        let result = json(&format!("[{fence},{index}]"));
        let kept = store.runs().under(fence).step_at("r", index, result, changes.clone()).await;
        match kept.map_err(|error| error.kind()) {
            Err(Kind::Conflict) => {}
            other => return other,
        }
    }
}

async fn began(store: &Store, steps: u64) {
    store.runs().start(RunSnapshot::new("r", "x").unwrap()).await.unwrap();
    for index in 0..steps {
        step(store, 0, index).await.unwrap();
    }
}

/// Looks at the run as often as it is told, and finds it as it was after a step each time.
async fn look(store: &Store, times: usize) {
    let mut last = 0;
    for _ in 0..times {
        let run = store.runs().load("r").await.unwrap().unwrap();
        let n = run.trace().len() as u64;
        assert!(n >= last, "{n} after {last}");
        if n > 0 {
            let usage = run.json().member("usage").unwrap();
            assert_eq!(usage, json(&format!(r#"{{"n":{n}}}"#)));
            assert_eq!(run.json().member("text").unwrap(), Json::string(&n.to_string()));
        }
        let info = store.runs().info("r").await.unwrap().unwrap();
        assert!(info.steps >= n, "{info:?} after {n}");
        if info.steps > 0 {
            assert_eq!(info.usage, Some(json(&format!(r#"{{"n":{}}}"#, info.steps))));
        }
        last = info.steps;
    }
}

#[test]
fn a_reader_sees_only_what_was_in_any_schedule() {
    check(|| async {
        let [writer, reader] = stores();
        began(&writer, 1).await;
        let steps = spawn(async move {
            step(&writer, 0, 1).await.unwrap();
            step(&writer, 0, 2).await.unwrap();
            // Folds what stands behind the record.
            let fence = writer.runs().claim("r", "w", Duration::ZERO).await.unwrap().fence;
            step(&writer, fence, 3).await.unwrap();
            step(&writer, fence, 4).await.unwrap();
        });
        look(&reader, 3).await;
        steps.await.unwrap();
        let run = reader.runs().load("r").await.unwrap().unwrap();
        assert_eq!(run.trace().len(), 5);
    });
}

#[test]
fn a_claim_parts_the_steps_of_two_owners_in_any_schedule() {
    check(|| async {
        let [old, new] = stores();
        began(&old, 2).await;
        let first = spawn(async move {
            for index in 2.. {
                match step(&old, 0, index).await {
                    Ok(()) if index < 4 => {}
                    Ok(()) => return index + 1,
                    Err(kind) => {
                        assert_eq!(kind, Kind::LeaseLost);
                        return index;
                    }
                }
            }
            0
        });
        let fence = loop {
            match new.runs().claim("r", "new", Duration::ZERO).await {
                Ok(lease) => break lease.fence,
                Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
            }
        };
        let found = new.runs().load("r").await.unwrap().unwrap().trace().len() as u64;
        step(&new, fence, found).await.unwrap();
        step(&new, fence, found + 1).await.unwrap();
        assert_eq!(first.await.unwrap(), found, "what was acknowledged is what was found");
        let trace = new.runs().load("r").await.unwrap().unwrap().trace();
        let expected: Vec<Json> = (0..found + 2)
            .map(|index| json(&format!("[{},{index}]", if index < found { 0 } else { fence })))
            .collect();
        assert_eq!(trace, expected);
    });
}

#[test]
fn a_run_begun_anew_is_not_mixed_with_the_old_one_in_any_schedule() {
    check(|| async {
        let [writer, reader] = stores();
        began(&writer, 3).await;
        let anew = spawn(async move {
            writer.runs().delete("r").await.unwrap();
            let run = RunSnapshot::new("r", "other").unwrap();
            writer.runs().start(run).await.unwrap();
            for index in 0..4 {
                let (result, nothing) = (json("\"new\""), json(r#"{"text":"new"}"#));
                writer.runs().step_at("r", index, result, nothing).await.unwrap();
            }
        });
        for _ in 0..2 {
            let Some(run) = reader.runs().load("r").await.unwrap() else { continue };
            let is_new = run.json().member("input") == Some(json("\"other\""));
            let new = run.trace().iter().filter(|step| **step == json("\"new\"")).count();
            assert_eq!(new, if is_new { run.trace().len() } else { 0 });
            assert!(is_new || run.trace().len() == 3);
        }
        anew.await.unwrap();
    });
}
