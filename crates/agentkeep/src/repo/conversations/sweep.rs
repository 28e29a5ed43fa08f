//! Sweeping streams: removing entries that no lineage refers to.

use std::collections::BTreeSet;

use super::collect::{Collected, drop_blob};
use super::lineage::Lineage;
use crate::driver::{
    Batch, Entry, Expect, Find, Hash, Head, Operation, Read, Record, Save, Stretch, Which,
};
use crate::error::{Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::document;
use crate::repo::plan::Plan;
use crate::repo::space::Space;
use crate::schema::{GARBAGE, Key, LINEAGES, MESSAGES, Stream, Value};

/// Entries removed in one commit.
const STEP: u64 = 2_000;

/// Notes in the same commit that a stream may have entries which no lineage refers to.
pub(super) fn note(plan: &mut Plan<'_>, stream: &Stream, erase: bool) -> Result<()> {
    let key = Key::new(&GARBAGE, [stream.as_str()])?;
    if plan.writes(&key) {
        return Ok(());
    }
    let mut editor = ObjectEditor::default();
    editor.set("since", &Json::integer(document::now()));
    if erase {
        editor.set("erase", &Json::assembled("true".into()));
    }
    plan.put(key, editor.finish(), Save::Any)
}

/// Removes what no lineage refers to from the stream that `note` names, then the note.
pub(super) async fn sweep(space: &Space, note: &Record, collected: &mut Collected) -> Result<()> {
    let stream = Stream::new(note.key.first())?;
    let erase = note.body.raw_member("erase") == Some("true");
    let mut sweep = Sweep { space, stream, erase, blobs: BTreeSet::new() };
    let kept = sweep.kept().await?;
    let head = sweep.head().await?;
    if let Some(head) = &head {
        for (from, to) in gaps(&kept, head) {
            collected.messages += if from == head.first {
                sweep.trim(from, to).await?
            } else {
                sweep.blank(from, to).await?
            };
        }
    }
    let done = sweep.finish(note, kept.is_empty()).await?;
    if done {
        for blob in std::mem::take(&mut sweep.blobs) {
            collected.blobs += u64::from(drop_blob(space, blob).await?);
        }
    }
    Ok(())
}

/// The stretches of a stream that no lineage refers to, in order; both ends belong to them.
fn gaps(kept: &[(u64, u64)], head: &Head) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut next = head.first;
    for &(from, to) in kept {
        if from > next {
            gaps.push((next, (from - 1).min(head.last)));
        }
        next = next.max(to.saturating_add(1));
    }
    if next <= head.last {
        gaps.push((next, head.last));
    }
    gaps.retain(|(from, to)| from <= to);
    gaps
}

struct Sweep<'a> {
    space: &'a Space,
    stream: Stream,
    erase: bool,
    /// Blobs that removed entries referred to, when their content must be gone.
    blobs: BTreeSet<Hash>,
}

impl Sweep<'_> {
    /// The stretches that lineages refer to, by their start.
    async fn kept(&self) -> Result<Vec<(u64, u64)>> {
        let find = Find::by(&LINEAGES, "by_stream")?.equal(Value::text(self.stream.as_str()));
        let mut kept = Vec::new();
        for record in self.space.find_all(find).await? {
            let (lineage, _) = Lineage::of_record(&record)?;
            let segments = lineage.segments.iter().filter(|s| s.stream == self.stream);
            kept.extend(segments.map(|s| (s.from, s.to.unwrap_or(u64::MAX))));
        }
        kept.sort_unstable();
        Ok(kept)
    }

    async fn head(&self) -> Result<Option<Head>> {
        let entries = self.entries(u64::MAX, u64::MAX).await?;
        Ok(entries.1)
    }

    async fn entries(&self, from: u64, to: u64) -> Result<(Vec<Entry>, Option<Head>)> {
        let which = Which::Stretches(vec![Stretch { stream: self.stream.clone(), from, to }]);
        let limit = usize::try_from(STEP).unwrap_or(usize::MAX);
        let read = Read { log: &MESSAGES, which, reverse: false, limit };
        let mut entries = self.space.read(&read).await?;
        Ok((entries.entries, entries.heads.pop().flatten()))
    }

    /// Removes the front of the stream up to number `to`.
    async fn trim(&mut self, from: u64, to: u64) -> Result<u64> {
        let mut at = from;
        while at <= to {
            let end = to.min(at + STEP - 1);
            if self.erase {
                let (entries, _) = self.entries(at, end).await?;
                self.blobs.extend(entries.iter().flat_map(|entry| entry.refs.iter().copied()));
            }
            let mut batch = Batch::new(self.space.namespace().clone());
            batch.push(Operation::Trim {
                log: &MESSAGES,
                stream: self.stream.clone(),
                before: end + 1,
            });
            if !gone(self.space.commit(batch).await.map(|_| ()))? {
                break;
            }
            at = end + 1;
        }
        Ok(to + 1 - from)
    }

    /// Empties entries that stand behind others which are still referred to.
    async fn blank(&mut self, from: u64, to: u64) -> Result<u64> {
        let (mut at, mut blanked) = (from, 0);
        while at <= to {
            let end = to.min(at + STEP - 1);
            let (entries, _) = self.entries(at, end).await?;
            let mut batch = Batch::new(self.space.namespace().clone());
            for entry in entries.into_iter().filter(|entry| !entry.body.is_null()) {
                if self.erase {
                    self.blobs.extend(entry.refs);
                }
                batch.push(Operation::Rewrite {
                    log: &MESSAGES,
                    stream: self.stream.clone(),
                    number: entry.number,
                    body: Json::null(),
                    refs: Vec::new(),
                });
            }
            blanked += batch.operations.len() as u64;
            if !batch.operations.is_empty() && !gone(self.space.commit(batch).await.map(|_| ()))? {
                break;
            }
            at = end + 1;
        }
        Ok(blanked)
    }

    /// Removes the note, and the stream when nothing refers to it; false when another commit came
    /// in between, which leaves the note for the next time.
    async fn finish(&self, note: &Record, unused: bool) -> Result<bool> {
        let mut batch = Batch::new(self.space.namespace().clone());
        batch.expect(Expect::Version(note.key.clone(), note.version));
        if unused {
            let index = Find::by(&LINEAGES, "by_stream")?.index;
            let value = Value::text(self.stream.as_str());
            batch.expect(Expect::NoRecord(&LINEAGES, index, value));
            batch.push(Operation::Drop { log: &MESSAGES, stream: self.stream.clone() });
        }
        batch.push(Operation::Delete(note.key.clone()));
        match self.space.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// True when it went through; false when another collector has taken the stream away.
fn gone(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_nobody_refers_to() {
        let head = |first, last| Head { birth: 0, first, last, count: 0, bytes: 0, updated: 0 };
        assert_eq!(gaps(&[], &head(1, 9)), [(1, 9)]);
        assert_eq!(gaps(&[], &head(10, 9)), []);
        assert_eq!(gaps(&[(1, 3), (2, 5), (8, 8)], &head(1, 9)), [(6, 7), (9, 9)]);
        assert_eq!(gaps(&[(4, u64::MAX)], &head(2, 9)), [(2, 3)]);
        assert_eq!(gaps(&[(1, 2), (12, 20)], &head(1, 9)), [(3, 9)]);
    }
}
