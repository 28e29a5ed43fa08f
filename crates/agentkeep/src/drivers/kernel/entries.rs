//! Operations on streams.

use std::sync::Arc;

use super::commit::Commit;
use super::ground::{Ground, StreamKey, stream_place};
use crate::driver::{Append, Entry, Hash, Head, Known, NewEntry, Outcome};
use crate::error::{Error, Kind, Result};
use crate::json::Json;

impl<G: Ground> Commit<'_, G> {
    pub(super) fn append(&mut self, append: &Append) -> Result<Outcome> {
        let key = (self.ground.log(append.log)?, append.stream.clone());
        let there = self.ground.head(&key);
        let new = there.is_none();
        let head = there.unwrap_or_else(|| self.make_stream(&key));
        let numbers = append.numbers(head.last)?;
        let looked = append.known == Known::Answer && !self.met;
        let mut bytes = 0;
        for (entry, &number) in append.entries.iter().zip(&numbers) {
            self.push(&key, entry, number, looked)?;
            bytes += entry.body.len() as u64;
        }
        if let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) {
            let count = head.count + numbers.len() as u64;
            let first = if head.count == 0 { first } else { head.first };
            let bytes = head.bytes + bytes;
            self.set_head(&key, Head { first, last, count, bytes, ..head });
        }
        if new && append.entries.is_empty() {
            self.changed(&key);
        }
        self.made = true;
        Ok(Outcome::Appended { numbers })
    }

    fn make_stream(&mut self, key: &StreamKey) -> Head {
        let birth = uuid::Uuid::new_v4().as_u64_pair().0;
        let head = Head { birth, first: 1, last: 0, count: 0, bytes: 0, updated: self.time };
        self.ground.make_stream(key, &head);
        head
    }

    /// With `looked`, the id was not there before the batch.
    fn push(&mut self, key: &StreamKey, new: &NewEntry, number: u64, looked: bool) -> Result<()> {
        let place = || {
            let id = new.id.iter().map(|id| format!(" entry {id:?}"));
            stream_place(key) + &id.collect::<String>()
        };
        if let Some(id) = &new.id
            && if looked {
                self.pushed && self.ground.adds(key, id)
            } else {
                self.ground.adds(key, id) || self.ground.by_id(key, id)?.is_some()
            }
        {
            return Err(
                Error::new(Kind::AlreadyExists, "the stream has an entry with this id").at(place())
            );
        }
        let entry = Entry {
            stream: key.1.clone(),
            number,
            id: new.id.clone(),
            body: new.body.clone(),
            time: self.time,
            turn: self.turn.cloned(),
            rewritten: None,
            refs: self.refer(&new.refs, place)?,
        };
        self.ground.push(key, Arc::new(entry));
        self.pushed = true;
        Ok(())
    }

    /// The numbers of an append's entries, when all are known with equal bodies.
    pub(super) fn known(&mut self, append: &Append) -> Result<Option<Vec<u64>>> {
        let key = (self.ground.log(append.log)?, append.stream.clone());
        if self.ground.head(&key).is_none() {
            return Ok(None);
        }
        let mut numbers = Vec::new();
        for new in &append.entries {
            let Some(id) = &new.id else { continue };
            let Some(old) = self.ground.by_id(&key, id)? else { continue };
            if old.body != new.body {
                return Err(Error::new(
                    Kind::IdempotencyConflict,
                    "the entry is there with another body",
                )
                .at(format!("{} entry {:?}", stream_place(&key), new.id.as_ref()))
                .advice("give the new entry another id"));
            }
            numbers.push(old.number);
        }
        self.met |= !numbers.is_empty();
        Ok((numbers.len() == append.entries.len()).then_some(numbers))
    }

    pub(super) fn trim(&mut self, key: &StreamKey, before: u64) -> Result<Outcome> {
        let mut head = self.head(key)?;
        let (mut removed, mut bytes, mut refs) = (0, 0, Vec::new());
        let first = self.ground.trim(key, before, &mut |entry| {
            removed += 1;
            bytes += entry.body.len() as u64;
            refs.push(entry.refs.clone());
        })?;
        for refs in &refs {
            self.release(refs);
        }
        if removed > 0 {
            head.count -= removed;
            head.bytes -= bytes;
            head.first = first.unwrap_or(head.last + 1);
            self.set_head(key, head);
        }
        Ok(Outcome::Trimmed { removed })
    }

    pub(super) fn rewrite(
        &mut self,
        key: &StreamKey,
        number: u64,
        body: &Json,
        refs: &[Hash],
    ) -> Result<Outcome> {
        let mut head = self.head(key)?;
        let place = || format!("{} entry {number}", stream_place(key));
        let old = self.ground.entry(key, number)?.ok_or_else(|| {
            Error::new(Kind::NotFound, "there is no entry with this number").at(place())
        })?;
        let refs = self.refer(refs, place)?;
        head.bytes = head.bytes - old.body.len() as u64 + body.len() as u64;
        let (body, rewritten) = (body.clone(), Some(self.time));
        let entry = Entry { body, rewritten, refs, ..(*old).clone() };
        self.ground.rewrite(key, Arc::new(entry));
        self.set_head(key, head);
        self.release(&old.refs);
        Ok(Outcome::Rewritten)
    }

    pub(super) fn drop_stream(&mut self, key: &StreamKey) -> Result<Outcome> {
        let mut refs = Vec::new();
        let existed = self.ground.drop_stream(key, &mut |entry| refs.push(entry.refs.clone()))?;
        if !existed {
            return Ok(Outcome::Dropped { existed });
        }
        for refs in &refs {
            self.release(refs);
        }
        self.ground.tell_dropped_stream(key)?;
        Ok(Outcome::Dropped { existed: true })
    }

    fn head(&self, key: &StreamKey) -> Result<Head> {
        self.ground.head(key).ok_or_else(|| {
            Error::new(Kind::NotFound, "there is no such stream").at(stream_place(key))
        })
    }

    fn set_head(&mut self, key: &StreamKey, mut head: Head) {
        head.updated = self.time;
        self.ground.set_head(key, head);
        self.changed(key);
    }
}
