//! Operation ids and known entries: what is repeated happens once.

use super::support::{append, cases, ensure, entry, json, put, same, stream, thing};
use super::{ALPHA, Context, Outcome};
use crate::driver::{self, Append, Batch, Expect, Known, Operation, Put, Save};
use crate::error::{Kind, Result};
use crate::schema::{OperationId, Turn};

cases! { "operations",
    Nothing a_batch_left_out_is_remembered "the same operation id again answers the first result, also of a batch that was left out";
    Nothing the_turn_is_part_of_the_content "with another digest it is an IdempotencyConflict: the turn is part of it, preconditions are not";
    Nothing many_operations_are_remembered "an operation id is known for at least 24 hours and 100,000 operations";
    Nothing known_means_before_the_batch "what is known is decided before any operation, against the state before the batch";
    Nothing preconditions_count_before_known_entries "preconditions see the state before the batch, also of one that would be left out";
}

fn answer(name: &str, entries: Vec<driver::NewEntry>) -> Result<Operation> {
    let append = append(&ALPHA, name, entries)?;
    Ok(Operation::Append(Append { known: Known::Answer, ..append }))
}

fn x(body: &str) -> Result<Vec<driver::NewEntry>> {
    Ok(vec![entry(Some("x"), body)?])
}

async fn a_batch_left_out_is_remembered(c: Context) -> Outcome {
    c.commit(vec![answer("s", x("1")?)?]).await?;
    let mut batch = c.batch();
    batch.operation = Some(OperationId::new("op")?);
    batch.push(put(thing("a")?, "1")?).push(answer("s", x("1")?)?);
    let first = c.driver.commit(batch.clone()).await?;
    ensure!(first.replayed, "a batch of known entries was not left out");
    // The entry goes; what the operation answered does not.
    c.commit(vec![Operation::Drop { log: &ALPHA, stream: stream("s")? }]).await?;
    let before = c.dump().await?;
    let again = c.driver.commit(batch.clone()).await?;
    same!((again.replayed, again.outcomes), (true, first.outcomes), "the operation again");
    same!(c.dump().await?, before, "the store after the repetition");
    batch.operations = vec![put(thing("b")?, "1")?];
    c.refused(batch, Kind::IdempotencyConflict).await?;
    Ok(())
}

async fn the_turn_is_part_of_the_content(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.operation = Some(OperationId::new("op")?);
    batch.turn = Some(Turn::new("one")?);
    batch.push(put(thing("a")?, "1")?);
    c.driver.commit(batch.clone()).await?;
    for turn in [None, Some(Turn::new("two")?)] {
        let other = Batch { turn, ..batch.clone() };
        c.refused(other, Kind::IdempotencyConflict).await?;
    }
    batch.expect(Expect::Absent(thing("a")?));
    ensure!(c.driver.commit(batch).await?.replayed, "a renewed precondition made it another");
    Ok(())
}

async fn many_operations_are_remembered(c: Context) -> Outcome {
    let batch = |i: u32| -> Result<Batch> {
        let mut batch = c.batch();
        batch.operation = Some(OperationId::new(&format!("op-{i}"))?);
        let value = json(&i.to_string())?;
        batch.push(Operation::Put(Put::new(thing("a")?, value, Save::Any)?));
        Ok(batch)
    };
    for i in 0..300 {
        ensure!(!c.driver.commit(batch(i)?).await?.replayed, "operation {i} was not new");
    }
    for i in 0..300 {
        let again = c.driver.commit(batch(i)?).await?;
        let version = u64::from(i) + 1;
        same!(again.outcomes, [driver::Outcome::Put { version }], "operation {i} again");
        ensure!(again.replayed, "operation {i} was forgotten");
    }
    Ok(())
}

async fn known_means_before_the_batch(c: Context) -> Outcome {
    c.commit(vec![answer("s", x("1")?)?]).await?;
    // Not against what the batch itself did before.
    let rewrite = Operation::Rewrite {
        log: &ALPHA,
        stream: stream("s")?,
        number: 1,
        body: json("2")?,
        refs: Vec::new(),
    };
    c.refuses(vec![rewrite, answer("s", x("2")?)?], Kind::IdempotencyConflict).await?;
    for body in ["1", "2"] {
        let twice = vec![answer("t", x("1")?)?, answer("t", x(body)?)?];
        c.refuses(twice, Kind::AlreadyExists).await?;
    }
    // And before operations that could not be done again.
    let create = Put::new(thing("a")?, json("1")?, Save::At(9))?;
    let committed = c.commit(vec![Operation::Put(create), answer("s", x("1")?)?]).await?;
    let expected = [driver::Outcome::LeftOut, driver::Outcome::Appended { numbers: vec![1] }];
    same!((committed.replayed, &committed.outcomes[..]), (true, &expected[..]), "what is left out");
    Ok(())
}

async fn preconditions_count_before_known_entries(c: Context) -> Outcome {
    c.commit(vec![answer("s", x("1")?)?]).await?;
    let mut batch = c.batch();
    batch.expect(Expect::Exists(thing("none")?));
    batch.push(answer("s", x("1")?)?);
    let error = c.refused(batch, Kind::NotFound).await?;
    same!(error.expectation(), Some(0), "the place of the precondition");
    Ok(())
}
