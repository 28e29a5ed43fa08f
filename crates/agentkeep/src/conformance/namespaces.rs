//! Namespaces: nothing of one shows in another.

use super::support::{append, cases, entry, json, put, same, stream, thing};
use super::{ALPHA, Context, Outcome, SCHEMA, THINGS, dump};
use crate::driver::{Blob, Expect, Find, Operation, Put, Read, Save, Which};
use crate::error::Kind;
use crate::schema::{BY_KEY, Key, NAMESPACES, Turn};

cases! { "namespaces",
    Nothing nothing_shows_in_another "nothing of another namespace shows, by any kind of read";
    Nothing nothing_reaches_into_another "a commit touches one namespace";
    Nothing the_first_commit_makes_the_record "the record of the namespace in _namespaces is made by the first commit, read alike from everywhere";
    Nothing a_namespace_in_use_cannot_be_deleted "deleting a namespace's record is refused while it holds anything";
    Nothing the_record_may_refer_to_blobs "what the record of a namespace refers to is counted like any other reference";
}

async fn fill(c: &Context) -> crate::Result<()> {
    let mut batch = c.batch();
    batch.turn = Some(Turn::new("turn")?);
    let blob = Blob::new(&b"x"[..]);
    let refs = vec![blob.hash()];
    batch.push(Operation::PutBlob(blob));
    let body = json(r#"{"kind":"k","tags":["t"],"deep":{"rank":1}}"#)?;
    batch.push(Operation::Put(Put { refs, ..Put::new(thing("a")?, body, Save::Any)? }));
    batch.push(Operation::Append(append(&ALPHA, "s", vec![entry(Some("e"), "1")?])?));
    c.driver.commit(batch).await.map(|_| ())
}

async fn nothing_shows_in_another(c: Context) -> Outcome {
    for name in ["a", "ab", "a%"] {
        fill(&c.within(name)?).await?;
    }
    for name in ["A", "a_", "", "b"].into_iter().filter(|name| !name.is_empty()) {
        let there = c.within(name)?;
        same!(there.dump().await?, "", "the dump of the unused namespace {name:?}");
        for index in ["by_kind", "by_rank", "turn", "key"] {
            same!(there.find(&Find::by(&THINGS, index)?).await?.len(), 0, "{index} in {name:?}");
        }
        let which = Which::Turn(Turn::new("turn")?);
        let read = Read { log: &ALPHA, which, reverse: false, limit: 9 };
        let found = there.driver.read(&there.namespace, &read).await?;
        same!(found.entries.len(), 0, "the turn in {name:?}");
        same!(there.blob(Blob::new(&b"x"[..]).hash()).await?, None, "the blob in {name:?}");
    }
    let a = c.within("a")?;
    let before = a.dump().await?;
    let b = c.within("ab")?;
    b.commit(vec![
        Operation::Drop { log: &ALPHA, stream: stream("s")? },
        Operation::Delete(thing("a")?),
    ])
    .await?;
    same!(a.dump().await?, before, "a after changes in ab");
    Ok(())
}

async fn nothing_reaches_into_another(c: Context) -> Outcome {
    let (a, b) = (c.within("a")?, c.within("b")?);
    fill(&a).await?;
    let mut batch = b.batch();
    batch.expect(Expect::Absent(thing("a")?)).expect(Expect::LogEnds(&ALPHA, stream("s")?, 0));
    batch.push(put(thing("a")?, "1")?);
    b.driver.commit(batch).await?;
    let hash = Blob::new(&b"x"[..]).hash();
    let put = Put { refs: vec![hash], ..Put::new(thing("r")?, json("1")?, Save::Any)? };
    b.refuses(vec![Operation::Put(put)], Kind::NotFound).await?;
    same!(a.version("a").await?, 1, "the version in a");
    Ok(())
}

async fn the_first_commit_makes_the_record(c: Context) -> Outcome {
    let names = Find::new(&NAMESPACES, &BY_KEY);
    same!(c.find(&names).await?.len(), 0, "the namespaces of an empty store");
    for name in ["b", "a"] {
        c.within(name)?.put("x", "1").await?;
    }
    for from in ["a", "b", "elsewhere"] {
        let there = c.within(from)?;
        same!(there.find(&names).await?, ["a", "b"], "the namespaces as {from} sees them");
        let record = there.get(Key::new(&NAMESPACES, ["a"])?).await?;
        same!(record.map(|r| r.body.to_string()), Some("{}".to_owned()), "the record of a");
    }
    let a = c.within("a")?;
    a.commit(vec![put(Key::new(&NAMESPACES, ["a"])?, r#"{"title":"A"}"#)?]).await?;
    a.put("y", "1").await?;
    let record = c.get(Key::new(&NAMESPACES, ["a"])?).await?;
    same!(
        record.map(|r| r.body.to_string()),
        Some(r#"{"title":"A"}"#.to_owned()),
        "the user's body"
    );
    Ok(())
}

async fn a_namespace_in_use_cannot_be_deleted(c: Context) -> Outcome {
    let a = c.within("a")?;
    fill(&a).await?;
    let delete = || Ok::<_, crate::Error>(Operation::Delete(Key::new(&NAMESPACES, ["a"])?));
    let hash = Blob::new(&b"x"[..]).hash();
    let steps = [
        Operation::Delete(thing("a")?),
        Operation::Drop { log: &ALPHA, stream: stream("s")? },
        Operation::DropBlob(hash),
    ];
    for step in steps {
        a.refuses(vec![delete()?], Kind::Conflict).await?;
        a.commit(vec![step]).await?;
    }
    a.commit(vec![delete()?]).await?;
    same!(c.find(&Find::new(&NAMESPACES, &BY_KEY)).await?.len(), 0, "the namespaces");
    same!(dump(&*a.driver, &SCHEMA, &a.namespace).await?, "", "the dump");
    fill(&a).await?;
    same!(c.find(&Find::new(&NAMESPACES, &BY_KEY)).await?, ["a"], "made again");
    Ok(())
}

async fn the_record_may_refer_to_blobs(c: Context) -> Outcome {
    let there = c.within("a%")?;
    let blob = Blob::new(&b"x"[..]);
    let hash = blob.hash();
    let own = Key::new(&NAMESPACES, ["a%"])?;
    let put = Put { refs: vec![hash], ..Put::new(own, json("{}")?, Save::Any)? };
    there.commit(vec![Operation::PutBlob(blob), Operation::Put(put)]).await?;
    there.refuses(vec![Operation::DropBlob(hash)], Kind::Conflict).await?;
    let report = c.driver.check().await?;
    same!((report.damage, report.due), (vec![], vec![]), "the check");
    Ok(())
}
