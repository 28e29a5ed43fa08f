//! Applying a batch to a namespace, in steps that are taken back if one is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::space::{BlobState, Space, StreamKey, Undo};
use super::table::{Rows, Stored};
use crate::driver::{
    Append, Batch, Committed, Entry, Expect, Hash, Head, Known, NewEntry, Operation, Outcome, Put,
    Save,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{BLOBS, Key, NAMESPACES, STREAMS, Turn};

/// The store-wide table `_namespaces`, and the largest version that a deleted record of it had.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) rows: Rows,
    pub(super) floor: u64,
}

/// One commit under way.
pub(super) struct Apply<'a> {
    space: &'a mut Space,
    names: &'a mut Names,
    time: i64,
    turn: Option<Turn>,
    undo: Vec<Undo>,
    undo_names: Vec<(Key, Option<Arc<Stored>>)>,
    streams: BTreeSet<StreamKey>,
    blobs: BTreeSet<Hash>,
    /// Numbers of an append whose entries were all known, and its place: nothing else counts.
    left_out: Option<(usize, Vec<u64>)>,
}

/// Applies the whole batch, or nothing of it.
pub(super) fn batch(
    space: &mut Space,
    names: &mut Names,
    time: i64,
    batch: &Batch,
) -> Result<Committed> {
    let floor = names.floor;
    let mut apply = Apply {
        space,
        names,
        time,
        turn: batch.turn.clone(),
        undo: Vec::new(),
        undo_names: Vec::new(),
        streams: BTreeSet::new(),
        blobs: BTreeSet::new(),
        left_out: None,
    };
    let result = apply.run(batch);
    if result.is_err() || apply.left_out.is_some() {
        apply.take_back(floor);
    }
    let outcomes = result?;
    match apply.left_out {
        None => Ok(Committed { time, replayed: false, outcomes }),
        Some((place, numbers)) => {
            let mut outcomes = vec![Outcome::LeftOut; batch.operations.len()];
            outcomes[place] = Outcome::Appended { numbers };
            Ok(Committed { time, replayed: true, outcomes })
        }
    }
}

