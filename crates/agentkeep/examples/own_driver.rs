//! A driver of somebody else, from the public trait alone, under the conformance suite.
//!
//! It keeps the whole store in one value. A commit clones that value, works on the clone, and
//! puts it in the place of the old one: so all or nothing comes for free, and everything is slow.
//!
//! `cargo run -p agentkeep --features conformance --example own_driver`

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentkeep::conformance::{Fixture, run};
use agentkeep::driver::{
    Append, Batch, Blob, CheckReport, Committed, Description, Driver, Durability, Entries, Entry,
    Expect, Find, Found, FoundBlob, Hash, Head, Hub, Known, Operation, Outcome, Put, Read, Reader,
    Record, Save, Stretch, Want, Watch, Which,
};
use agentkeep::schema::{
    BLOBS, Key, Log, NAMESPACES, Namespace, Order, STREAMS, Schema, Stream, Table, Value,
};
use agentkeep::{Error, Json, Kind, Result};
use async_trait::async_trait;

type StreamKey = (&'static str, Stream);

#[derive(Debug, Clone, Default)]
struct Space {
    records: BTreeMap<Key, Record>,
    streams: BTreeMap<StreamKey, (Head, u64, Vec<Entry>)>,
    blobs: BTreeMap<Hash, (Blob, u64, Option<i64>)>,
    operations: BTreeMap<String, ([u8; 32], Committed)>,
    floors: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Default)]
struct State {
    spaces: BTreeMap<Namespace, Space>,
    names: BTreeMap<Key, Record>,
    time: i64,
}

/// The driver: `None` once it has been closed.
#[derive(Debug)]
struct OneValue {
    state: Mutex<Option<State>>,
    description: Description,
    hub: Hub,
}

fn fail<T>(kind: Kind, message: &str, place: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(kind, message).at(place.to_string()))
}

/// A commit at work on its own copy.
struct Work<'a> {
    space: &'a mut Space,
    names: &'a mut BTreeMap<Key, Record>,
    batch: &'a Batch,
    time: i64,
    made: bool,
    /// Streams with their versions before the commit.
    versions: BTreeMap<StreamKey, u64>,
}

