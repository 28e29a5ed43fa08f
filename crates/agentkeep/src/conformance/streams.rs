//! Streams: what their heads say, and what reads of several of them give.

use super::support::{append, cases, ensure, entry, json, put, same, stream, thing};
use super::{ALPHA, Context, Failure, Outcome};
use crate::driver::{Append, Expect, Head, NewEntry, Operation, Read, Stretch, Which};
use crate::error::{Kind, Result};
use crate::schema::{EntryId, Turn};

cases! { "streams",
    Nothing a_head_counts_bytes_and_tells_the_last_change "a head has the bytes of the bodies and the time of the last change";
    Nothing a_rewrite_keeps_time_and_turn "an entry's time and turn are those of the commit that added it, rewritten the time of the rewrite";
    Nothing every_stretch_has_its_head "the head of each stretch's stream, None for a missing one, whatever the limit";
    Nothing turns_and_ids_have_no_heads "heads are for stretches; entries of a turn come backwards, too";
    Nothing all_of_a_commit_has_one_time_and_turn "all entries of a commit carry its time and turn, all records its turn";
    Nothing the_end_is_the_largest_number_given "LogEnds is about the last number given, whether its entry is there or not";
    Nothing trimming_counts_entries "so many entries were removed: entries, not numbers";
    Nothing what_comes_after_trimming_stays "operations take effect in their order: trimming beyond the end leaves what the same commit adds afterwards";
    Nothing numbers_do_not_overflow "numbers are never given twice, also at the end of their range";
}

async fn head(c: &Context, name: &str) -> std::result::Result<Head, Failure> {
    let (_, head) = c.stream(&ALPHA, name).await?;
    head.ok_or_else(|| Failure::new(format!("the stream {name} has no head")))
}

fn rewrite(number: u64, body: &str) -> Result<Operation> {
    let (log, stream, body) = (&ALPHA, stream("s")?, json(body)?);
    Ok(Operation::Rewrite { log, stream, number, body, refs: Vec::new() })
}

fn trim(before: u64) -> Result<Operation> {
    Ok(Operation::Trim { log: &ALPHA, stream: stream("s")?, before })
}

/// So that the next commit has another time.
async fn a_moment() {
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
}

async fn a_head_counts_bytes_and_tells_the_last_change(c: Context) -> Outcome {
    let more = || append(&ALPHA, "s", vec![entry(None, "\"é😀\"")?]);
    let steps = [
        (Operation::Append(more()?), 8),
        (Operation::Append(more()?), 16),
        (rewrite(1, "\"ß\"")?, 12),
        (trim(2)?, 8),
        (Operation::Append(more()?), 16),
    ];
    for (operation, bytes) in steps {
        let what = format!("{operation:?}");
        a_moment().await;
        let committed = c.commit(vec![operation]).await?;
        let head = head(&c, "s").await?;
        same!((head.bytes, head.updated), (bytes, committed.time), "the head after {what}");
    }
    Ok(())
}

async fn a_rewrite_keeps_time_and_turn(c: Context) -> Outcome {
    let turn = |turn: &str| Turn::new(turn).map(Some);
    let mut batch = c.batch();
    batch.turn = turn("first")?;
    batch.push(Operation::Append(append(&ALPHA, "s", vec![entry(Some("x"), "1")?])?));
    let added = c.driver.commit(batch).await?;
    a_moment().await;
    let mut batch = c.batch();
    batch.turn = turn("second")?;
    batch.push(rewrite(1, "2")?);
    let rewritten = c.driver.commit(batch).await?;
    let (entries, _) = c.stream(&ALPHA, "s").await?;
    let seen: Vec<_> = entries.into_iter().map(|e| (e.time, e.turn, e.rewritten)).collect();
    let expected = [(added.time, turn("first")?, Some(rewritten.time))];
    same!(seen, expected, "time, turn and rewritten");
    let which = Which::Turn(Turn::new("second")?);
    let read = Read { log: &ALPHA, which, reverse: false, limit: 9 };
    let found = c.driver.read(&c.namespace, &read).await?;
    same!(found.entries.len(), 0, "entries of the turn that only rewrote");
    Ok(())
}

async fn every_stretch_has_its_head(c: Context) -> Outcome {
    c.append("a", &["1", "2"]).await?;
    c.append("b", &[]).await?;
    let of =
        |name: &str, from, to| Ok::<_, crate::Error>(Stretch { stream: stream(name)?, from, to });
    let which = Which::Stretches(vec![
        of("none", 1, 9)?,
        of("a", 1, u64::MAX)?,
        of("b", 1, u64::MAX)?,
        of("a", 7, 3)?,
        of("none", 1, 9)?,
    ]);
    for (limit, reverse) in [(1, false), (1, true), (9, false)] {
        let read = Read { log: &ALPHA, which: which.clone(), reverse, limit };
        let found = c.driver.read(&c.namespace, &read).await?;
        let heads: Vec<_> = found.heads.iter().map(|h| h.as_ref().map(|h| h.last)).collect();
        same!(heads, [None, Some(2), Some(0), Some(2), None], "limit {limit}, reverse {reverse}");
    }
    Ok(())
}

async fn turns_and_ids_have_no_heads(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.turn = Some(Turn::new("t")?);
    for name in ["b", "a"] {
        let entries = vec![entry(Some("x"), "1")?, entry(Some("y"), "2")?];
        batch.push(Operation::Append(append(&ALPHA, name, entries)?));
    }
    c.driver.commit(batch).await?;
    let turn = Which::Turn(Turn::new("t")?);
    let ids =
        Which::Ids(vec![(stream("a")?, EntryId::new("y")?), (stream("b")?, EntryId::new("x")?)]);
    for (which, limit, expected) in [
        (turn.clone(), 9, vec!["b2", "b1", "a2", "a1"]),
        (turn, 3, vec!["b2", "b1", "a2"]),
        (ids, 9, vec!["b1", "a2"]),
    ] {
        let read = Read { log: &ALPHA, which, reverse: true, limit };
        let found = c.driver.read(&c.namespace, &read).await?;
        let names: Vec<_> =
            found.entries.iter().map(|e| format!("{}{}", e.stream, e.number)).collect();
        same!(names, expected, "backwards, {limit}");
        same!(found.heads.len(), 0, "heads, which are for stretches");
    }
    Ok(())
}

