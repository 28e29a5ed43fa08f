//! Logs: numbers, ids, reading, trimming, rewriting, dropping.

use super::support::{append, cases, ensure, entry, same, stream};
use super::{ALPHA, BETA, Context, Failure, Outcome};
use crate::driver::{self, Append, Find, Known, Operation, Read, Stretch, Which};
use crate::error::{Kind, Result};
use crate::json::Json;
use crate::schema::{BY_KEY, EntryId, Key, STREAMS, Turn};

cases! { "logs",
    Nothing numbers_are_dense "numbers of a stream are dense and in commit order";
    Nothing entries_come_back_whole "an entry has its number, id, body, time and turn";
    Nothing streams_are_independent "a stream is named by its log and its name";
    Nothing missing_and_empty_streams_differ "a missing stream has no head, an empty one has";
    Nothing stretches_come_in_their_order "entries come in the order of the stretches and numbers, reverse exactly backwards, more exactly when the limit left some out";
    Nothing entries_by_id "entries by ids in the order asked for; ids that are not there are left out";
    Nothing entries_by_turn "all entries that one turn wrote, by stream and number";
    Nothing ids_are_unique_in_a_stream "an entry id is unique within the entries that a stream has";
    Nothing known_entries_answer_their_numbers "known entries with equal bodies answer their numbers and leave the whole batch out";
    Nothing known_entries_with_other_bodies_conflict "a known entry with a different body is an IdempotencyConflict";
    Nothing a_mix_of_known_and_new_is_refused "a mix of known and new entries is AlreadyExists";
    Nothing imports_start_where_they_say "an append with start gives that number to its first entry and never one that was given";
    Nothing trimming_takes_the_front "entries leave only by trimming from the front; numbers are never given twice";
    Nothing rewriting_keeps_number_and_id "a rewrite gives another body; number and id stay; the entry is marked";
    Nothing a_dropped_stream_begins_anew "a stream made again has another birth token and begins at 1";
    Nothing streams_are_told_in_the_built_in_table "_streams tells of every stream, in the same commit";
}

async fn numbers_are_dense(c: Context) -> Outcome {
    same!(c.append("s", &["1", "2"]).await?, [1, 2], "the first numbers");
    same!(c.append("s", &["3"]).await?, [3], "the next");
    same!(c.append("s", &[]).await?, [0; 0], "no entries");
    let two = |body| {
        Ok::<_, crate::Error>(Operation::Append(append(&ALPHA, "s", vec![entry(None, body)?])?))
    };
    let committed = c.commit(vec![two("4")?, two("5")?]).await?;
    let numbers = [4, 5].map(|n| driver::Outcome::Appended { numbers: vec![n] });
    same!(committed.outcomes, numbers, "two appends of one commit");
    same!(c.numbers("s").await?, [1, 2, 3, 4, 5], "the numbers read");
    Ok(())
}