impl Work<'_> {
    fn run(&mut self) -> Result<Committed> {
        for (i, expect) in self.batch.expect.iter().enumerate() {
            self.expect(expect).map_err(|error| error.of_expectation(i))?;
        }
        if let Some(outcomes) = self.left_out()? {
            return Ok(Committed { time: self.time, replayed: true, outcomes });
        }
        let batch = self.batch;
        let outcomes =
            batch.operations.iter().map(|o| self.operation(o)).collect::<Result<Vec<_>>>()?;
        let name = Key::new(&NAMESPACES, [self.batch.namespace.as_str()])?;
        if self.made && !self.names.contains_key(&name) {
            self.put(&Put::new(name, Json::parse("{}")?, Save::Any)?)?;
        }
        for (key, version) in std::mem::take(&mut self.versions) {
            if let Some(stream) = self.space.streams.get_mut(&key) {
                stream.1 = version + 1;
            }
        }
        Ok(Committed { time: self.time, replayed: false, outcomes })
    }

    fn version(&self, key: &Key) -> Result<u64> {
        let stored = if key.table().name == NAMESPACES.name {
            self.names.get(key).cloned()
        } else {
            self.space.record(key)?
        };
        Ok(stored.map_or(0, |record| record.version))
    }

    fn expect(&self, expect: &Expect) -> Result<()> {
        match expect {
            Expect::Absent(key) if self.version(key)? > 0 => {
                fail(Kind::AlreadyExists, "the record exists already", key)
            }
            Expect::Exists(key) if self.version(key)? == 0 => {
                fail(Kind::NotFound, "the record does not exist", key)
            }
            Expect::Version(key, version) if self.version(key)? != *version => {
                fail(Kind::Conflict, "the record has another version", key)
            }
            Expect::LogEnds(log, stream, last) => {
                let found = self.space.streams.get(&(log.name, stream.clone()));
                if found.map_or(0, |(head, ..)| head.last) == *last {
                    return Ok(());
                }
                fail(Kind::Conflict, "the stream ends elsewhere", stream)
            }
            Expect::NoRecord(table, index, value) => {
                let find = Find::new(table, index).equal(value.clone()).limit(1);
                if self.space.find(self.names, &find)?.records.is_empty() {
                    return Ok(());
                }
                fail(Kind::Conflict, "a record has the value", index.name)
            }
            Expect::BlobPresent(hash) if !self.space.blobs.contains_key(hash) => {
                fail(Kind::NotFound, "the blob is not there", hash)
            }
            _ => Ok(()),
        }
    }

    /// All appends that allow it know all their entries: then the whole batch is left out.
    fn left_out(&self) -> Result<Option<Vec<Outcome>>> {
        let mut outcomes = vec![Outcome::LeftOut; self.batch.operations.len()];
        let (mut known, mut new) = (0, 0);
        for (outcome, operation) in outcomes.iter_mut().zip(&self.batch.operations) {
            let Operation::Append(append) = operation else { continue };
            if append.known == Known::Refuse || append.entries.is_empty() {
                continue;
            }
            let stream = self.space.streams.get(&(append.log.name, append.stream.clone()));
            let mut numbers = Vec::new();
            for entry in &append.entries {
                let old = stream
                    .and_then(|(.., old)| old.iter().find(|o| o.id.is_some() && o.id == entry.id));
                match old {
                    Some(old) if old.body != entry.body => {
                        return fail(Kind::IdempotencyConflict, "another body", &append.stream);
                    }
                    Some(old) => numbers.push(old.number),
                    None => {}
                }
            }
            if numbers.len() == append.entries.len() {
                *outcome = Outcome::Appended { numbers };
                known += 1;
            } else {
                new += 1;
            }
        }
        Ok((known > 0 && new == 0).then_some(outcomes))
    }

    fn operation(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Put(put) => self.put(put).inspect(|_| self.made = true),
            Operation::Delete(key) => self.delete(key),
            Operation::Append(append) => self.append(append),
            Operation::Trim { log, stream, before } => self
                .change(log, stream, |entries, _| {
                    let at = entries.partition_point(|entry| entry.number < *before);
                    Ok((entries.drain(..at).flat_map(|e| e.refs).collect(), at as u64))
                })
                .map(|removed| Outcome::Trimmed { removed }),
            Operation::Rewrite { log, stream, number, body, refs } => {
                let exists = |space: &Space| {
                    let found = space.streams.get(&(log.name, stream.clone()));
                    found.is_some_and(|(.., e)| e.iter().any(|e| e.number == *number))
                };
                if !exists(self.space) {
                    return fail(Kind::NotFound, "there is no such entry", stream);
                }
                let refs = self.refer(refs)?;
                self.change(log, stream, |entries, time| {
                    let mut old = Vec::new();
                    for entry in entries.iter_mut().filter(|entry| entry.number == *number) {
                        old = std::mem::replace(&mut entry.refs, refs.clone());
                        (entry.body, entry.rewritten) = (body.clone(), Some(time));
                    }
                    Ok((old, 0))
                })
                .map(|_| Outcome::Rewritten)
            }
            Operation::Drop { log, stream } => {
                let old = self.space.streams.remove(&(log.name, stream.clone()));
                if let Some((_, version, entries)) = &old {
                    self.versions.remove(&(log.name, stream.clone()));
                    self.raise_floor(STREAMS.name, *version);
                    for entry in entries {
                        self.release(&entry.refs);
                    }
                }
                Ok(Outcome::Dropped { existed: old.is_some() })
            }
            Operation::PutBlob(blob) => {
                let new = !self.space.blobs.contains_key(&blob.hash());
                if new {
                    self.made = true;
                    self.space.blobs.insert(blob.hash(), (blob.clone(), 0, Some(self.time)));
                }
                Ok(Outcome::Kept { new })
            }
            Operation::DropBlob(hash) => match self.space.blobs.get(hash) {
                Some((_, count, _)) if *count > 0 => fail(Kind::Conflict, "it is in use", hash),
                found => {
                    let existed = found.is_some();
                    self.space.blobs.remove(hash);
                    Ok(Outcome::BlobDropped { existed })
                }
            },
            _ => fail(Kind::Unsupported, "an operation of a newer agentkeep", "batch"),
        }
    }

    fn raise_floor(&mut self, table: &'static str, version: u64) {
        let floor = self.space.floors.entry(floor_of(table)).or_default();
        *floor = version.max(*floor);
    }

    fn own_name(&self, key: &Key) -> Result<bool> {
        let names = key.table().name == NAMESPACES.name;
        if names && key.first() != self.batch.namespace.as_str() {
            return fail(Kind::InvalidInput, "it is the record of another namespace", key);
        }
        Ok(names)
    }

    fn put(&mut self, put: &Put) -> Result<Outcome> {
        let names = self.own_name(&put.key)?;
        let found = self.version(&put.key)?;
        match put.save {
            Save::Create if found > 0 => {
                return fail(Kind::AlreadyExists, "the record exists already", &put.key);
            }
            Save::At(version) if version != found => {
                return fail(Kind::Conflict, "the record has another version", &put.key);
            }
            _ => {}
        }
        let floor = self.space.floors.get(floor_of(put.key.table().name)).copied();
        let version = if found > 0 { found } else { floor.unwrap_or(0) } + 1;
        let (key, body) = (put.key.clone(), put.body.clone());
        let (turn, refs) = (self.batch.turn.clone(), self.refer(&put.refs)?);
        let record = Record { key: key.clone(), body, version, turn, refs };
        let records = if names { &mut *self.names } else { &mut self.space.records };
        let old = records.insert(key, record);
        self.release(&old.map(|old| old.refs).unwrap_or_default());
        Ok(Outcome::Put { version })
    }

    fn delete(&mut self, key: &Key) -> Result<Outcome> {
        let names = self.own_name(key)?;
        if names && !self.space.holds_nothing() {
            return fail(Kind::Conflict, "the namespace still holds something", key);
        }
        self.made &= !names;
        let records = if names { &mut *self.names } else { &mut self.space.records };
        let Some(old) = records.remove(key) else {
            return Ok(Outcome::Deleted { existed: false });
        };
        self.raise_floor(key.table().name, old.version);
        self.release(&old.refs);
        Ok(Outcome::Deleted { existed: true })
    }

    fn append(&mut self, append: &Append) -> Result<Outcome> {
        self.made = true;
        let key = (append.log.name, append.stream.clone());
        if !self.space.streams.contains_key(&key) {
            let birth = uuid::Uuid::new_v4().as_u64_pair().0;
            let head = Head { birth, first: 1, last: 0, count: 0, bytes: 0, updated: self.time };
            let floor = self.space.floors.get(STREAMS.name).copied().unwrap_or(0);
            self.space.streams.insert(key.clone(), (head, floor, Vec::new()));
            self.versions.insert(key.clone(), floor);
        }
        let mut refs = Vec::new();
        for entry in &append.entries {
            refs.push(self.refer(&entry.refs)?);
        }
        let turn = self.batch.turn.clone();
        let last = self.space.streams.get(&key).map_or(0, |(head, ..)| head.last);
        let numbers = append.numbers(last)?;
        if append.entries.is_empty() {
            return Ok(Outcome::Appended { numbers });
        }
        self.change(append.log, &append.stream, |entries, time| {
            for ((new, refs), number) in append.entries.iter().zip(refs).zip(&numbers) {
                if new.id.is_some() && entries.iter().any(|entry| entry.id == new.id) {
                    return fail(Kind::AlreadyExists, "the entry is there", &append.stream);
                }
                let (stream, id, body) = (append.stream.clone(), new.id.clone(), new.body.clone());
                let (turn, rewritten) = (turn.clone(), None);
                let number = *number;
                entries.push(Entry { stream, number, id, body, time, turn, rewritten, refs });
            }
            Ok((Vec::new(), 0))
        })?;
        Ok(Outcome::Appended { numbers })
    }

    /// Changes a stream's entries, then its head to fit; releases what the change gives up.
    fn change(
        &mut self,
        log: &Log,
        stream: &Stream,
        change: impl FnOnce(&mut Vec<Entry>, i64) -> Result<(Vec<Hash>, u64)>,
    ) -> Result<u64> {
        let key = (log.name, stream.clone());
        let Some((key, (head, version, entries))) =
            self.space.streams.remove_entry(&key).map(|(_, stream)| (key, stream))
        else {
            return fail(Kind::NotFound, "there is no such stream", stream);
        };
        let mut after = entries.clone();
        let (released, answer) = change(&mut after, self.time)?;
        let changed = after != entries;
        let last = head.last.max(after.last().map_or(0, |entry| entry.number));
        let head = Head {
            birth: head.birth,
            first: after.first().map_or(last + 1, |entry| entry.number),
            last,
            count: after.len() as u64,
            bytes: after.iter().map(|entry| entry.body.len() as u64).sum(),
            updated: if changed { self.time } else { head.updated },
        };
        if changed {
            self.versions.entry(key.clone()).or_insert(version);
        }
        self.space.streams.insert(key, (head, version, after));
        self.release(&released);
        Ok(answer)
    }

    fn refer(&mut self, refs: &[Hash]) -> Result<Vec<Hash>> {
        let distinct: BTreeSet<Hash> = refs.iter().copied().collect();
        for hash in &distinct {
            match self.space.blobs.get_mut(hash) {
                Some((_, count, since)) => (*count, *since) = (*count + 1, None),
                None => return fail(Kind::NotFound, "the blob is not there", hash),
            }
        }
        Ok(distinct.into_iter().collect())
    }

    fn release(&mut self, refs: &[Hash]) {
        for hash in refs {
            if let Some((_, count, since)) = self.space.blobs.get_mut(hash) {
                *count -= 1;
                *since = (*count == 0).then_some(self.time);
            }
        }
    }
}

