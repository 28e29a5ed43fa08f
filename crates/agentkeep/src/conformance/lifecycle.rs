//! Opening, closing, reopening; snapshots and upkeep.

use super::support::{append, cases, ensure, entry, put, same, stream, thing};
use super::{ALPHA, Context, Failure, Outcome, SCHEMA, THINGS};
use crate::driver::{Blob, Find, Operation, Read, Stretch, Want, Which};
use crate::error::Kind;
use crate::schema::{Key, OperationId};

cases! { "lifecycle",
    Nothing after_close_everything_is_closed "later calls give Closed; closing again is fine";
    Reopen a_store_comes_back_whole "an Ok survives what describe promises: everything is there after reopening";
    Nothing check_counts_and_finds_nothing "check looks at everything in the store";
    Snapshot a_snapshot_shows_one_moment "commits after the call do not show in a snapshot";
    Maintain usage_and_upkeep "usage says how much a namespace holds; upkeep loses nothing";
}

async fn after_close_everything_is_closed(c: Context) -> Outcome {
    c.put("a", "1").await?;
    c.driver.close().await?;
    c.driver.close().await?;
    let kinds = [
        c.put("b", "1").await.err().map(|e| e.kind()),
        c.get(thing("a")?).await.err().map(|e| e.kind()),
        c.find(&Find::by(&THINGS, "key")?).await.err().map(|e| e.kind()),
        c.numbers("s").await.err().map(|e| e.kind()),
        c.blob(Blob::new(&b"x"[..]).hash()).await.err().map(|e| e.kind()),
        c.driver.check().await.err().map(|e| e.kind()),
        c.driver.watch(&c.namespace, &ALPHA, None).await.err().map(|e| e.kind()),
    ];
    same!(kinds, [Some(Kind::Closed); 7], "put, get, find, read, blobs, check, watch");
    Ok(())
}

async fn fill(c: &Context) -> crate::Result<()> {
    let mut batch = c.batch();
    batch.operation = Some(OperationId::new("op")?);
    let blob = Blob::new(vec![7; 100_000]);
    batch.push(Operation::PutBlob(blob));
    for i in 0..30 {
        let body = format!(r#"{{"kind":"k","tags":["t{}"],"deep":{{"rank":{i}}}}}"#, i % 3);
        batch.push(put(thing(&format!("t{i}"))?, &body)?);
    }
    let entries = (0..100).map(|i| entry(Some(&format!("e{i}")), &i.to_string()));
    let entries = entries.collect::<crate::Result<_>>()?;
    batch.push(Operation::Append(append(&ALPHA, "s", entries)?));
    c.driver.commit(batch).await?;
    let trim = Operation::Trim { log: &ALPHA, stream: stream("s")?, before: 11 };
    c.commit(vec![trim, Operation::Delete(thing("t7")?)]).await.map(|_| ())
}

async fn a_store_comes_back_whole(c: Context) -> Outcome {
    fill(&c).await?;
    let (before, identity) = (c.dump().await?, c.driver.describe().clone());
    let birth = c.stream(&ALPHA, "s").await?.1.map(|head| head.birth);
    c.driver.close().await?;
    let Some(driver) = c.fixture.reopen(&SCHEMA).await? else {
        return Err(Failure::new(
            "the driver says that many processes share it, and cannot reopen",
        ));
    };
    let again = Context { driver, ..c.clone() };
    same!(again.dump().await?, before, "the store after reopening");
    same!(*again.driver.describe(), identity, "what the driver says of itself");
    same!(again.stream(&ALPHA, "s").await?.1.map(|head| head.birth), birth, "the birth token");
    same!(again.append("s", &["1"]).await?, [101], "the next number");
    let version = again.put("t7", "1").await?;
    ensure!(version > 1, "the record made anew has version {version}");
    let mut batch = again.batch();
    batch.operation = Some(OperationId::new("op")?);
    batch.push(put(thing("other")?, "1")?);
    again.refused(batch, Kind::IdempotencyConflict).await?;
    let report = again.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    again.driver.close().await?;
    Ok(())
}

async fn check_counts_and_finds_nothing(c: Context) -> Outcome {
    fill(&c).await?;
    fill(&c.within("other")?).await?;
    let report = c.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    let counts = (report.records, report.streams, report.entries, report.blobs);
    same!(counts, (58, 2, 180, 2), "records, streams, entries, blobs");
    Ok(())
}

async fn a_snapshot_shows_one_moment(c: Context) -> Outcome {
    fill(&c).await?;
    let Some(snapshots) = c.driver.snapshots() else { return Err(Failure::new("no snapshots")) };
    let frozen = snapshots.snapshot(&c.namespace).await?;
    let hash = Blob::new(vec![7; 100_000]).hash();
    c.put("t1", r#"{"kind":"changed"}"#).await?;
    c.append("s", &["new"].map(|_| "1")).await?;
    c.commit(vec![Operation::Delete(thing("t2")?), Operation::DropBlob(hash)]).await?;
    let find = Find::by(&THINGS, "by_kind")?.equal(crate::schema::Value::text("k"));
    same!(frozen.find(&c.namespace, &find).await?.records.len(), 29, "records in the snapshot");
    same!(c.find(&find).await?.len(), 27, "records now");
    let which = Which::Stretches(vec![Stretch { stream: stream("s")?, from: 1, to: u64::MAX }]);
    let read = Read { log: &ALPHA, which, reverse: true, limit: 1 };
    let last = frozen.read(&c.namespace, &read).await?;
    same!(last.entries.first().map(|entry| entry.number), Some(100), "the snapshot's last entry");
    let blobs = frozen.blobs(&c.namespace, &[hash], Want::Presence).await?;
    ensure!(blobs.iter().all(Option::is_some), "the blob is gone from the snapshot");
    let keys = [thing("t2")?, Key::new(&crate::schema::STREAMS, ["alpha", "s"])?];
    let found = frozen.get(&c.namespace, &keys).await?;
    ensure!(found.iter().all(Option::is_some), "records are gone from the snapshot");
    Ok(())
}

async fn usage_and_upkeep(c: Context) -> Outcome {
    fill(&c).await?;
    let Some(upkeep) = c.driver.maintenance() else { return Err(Failure::new("no upkeep")) };
    let usage = upkeep.usage(&c.namespace).await?;
    let things = usage.records.iter().find(|(name, _)| name == "things").map(|(_, count)| *count);
    same!(things, Some(29), "things");
    let alpha = usage.logs.iter().find(|(name, ..)| name == "alpha").cloned();
    same!(alpha, Some(("alpha".to_owned(), 1, 90, 180)), "streams, entries, bytes");
    same!((usage.blobs, usage.blob_bytes), (1, 100_000), "blobs");
    let before = c.dump().await?;
    upkeep.compact().await?;
    same!(upkeep.upgrade().await?, SCHEMA.version, "the version");
    same!(c.dump().await?, before, "the store after upkeep");
    Ok(())
}
