//! Commits: all or nothing, preconditions, operation ids, limits.

use super::support::{append, cases, ensure, entry, json, put, same, stream, thing};
use super::{ALPHA, Context, Failure, Outcome, THINGS};
use crate::driver::{Batch, Blob, Expect, Find, MAX_BODY, MAX_OPERATIONS, Operation, Put, Save};
use crate::error::{Kind, Result};
use crate::schema::{OperationId, Value};

cases! { "commits",
    Nothing an_err_changed_nothing "an Err changed nothing, wherever in the batch it came";
    Nothing preconditions_refuse_by_their_place "the error of a precondition carries its place, and its kind says which it is";
    Nothing preconditions_see_the_state_before "preconditions see the state before all operations";
    Nothing an_operation_is_repeated_harmlessly "the same operation id again answers the first result, whatever the preconditions say by now";
    Nothing an_operation_id_stands_for_one_change "the same operation id with other content is an IdempotencyConflict";
    Nothing a_refused_operation_is_not_remembered "what was refused can be tried again under its id";
    Nothing limits_are_kept "past a limit: TooLarge, and nothing has changed";
    Nothing time_never_goes_back "the store's time never goes back within one open";
    Nothing an_empty_batch_is_fine "a batch without operations checks its preconditions";
}

async fn an_err_changed_nothing(c: Context) -> Outcome {
    c.put("old", r#"{"kind":"k","tags":["t"]}"#).await?;
    c.append("s", &["1", "2"]).await?;
    let blob = Blob::new(&b"x"[..]);
    let good = || -> Result<Vec<Operation>> {
        Ok(vec![
            put(thing("new")?, r#"{"tags":["t","u"]}"#)?,
            put(thing("old")?, r#"{"kind":"changed"}"#)?,
            Operation::PutBlob(blob.clone()),
            Operation::Put(Put {
                refs: vec![blob.hash()],
                ..Put::new(thing("ref")?, json("1")?, Save::Any)?
            }),
            Operation::Append(append(&ALPHA, "s", vec![entry(Some("id"), "3")?])?),
            Operation::Append(append(&ALPHA, "fresh", vec![entry(None, "4")?])?),
            Operation::Rewrite {
                log: &ALPHA,
                stream: stream("s")?,
                number: 3,
                body: json("5")?,
                refs: Vec::new(),
            },
            Operation::Trim { log: &ALPHA, stream: stream("s")?, before: 2 },
            Operation::Drop { log: &ALPHA, stream: stream("fresh")? },
            Operation::Delete(thing("gone")?),
        ])
    };
    let bad = [
        (Operation::Put(Put::new(thing("z")?, json("1")?, Save::At(7))?), Kind::Conflict),
        (Operation::Trim { log: &ALPHA, stream: stream("none")?, before: 1 }, Kind::NotFound),
        (
            Operation::Put(Put {
                refs: vec![crate::driver::Hash::of(b"no")],
                ..Put::new(thing("z")?, json("1")?, Save::Any)?
            }),
            Kind::NotFound,
        ),
    ];
    for (bad, kind) in bad {
        for place in 0..=good()?.len() {
            let mut operations = good()?;
            operations.insert(place, bad.clone());
            c.refuses(operations, kind).await?;
        }
    }
    c.commit(good()?).await?;
    let report = c.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    Ok(())
}

async fn preconditions_refuse_by_their_place(c: Context) -> Outcome {
    c.put("a", r#"{"kind":"k"}"#).await?;
    c.append("s", &["1"]).await?;
    let index = Find::by(&THINGS, "by_kind")?.index;
    let no = |value: &str| Expect::NoRecord(&THINGS, index, Value::text(value));
    let good = [
        Expect::Exists(thing("a")?),
        Expect::Absent(thing("b")?),
        Expect::Version(thing("a")?, 1),
        Expect::Version(thing("b")?, 0),
        Expect::LogEnds(&ALPHA, stream("s")?, 1),
        Expect::LogEnds(&ALPHA, stream("none")?, 0),
        no("other"),
    ];
    let bad = [
        (Expect::Exists(thing("b")?), Kind::NotFound),
        (Expect::Absent(thing("a")?), Kind::AlreadyExists),
        (Expect::Version(thing("a")?, 2), Kind::Conflict),
        (Expect::Version(thing("a")?, 0), Kind::Conflict),
        (Expect::Version(thing("b")?, 1), Kind::Conflict),
        (Expect::LogEnds(&ALPHA, stream("s")?, 2), Kind::Conflict),
        (Expect::LogEnds(&ALPHA, stream("none")?, 1), Kind::Conflict),
        (no("k"), Kind::Conflict),
        (Expect::BlobPresent(crate::driver::Hash::of(b"no")), Kind::NotFound),
    ];
    for (bad, kind) in bad {
        for place in [0, 3, good.len()] {
            let mut batch = c.batch();
            batch.expect = good.to_vec();
            batch.expect.insert(place, bad.clone());
            batch.push(put(thing("new")?, "1")?);
            let error = c.refused(batch, kind).await?;
            same!(error.expectation(), Some(place), "the place of {bad:?}");
        }
    }
    let mut batch = c.batch();
    batch.expect = good.to_vec();
    batch.push(put(thing("new")?, "1")?);
    c.driver.commit(batch).await?;
    Ok(())
}

async fn preconditions_see_the_state_before(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.expect(Expect::Absent(thing("a")?)).expect(Expect::Version(thing("a")?, 0));
    batch.expect(Expect::LogEnds(&ALPHA, stream("s")?, 0));
    batch.push(put(thing("a")?, "1")?);
    batch.push(Operation::Append(append(&ALPHA, "s", vec![entry(None, "1")?])?));
    c.driver.commit(batch).await?;
    let mut batch = c.batch();
    batch.expect(Expect::Exists(thing("a")?));
    batch.push(Operation::Delete(thing("a")?));
    c.driver.commit(batch).await?;
    Ok(())
}

async fn an_operation_is_repeated_harmlessly(c: Context) -> Outcome {
    let operation = OperationId::new("op-1")?;
    let batch = || -> Result<Batch> {
        let mut batch = c.batch();
        batch.operation = Some(operation.clone());
        batch.expect(Expect::Absent(thing("a")?));
        batch.push(put(thing("a")?, r#"{"n":1}"#)?);
        batch.push(Operation::Append(append(&ALPHA, "s", vec![entry(None, "1")?])?));
        Ok(batch)
    };
    let first = c.driver.commit(batch()?).await?;
    ensure!(!first.replayed, "the first time was a replay");
    c.put("a", r#"{"n":2}"#).await?;
    let before = c.dump().await?;
    let again = c.driver.commit(batch()?).await?;
    ensure!(again.replayed, "the second time was not a replay");
    same!((again.time, &again.outcomes), (first.time, &first.outcomes), "the answers");
    same!(c.dump().await?, before, "the store after the repetition");
    // Another namespace has operation ids of its own.
    let other = c.within("other")?;
    let mut elsewhere = batch()?;
    elsewhere.namespace = other.namespace.clone();
    ensure!(!c.driver.commit(elsewhere).await?.replayed, "the id leaked to another namespace");
    Ok(())
}

async fn an_operation_id_stands_for_one_change(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.operation = Some(OperationId::new("op-1")?);
    batch.push(put(thing("a")?, "1")?);
    c.driver.commit(batch.clone()).await?;
    batch.operations = vec![put(thing("a")?, "2")?];
    c.refused(batch.clone(), Kind::IdempotencyConflict).await?;
    // What stands for the content is the caller's, if it says so.
    batch.operation = Some(OperationId::new("op-2")?);
    batch.fingerprint = Some([7; 32]);
    c.driver.commit(batch.clone()).await?;
    batch.operations = vec![put(thing("b")?, "3")?];
    ensure!(c.driver.commit(batch).await?.replayed, "the fingerprint did not count");
    Ok(())
}

async fn a_refused_operation_is_not_remembered(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.operation = Some(OperationId::new("op-1")?);
    batch.expect(Expect::Exists(thing("parent")?));
    batch.push(put(thing("a")?, "1")?);
    c.refused(batch.clone(), Kind::NotFound).await?;
    c.put("parent", "1").await?;
    ensure!(!c.driver.commit(batch).await?.replayed, "the refusal was remembered as done");
    same!(c.version("a").await?, 1, "the record");
    Ok(())
}

async fn limits_are_kept(c: Context) -> Outcome {
    let many = |count: usize| -> Result<Vec<Operation>> {
        (0..count).map(|i| Ok(Operation::Delete(thing(&format!("t{i}"))?))).collect()
    };
    c.refuses(many(MAX_OPERATIONS + 1)?, Kind::TooLarge).await?;
    let entries = (0..=MAX_OPERATIONS).map(|_| entry(None, "1")).collect::<Result<_>>()?;
    c.refuses(vec![Operation::Append(append(&ALPHA, "s", entries)?)], Kind::TooLarge).await?;
    c.commit(many(MAX_OPERATIONS)?).await?;
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    c.refuses(vec![put(thing("a")?, &long(MAX_BODY + 1))?], Kind::TooLarge).await?;
    let long_entry = append(&ALPHA, "s", vec![entry(None, &long(MAX_BODY + 1))?])?;
    c.refuses(vec![Operation::Append(long_entry)], Kind::TooLarge).await?;
    let body = json(&long(MAX_BODY))?;
    let nine = (0..9)
        .map(|i| Ok(Operation::Put(Put::new(thing(&format!("t{i}"))?, body.clone(), Save::Any)?)))
        .collect::<Result<Vec<_>>>()?;
    c.refuses(nine, Kind::TooLarge).await?;
    ensure!(
        Put::new(thing("a")?, json(&format!(r#"{{"kind":"{}"}}"#, "k".repeat(1025)))?, Save::Any)
            .is_err(),
        "an indexed text of 1,025 bytes was accepted"
    );
    Ok(())
}

async fn time_never_goes_back(c: Context) -> Outcome {
    let mut last = 0;
    for i in 0..50 {
        let committed = c.commit(vec![put(thing(&format!("t{i}"))?, "1")?]).await?;
        ensure!(committed.time >= last, "{} after {last}", committed.time);
        last = committed.time;
    }
    ensure!(last > 1_600_000_000_000, "the time {last} is not in milliseconds since 1970");
    Ok(())
}

async fn an_empty_batch_is_fine(c: Context) -> Outcome {
    let committed = c.commit(Vec::new()).await?;
    same!(committed.outcomes, [], "the outcomes of nothing");
    let mut batch = c.batch();
    batch.expect(Expect::Exists(thing("a")?));
    c.refused(batch, Kind::NotFound).await?;
    if c.version("a").await? != 0 {
        return Err(Failure::new("a record came from nowhere"));
    }
    Ok(())
}
