//! Operations on streams.

use std::sync::Arc;

use super::commit::Commit;
use super::space::{StreamKey, StreamState, stream_place};
use crate::driver::{Append, Entry, Hash, Head, NewEntry, Outcome};
use crate::error::{Error, Kind, Result};
use crate::json::Json;

impl Commit<'_> {
    pub(super) fn append(&mut self, append: &Append) -> Result<Outcome> {
        let key = self.steps.space().key(append.log, &append.stream)?;
        let new = self.steps.stream(&key).is_none();
        if new {
            self.steps.make_stream(&key, self.time);
        }
        let head = self.head(&key)?;
        let numbers = append.numbers(head.last)?;
        let mut bytes = 0;
        for (entry, &number) in append.entries.iter().zip(&numbers) {
            self.push(&key, entry, number)?;
            bytes += entry.body.len() as u64;
        }
        if let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) {
            let count = head.count + numbers.len() as u64;
            let first = if head.count == 0 { first } else { head.first };
            let bytes = head.bytes + bytes;
            self.set_head(&key, Head { first, last, count, bytes, ..head });
        }
        if new {
            self.changed_streams.insert(key);
        }
        self.made = true;
        Ok(Outcome::Appended { numbers })
    }

    fn push(&mut self, key: &StreamKey, new: &NewEntry, number: u64) -> Result<()> {
        let place = || {
            let id = new.id.iter().map(|id| format!(" entry {id:?}"));
            stream_place(key) + &id.collect::<String>()
        };
        let stream = self.steps.stream(key);
        if new.id.as_ref().is_some_and(|id| stream.is_some_and(|s| s.ids.contains_key(id))) {
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
        self.steps.push(key, Arc::new(entry));
        Ok(())
    }

    /// The numbers of an append's entries, when all are known with equal bodies.
    pub(super) fn known(&self, append: &Append) -> Result<Option<Vec<u64>>> {
        let key = self.steps.space().key(append.log, &append.stream)?;
        let Some(stream) = self.steps.stream(&key) else { return Ok(None) };
        let mut numbers = Vec::new();
        for new in &append.entries {
            let Some(old) = new.id.as_ref().and_then(|id| stream.by_id(id)) else { continue };
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
        Ok((numbers.len() == append.entries.len()).then_some(numbers))
    }

    pub(super) fn trim(&mut self, key: &StreamKey, before: u64) -> Result<Outcome> {
        let mut head = self.head(key)?;
        let mut removed = 0;
        while let Some(entry) = self.steps.trim_one(key, before) {
            head.count -= 1;
            head.bytes -= entry.body.len() as u64;
            removed += 1;
            self.release(&entry.refs);
        }
        if removed > 0 {
            head.first = self.steps.stream(key).map_or(head.first, StreamState::first);
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
        let old = self.steps.stream(key).and_then(|stream| stream.entry(number)).cloned();
        let old = old.ok_or_else(|| {
            Error::new(Kind::NotFound, "there is no entry with this number").at(place())
        })?;
        let refs = self.refer(refs, place)?;
        head.bytes = head.bytes - old.body.len() as u64 + body.len() as u64;
        let (body, rewritten) = (body.clone(), Some(self.time));
        let entry = Entry { body, rewritten, refs, ..(*old).clone() };
        self.steps.rewrite(key, Arc::new(entry));
        self.set_head(key, head);
        self.release(&old.refs);
        Ok(Outcome::Rewritten)
    }

    pub(super) fn drop_stream(&mut self, key: &StreamKey) -> Result<Outcome> {
        let Some(stream) = self.steps.drop_stream(key) else {
            return Ok(Outcome::Dropped { existed: false });
        };
        for entry in &stream.entries {
            self.release(&entry.refs);
        }
        self.tell_dropped_stream(key)?;
        Ok(Outcome::Dropped { existed: true })
    }

    fn head(&self, key: &StreamKey) -> Result<Head> {
        self.steps.stream(key).map(|stream| stream.head.clone()).ok_or_else(|| {
            Error::new(Kind::NotFound, "there is no such stream").at(stream_place(key))
        })
    }

    fn set_head(&mut self, key: &StreamKey, mut head: Head) {
        head.updated = self.time;
        self.steps.set_head(key, head);
        self.changed_streams.insert(key.clone());
    }
}