/// The built-in tables count versions for themselves.
fn floor_of(table: &'static str) -> &'static str {
    if table.starts_with('_') { table } else { "" }
}

fn field(body: &Json, path: &[&str]) -> Option<Json> {
    path.iter().try_fold(body.clone(), |json, step| json.member(step))
}

impl Space {
    fn holds_nothing(&self) -> bool {
        self.records.is_empty() && self.streams.is_empty() && self.blobs.is_empty()
    }

    /// The records of a table; those of the built-in ones are made up when they are asked for.
    fn table(&self, names: &BTreeMap<Key, Record>, table: &'static Table) -> Result<Vec<Record>> {
        let made = |key, body: String, version| {
            let body = Json::parse(&body)?;
            Ok(Record { key, body, version, turn: None, refs: Vec::new() })
        };
        if table.name == STREAMS.name {
            let stream = |((log, name), (h, version, _)): (
                &StreamKey,
                &(Head, u64, Vec<Entry>),
            )| {
                let body = format!(
                    r#"{{"log":"{log}","stream":{},"birth":"{:016x}","first":{},"last":{},"count":{},"bytes":{},"updated":{}}}"#,
                    Json::string(name.as_str()),
                    h.birth,
                    h.first,
                    h.last,
                    h.count,
                    h.bytes,
                    h.updated
                );
                made(Key::new(&STREAMS, [log, name.as_str()])?, body, *version)
            };
            return self.streams.iter().map(stream).collect();
        }
        if table.name == BLOBS.name {
            let blob = |(hash, (blob, count, since)): (&Hash, &(Blob, u64, Option<i64>))| {
                let since = since.map(|since| format!(r#","unreferencedSince":{since}"#));
                let body = format!(
                    r#"{{"hash":"{hash}","size":{},"references":{count}{}}}"#,
                    blob.bytes().len(),
                    since.unwrap_or_default()
                );
                made(Key::new(&BLOBS, [hash.to_hex().as_str()])?, body, 1)
            };
            return self.blobs.iter().map(blob).collect();
        }
        let records = if table.name == NAMESPACES.name { names } else { &self.records };
        Ok(records.values().filter(|r| r.key.table().name == table.name).cloned().collect())
    }

    fn record(&self, key: &Key) -> Result<Option<Record>> {
        if key.table().name.starts_with('_') {
            let all = self.table(&BTreeMap::new(), key.table())?;
            return Ok(all.into_iter().find(|record| record.key == *key));
        }
        Ok(self.records.get(key).cloned())
    }

    fn find(&self, names: &BTreeMap<Key, Record>, find: &Find) -> Result<Found> {
        find.validate()?;
        let mut places: Vec<(Vec<u8>, Vec<Value>, Record)> = Vec::new();
        for record in self.table(names, find.table)? {
            for values in values(find, &record) {
                let next = values.get(find.equal.len()).cloned().unwrap_or(Value::Missing);
                let ranged = find.range != (Bound::Unbounded, Bound::Unbounded);
                let range = (find.range.0.as_ref(), find.range.1.as_ref());
                let inside = std::ops::RangeBounds::<Value>::contains(&range, &next);
                if values.starts_with(&find.equal) && (!ranged || inside) {
                    places.push((
                        place(find, &values, record.key.encoded()),
                        values,
                        record.clone(),
                    ));
                }
            }
        }
        places.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(after) = &find.after {
            let at = place(find, after.values(), after.key());
            places.retain(|(place, ..)| if find.reverse { *place < at } else { *place > at });
        }
        if find.reverse {
            places.reverse();
        }
        let more = places.len() > find.limit;
        places.truncate(find.limit);
        let last = places.last().filter(|_| more);
        let next = last.map(|(_, values, record)| find.continuation(values.clone(), &record.key));
        Ok(Found { records: places.into_iter().map(|(.., record)| record).collect(), next })
    }

    fn read(&self, read: &Read) -> Result<Entries> {
        read.validate()?;
        let stream = |name: &Stream| self.streams.get(&(read.log.name, name.clone()));
        let (mut heads, mut entries) = (Vec::new(), Vec::new());
        match &read.which {
            Which::Stretches(stretches) => {
                for Stretch { stream: name, from, to } in stretches {
                    let found = stream(name);
                    heads.push(found.map(|(head, ..)| head.clone()));
                    let all = found.map(|(.., entries)| entries.as_slice()).unwrap_or_default();
                    entries.extend(all.iter().filter(|e| (*from..=*to).contains(&e.number)));
                }
            }
            Which::Ids(ids) => entries.extend(ids.iter().filter_map(|(name, id)| {
                stream(name)?.2.iter().find(|entry| entry.id.as_ref() == Some(id))
            })),
            Which::Turn(turn) => {
                let all = self.streams.iter().filter(|((log, _), _)| *log == read.log.name);
                let all = all.flat_map(|(_, (.., entries))| entries);
                entries.extend(all.filter(|entry| entry.turn.as_ref() == Some(turn)));
            }
            _ => return fail(Kind::Unsupported, "a read of a newer agentkeep", "read"),
        }
        if read.reverse {
            entries.reverse();
        }
        let more = entries.len() > read.limit;
        let entries = entries.into_iter().take(read.limit).cloned().collect();
        Ok(Entries { entries, heads, more })
    }
}

/// The values that a record has in an index, once for each of its places.
fn values(find: &Find, record: &Record) -> Vec<Vec<Value>> {
    if find.index.name == "turn" {
        return record.turn.iter().map(|turn| vec![Value::text(turn.as_str())]).collect();
    }
    let declared = |name: &str| find.table.fields.iter().find(|field| field.name == name);
    let unless = find.index.unless.and_then(declared);
    let unless = unless.and_then(|declared| field(&record.body, declared.path));
    if unless.is_some_and(|value| Value::of_json(value.as_str()) != Value::Missing) {
        return Vec::new();
    }
    let mut places = vec![Vec::new()];
    for (name, _) in find.index.fields {
        let Some(declared) = declared(name) else { return Vec::new() };
        let value = field(&record.body, declared.path);
        let mut here: Vec<Value> = if declared.many {
            value.iter().flat_map(Json::elements).map(|e| Value::of_json(e.as_str())).collect()
        } else {
            vec![value.map_or(Value::Missing, |value| Value::of_json(value.as_str()))]
        };
        here.sort();
        here.dedup();
        let with = |place: &Vec<Value>| -> Vec<Vec<Value>> {
            here.iter()
                .map(|value| [place.as_slice(), std::slice::from_ref(value)].concat())
                .collect()
        };
        places = places.iter().flat_map(with).collect();
    }
    places
}

/// Bytes in the order of the index: agentkeep's own encoding, then the key.
fn place(find: &Find, values: &[Value], key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (value, (_, order)) in values.iter().zip(find.index.fields) {
        value.encode(*order == Order::Descending, &mut bytes);
    }
    bytes.extend(key.as_bytes());
    bytes
}

impl OneValue {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(
        &self,
        namespace: &Namespace,
        look: impl FnOnce(&Space, &State) -> Result<T>,
    ) -> Result<T> {
        let guard = self.state();
        let Some(state) = guard.as_ref() else { return fail(Kind::Closed, "closed", "store") };
        look(state.spaces.get(namespace).unwrap_or(&Space::default()), state)
    }
}

#[async_trait]
impl Reader for OneValue {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.look(namespace, |space, state| {
            let one = |key: &Key| {
                let names = key.table().name == NAMESPACES.name;
                if names { Ok(state.names.get(key).cloned()) } else { space.record(key) }
            };
            keys.iter().map(one).collect()
        })
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        self.look(namespace, |space, state| space.find(&state.names, find))
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        self.look(namespace, |space, _| space.read(read))
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        self.look(namespace, |space, _| {
            let found = |(blob, ..): &(Blob, u64, Option<i64>)| match want {
                Want::Presence => FoundBlob::Present,
                Want::Bytes => FoundBlob::Bytes(blob.clone()),
            };
            Ok(hashes.iter().map(|hash| space.blobs.get(hash).map(found)).collect())
        })
    }
}

#[async_trait]
impl Driver for OneValue {
    async fn commit(&self, batch: Batch) -> Result<Committed> {
        batch.validate()?;
        let mut guard = self.state();
        let Some(state) = guard.as_mut() else { return fail(Kind::Closed, "closed", "store") };
        let mut next = state.clone();
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        next.time = next
            .time
            .max(elapsed.map_or(0, |time| time.as_millis().try_into().unwrap_or(i64::MAX)));
        let (time, names) = (next.time, &mut next.names);
        let space = next.spaces.entry(batch.namespace.clone()).or_default();
        if let Some(operation) = &batch.operation
            && let Some((digest, first)) = space.operations.get(operation.as_str())
        {
            if *digest != batch.digest() {
                return fail(
                    Kind::IdempotencyConflict,
                    "the id stands for another commit",
                    operation,
                );
            }
            return Ok(Committed { replayed: true, ..first.clone() });
        }
        let versions = BTreeMap::new();
        let mut work = Work { space, names, batch: &batch, time, made: false, versions };
        let committed = work.run()?;
        if let Some(operation) = &batch.operation {
            let known = (batch.digest(), committed.clone());
            work.space.operations.insert(operation.as_str().to_owned(), known);
        }
        *state = next;
        if !committed.replayed {
            self.hub.committed(&batch);
        }
        Ok(committed)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        log: &'static Log,
        stream: Option<&Stream>,
    ) -> Result<Watch> {
        self.look(namespace, |_, _| Ok(self.hub.watch(namespace, log, stream)))
    }

    fn describe(&self) -> &Description {
        &self.description
    }

    async fn check(&self) -> Result<CheckReport> {
        self.look(&Namespace::default(), |_, state| {
            let mut report = CheckReport::default();
            for (namespace, space) in &state.spaces {
                report.records += space.records.len() as u64;
                report.streams += space.streams.len() as u64;
                report.entries += space.streams.values().map(|s| s.2.len() as u64).sum::<u64>();
                report.blobs += space.blobs.len() as u64;
                for (hash, (_, count, _)) in &space.blobs {
                    if *count == 0 {
                        report.due(format!("{namespace:?} blob {hash}"), "nothing refers to it");
                    }
                }
                for ((log, name), (head, _, entries)) in &space.streams {
                    if head.count != entries.len() as u64 {
                        report.damaged(format!("{log} {name:?}"), "its head does not fit");
                    }
                }
            }
            Ok(report)
        })
    }

    async fn close(&self) -> Result<()> {
        *self.state() = None;
        self.hub.close();
        Ok(())
    }
}

struct Mine;

#[async_trait]
impl Fixture for Mine {
    fn name(&self) -> &'static str {
        "one-value"
    }

    async fn open(&self, schema: &'static Schema) -> Result<Arc<dyn Driver>> {
        let description = Description {
            driver: "one-value",
            location: "one-value:".to_owned(),
            durability: Durability::None,
            hints_across_processes: false,
            many_processes: false,
            store_id: "one".to_owned(),
            epoch: 1,
            format: schema.version,
        };
        let (state, hub) = (Mutex::new(Some(State::default())), Hub::default());
        Ok(Arc::new(OneValue { state, description, hub }))
    }

    async fn reopen(&self, _: &'static Schema) -> Result<Option<Arc<dyn Driver>>> {
        Ok(None)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let report = run(Arc::new(Mine)).await;
    println!("{report}");
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
