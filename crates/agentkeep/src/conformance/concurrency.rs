//! Many at once: dense numbers, exactly one winner, never half a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::support::{append, cases, ensure, entry, put, same, thing};
use super::{ALPHA, Context, Failure, Outcome, THINGS};
use crate::driver::{Expect, Find, Operation, Put, Save};
use crate::error::Kind;
use crate::json::Json;
use crate::schema::Value;

cases! { "concurrency",
    Nothing many_writers_of_one_stream "numbers are dense, never given twice, by many writers; whoever sees n sees all before";
    Nothing one_winner "of writers that expect one version exactly one wins";
    Nothing parent_and_child "exists(x) and a concurrent delete of x never both commit";
    Nothing never_half_a_commit "each read sees a commit wholly or not at all, also while it is being applied";
    Nothing a_refused_batch_leaves_its_neighbours_alone "callers may share a transaction: one refused never sinks its neighbours";
    Nothing hints_come_after_appends "after each commit that appends a hint comes, to those who watch the stream or the log";
}

async fn joined<T>(
    task: JoinHandle<std::result::Result<T, Failure>>,
) -> std::result::Result<T, Failure> {
    task.await.map_err(|error| Failure::new(format!("a task panicked: {error}")))?
}

async fn many_writers_of_one_stream(c: Context) -> Outcome {
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let c = c.clone();
            tokio::spawn(async move {
                let mut given = Vec::new();
                for i in 0..20 {
                    let id = format!("w{writer}-{i}");
                    let entries = vec![entry(Some(&id), "1")?];
                    given.extend(c.append_entries(append(&ALPHA, "s", entries)?).await?);
                }
                Ok(given)
            })
        })
        .collect();
    let (reader, stop) = (c.clone(), Arc::clone(&done));
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while !stop.load(Ordering::Acquire) {
            let numbers = reader.numbers("s").await?;
            let dense: Vec<u64> = (1..=numbers.len() as u64).collect();
            same!(numbers, dense, "what a reader saw");
            ensure!(numbers.len() >= seen, "a reader saw {} after {seen}", numbers.len());
            seen = numbers.len();
        }
        Ok(())
    });
    let mut given = Vec::new();
    for writer in writers {
        let own = joined(writer).await?;
        ensure!(own.is_sorted(), "a writer's numbers went back: {own:?}");
        given.extend(own);
    }
    done.store(true, Ordering::Release);
    joined(reading).await?;
    given.sort_unstable();
    same!(given, (1..=640).collect::<Vec<u64>>(), "the numbers given");
    same!(c.numbers("s").await?, given, "the numbers there");
    Ok(())
}

async fn one_winner(c: Context) -> Outcome {
    for round in 1..=20 {
        let version = c.version("a").await?;
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let c = c.clone();
                tokio::spawn(async move {
                    let body = Json::parse(&format!(r#"{{"by":{writer}}}"#))?;
                    let put = Put::new(thing("a")?, body, Save::At(version))?;
                    match c.commit(vec![Operation::Put(put)]).await {
                        Ok(_) => Ok(1),
                        Err(error) if error.kind() == Kind::Conflict => Ok(0),
                        Err(error) => Err(error.into()),
                    }
                })
            })
            .collect();
        let mut winners = 0;
        for writer in writers {
            winners += joined(writer).await?;
        }
        same!(winners, 1, "the winners of round {round}");
        same!(c.version("a").await?, version + 1, "the version after round {round}");
    }
    Ok(())
}

