//! Records: what is put comes back, and versions count.

use super::support::{cases, ensure, json, put, same, stream, thing};
use super::{ALPHA, Context, FOURS, Outcome, PAIRS, THINGS};
use crate::driver::{self, Find, Operation, Put, Read, Save, Stretch, Which};
use crate::error::{Kind, Result};
use crate::schema::{Key, Turn};

cases! { "records",
    Nothing what_is_put_comes_back "what a driver answers is byte for byte what was committed";
    Nothing get_answers_every_place "get has as many places as keys, also for a key twice, None for those not there";
    Nothing versions_count_writes "a record's version is 1 more than before";
    Nothing a_new_record_starts_above_deleted_ones "a record made anew starts above every version that a deleted record of the namespace had";
    Nothing saves_mean_what_they_say "Create refuses with AlreadyExists, At with Conflict, and nothing has changed";
    Nothing deleting_what_is_absent_is_fine "deleting an absent record is fine and says so";
    Nothing a_record_carries_the_last_turn "all records of a commit carry its turn";
    Nothing keys_of_several_parts_stay_apart "keys are tuples: no two of them meet, and they sort as tuples";
    Nothing records_and_entries_together "get_and_read answers what get and then read answer";
    Nothing records_by_key_and_by_index_together "get_and_find answers what get and then find answer";
    Nothing built_in_tables_cannot_be_written "_streams and _blobs are kept by the driver";
}

async fn records_and_entries_together(c: Context) -> Outcome {
    c.put("a", "1").await?;
    c.append("s", &["1", "2", "3"]).await?;
    let keys = [thing("a")?, thing("none")?, thing("a")?];
    let stretch = |name: &str| Ok(Stretch { stream: stream(name)?, from: 2, to: u64::MAX });
    let stretches: Vec<Stretch> =
        [stretch("s"), stretch("none")].into_iter().collect::<Result<_>>()?;
    for (reverse, limit) in [(false, 9), (true, 1)] {
        let read = Read { log: &ALPHA, which: Which::Stretches(stretches.clone()), reverse, limit };
        let (records, both) = c.driver.get_and_read(&c.namespace, &keys, &read).await?;
        same!(records, c.driver.get(&c.namespace, &keys).await?, "the records");
        let alone = c.driver.read(&c.namespace, &read).await?;
        let seen = (both.entries, both.heads, both.more);
        same!(seen, (alone.entries, alone.heads, alone.more), "the entries");
    }
    let read = Read { log: &ALPHA, which: Which::Stretches(stretches), reverse: false, limit: 0 };
    let bad = c.driver.get_and_read(&c.namespace, &keys, &read).await.err().map(|e| e.kind());
    same!(bad, Some(Kind::InvalidInput), "limit 0");
    Ok(())
}

