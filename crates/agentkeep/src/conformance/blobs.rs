//! Blobs: kept once, counted, never gone while referred to.

use super::support::{append, cases, ensure, entry, json, same, stream, thing};
use super::{ALPHA, Context, Outcome};
use crate::driver::{self, Blob, Expect, Find, FoundBlob, Hash, Operation, Put, Save, Want};
use crate::error::{Kind, Result};
use crate::schema::{BLOBS, Key, Value};

cases! { "blobs",
    Nothing bytes_come_back "a blob comes back byte for byte, in the order of the hashes, None for those not there";
    Nothing the_same_bytes_are_kept_once "a blob that is there stays as it is";
    Nothing a_missing_blob_is_refused "what refers to a blob that is neither there nor put before is refused";
    Nothing references_are_counted "references are counted over records and entries, overwriting, deleting, trimming, rewriting, dropping";
    Nothing a_blob_in_use_cannot_be_dropped "dropping a blob that something refers to is a Conflict";
    Nothing unreferenced_blobs_are_told "a blob is told as unreferenced from the time on at which the last reference went";
}

async fn bytes_come_back(c: Context) -> Outcome {
    let every: Vec<u8> = (0..=255).collect();
    let blobs = [Blob::new(every), Blob::new(Vec::new()), Blob::new(vec![0; 300_000])];
    let operations = blobs.iter().map(|blob| Operation::PutBlob(blob.clone())).collect();
    c.commit(operations).await?;
    let missing = Hash::of(b"missing");
    let hashes = [blobs[2].hash(), missing, blobs[0].hash(), blobs[1].hash(), blobs[0].hash()];
    let found = c.driver.blobs(&c.namespace, &hashes, Want::Bytes).await?;
    let expected = [Some(2), None, Some(0), Some(1), Some(0)]
        .map(|i: Option<usize>| i.map(|i| FoundBlob::Bytes(blobs[i].clone())));
    same!(found, expected, "the blobs");
    let present = c.driver.blobs(&c.namespace, &hashes, Want::Presence).await?;
    let expected = expected.map(|blob| blob.map(|_| FoundBlob::Present));
    same!(present, expected, "their presence");
    Ok(())
}

async fn the_same_bytes_are_kept_once(c: Context) -> Outcome {
    let put =
        || vec![Operation::PutBlob(Blob::new(&b"x"[..])), Operation::PutBlob(Blob::new(&b"x"[..]))];
    let kept = |new| driver::Outcome::Kept { new };
    same!(c.commit(put()).await?.outcomes, [kept(true), kept(false)], "twice in one commit");
    same!(c.commit(put()).await?.outcomes, [kept(false), kept(false)], "again");
    Ok(())
}

fn record(id: &str, refs: &[Hash]) -> Result<Operation> {
    let put = Put::new(thing(id)?, json("1")?, Save::Any)?;
    Ok(Operation::Put(Put { refs: refs.to_vec(), ..put }))
}

fn log_entry(name: &str, refs: &[Hash]) -> Result<Operation> {
    let entries = vec![driver::NewEntry { refs: refs.to_vec(), ..entry(None, "1")? }];
    Ok(Operation::Append(append(&ALPHA, name, entries)?))
}

async fn a_missing_blob_is_refused(c: Context) -> Outcome {
    let blob = Blob::new(&b"x"[..]);
    let refs = [blob.hash()];
    c.refuses(vec![record("a", &refs)?], Kind::NotFound).await?;
    c.refuses(vec![log_entry("s", &refs)?], Kind::NotFound).await?;
    c.refuses(vec![record("a", &refs)?, Operation::PutBlob(blob.clone())], Kind::NotFound).await?;
    let mut batch = c.batch();
    batch.expect(Expect::BlobPresent(blob.hash()));
    c.refused(batch.clone(), Kind::NotFound).await?;
    c.commit(vec![Operation::PutBlob(blob), record("a", &refs)?]).await?;
    c.driver.commit(batch).await?;
    let seen = c.get(thing("a")?).await?.map(|record| record.refs);
    same!(seen, Some(refs.to_vec()), "what the record refers to");
    Ok(())
}