async fn parent_and_child(c: Context) -> Outcome {
    for round in 0..60 {
        let parent = format!("p{round}");
        c.put(&parent, "1").await?;
        let (a, b) = (c.clone(), c.clone());
        let (for_child, for_parent) = (parent.clone(), parent.clone());
        let child = tokio::spawn(async move {
            let mut batch = a.batch();
            batch.expect(Expect::Exists(thing(&for_child)?));
            batch.push(put(
                thing(&format!("child of {for_child}"))?,
                &format!(r#"{{"kind":"{for_child}"}}"#),
            )?);
            Ok(a.driver.commit(batch).await.is_ok())
        });
        let delete = tokio::spawn(async move {
            let mut batch = b.batch();
            let index = Find::by(&THINGS, "by_kind")?.index;
            batch.expect(Expect::NoRecord(&THINGS, index, Value::text(&for_parent)));
            batch.push(Operation::Delete(thing(&for_parent)?));
            Ok(b.driver.commit(batch).await.is_ok())
        });
        let (child, deleted) = (joined(child).await?, joined(delete).await?);
        ensure!(child != deleted, "round {round}: child {child}, parent deleted {deleted}");
        same!(c.version(&parent).await? > 0, child, "whether the parent is there");
    }
    Ok(())
}

async fn never_half_a_commit(c: Context) -> Outcome {
    let write = |c: &Context, n: u64| {
        let mut batch = c.batch();
        for i in 0..50 {
            batch.push(put(
                thing(&format!("t{i:02}"))?,
                &format!(r#"{{"kind":"k","deep":{{"rank":{n}}}}}"#),
            )?);
        }
        batch.push(Operation::Append(append(&ALPHA, "s", vec![entry(None, &n.to_string())?])?));
        Ok::<_, crate::Error>(batch)
    };
    c.driver.commit(write(&c, 0)?).await?;
    let writer = c.clone();
    let writing = tokio::spawn(async move {
        for n in 1..40 {
            writer.driver.commit(write(&writer, n)?).await?;
        }
        Ok(())
    });
    let keys = (0..50).map(|i| thing(&format!("t{i:02}"))).collect::<crate::Result<Vec<_>>>()?;
    let rank = |body: &Json| {
        body.member("deep").and_then(|deep| deep.member("rank")).map(|r| r.to_string())
    };
    while !writing.is_finished() {
        let found = c.driver.get(&c.namespace, &keys).await?;
        let mut ranks: Vec<_> = found.iter().flatten().map(|record| rank(&record.body)).collect();
        same!(ranks.len(), 50, "how many records one get saw");
        ranks.dedup();
        ensure!(ranks.len() == 1, "one get saw {ranks:?}");
        let find = Find::by(&THINGS, "by_kind")?.equal(Value::text("k"));
        let found = c.driver.find(&c.namespace, &find).await?;
        let mut ranks: Vec<_> = found.records.iter().map(|record| rank(&record.body)).collect();
        same!(ranks.len(), 50, "how many records one find saw");
        ranks.dedup();
        ensure!(ranks.len() == 1, "one find saw {ranks:?}");
    }
    joined(writing).await
}

async fn a_refused_batch_leaves_its_neighbours_alone(c: Context) -> Outcome {
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let c = c.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    let mut batch = c.batch();
                    let id = format!("{i}-{round}");
                    batch.push(put(thing(&id)?, r#"{"tags":["t"]}"#)?);
                    batch.push(Operation::Append(append(
                        &ALPHA,
                        &format!("s{}", i % 4),
                        vec![entry(Some(&id), "1")?],
                    )?));
                    if i % 3 == 0 {
                        let missing = Operation::Trim {
                            log: &ALPHA,
                            stream: super::support::stream("none")?,
                            before: 1,
                        };
                        batch.push(missing);
                    }
                    let done = c.driver.commit(batch).await;
                    match done {
                        Ok(_) if i % 3 != 0 => {}
                        Err(error) if i % 3 == 0 && error.kind() == Kind::NotFound => {}
                        other => return Err(Failure::new(format!("{id}: {other:?}"))),
                    }
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        joined(task).await?;
    }
    let find = Find::by(&THINGS, "by_tag")?.equal(Value::text("t"));
    let ids = c.find(&find).await?;
    same!(ids.len(), 26 * 5, "how many records there are");
    let mut entries = 0;
    for i in 0..4 {
        let numbers = c.numbers(&format!("s{i}")).await?;
        same!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "the numbers of s{i}");
        entries += numbers.len();
    }
    same!(entries, 26 * 5, "how many entries there are");
    let report = c.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    Ok(())
}

async fn hints_come_after_appends(c: Context) -> Outcome {
    let stream = super::support::stream("s")?;
    let mut one = c.driver.watch(&c.namespace, &ALPHA, Some(&stream)).await?;
    let mut all = c.driver.watch(&c.namespace, &ALPHA, None).await?;
    for round in 0..5 {
        c.append("s", &["1"]).await?;
        // A deadline only so that a lost hint fails instead of hanging.
        let wait = std::time::Duration::from_secs(20);
        for (watch, what) in [(&mut one, "the stream"), (&mut all, "the log")] {
            let hint = tokio::time::timeout(wait, watch.changed()).await;
            same!(hint, Ok(true), "the hint of {what} in round {round}");
        }
    }
    c.driver.close().await?;
    let wait = std::time::Duration::from_secs(20);
    let end = tokio::time::timeout(wait, async { while one.changed().await {} }).await;
    ensure!(end.is_ok(), "hints did not end with the driver");
    Ok(())
}