async fn records_by_key_and_by_index_together(c: Context) -> Outcome {
    for name in ["a", "b", "c"] {
        c.put(name, r#"{"kind":"k"}"#).await?;
    }
    let keys = [thing("c")?, thing("none")?, thing("c")?];
    for (reverse, limit) in [(false, 9), (true, 2)] {
        let mut find = Find::by(&THINGS, "key")?.limit(limit);
        find.reverse = reverse;
        let (records, found) = c.driver.get_and_find(&c.namespace, &keys, &find).await?;
        same!(records, c.driver.get(&c.namespace, &keys).await?, "the records");
        let alone = c.driver.find(&c.namespace, &find).await?;
        same!((found.records, found.next), (alone.records, alone.next), "the page");
    }
    let bad = Find::by(&THINGS, "key")?.limit(0);
    let bad = c.driver.get_and_find(&c.namespace, &keys, &bad).await.err().map(|e| e.kind());
    same!(bad, Some(Kind::InvalidInput), "limit 0");
    Ok(())
}

async fn what_is_put_comes_back(c: Context) -> Outcome {
    let body = r#"{"z":1.0,"a":{"deep":[1,{"x":null}]},"kind":"k"}"#;
    c.put("one", body).await?;
    let record = c.get(thing("one")?).await?;
    let Some(record) = record else { return Err(super::Failure::new("the record is not there")) };
    same!(record.body.as_str(), body, "the body");
    same!(record.key, thing("one")?, "the key");
    c.put("one", "7").await?;
    same!(c.get(thing("one")?).await?.map(|r| r.body), Some(json("7")?), "the new body");
    c.commit(vec![Operation::Delete(thing("one")?)]).await?;
    same!(c.get(thing("one")?).await?, None, "the deleted record");
    Ok(())
}

async fn get_answers_every_place(c: Context) -> Outcome {
    c.put("a", "1").await?;
    c.put("b", "2").await?;
    let keys = [thing("b")?, thing("none")?, thing("a")?, thing("b")?];
    let found = c.driver.get(&c.namespace, &keys).await?;
    let bodies: Vec<Option<String>> =
        found.into_iter().map(|r| r.map(|r| r.body.to_string())).collect();
    let expected = [Some("2"), None, Some("1"), Some("2")].map(|b| b.map(str::to_owned));
    same!(bodies, expected, "the records");
    same!(c.driver.get(&c.namespace, &[]).await?.len(), 0, "no keys");
    Ok(())
}

async fn versions_count_writes(c: Context) -> Outcome {
    for expected in 1..=5 {
        same!(c.put("a", "{}").await?, expected, "the version answered");
        same!(c.version("a").await?, expected, "the version read");
    }
    same!(c.put("b", "{}").await?, 1, "another record's first version");
    Ok(())
}

async fn a_new_record_starts_above_deleted_ones(c: Context) -> Outcome {
    for _ in 0..4 {
        c.put("a", "{}").await?;
    }
    c.commit(vec![Operation::Delete(thing("a")?)]).await?;
    let again = c.put("a", "{}").await?;
    ensure!(again > 4, "the record made anew has version {again}");
    let other = c.put("b", "{}").await?;
    ensure!(other > 4, "another new record has version {other}");
    // A writer that saw the old one cannot take the new one for it.
    let mut batch = c.batch();
    let stale = Put::new(thing("a")?, json("1")?, Save::At(4))?;
    batch.push(Operation::Put(stale));
    c.refused(batch, Kind::Conflict).await?;
    Ok(())
}

async fn saves_mean_what_they_say(c: Context) -> Outcome {
    let save =
        |save| Ok::<_, crate::Error>(Operation::Put(Put::new(thing("a")?, json("1")?, save)?));
    c.refuses(vec![save(Save::At(1))?], Kind::Conflict).await?;
    c.commit(vec![save(Save::Create)?]).await?;
    c.refuses(vec![save(Save::Create)?], Kind::AlreadyExists).await?;
    c.commit(vec![save(Save::At(1))?]).await?;
    c.refuses(vec![save(Save::At(1))?], Kind::Conflict).await?;
    c.refuses(vec![save(Save::At(3))?], Kind::Conflict).await?;
    c.commit(vec![save(Save::Any)?]).await?;
    same!(c.version("a").await?, 3, "the version");
    Ok(())
}

async fn deleting_what_is_absent_is_fine(c: Context) -> Outcome {
    let delete = || Ok::<_, crate::Error>(vec![Operation::Delete(thing("a")?)]);
    let nothing = c.commit(delete()?).await?;
    same!(nothing.outcomes, [driver::Outcome::Deleted { existed: false }], "deleting nothing");
    c.put("a", "1").await?;
    let something = c.commit(delete()?).await?;
    same!(something.outcomes, [driver::Outcome::Deleted { existed: true }], "deleting it");
    Ok(())
}

async fn a_record_carries_the_last_turn(c: Context) -> Outcome {
    let mut batch = c.batch();
    batch.turn = Some(Turn::new("turn-1")?);
    batch.push(put(thing("a")?, "1")?).push(put(thing("b")?, "1")?);
    c.driver.commit(batch).await?;
    let find = driver::Find::by(&THINGS, "turn")?.equal(crate::schema::Value::text("turn-1"));
    same!(c.find(&find).await?, ["a", "b"], "the records of the turn");
    c.put("a", "2").await?;
    same!(c.find(&find).await?, ["b"], "after a write without turn");
    let all = driver::Find::by(&THINGS, "turn")?;
    same!(c.find(&all).await?, ["b"], "records without a turn are not in the index");
    same!(c.get(thing("b")?).await?.and_then(|r| r.turn), Some(Turn::new("turn-1")?), "the turn");
    Ok(())
}

async fn keys_of_several_parts_stay_apart(c: Context) -> Outcome {
    let pairs =
        [("a", ""), ("a", "b"), ("a", "b c"), ("a ", "b"), ("a b", ""), ("ab", ""), ("b", "a")];
    for (left, right) in pairs {
        let body = format!(r#"["{left}","{right}"]"#);
        c.commit(vec![put(Key::new(&PAIRS, [left, right])?, &body)?]).await?;
    }
    for (left, right) in pairs {
        let record = c.get(Key::new(&PAIRS, [left, right])?).await?;
        let body = record.map(|record| record.body.to_string());
        same!(body, Some(format!(r#"["{left}","{right}"]"#)), "the pair {left:?} {right:?}");
    }
    let find = driver::Find::by(&PAIRS, "key")?.limit(2);
    let expected: Vec<&str> = pairs.iter().map(|(left, _)| *left).collect();
    same!(c.find(&find).await?, expected, "the order of keys");
    let four = Key::new(&FOURS, ["a", "", "", "d"])?;
    c.commit(vec![put(four.clone(), "4")?]).await?;
    same!(c.get(Key::new(&FOURS, ["a", "", "d", ""])?).await?, None, "another tuple");
    same!(c.get(four).await?.map(|r| r.body), Some(json("4")?), "the tuple of four");
    ensure!(Key::new(&PAIRS, ["", "b"]).is_err(), "an empty first part was accepted");
    ensure!(Key::from_parts(&PAIRS, &["a"]).is_err(), "too few parts were accepted");
    Ok(())
}

async fn built_in_tables_cannot_be_written(c: Context) -> Outcome {
    c.append("s", &["1"]).await?;
    let key = Key::new(&crate::schema::STREAMS, ["alpha", "s"])?;
    c.refuses(vec![put(key.clone(), "{}")?], Kind::InvalidInput).await?;
    c.refuses(vec![Operation::Delete(key)], Kind::InvalidInput).await?;
    c.refuses(vec![put(thing("a")?, "1")?, put(thing("a")?, "2")?], Kind::InvalidInput).await?;
    c.refuses(vec![put(thing("a")?, "1")?, Operation::Delete(thing("a")?)], Kind::InvalidInput)
        .await?;
    Ok(())
}