async fn entries_come_back_whole(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.turn = Some(Turn::new("t")?);
    let entries = vec![entry(Some("id 1"), r#"{"b":1.0,"a":"\u0000"}"#)?, entry(None, "null")?];
    batch.push(Operation::Append(append(&ALPHA, "s", entries)?));
    let committed = c.driver.commit(batch).await?;
    c.append("s", &["3"]).await?;
    let (entries, head) = c.stream(&ALPHA, "s").await?;
    let [first, second, third] = entries.as_slice() else {
        return Err(Failure::new(format!("not three entries: {entries:?}")));
    };
    same!(first.body.as_str(), r#"{"b":1.0,"a":"\u0000"}"#, "the body");
    same!(first.id, Some(EntryId::new("id 1")?), "the id");
    same!((second.id.clone(), second.body.as_str()), (None, "null"), "the entry without id");
    same!((first.time, second.time), (committed.time, committed.time), "the times");
    ensure!(third.time >= first.time, "time went back");
    same!((first.turn.clone(), third.turn.clone()), (Some(Turn::new("t")?), None), "the turns");
    same!((first.rewritten, first.stream.as_str()), (None, "s"), "rewritten, stream");
    let Some(head) = head else { return Err(Failure::new("no head")) };
    same!((head.first, head.last, head.count, head.bytes), (1, 3, 3, 27), "the head");
    same!(head.updated, third.time, "the head's time");
    Ok(())
}

async fn streams_are_independent(c: Context) -> Outcome {
    c.append("s", &["1", "2"]).await?;
    same!(c.append("t", &["3"]).await?, [1], "another stream");
    let beta = c.append_entries(append(&BETA, "s", vec![entry(None, "4")?])?).await?;
    same!(beta, [1], "the same name in another log");
    same!(c.stream(&BETA, "s").await?.0.len(), 1, "the other log's entries");
    same!(c.stream(&ALPHA, "s").await?.0.len(), 2, "the first log's entries");
    Ok(())
}

async fn missing_and_empty_streams_differ(c: Context) -> Outcome {
    same!(c.stream(&ALPHA, "s").await?.1, None, "a missing stream");
    c.append("s", &[]).await?;
    let (entries, head) = c.stream(&ALPHA, "s").await?;
    let head = head.map(|head| (head.first, head.last, head.count, head.bytes));
    same!((entries.len(), head), (0, Some((1, 0, 0, 0))), "an empty stream");
    Ok(())
}

async fn read(
    c: &Context,
    stretches: &[(&str, u64, u64)],
    reverse: bool,
    limit: usize,
) -> Result<(Vec<String>, bool)> {
    let stretches = stretches
        .iter()
        .map(|&(name, from, to)| Ok(Stretch { stream: stream(name)?, from, to }))
        .collect::<Result<Vec<_>>>()?;
    let which = Which::Stretches(stretches);
    let entries = c.driver.read(&c.namespace, &Read { log: &ALPHA, which, reverse, limit }).await?;
    let names = entries.entries.iter().map(|e| format!("{}{}", e.stream, e.number));
    Ok((names.collect(), entries.more))
}

async fn stretches_come_in_their_order(c: Context) -> Outcome {
    c.append("a", &["1", "2", "3", "4"]).await?;
    c.append("b", &["1", "2"]).await?;
    let stretches = [
        ("a", 3, u64::MAX),
        ("b", 1, 1),
        ("none", 1, 9),
        ("a", 1, 2),
        ("b", 0, 9),
        ("a", 4, 3),
        ("a", 9, 99),
    ];
    let whole = ["a3", "a4", "b1", "a1", "a2", "b1", "b2"];
    for limit in [1, 2, 3, 6, 7, 8] {
        let (seen, more) = read(&c, &stretches, false, limit).await?;
        same!(seen, whole[..limit.min(7)], "forwards, {limit}");
        same!(more, limit < 7, "more, {limit}");
        let (seen, more) = read(&c, &stretches, true, limit).await?;
        let backwards: Vec<&str> = whole.iter().rev().take(limit).copied().collect();
        same!(seen, backwards, "backwards, {limit}");
        same!(more, limit < 7, "more backwards, {limit}");
    }
    same!(read(&c, &[], false, 1).await?, (Vec::new(), false), "no stretches");
    let bad = read(&c, &stretches, false, 0).await.err().map(|e| e.kind());
    same!(bad, Some(Kind::InvalidInput), "limit 0");
    Ok(())
}

async fn entries_by_id(c: Context) -> Outcome {
    for name in ["a", "b"] {
        let entries = vec![entry(Some("x"), "1")?, entry(Some("y"), "2")?, entry(None, "3")?];
        c.append_entries(append(&ALPHA, name, entries)?).await?;
    }
    let mut ids = Vec::new();
    for (name, id) in [("b", "y"), ("a", "x"), ("a", "z"), ("none", "x"), ("b", "x")] {
        ids.push((stream(name)?, EntryId::new(id)?));
    }
    let read =
        |reverse, limit| Read { log: &ALPHA, which: Which::Ids(ids.clone()), reverse, limit };
    let names = |entries: &driver::Entries| -> Vec<String> {
        entries.entries.iter().map(|e| format!("{}{}", e.stream, e.number)).collect()
    };
    let found = c.driver.read(&c.namespace, &read(false, 10)).await?;
    same!(
        (names(&found), found.more),
        (vec!["b2".into(), "a1".into(), "b1".into()], false),
        "by ids"
    );
    let found = c.driver.read(&c.namespace, &read(true, 2)).await?;
    same!((names(&found), found.more), (vec!["b1".into(), "a1".into()], true), "backwards, two");
    Ok(())
}

async fn entries_by_turn(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.turn = Some(Turn::new("t")?);
    for name in ["b", "a"] {
        let entries = vec![entry(None, "1")?, entry(None, "2")?];
        batch.push(Operation::Append(append(&ALPHA, name, entries)?));
    }
    batch.push(Operation::Append(append(&BETA, "a", vec![entry(None, "3")?])?));
    c.driver.commit(batch).await?;
    c.append("a", &["4"]).await?;
    let turn = |log, turn: &str, limit| {
        Ok::<_, crate::Error>(Read {
            log,
            which: Which::Turn(Turn::new(turn)?),
            reverse: false,
            limit,
        })
    };
    let names = |entries: driver::Entries| -> Vec<String> {
        entries.entries.iter().map(|e| format!("{}{}", e.stream, e.number)).collect()
    };
    let found = c.driver.read(&c.namespace, &turn(&ALPHA, "t", 10)?).await?;
    same!(names(found), ["a1", "a2", "b1", "b2"], "the turn's entries");
    let found = c.driver.read(&c.namespace, &turn(&ALPHA, "t", 3)?).await?;
    same!((found.entries.len(), found.more), (3, true), "three of them");
    let found = c.driver.read(&c.namespace, &turn(&BETA, "t", 10)?).await?;
    same!(names(found), ["a1"], "in the other log");
    let found = c.driver.read(&c.namespace, &turn(&ALPHA, "u", 10)?).await?;
    same!(names(found), [""; 0], "another turn");
    let trim = Operation::Trim { log: &ALPHA, stream: stream("a")?, before: 2 };
    c.commit(vec![trim, Operation::Drop { log: &ALPHA, stream: stream("b")? }]).await?;
    let found = c.driver.read(&c.namespace, &turn(&ALPHA, "t", 10)?).await?;
    same!(names(found), ["a2"], "after trimming and dropping");
    Ok(())
}

fn known(name: &str, entries: Vec<driver::NewEntry>) -> Result<Append> {
    Ok(Append { known: Known::Answer, ..append(&ALPHA, name, entries)? })
}

async fn ids_are_unique_in_a_stream(c: Context) -> Outcome {
    let one = |name: &str| append(&ALPHA, name, vec![entry(Some("x"), "1")?]);
    c.append_entries(one("s")?).await?;
    c.append_entries(one("t")?).await?;
    c.refuses(vec![Operation::Append(one("s")?)], Kind::AlreadyExists).await?;
    let twice = vec![entry(Some("y"), "1")?, entry(Some("y"), "1")?];
    c.refuses(vec![Operation::Append(append(&ALPHA, "s", twice)?)], Kind::AlreadyExists).await?;
    // A trimmed entry's id is free.
    let trim = Operation::Trim { log: &ALPHA, stream: stream("s")?, before: 2 };
    c.commit(vec![trim]).await?;
    same!(c.append_entries(one("s")?).await?, [2], "the id of a trimmed entry");
    Ok(())
}

async fn known_entries_answer_their_numbers(c: Context) -> Outcome {
    let entries = || Ok::<_, crate::Error>(vec![entry(Some("x"), "1")?, entry(Some("y"), "2")?]);
    same!(c.append_entries(known("s", entries()?)?).await?, [1, 2], "the first time");
    c.append("s", &["3"]).await?;
    let before = c.dump().await?;
    let mut batch = c.batch();
    batch.push(super::support::put(super::support::thing("a")?, "1")?);
    batch.push(Operation::Append(known("s", entries()?)?));
    let committed = c.driver.commit(batch).await?;
    ensure!(committed.replayed, "the second time was not a replay");
    let expected = [driver::Outcome::LeftOut, driver::Outcome::Appended { numbers: vec![1, 2] }];
    same!(committed.outcomes, expected, "the second time");
    same!(c.dump().await?, before, "the store after the second time");
    let one = known("s", vec![entry(Some("y"), "2")?])?;
    same!(c.append_entries(one).await?, [2], "one of them");
    Ok(())
}

async fn known_entries_with_other_bodies_conflict(c: Context) -> Outcome {
    c.append_entries(known("s", vec![entry(Some("x"), "1")?])?).await?;
    for entries in
        [vec![entry(Some("x"), "2")?], vec![entry(Some("n"), "1")?, entry(Some("x"), "2")?]]
    {
        c.refuses(vec![Operation::Append(known("s", entries)?)], Kind::IdempotencyConflict).await?;
    }
    Ok(())
}

async fn a_mix_of_known_and_new_is_refused(c: Context) -> Outcome {
    c.append_entries(known("s", vec![entry(Some("x"), "1")?])?).await?;
    for mixed in [
        vec![entry(Some("x"), "1")?, entry(Some("n"), "1")?],
        vec![entry(Some("n"), "1")?, entry(Some("x"), "1")?],
        vec![entry(Some("x"), "1")?, entry(None, "1")?],
    ] {
        c.refuses(vec![Operation::Append(known("s", mixed)?)], Kind::AlreadyExists).await?;
    }
    // Known in one stream, new in another.
    let both = vec![
        Operation::Append(known("s", vec![entry(Some("x"), "1")?])?),
        Operation::Append(known("t", vec![entry(Some("n"), "1")?])?),
    ];
    c.refuses(both, Kind::AlreadyExists).await?;
    Ok(())
}

async fn imports_start_where_they_say(c: Context) -> Outcome {
    let at = |start| {
        let entries = vec![entry(None, "1")?, entry(None, "2")?];
        Ok::<_, crate::Error>(Append { start: Some(start), ..append(&ALPHA, "s", entries)? })
    };
    same!(c.append_entries(at(10)?).await?, [10, 11], "starting at 10");
    same!(c.append("s", &["3"]).await?, [12], "going on");
    same!(c.append_entries(at(20)?).await?, [20, 21], "starting again at 20");
    for start in [0, 1, 11, 21] {
        c.refuses(vec![Operation::Append(at(start)?)], Kind::Conflict).await?;
    }
    same!(c.numbers("s").await?, [10, 11, 12, 20, 21], "the numbers");
    let head = c.stream(&ALPHA, "s").await?.1.map(|h| (h.first, h.last, h.count));
    same!(head, Some((10, 21, 5)), "the head");
    same!(read(&c, &[("s", 12, 20)], false, 9).await?.0, ["s12", "s20"], "across the gap");
    Ok(())
}

async fn trimming_takes_the_front(c: Context) -> Outcome {
    let trim = |before| {
        Ok::<_, crate::Error>(Operation::Trim { log: &ALPHA, stream: stream("s")?, before })
    };
    c.refuses(vec![trim(1)?], Kind::NotFound).await?;
    c.append("s", &["1", "22", "333"]).await?;
    for (before, removed, left) in
        [(0, 0, vec![1, 2, 3]), (1, 0, vec![1, 2, 3]), (3, 2, vec![3]), (2, 0, vec![3])]
    {
        let committed = c.commit(vec![trim(before)?]).await?;
        same!(
            committed.outcomes,
            [driver::Outcome::Trimmed { removed }],
            "trimming before {before}"
        );
        same!(c.numbers("s").await?, left, "after trimming before {before}");
    }
    let head = c.stream(&ALPHA, "s").await?.1.map(|h| (h.first, h.last, h.count, h.bytes));
    same!(head, Some((3, 3, 1, 3)), "the head");
    c.commit(vec![trim(u64::MAX)?]).await?;
    let head = c.stream(&ALPHA, "s").await?.1.map(|h| (h.first, h.last, h.count, h.bytes));
    same!(head, Some((4, 3, 0, 0)), "the head of an emptied stream");
    same!(c.append("s", &["4"]).await?, [4], "the next number");
    same!(read(&c, &[("s", 1, u64::MAX)], false, 9).await?.0, ["s4"], "what is left");
    Ok(())
}

async fn rewriting_keeps_number_and_id(c: Context) -> Outcome {
    let entries = vec![entry(Some("x"), "1")?, entry(None, "2")?];
    c.append_entries(append(&ALPHA, "s", entries)?).await?;
    let rewrite = |number, body: &str| {
        let (log, stream, body) = (&ALPHA, stream("s")?, Json::parse(body)?);
        Ok::<_, crate::Error>(Operation::Rewrite { log, stream, number, body, refs: Vec::new() })
    };
    let committed = c.commit(vec![rewrite(1, r#"{"new":1}"#)?]).await?;
    same!(committed.outcomes, [driver::Outcome::Rewritten], "the outcome");
    let (entries, head) = c.stream(&ALPHA, "s").await?;
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.number, e.id.is_some(), e.body.as_str(), e.rewritten.is_some()))
        .collect();
    same!(seen, [(1, true, r#"{"new":1}"#, true), (2, false, "2", false)], "the entries");
    same!(head.map(|h| (h.count, h.bytes)), Some((2, 10)), "the head");
    c.refuses(vec![rewrite(3, "1")?], Kind::NotFound).await?;
    c.refuses(vec![rewrite(0, "1")?], Kind::NotFound).await?;
    // In their order: an entry of the same commit can be rewritten.
    let more = append(&ALPHA, "s", vec![entry(None, "3")?])?;
    c.commit(vec![Operation::Append(more), rewrite(3, "33")?]).await?;
    let again =
        Append { known: Known::Answer, ..append(&ALPHA, "s", vec![entry(Some("x"), "1")?])? };
    c.refuses(vec![Operation::Append(again)], Kind::IdempotencyConflict).await?;
    Ok(())
}

async fn a_dropped_stream_begins_anew(c: Context) -> Outcome {
    let entries = || Ok::<_, crate::Error>(vec![entry(Some("x"), "1")?, entry(None, "2")?]);
    c.append_entries(append(&ALPHA, "s", entries()?)?).await?;
    let birth = c.stream(&ALPHA, "s").await?.1.map(|head| head.birth);
    let drop = || Ok::<_, crate::Error>(Operation::Drop { log: &ALPHA, stream: stream("s")? });
    let committed = c.commit(vec![drop()?]).await?;
    same!(committed.outcomes, [driver::Outcome::Dropped { existed: true }], "dropping");
    same!(c.stream(&ALPHA, "s").await?, (Vec::new(), None), "the dropped stream");
    let committed = c.commit(vec![drop()?]).await?;
    same!(committed.outcomes, [driver::Outcome::Dropped { existed: false }], "dropping again");
    same!(c.append_entries(append(&ALPHA, "s", entries()?)?).await?, [1, 2], "made again");
    let again = c.stream(&ALPHA, "s").await?.1.map(|head| head.birth);
    ensure!(birth != again, "the birth token stayed {birth:?}");
    // In their order: dropped and made again in one commit.
    let entries = append(&ALPHA, "s", vec![entry(Some("x"), "9")?])?;
    c.commit(vec![drop()?, Operation::Append(entries)]).await?;
    same!(c.numbers("s").await?, [1], "after dropping and appending in one commit");
    Ok(())
}

async fn streams_are_told_in_the_built_in_table(c: Context) -> Outcome {
    c.append("s", &["1", "22"]).await?;
    c.append_entries(append(&BETA, "r", vec![entry(None, "3")?])?).await?;
    let find = Find::new(&STREAMS, &BY_KEY);
    same!(c.find(&find).await?, ["alpha", "beta"], "the streams' logs");
    let key = Key::new(&STREAMS, ["alpha", "s"])?;
    let record = c.get(key.clone()).await?;
    let Some(record) = record else { return Err(Failure::new("no record of the stream")) };
    let head = c.stream(&ALPHA, "s").await?.1;
    let Some(head) = head else { return Err(Failure::new("no head")) };
    let expected = format!(
        r#"{{"log":"alpha","stream":"s","birth":"{:016x}","first":1,"last":2,"count":2,"bytes":3,"updated":{}}}"#,
        head.birth, head.updated
    );
    same!(record.body.as_str(), expected, "the record");
    c.append("s", &["4"]).await?;
    let later = c.get(key.clone()).await?.map(|later| later.version);
    same!(later, Some(record.version + 1), "its version after an append");
    c.commit(vec![Operation::Drop { log: &ALPHA, stream: stream("s")? }]).await?;
    same!(c.get(key).await?, None, "after the drop");
    Ok(())
}