async fn references(c: &Context, hash: Hash) -> Result<Option<(String, bool)>> {
    let record = c.get(Key::new(&BLOBS, [hash.to_hex().as_str()])?).await?;
    Ok(record.map(|record| {
        let [count, since] = record.body.raw_members(["references", "unreferencedSince"]);
        (count.unwrap_or("none").to_owned(), since.is_some())
    }))
}

async fn references_are_counted(c: Context) -> Outcome {
    let (first, second) = (Blob::new(&b"a"[..]), Blob::new(&b"b"[..]));
    let (x, y) = (first.hash(), second.hash());
    c.commit(vec![Operation::PutBlob(first), Operation::PutBlob(second)]).await?;
    let rewrite = |number, refs: &[Hash]| {
        let (log, stream, body) = (&ALPHA, stream("s")?, json("2")?);
        Ok::<_, crate::Error>(Operation::Rewrite { log, stream, number, body, refs: refs.to_vec() })
    };
    let steps = [
        (record("r", &[x, x])?, "1", "0"),
        (record("q", &[x, y])?, "2", "1"),
        (log_entry("s", &[x])?, "3", "1"),
        (log_entry("s", &[y, x])?, "4", "2"),
        (record("q", &[y])?, "3", "2"),
        (record("q", &[y])?, "3", "2"),
        (rewrite(1, &[y])?, "2", "3"),
        (Operation::Trim { log: &ALPHA, stream: stream("s")?, before: 2 }, "2", "2"),
        (Operation::Drop { log: &ALPHA, stream: stream("s")? }, "1", "1"),
        (Operation::Delete(thing("q")?), "1", "0"),
        (Operation::Delete(thing("r")?), "0", "0"),
    ];
    for (operation, of_x, of_y) in steps {
        let what = format!("{operation:?}");
        c.commit(vec![operation]).await?;
        for (hash, count) in [(x, of_x), (y, of_y)] {
            let expected = Some((count.to_owned(), count == "0"));
            same!(references(&c, hash).await?, expected, "references of {hash} after {what}");
        }
    }
    let report = c.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    Ok(())
}

async fn a_blob_in_use_cannot_be_dropped(c: Context) -> Outcome {
    let blob = Blob::new(&b"x"[..]);
    let hash = blob.hash();
    c.commit(vec![Operation::PutBlob(blob), record("a", &[hash])?]).await?;
    c.refuses(vec![Operation::DropBlob(hash)], Kind::Conflict).await?;
    ensure!(c.blob(hash).await?.is_some(), "the blob is gone");
    let dropped = c.commit(vec![Operation::Delete(thing("a")?), Operation::DropBlob(hash)]).await?;
    let expected = [
        driver::Outcome::Deleted { existed: true },
        driver::Outcome::BlobDropped { existed: true },
    ];
    same!(dropped.outcomes, expected, "dropping after the delete");
    same!(c.blob(hash).await?, None, "the dropped blob");
    let again = c.commit(vec![Operation::DropBlob(hash)]).await?;
    same!(again.outcomes, [driver::Outcome::BlobDropped { existed: false }], "dropping again");
    Ok(())
}

async fn unreferenced_blobs_are_told(c: Context) -> Outcome {
    let (first, second) = (Blob::new(&b"a"[..]), Blob::new(&b"b"[..]));
    let (x, y) = (first.hash(), second.hash());
    let put = c
        .commit(vec![Operation::PutBlob(first), Operation::PutBlob(second), record("r", &[y])?])
        .await?;
    let mut due = Find::by(&BLOBS, "by_unreferenced")?;
    due.range.0 = std::ops::Bound::Excluded(Value::Missing);
    same!(c.find(&due).await?, [x.to_hex()], "what nothing refers to");
    let record = c.get(Key::new(&BLOBS, [x.to_hex().as_str()])?).await?;
    let expected =
        format!(r#"{{"hash":"{x}","size":1,"references":0,"unreferencedSince":{}}}"#, put.time);
    same!(record.map(|r| r.body.to_string()), Some(expected), "the record of the blob");
    let report = c.driver.check().await?;
    same!((report.due.len(), report.blobs), (1, 2), "what check says is due");
    Ok(())
}