async fn all_of_a_commit_has_one_time_and_turn(c: Context) -> Outcome {
    let turn = Some(Turn::new("t")?);
    let mut batch = c.batch();
    batch.turn = turn.clone();
    for i in 0..3 {
        for name in ["a", "b"] {
            let entries = vec![entry(None, "1")?, entry(None, "2")?];
            batch.push(Operation::Append(append(&ALPHA, name, entries)?));
        }
        batch.push(put(thing(&format!("t{i}"))?, "1")?);
    }
    let committed = c.driver.commit(batch).await?;
    for name in ["a", "b"] {
        let (entries, _) = c.stream(&ALPHA, name).await?;
        same!(entries.len(), 6, "entries of {name}");
        for entry in entries {
            same!((entry.time, entry.turn), (committed.time, turn.clone()), "of {name}");
        }
    }
    for i in 0..3 {
        let seen = c.get(thing(&format!("t{i}"))?).await?.and_then(|record| record.turn);
        same!(seen, turn, "the turn of record {i}");
    }
    Ok(())
}

async fn the_end_is_the_largest_number_given(c: Context) -> Outcome {
    let ends = |last| {
        let mut batch = c.batch();
        batch.expect(Expect::LogEnds(&ALPHA, stream("s")?, last));
        Ok::<_, crate::Error>(batch)
    };
    let start = Append { start: Some(10), ..append(&ALPHA, "s", vec![entry(None, "1")?])? };
    c.append_entries(start).await?;
    c.driver.commit(ends(10)?).await?;
    c.refused(ends(1)?, Kind::Conflict).await?;
    c.commit(vec![trim(u64::MAX)?]).await?;
    c.driver.commit(ends(10)?).await?;
    c.refused(ends(0)?, Kind::Conflict).await?;
    c.commit(vec![Operation::Drop { log: &ALPHA, stream: stream("s")? }]).await?;
    c.driver.commit(ends(0)?).await?;
    c.append("s", &[]).await?;
    c.driver.commit(ends(0)?).await?;
    Ok(())
}

async fn trimming_counts_entries(c: Context) -> Outcome {
    for start in [1, 10] {
        let entries = vec![entry(None, "1")?, entry(None, "2")?];
        c.append_entries(Append { start: Some(start), ..append(&ALPHA, "s", entries)? }).await?;
    }
    // In the gap of an import.
    let committed = c.commit(vec![trim(5)?]).await?;
    same!(committed.outcomes, [crate::driver::Outcome::Trimmed { removed: 2 }], "up to the gap");
    same!(head(&c, "s").await?.first, 10, "the first number after the gap");
    let committed = c.commit(vec![trim(11)?]).await?;
    same!(committed.outcomes, [crate::driver::Outcome::Trimmed { removed: 1 }], "behind the gap");
    same!(c.numbers("s").await?, [11], "what is left");
    Ok(())
}

async fn what_comes_after_trimming_stays(c: Context) -> Outcome {
    c.append("s", &[]).await?;
    for (before, number) in [(2, 1), (u64::MAX, 2), (3, 3), (5, 4)] {
        let new = Operation::Append(append(&ALPHA, "s", vec![entry(None, "1")?])?);
        c.commit(vec![trim(before)?, new]).await?;
        same!(c.numbers("s").await?, [number], "what is left after trimming before {before}");
    }
    Ok(())
}

async fn numbers_do_not_overflow(c: Context) -> Outcome {
    let two = || -> Result<Vec<NewEntry>> { Ok(vec![entry(None, "1")?, entry(None, "2")?]) };
    for start in [u64::MAX, u64::MAX - 1, u64::MAX - 2, i64::MAX as u64, i64::MAX as u64 - 1] {
        let before = c.dump().await?;
        let append = Append { start: Some(start), ..append(&ALPHA, "s", two()?)? };
        // Where a driver's numbers end is its own affair; that they are right is not.
        match c.append_entries(append).await {
            Ok(numbers) => {
                same!(numbers, [start, start.wrapping_add(1)], "the numbers from {start}");
                ensure!(start < u64::MAX, "a number beyond the largest one was given");
                same!(c.numbers("s").await?, numbers, "the numbers there");
                c.commit(vec![Operation::Drop { log: &ALPHA, stream: stream("s")? }]).await?;
            }
            Err(error) => {
                same!(error.kind(), Kind::TooLarge, "the kind of {error:?}");
                same!(c.dump().await?, before, "the store after a refused start at {start}");
            }
        }
    }
    same!(c.append("s", &["1"]).await?, [1], "the first number after all that");
    // Nor does an append that gives no number get beyond the largest one.
    let one = || -> Result<Append> { append(&ALPHA, "end", vec![entry(None, "1")?]) };
    let largest = i64::MAX as u64 - 1;
    if c.append_entries(Append { start: Some(largest), ..one()? }).await.is_ok() {
        for _ in 0..2 {
            let kind = c.append_entries(one()?).await.err().map(|error| error.kind());
            same!(kind, Some(Kind::TooLarge), "the kind of an append after the largest number");
            same!(c.numbers("end").await?, [largest], "the numbers of a stream at its end");
        }
    }
    Ok(())
}
