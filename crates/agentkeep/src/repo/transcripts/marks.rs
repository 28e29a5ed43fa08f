//! Marks: for each full block of a transcript the smallest and largest iteration in it, so that a
//! range of iterations is found without reading what lies outside.
//!
//! A mark is only a help: a block without one is read. Entries never change, so a mark, once
//! written, stays true for as long as the thread is the same.

use std::collections::HashMap;

use crate::driver::{Batch, Expect, Find, Head, Operation, Put, Record, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::{Key, MARKS, Value};

/// Entries in a block.
pub(super) const BLOCK: u64 = 256;

/// The iterations of one block, `None` when none of its entries has one.
pub(super) type Mark = Option<(i64, i64)>;

pub(super) fn key(thread: &str, block: u64) -> Result<Key> {
    Key::new(&MARKS, [thread, &format!("{block:016}")])
}

/// All marks of a thread, by block, as far as they are of this birth.
pub(super) async fn all(space: &Space, thread: &str, birth: u64) -> Result<HashMap<u64, Mark>> {
    let find = Find::by(&MARKS, "by_thread")?.equal(Value::text(thread));
    let parse = |body: &Json, block: &str| -> Option<(u64, Mark)> {
        if body.member("birth")?.to_text()? != birth.to_string() {
            return None;
        }
        let number = |name: &str| body.member(name)?.to_i64();
        Some((block.parse().ok()?, number("least").zip(number("most"))))
    };
    let records = space.find_all(find).await?;
    let marks = records
        .iter()
        .filter_map(|record| parse(&record.body, record.key.parts().nth(1).unwrap_or_default()));
    Ok(marks.collect())
}

/// The mark that says how many entries of a thread were taken back; it goes with the thread.
pub(super) fn gone_key(thread: &str) -> Result<Key> {
    Key::new(&MARKS, [thread, "gone"])
}

/// How many entries were taken back.
pub(super) fn gone(mark: Option<&Record>) -> u64 {
    let gone = mark.and_then(|mark| mark.body.member("gone")?.to_i64());
    gone.and_then(|gone| u64::try_from(gone).ok()).unwrap_or(0)
}

/// Counts entries that the plan takes back.
pub(super) async fn count_gone(plan: &mut Plan<'_>, thread: &str, more: u64) -> Result<()> {
    let key = gone_key(thread)?;
    let mark = plan.get(&key).await?;
    let version = mark.as_ref().map_or(0, |mark| mark.version);
    let all = i64::try_from(gone(mark.as_ref()) + more).unwrap_or(i64::MAX);
    let mut body = ObjectEditor::default();
    body.set("thread", &Json::string(thread)).set("gone", &Json::integer(all));
    plan.expect(Expect::Version(key.clone(), version), Guard::Retry);
    plan.put(key, body.finish(), Save::Any)
}

/// Writes the mark of a block that has become full. Not worth an error: it is only a help.
pub(super) async fn write(space: &Space, thread: &str, block: u64) {
    let _ = try_write(space, thread, block).await;
}

async fn try_write(space: &Space, thread: &str, block: u64) -> Result<()> {
    let (from, to) = (block * BLOCK + 1, (block + 1) * BLOCK);
    let read = super::stretch(thread, from, to, false, usize::try_from(BLOCK).unwrap_or(256))?;
    let found = space.read(&read).await?;
    let Some(Some(Head { birth, .. })) = found.heads.first() else { return Ok(()) };
    let iters = found.entries.iter().filter_map(|entry| entry.body.member("iter")?.to_i64());
    let (least, most) =
        iters.fold((i64::MAX, i64::MIN), |(least, most), n| (least.min(n), most.max(n)));
    let mut body = ObjectEditor::default();
    body.set("thread", &Json::string(thread)).set("birth", &Json::string(&birth.to_string()));
    if least <= most {
        body.set("least", &Json::integer(least)).set("most", &Json::integer(most));
    }
    let mut batch = Batch::new(space.namespace().clone());
    // Never beside a deletion of the thread.
    batch.expect(Expect::Exists(super::key(thread)?));
    batch.push(Operation::Put(Put::new(key(thread, block)?, body.finish(), Save::Any)?));
    space.commit(batch).await.map(|_| ())
}