impl Apply<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Vec<Outcome>> {
        for (i, expect) in batch.expect.iter().enumerate() {
            self.expect(expect).map_err(|error| error.of_expectation(i))?;
        }
        for (i, operation) in batch.operations.iter().enumerate() {
            if let Operation::Append(append) = operation
                && self.is_known(append)?
            {
                self.left_out = Some((i, self.known_numbers(append)));
                return Ok(Vec::new());
            }
        }
        let mut outcomes = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            outcomes.push(self.operation(operation)?);
        }
        if !batch.operations.is_empty() {
            self.name_namespace(batch)?;
        }
        self.tell_streams()?;
        self.tell_blobs()?;
        Ok(outcomes)
    }

    fn take_back(&mut self, floor: u64) {
        self.space.undo(std::mem::take(&mut self.undo));
        for (key, old) in std::mem::take(&mut self.undo_names).into_iter().rev() {
            self.names.rows.set(&key, old);
        }
        self.names.floor = floor;
    }

    fn rows(&self, name: &str) -> Option<&Rows> {
        if name == NAMESPACES.name { Some(&self.names.rows) } else { self.space.tables.get(name) }
    }

    fn stored(&self, key: &Key) -> Result<Option<&Arc<Stored>>> {
        let name = key.table().name;
        let rows = self.rows(name).ok_or_else(|| super::unknown("table", name))?;
        Ok(rows.get(key))
    }

    fn expect(&self, expect: &Expect) -> Result<()> {
        let fails = |kind, message: &str, place: &dyn std::fmt::Display| {
            Err(Error::new(kind, message).at(place.to_string()))
        };
        match expect {
            Expect::Absent(key) if self.stored(key)?.is_some() => {
                fails(Kind::AlreadyExists, "the record exists already", key)
            }
            Expect::Exists(key) if self.stored(key)?.is_none() => {
                fails(Kind::NotFound, "the record does not exist", key)
            }
            Expect::Version(key, version) => {
                let found = self.stored(key)?.map_or(0, |stored| stored.version);
                if found == *version {
                    return Ok(());
                }
                let message = format!("the record has version {found}, not {version}");
                fails(Kind::Conflict, &message, key)
            }
            Expect::LogEnds(log, stream, last) => {
                let state = self.space.streams.get(&(log.name, stream.clone()));
                let found = state.map_or(0, |state| state.head.last);
                if found == *last {
                    return Ok(());
                }
                let message = format!("the stream ends at {found}, not {last}");
                fails(Kind::Conflict, &message, stream)
            }
            Expect::NoRecord(table, index, value) => {
                let rows =
                    self.rows(table.name).ok_or_else(|| super::unknown("table", table.name))?;
                if rows.has(index, value) {
                    let place = format!("{} {}", table.name, index.name);
                    return fails(Kind::Conflict, "a record has the value", &place);
                }
                Ok(())
            }
            Expect::BlobPresent(hash) if !self.space.blobs.contains_key(hash) => {
                fails(Kind::NotFound, "the blob is not there", &format!("blob {hash}"))
            }
            _ => Ok(()),
        }
    }

    fn operation(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Put(put) => self.put(put),
            Operation::Delete(key) => self.delete(key),
            Operation::Append(append) => self.append(append),
            Operation::Trim { log, stream, before } => {
                self.trim(&(log.name, stream.clone()), *before)
            }
            Operation::Rewrite { log, stream, number, body, refs } => {
                self.rewrite(&(log.name, stream.clone()), *number, body, refs)
            }
            Operation::Drop { log, stream } => Ok(self.drop_stream(&(log.name, stream.clone()))),
            Operation::PutBlob(blob) => {
                let new = !self.space.blobs.contains_key(&blob.hash());
                if new {
                    let unreferenced_since = Some(self.time);
                    let state = BlobState { blob: blob.clone(), references: 0, unreferenced_since };
                    self.space.set_blob(blob.hash(), Some(state), &mut self.undo);
                    self.blobs.insert(blob.hash());
                }
                Ok(Outcome::Kept { new })
            }
            Operation::DropBlob(hash) => self.drop_blob(*hash),
        }
    }

    fn put(&mut self, put: &Put) -> Result<Outcome> {
        let old = self.stored(&put.key)?.cloned();
        match (put.save, &old) {
            (Save::Create, Some(_)) => {
                return Err(Error::new(Kind::AlreadyExists, "the record exists already")
                    .at(put.key.to_string()));
            }
            (Save::At(version), old) if old.as_ref().map_or(0, |o| o.version) != version => {
                let found = old.as_ref().map_or(0, |old| old.version);
                let message = format!("the record has version {found}, not {version}");
                return Err(Error::new(Kind::Conflict, message).at(put.key.to_string()));
            }
            _ => {}
        }
        let refs = self.refer(&put.refs, &put.key)?;
        let named = put.key.table().name == NAMESPACES.name;
        let floor = if named { self.names.floor } else { self.space.floor };
        let version = old.as_ref().map_or(floor, |old| old.version) + 1;
        let stored = Stored {
            key: put.key.clone(),
            body: put.body.clone(),
            fields: put.fields.clone(),
            version,
            turn: self.turn.clone(),
            refs,
        };
        self.set(&put.key, Some(Arc::new(stored)));
        for hash in old.iter().flat_map(|old| &old.refs) {
            self.release(*hash);
        }
        Ok(Outcome::Put { version })
    }

    fn set(&mut self, key: &Key, new: Option<Arc<Stored>>) {
        if key.table().name == NAMESPACES.name {
            let old = self.names.rows.set(key, new);
            self.undo_names.push((key.clone(), old));
        } else {
            self.space.set_record(key, new, &mut self.undo);
        }
    }

    fn delete(&mut self, key: &Key) -> Result<Outcome> {
        let Some(old) = self.stored(key)?.cloned() else {
            return Ok(Outcome::Deleted { existed: false });
        };
        if key.table().name == NAMESPACES.name {
            self.names.floor = self.names.floor.max(old.version);
        } else {
            let floor = self.space.floor.max(old.version);
            self.space.set_floor(floor, &mut self.undo);
        }
        self.set(key, None);
        for hash in &old.refs {
            self.release(*hash);
        }
        Ok(Outcome::Deleted { existed: true })
    }

    fn append(&mut self, append: &Append) -> Result<Outcome> {
        let key = (append.log.name, append.stream.clone());
        self.space.make_stream(&key, self.time, &mut self.undo);
        let head = self.head(&key)?;
        let first = append.start.unwrap_or(head.last + 1);
        if first <= head.last {
            let message = format!("the stream has given the number {first} already");
            return Err(Error::new(Kind::Conflict, message).at(append.stream.to_string()));
        }
        let mut numbers = Vec::with_capacity(append.entries.len());
        for (new, number) in append.entries.iter().zip(first..) {
            self.push(&key, new, number)?;
            numbers.push(number);
        }
        let last = numbers.last().copied().unwrap_or(head.last);
        let bytes: usize = append.entries.iter().map(|entry| entry.body.len()).sum();
        let head = Head {
            first: if head.count == 0 {
                numbers.first().copied().unwrap_or(head.first)
            } else {
                head.first
            },
            last,
            count: head.count + numbers.len() as u64,
            bytes: head.bytes + bytes as u64,
            updated: self.time,
            ..head
        };
        self.set_head(&key, head);
        Ok(Outcome::Appended { numbers })
    }

    fn push(&mut self, key: &StreamKey, new: &NewEntry, number: u64) -> Result<()> {
        if let Some(id) = &new.id
            && self.space.streams.get(key).is_some_and(|stream| stream.ids.contains_key(id))
        {
            return Err(Error::new(Kind::AlreadyExists, "the stream has an entry with this id")
                .at(format!("{} {:?} entry {id:?}", key.0, key.1)));
        }
        let refs = self.refer(&new.refs, &key.1)?;
        let entry = Entry {
            stream: key.1.clone(),
            number,
            id: new.id.clone(),
            body: new.body.clone(),
            time: self.time,
            turn: self.turn.clone(),
            rewritten: None,
            refs,
        };
        self.space.push(key, Arc::new(entry), &mut self.undo);
        Ok(())
    }

    /// True when all entries of an append that allows it are there with equal bodies.
    fn is_known(&self, append: &Append) -> Result<bool> {
        let key = (append.log.name, append.stream.clone());
        let Some(stream) = self.space.streams.get(&key) else { return Ok(false) };
        if append.known == Known::Refuse || append.entries.is_empty() {
            return Ok(false);
        }
        let mut known = 0;
        for new in &append.entries {
            let number = new.id.as_ref().and_then(|id| stream.ids.get(id));
            let Some(old) = number.and_then(|number| stream.entry(*number)) else { continue };
            if old.body != new.body {
                return Err(Error::new(
                    Kind::IdempotencyConflict,
                    "the entry is there with another body",
                )
                .at(format!("{} {:?} entry {:?}", key.0, key.1, old.id)));
            }
            known += 1;
        }
        Ok(known == append.entries.len())
    }

    fn known_numbers(&self, append: &Append) -> Vec<u64> {
        let stream = self.space.streams.get(&(append.log.name, append.stream.clone()));
        let number = |entry: &NewEntry| stream?.ids.get(entry.id.as_ref()?).copied();
        append.entries.iter().filter_map(number).collect()
    }

    fn head(&self, key: &StreamKey) -> Result<Head> {
        let stream = self.space.streams.get(key);
        stream.map(|stream| stream.head.clone()).ok_or_else(|| {
            Error::new(Kind::NotFound, "there is no such stream")
                .at(format!("{} {:?}", key.0, key.1))
        })
    }

    fn set_head(&mut self, key: &StreamKey, head: Head) {
        self.space.set_head(key, head, &mut self.undo);
        self.streams.insert(key.clone());
    }

    fn trim(&mut self, key: &StreamKey, before: u64) -> Result<Outcome> {
        let mut head = self.head(key)?;
        let mut removed = 0;
        while let Some(first) = self.space.streams.get(key).and_then(|s| s.entries.front())
            && first.number < before
        {
            let Some(entry) = self.space.pop_front(key, &mut self.undo) else { break };
            head.count -= 1;
            head.bytes -= entry.body.len() as u64;
            removed += 1;
            for hash in &entry.refs {
                self.release(*hash);
            }
        }
        if removed > 0 {
            let first = self.space.streams.get(key).and_then(|s| s.entries.front());
            head.first = first.map_or(head.last + 1, |entry| entry.number);
            head.updated = self.time;
            self.set_head(key, head);
        }
        Ok(Outcome::Trimmed { removed })
    }

    fn rewrite(
        &mut self,
        key: &StreamKey,
        number: u64,
        body: &Json,
        refs: &[Hash],
    ) -> Result<Outcome> {
        let mut head = self.head(key)?;
        let old = self.space.streams.get(key).and_then(|stream| stream.entry(number)).cloned();
        let old = old.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no entry {number}"))
                .at(format!("{} {:?}", key.0, key.1))
        })?;
        let refs = self.refer(refs, &key.1)?;
        let (body, rewritten) = (body.clone(), Some(self.time));
        head.bytes = head.bytes - old.body.len() as u64 + body.len() as u64;
        head.updated = self.time;
        let entry = Entry { body, rewritten, refs, ..(*old).clone() };
        self.space.rewrite(key, Arc::new(entry), &mut self.undo);
        self.set_head(key, head);
        for hash in &old.refs {
            self.release(*hash);
        }
        Ok(Outcome::Rewritten)
    }

    fn drop_stream(&mut self, key: &StreamKey) -> Outcome {
        let Some(stream) = self.space.streams.get(key) else {
            return Outcome::Dropped { existed: false };
        };
        let refs: Vec<Hash> =
            stream.entries.iter().flat_map(|entry| entry.refs.iter().copied()).collect();
        self.space.drop_stream(key, &mut self.undo);
        self.streams.insert(key.clone());
        for hash in refs {
            self.release(hash);
        }
        Outcome::Dropped { existed: true }
    }

    fn drop_blob(&mut self, hash: Hash) -> Result<Outcome> {
        let Some(state) = self.space.blobs.get(&hash) else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if state.references > 0 {
            let message = format!("{} record(s) or entries refer to the blob", state.references);
            return Err(Error::new(Kind::Conflict, message).at(format!("blob {hash}")));
        }
        self.space.set_blob(hash, None, &mut self.undo);
        self.blobs.insert(hash);
        Ok(Outcome::BlobDropped { existed: true })
    }

    /// Counts a reference to each blob once; answers them distinct and in order.
    fn refer(&mut self, refs: &[Hash], place: &dyn std::fmt::Display) -> Result<Vec<Hash>> {
        let distinct: BTreeSet<Hash> = refs.iter().copied().collect();
        for &hash in &distinct {
            let Some(state) = self.space.blobs.get(&hash) else {
                return Err(Error::new(Kind::NotFound, format!("the blob {hash} is not there"))
                    .at(place.to_string())
                    .advice("keep the blob before, or in the same commit"));
            };
            let state = BlobState {
                references: state.references + 1,
                unreferenced_since: None,
                ..state.clone()
            };
            self.space.set_blob(hash, Some(state), &mut self.undo);
            self.blobs.insert(hash);
        }
        Ok(distinct.into_iter().collect())
    }

    fn release(&mut self, hash: Hash) {
        let Some(state) = self.space.blobs.get(&hash) else { return };
        let references = state.references.saturating_sub(1);
        let unreferenced_since = (references == 0).then_some(self.time);
        let state = BlobState { references, unreferenced_since, ..state.clone() };
        self.space.set_blob(hash, Some(state), &mut self.undo);
        self.blobs.insert(hash);
    }

    /// The record of the namespace comes into being with its first commit, and cannot go while
    /// the namespace holds anything.
    fn name_namespace(&mut self, batch: &Batch) -> Result<()> {
        let mut kept = true;
        for operation in &batch.operations {
            match operation {
                Operation::Delete(key) if key.table().name == NAMESPACES.name => {
                    if key.first() != batch.namespace.as_str() {
                        return Err(Error::new(Kind::InvalidInput, "it is another namespace")
                            .at(key.to_string())
                            .advice("delete a namespace in a commit of its own namespace"));
                    }
                    kept = false;
                }
                _ => {}
            }
        }
        let key = Key::new(&NAMESPACES, [batch.namespace.as_str()])?;
        if !kept && !self.space.is_empty() {
            return Err(Error::new(Kind::Conflict, "the namespace still holds something")
                .at(key.to_string())
                .retryable(false)
                .advice("delete what it holds first"));
        }
        if kept && self.names.rows.get(&key).is_none() {
            self.put(&Put::new(key, Json::parse("{}")?, Save::Any)?)?;
        }
        Ok(())
    }

    fn tell_streams(&mut self) -> Result<()> {
        for key in std::mem::take(&mut self.streams) {
            let record = Key::new(&STREAMS, [key.0, key.1.as_str()])?;
            let head = self.space.streams.get(&key).map(|stream| stream.head.clone());
            match head {
                Some(head) => self.tell(record, super::stream_body(key.0, &key.1, &head))?,
                None => drop(self.delete(&record)?),
            }
        }
        Ok(())
    }

    fn tell_blobs(&mut self) -> Result<()> {
        for hash in std::mem::take(&mut self.blobs) {
            let record = Key::new(&BLOBS, [hash.to_hex().as_str()])?;
            match self.space.blobs.get(&hash) {
                Some(state) => {
                    let body = super::blob_body(hash, state);
                    self.tell(record, body)?;
                }
                None => drop(self.delete(&record)?),
            }
        }
        Ok(())
    }

    /// Writes a record of a built-in table, which carries no turn.
    fn tell(&mut self, key: Key, body: Json) -> Result<()> {
        let turn = self.turn.take();
        let result = self.put(&Put::new(key, body, Save::Any)?);
        self.turn = turn;
        result.map(|_| ())
    }
}
