//! Applying a batch on the writer's connection, within a transaction that the writer opened.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::rows::{self, Indexed, damaged, refs_text, signed};
use super::statements::{HEAD, LogSql, Sql, TableSql};
use crate::driver::{
    Append, Batch, Committed, Entry, Expect, Find, Hash, Head, Known, NewEntry, Operation, Outcome,
    Put, Save,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{FieldValue, Key, Log, NAMESPACES, Namespace, STREAMS, Stream, Table};

/// Why a batch did not go through.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is refused; the transaction can go on without it.
    Refused(Error),
    /// SQLite failed; the transaction is lost.
    Failed(rusqlite::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

type Outcomes<T> = std::result::Result<T, Stop>;

/// A stream's row.
#[derive(Debug, Clone)]
struct StreamRow {
    no: i64,
    head: Head,
    version: u64,
    changed: bool,
}

/// One batch under way.
pub(super) struct Apply<'a> {
    connection: &'a Connection,
    sql: &'a Sql,
    namespace: &'a Namespace,
    turn: Option<&'a str>,
    time: i64,
    /// Streams that the batch touches, written once at the end.
    streams: BTreeMap<(&'static str, Stream), Option<StreamRow>>,
    floor: Option<u64>,
}

/// Applies the batch; what it answers is true once the transaction has been committed.
pub(super) fn batch(
    connection: &Connection,
    sql: &Sql,
    batch: &Batch,
    time: i64,
) -> Outcomes<Committed> {
    let mut apply = Apply {
        connection,
        sql,
        namespace: &batch.namespace,
        turn: batch.turn.as_ref().map(crate::schema::Turn::as_str),
        time,
        streams: BTreeMap::new(),
        floor: None,
    };
    let digest = batch.operation.as_ref().map(|_| batch.digest());
    if let (Some(operation), Some(digest)) = (&batch.operation, digest)
        && let Some(known) =
            super::operations::known(connection, &batch.namespace, operation, &digest)?
    {
        return Ok(known);
    }
    for (i, expect) in batch.expect.iter().enumerate() {
        apply.expect(expect).map_err(|stop| match stop {
            Stop::Refused(error) => Stop::Refused(error.of_expectation(i)),
            failed @ Stop::Failed(_) => failed,
        })?;
    }
    if let Some(left_out) = apply.left_out(batch)? {
        return Ok(Committed { time, replayed: true, outcomes: left_out });
    }
    let mut outcomes = Vec::with_capacity(batch.operations.len());
    for operation in &batch.operations {
        outcomes.push(apply.operation(operation)?);
    }
    if !batch.operations.is_empty() {
        apply.name_namespace(batch)?;
    }
    apply.write_heads()?;
    let committed = Committed { time, replayed: false, outcomes };
    if let (Some(operation), Some(digest)) = (&batch.operation, digest) {
        super::operations::keep(connection, &batch.namespace, operation, &digest, &committed)?;
    }
    Ok(committed)
}

impl Apply<'_> {
    fn table(&self, table: &Table) -> Result<&TableSql> {
        self.sql.tables.get(table.name).ok_or_else(|| unknown("table", table.name))
    }

    fn log(&self, log: &Log) -> Result<&LogSql> {
        self.sql.logs.get(log.name).ok_or_else(|| unknown("log", log.name))
    }

    fn version(&self, key: &Key) -> Outcomes<u64> {
        let sql = &self.table(key.table())?.version;
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = with_key(self.namespace, key, |key| {
            statement.query_row(key, |row| row.get::<_, i64>(0)).optional()
        })?;
        Ok(found.unwrap_or(0).cast_unsigned())
    }

    fn expect(&mut self, expect: &Expect) -> Outcomes<()> {
        match expect {
            Expect::Absent(key) if self.exists(key)? => {
                refuse(Kind::AlreadyExists, "the record exists already", key)
            }
            Expect::Exists(key) if !self.exists(key)? => {
                refuse(Kind::NotFound, "the record does not exist", key)
            }
            Expect::Version(key, version) => {
                let found = self.any_version(key)?;
                if found == *version {
                    return Ok(());
                }
                let message = format!("the record has version {found}, not {version}");
                refuse(Kind::Conflict, &message, key)
            }
            Expect::LogEnds(log, stream, last) => {
                let found = self.stream(log, stream)?.map_or(0, |row| row.head.last);
                if found == *last {
                    return Ok(());
                }
                refuse(Kind::Conflict, &format!("the stream ends at {found}, not {last}"), stream)
            }
            Expect::NoRecord(table, index, value) => {
                let find = Find::new(table, index).equal(value.clone()).limit(1);
                let found = super::find::find(self.connection, self.namespace, &find)?;
                if found.records.is_empty() {
                    return Ok(());
                }
                let place = format!("{} {}", table.name, index.name);
                refuse(Kind::Conflict, "a record has the value", &place)
            }
            Expect::BlobPresent(hash) if self.blob(*hash)?.is_none() => {
                refuse(Kind::NotFound, "the blob is not there", &format!("blob {hash}"))
            }
            _ => Ok(()),
        }
    }

    fn exists(&mut self, key: &Key) -> Outcomes<bool> {
        Ok(self.any_version(key)? > 0)
    }

    /// The version of a record, built-in tables included; 0 when it is absent.
    fn any_version(&mut self, key: &Key) -> Outcomes<u64> {
        if self.sql.tables.contains_key(key.table().name) {
            return self.version(key);
        }
        let found = super::find::get(self.connection, self.sql, self.namespace, key)?;
        Ok(found.map_or(0, |record| record.version))
    }

    /// What the batch answers when it is left out, because all appends that allow known entries
    /// have nothing but known ones.
    fn left_out(&mut self, batch: &Batch) -> Outcomes<Option<Vec<Outcome>>> {
        let mut outcomes = vec![Outcome::LeftOut; batch.operations.len()];
        let mut known = 0;
        for (outcome, operation) in outcomes.iter_mut().zip(&batch.operations) {
            let Operation::Append(append) = operation else { continue };
            if append.known == Known::Refuse || append.entries.is_empty() {
                continue;
            }
            let Some(numbers) = self.known(append)? else { return Ok(None) };
            *outcome = Outcome::Appended { numbers };
            known += 1;
        }
        Ok((known > 0).then_some(outcomes))
    }

    /// The numbers of an append's entries, when all are known with equal bodies.
    fn known(&mut self, append: &Append) -> Outcomes<Option<Vec<u64>>> {
        let Some(row) = self.stream(append.log, &append.stream)? else { return Ok(None) };
        let mut numbers = Vec::new();
        for new in &append.entries {
            let Some(old) = self.entry_by_id(append, row.no, new)? else { continue };
            if old.body != new.body {
                let place = format!("stream {:?} entry {:?}", append.stream, new.id);
                return refuse(
                    Kind::IdempotencyConflict,
                    "the entry is there with another body",
                    &place,
                );
            }
            numbers.push(old.number);
        }
        Ok((numbers.len() == append.entries.len()).then_some(numbers))
    }

    fn entry_by_id(&self, append: &Append, no: i64, new: &NewEntry) -> Outcomes<Option<Entry>> {
        let Some(id) = &new.id else { return Ok(None) };
        let sql = &self.log(append.log)?.by_id;
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![no, id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(rows::entry(&append.stream, no, row, 0)?))
    }

    fn operation(&mut self, operation: &Operation) -> Outcomes<Outcome> {
        match operation {
            Operation::Put(put) => self.put(put),
            Operation::Delete(key) => self.delete(key),
            Operation::Append(append) => self.append(append),
            Operation::Trim { log, stream, before } => self.trim(log, stream, *before),
            Operation::Rewrite { log, stream, number, body, refs } => {
                self.rewrite(log, stream, *number, body, refs)
            }
            Operation::Drop { log, stream } => self.drop_stream(log, stream),
            Operation::PutBlob(blob) => self.put_blob(blob),
            Operation::DropBlob(hash) => self.drop_blob(*hash),
        }
    }

    /// Version, blobs and body of a record.
    fn old(&self, key: &Key) -> Outcomes<Option<(u64, Vec<Hash>, Json)>> {
        let sql = &self.table(key.table())?.old;
        let mut statement = self.connection.prepare_cached(sql)?;
        let old = with_key(self.namespace, key, |parameters| {
            let mut rows = statement.query(parameters)?;
            rows.next()?
                .map(|row| -> Outcomes<_> {
                    let refs = rows::refs_from(rows::optional_text(row, 1)?)?;
                    Ok((rows::number(row, 0)?, refs, Json::from_stored(rows::text(row, 2)?)?))
                })
                .transpose()
        })?;
        Ok(old)
    }

    fn put(&mut self, put: &Put) -> Outcomes<Outcome> {
        let old = self.old(&put.key)?;
        let found = old.as_ref().map_or(0, |(version, ..)| *version);
        match put.save {
            Save::Create if found > 0 => {
                return refuse(Kind::AlreadyExists, "the record exists already", &put.key);
            }
            Save::At(version) if version != found => {
                let message = format!("the record has version {found}, not {version}");
                return refuse(Kind::Conflict, &message, &put.key);
            }
            _ => {}
        }
        let refs = self.refer(&put.refs, &put.key)?;
        let version = if found > 0 { found + 1 } else { self.floor(put.key.table())? + 1 };
        self.write(put, version, &refs, found > 0)?;
        if let Some((_, _, body)) = &old {
            self.unlist(&put.key, body)?;
        }
        self.list(&put.key, &put.fields)?;
        for hash in old.iter().flat_map(|(_, refs, _)| refs) {
            self.release(*hash)?;
        }
        Ok(Outcome::Put { version })
    }

    fn write(&self, put: &Put, version: u64, refs: &[Hash], exists: bool) -> Outcomes<()> {
        let (key, body) = (&put.key, put.body.as_str());
        let refs = refs_text(refs);
        let sum = rows::record_sum(self.namespace, key, body, version, self.turn, refs.as_deref());
        let version = signed(version);
        let table = self.table(key.table())?;
        let fields: Vec<Indexed<'_>> = key
            .table()
            .fields
            .iter()
            .zip(&put.fields)
            .filter_map(|(field, value)| match value {
                FieldValue::One(value) if !field.many => Some(Indexed(value)),
                _ => None,
            })
            .collect();
        let sql = if exists { &table.update } else { &table.insert };
        let mut statement = self.connection.prepare_cached(sql)?;
        with_key(self.namespace, key, |parameters| {
            let mut all = parameters.to_vec();
            all.extend(fields.iter().map(|field| field as &dyn ToSql));
            all.extend([&version as &dyn ToSql, &self.turn, &refs, &body, &sum]);
            statement.execute(all.as_slice())
        })?;
        Ok(())
    }

    /// The rows of a record in its list indexes.
    fn each_listed(&self, key: &Key, fields: &[FieldValue], insert: bool) -> Outcomes<()> {
        let table = key.table();
        for (index, add, remove) in &self.table(table)?.lists {
            let values: Vec<&FieldValue> = index
                .fields
                .iter()
                .filter_map(|(name, _)| fields.get(table.field(name)?))
                .collect();
            let Some((FieldValue::Many(list), others)) = values.split_first() else { continue };
            let mut statement =
                self.connection.prepare_cached(if insert { add } else { remove })?;
            for value in list {
                let namespace = self.namespace.as_str();
                let mut row: Vec<Box<dyn ToSql + '_>> = vec![Box::new(namespace)];
                row.push(Box::new(Indexed(value)));
                for other in others {
                    if let FieldValue::One(value) = other {
                        row.push(Box::new(Indexed(value)));
                    }
                }
                row.extend(key.parts().map(|part| Box::new(part) as Box<dyn ToSql + '_>));
                statement.execute(rusqlite::params_from_iter(row.iter()))?;
            }
        }
        Ok(())
    }

    fn list(&self, key: &Key, fields: &[FieldValue]) -> Outcomes<()> {
        self.each_listed(key, fields, true)
    }

    fn unlist(&self, key: &Key, body: &Json) -> Outcomes<()> {
        if self.table(key.table())?.lists.is_empty() {
            return Ok(());
        }
        self.each_listed(key, &key.table().extract(body)?, false)
    }

    fn delete(&mut self, key: &Key) -> Outcomes<Outcome> {
        let Some((version, refs, body)) = self.old(key)? else {
            return Ok(Outcome::Deleted { existed: false });
        };
        self.raise_floor(key.table(), version)?;
        self.unlist(key, &body)?;
        let sql = &self.table(key.table())?.delete;
        let mut statement = self.connection.prepare_cached(sql)?;
        with_key(self.namespace, key, |key| statement.execute(key))?;
        for hash in refs {
            self.release(hash)?;
        }
        Ok(Outcome::Deleted { existed: true })
    }

    /// The row of the scope in `_floors`: `_namespaces` has one of its own.
    fn scope(&self, table: &Table) -> &str {
        if table.name == NAMESPACES.name { "" } else { self.namespace.as_str() }
    }

    /// The largest version that a deleted record of the namespace had.
    fn floor(&mut self, table: &Table) -> Outcomes<u64> {
        if let (Some(floor), true) = (self.floor, table.name != NAMESPACES.name) {
            return Ok(floor);
        }
        let sql = "SELECT floor FROM _floors WHERE namespace = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([self.scope(table)], |row| row.get::<_, i64>(0));
        let floor = found.optional()?.unwrap_or(0).cast_unsigned();
        if table.name != NAMESPACES.name {
            self.floor = Some(floor);
        }
        Ok(floor)
    }

    fn raise_floor(&mut self, table: &Table, version: u64) -> Outcomes<()> {
        if self.floor(table)? >= version {
            return Ok(());
        }
        let sql = "INSERT INTO _floors(namespace, floor) VALUES (?1, ?2) \
                   ON CONFLICT(namespace) DO UPDATE SET floor = excluded.floor";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![self.scope(table), signed(version)])?;
        if table.name != NAMESPACES.name {
            self.floor = Some(version);
        }
        Ok(())
    }

    /// The stream's row as this batch leaves it so far.
    fn stream(&mut self, log: &'static Log, stream: &Stream) -> Outcomes<Option<StreamRow>> {
        let place = (log.name, stream.clone());
        if let Some(row) = self.streams.get(&place) {
            return Ok(row.clone());
        }
        let mut statement = self.connection.prepare_cached(HEAD)?;
        let mut rows =
            statement.query(params![self.namespace.as_str(), log.name, stream.as_str()])?;
        let row = match rows.next()? {
            None => None,
            Some(row) => {
                let (head, version) = (rows::head(row, 1)?, rows::number(row, 7)?);
                let sum = rows::head_sum(self.namespace, log.name, stream.as_str(), &head, version);
                if i64::from(sum) != rows::integer(row, 8)? {
                    return Err(damaged(format!("{} {} {stream:?}", STREAMS.name, log.name)).into());
                }
                Some(StreamRow { no: row.get(0)?, head, version, changed: false })
            }
        };
        self.streams.insert(place, row.clone());
        Ok(row)
    }

    fn existing(&mut self, log: &'static Log, stream: &Stream) -> Outcomes<StreamRow> {
        let found = self.stream(log, stream)?;
        found.ok_or_else(|| {
            let place = format!("{} {stream:?}", log.name);
            Stop::Refused(Error::new(Kind::NotFound, "there is no such stream").at(place))
        })
    }

    fn set_stream(
        &mut self,
        log: &'static Log,
        stream: &Stream,
        no: i64,
        head: Head,
        version: u64,
    ) {
        let row = StreamRow { no, head, version, changed: true };
        self.streams.insert((log.name, stream.clone()), Some(row));
    }

    fn append(&mut self, append: &Append) -> Outcomes<Outcome> {
        self.log(append.log)?;
        let row = match self.stream(append.log, &append.stream)? {
            Some(row) => row,
            None => self.make_stream(append.log, &append.stream)?,
        };
        let first = append.start.unwrap_or(row.head.last + 1);
        if first <= row.head.last {
            let message = format!("the stream has given the number {first} already");
            return refuse(Kind::Conflict, &message, &append.stream);
        }
        let mut numbers = Vec::with_capacity(append.entries.len());
        let mut bytes = 0;
        for (new, number) in append.entries.iter().zip(first..) {
            self.insert(append, row.no, new, number)?;
            bytes += new.body.len() as u64;
            numbers.push(number);
        }
        let head = Head {
            first: match numbers.first() {
                Some(&first) if row.head.count == 0 => first,
                _ => row.head.first,
            },
            last: numbers.last().copied().unwrap_or(row.head.last),
            count: row.head.count + numbers.len() as u64,
            bytes: row.head.bytes + bytes,
            updated: self.time,
            ..row.head
        };
        self.set_stream(append.log, &append.stream, row.no, head, row.version);
        Ok(Outcome::Appended { numbers })
    }

    fn insert(&mut self, append: &Append, no: i64, new: &NewEntry, number: u64) -> Outcomes<()> {
        let refs = refs_text(&self.refer(&new.refs, &append.stream)?);
        let (id, body) = (new.id.as_ref().map(crate::schema::EntryId::as_str), new.body.as_str());
        let sum =
            rows::entry_sum(no, number, id, body, self.time, self.turn, None, refs.as_deref());
        let sql = &self.log(append.log)?.insert;
        let mut statement = self.connection.prepare_cached(sql)?;
        let row = params![no, signed(number), id, body, self.time, self.turn, refs, sum];
        match statement.execute(row) {
            Ok(_) => Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                let place = format!("{} {:?} entry {id:?}", append.log.name, append.stream);
                refuse(Kind::AlreadyExists, "the stream has an entry with this id", &place)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn make_stream(&mut self, log: &'static Log, stream: &Stream) -> Outcomes<StreamRow> {
        let birth = uuid::Uuid::new_v4().as_u64_pair().0;
        let head = Head { birth, first: 1, last: 0, count: 0, bytes: 0, updated: self.time };
        let version = self.floor(&STREAMS)?;
        let sql = "INSERT INTO _streams(namespace, log, stream, birth, first, last, count, bytes, \
                   updated, version, crc) VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, 0, 0)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![self.namespace.as_str(), log.name, stream.as_str()])?;
        let no = self.connection.last_insert_rowid();
        self.set_stream(log, stream, no, head.clone(), version);
        Ok(StreamRow { no, head, version, changed: true })
    }

    /// Writes the heads that the batch changed.
    fn write_heads(&mut self) -> Outcomes<()> {
        let sql = "UPDATE _streams SET birth = ?2, first = ?3, last = ?4, count = ?5, bytes = ?6, \
                   updated = ?7, version = ?8, crc = ?9 WHERE no = ?1";
        for ((log, stream), row) in &self.streams {
            let Some(row) = row.as_ref().filter(|row| row.changed) else { continue };
            let (head, version) = (&row.head, row.version + 1);
            let sum = rows::head_sum(self.namespace, log, stream.as_str(), head, version);
            self.connection.prepare_cached(sql)?.execute(params![
                row.no,
                signed(head.birth),
                signed(head.first),
                signed(head.last),
                signed(head.count),
                signed(head.bytes),
                head.updated,
                signed(version),
                sum
            ])?;
        }
        Ok(())
    }

    fn trim(&mut self, log: &'static Log, stream: &Stream, before: u64) -> Outcomes<Outcome> {
        let row = self.existing(log, stream)?;
        let before = before.min(row.head.last + 1);
        self.release_front(log, row.no, before)?;
        let sql = self.log(log)?;
        let (removed, bytes) = self
            .connection
            .prepare_cached(&sql.front)?
            .query_row(params![row.no, signed(before)], |r| {
                Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(1)?.cast_unsigned()))
            })?;
        if removed == 0 {
            return Ok(Outcome::Trimmed { removed });
        }
        let front = params![row.no, signed(before)];
        self.connection.prepare_cached(&sql.delete_front)?.execute(front)?;
        let first: Option<i64> =
            self.connection.prepare_cached(&sql.first)?.query_row([row.no], |r| r.get(0))?;
        let head = Head {
            first: first.map_or(row.head.last + 1, i64::cast_unsigned),
            count: row.head.count - removed,
            bytes: row.head.bytes - bytes,
            updated: self.time,
            ..row.head
        };
        self.set_stream(log, stream, row.no, head, row.version);
        Ok(Outcome::Trimmed { removed })
    }

    /// Releases what the entries below `before` refer to.
    fn release_front(&mut self, log: &Log, no: i64, before: u64) -> Outcomes<()> {
        let mut released = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(&self.log(log)?.refs)?;
            let mut rows = statement.query(params![no, signed(before)])?;
            while let Some(row) = rows.next()? {
                released.extend(rows::refs_from(rows::optional_text(row, 0)?)?);
            }
        }
        released.into_iter().try_for_each(|hash| self.release(hash))
    }

    fn rewrite(
        &mut self,
        log: &'static Log,
        stream: &Stream,
        number: u64,
        body: &Json,
        refs: &[Hash],
    ) -> Outcomes<Outcome> {
        let row = self.existing(log, stream)?;
        let old = {
            let mut statement = self.connection.prepare_cached(&self.log(log)?.by_number)?;
            let mut rows = statement.query(params![row.no, signed(number)])?;
            let Some(entry) = rows.next()? else {
                let place = format!("{} {stream:?}", log.name);
                return refuse(Kind::NotFound, &format!("there is no entry {number}"), &place);
            };
            rows::entry(stream, row.no, entry, 0)?
        };
        let new = refs_text(&self.refer(refs, stream)?);
        let sum = rows::entry_sum(
            row.no,
            number,
            old.id.as_ref().map(crate::schema::EntryId::as_str),
            body.as_str(),
            old.time,
            old.turn.as_ref().map(crate::schema::Turn::as_str),
            Some(self.time),
            new.as_deref(),
        );
        self.connection.prepare_cached(&self.log(log)?.rewrite)?.execute(params![
            row.no,
            signed(number),
            body.as_str(),
            self.time,
            new,
            sum
        ])?;
        let bytes = row.head.bytes - old.body.len() as u64 + body.len() as u64;
        let head = Head { bytes, updated: self.time, ..row.head };
        self.set_stream(log, stream, row.no, head, row.version);
        old.refs.into_iter().try_for_each(|hash| self.release(hash))?;
        Ok(Outcome::Rewritten)
    }

    fn drop_stream(&mut self, log: &'static Log, stream: &Stream) -> Outcomes<Outcome> {
        let Some(row) = self.stream(log, stream)? else {
            return Ok(Outcome::Dropped { existed: false });
        };
        self.release_front(log, row.no, row.head.last + 1)?;
        self.connection.prepare_cached(&self.log(log)?.delete_all)?.execute([row.no])?;
        let sql = "DELETE FROM _streams WHERE no = ?1";
        self.connection.prepare_cached(sql)?.execute([row.no])?;
        self.raise_floor(&STREAMS, row.version)?;
        self.streams.insert((log.name, stream.clone()), None);
        Ok(Outcome::Dropped { existed: true })
    }

    /// The record of the namespace comes into being with its first commit, and cannot go while
    /// the namespace holds anything.
    fn name_namespace(&mut self, batch: &Batch) -> Outcomes<()> {
        let deleted = batch.operations.iter().find_map(|operation| match operation {
            Operation::Delete(key) if key.table().name == NAMESPACES.name => Some(key),
            _ => None,
        });
        if let Some(key) = deleted {
            if key.first() != batch.namespace.as_str() {
                let error = Error::new(Kind::InvalidInput, "it is another namespace");
                return Err(error
                    .at(key.to_string())
                    .advice("delete a namespace in a commit of its own namespace")
                    .into());
            }
            if self.holds_anything()? {
                let error = Error::new(Kind::Conflict, "the namespace still holds something");
                let error = error.retryable(false).advice("delete what it holds first");
                return Err(error.at(key.to_string()).into());
            }
            return Ok(());
        }
        let key = Key::new(&NAMESPACES, [batch.namespace.as_str()])?;
        if self.version(&key)? == 0 {
            self.put(&Put::new(key, Json::parse("{}")?, Save::Any)?)?;
        }
        Ok(())
    }

    fn holds_anything(&self) -> Outcomes<bool> {
        let counts = self.sql.tables.iter().filter(|(name, _)| **name != NAMESPACES.name);
        let counts = counts.map(|(_, table)| table.count.as_str()).chain([
            "SELECT count(*) FROM _streams WHERE namespace = ?1",
            "SELECT count(*) FROM _blobs WHERE namespace = ?1",
        ]);
        for sql in counts {
            let mut statement = self.connection.prepare_cached(sql)?;
            let count: i64 = statement.query_row([self.namespace.as_str()], |row| row.get(0))?;
            if count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Apply<'_> {
    /// How often a blob is referred to, and its version.
    fn blob(&self, hash: Hash) -> Outcomes<Option<(i64, i64)>> {
        let sql = "SELECT reference_count, version FROM _blobs WHERE namespace = ?1 AND hash = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![self.namespace.as_str(), hash.to_hex()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        Ok(found.optional()?)
    }

    fn put_blob(&mut self, blob: &crate::driver::Blob) -> Outcomes<Outcome> {
        let hash = blob.hash();
        if self.blob(hash)?.is_some() {
            return Ok(Outcome::Kept { new: false });
        }
        let (namespace, name) = (self.namespace.as_str(), hash.to_hex());
        let size = signed(blob.bytes().len() as u64);
        let version = signed(self.floor(&crate::schema::BLOBS)? + 1);
        let sql = "INSERT INTO _blobs(namespace, hash, size, reference_count, unreferenced_since, \
                   version) VALUES (?1, ?2, ?3, 0, ?4, ?5)";
        let row = params![namespace, name, size, self.time, version];
        self.connection.prepare_cached(sql)?.execute(row)?;
        let sql = "INSERT INTO _blob_bytes(namespace, hash, bytes) VALUES (?1, ?2, ?3)";
        self.connection.prepare_cached(sql)?.execute(params![namespace, name, blob.bytes()])?;
        Ok(Outcome::Kept { new: true })
    }

    fn drop_blob(&mut self, hash: Hash) -> Outcomes<Outcome> {
        let Some((references, version)) = self.blob(hash)? else {
            return Ok(Outcome::BlobDropped { existed: false });
        };
        if references > 0 {
            let message = format!("{references} record(s) or entries refer to the blob");
            return refuse(Kind::Conflict, &message, &format!("blob {hash}"));
        }
        for sql in [
            "DELETE FROM _blobs WHERE namespace = ?1 AND hash = ?2",
            "DELETE FROM _blob_bytes WHERE namespace = ?1 AND hash = ?2",
        ] {
            let row = params![self.namespace.as_str(), hash.to_hex()];
            self.connection.prepare_cached(sql)?.execute(row)?;
        }
        self.raise_floor(&crate::schema::BLOBS, version.cast_unsigned())?;
        Ok(Outcome::BlobDropped { existed: true })
    }

    /// Counts a reference to each blob once; answers them distinct and in order.
    fn refer(&mut self, refs: &[Hash], place: &dyn std::fmt::Display) -> Outcomes<Vec<Hash>> {
        let distinct: BTreeSet<Hash> = refs.iter().copied().collect();
        for hash in &distinct {
            let sql = "UPDATE _blobs SET reference_count = reference_count + 1, \
                       unreferenced_since = NULL, version = version + 1 \
                       WHERE namespace = ?1 AND hash = ?2";
            let row = params![self.namespace.as_str(), hash.to_hex()];
            if self.connection.prepare_cached(sql)?.execute(row)? == 0 {
                let error = Error::new(Kind::NotFound, format!("the blob {hash} is not there"));
                let error = error.at(place.to_string());
                return Err(error.advice("keep the blob before, or in the same commit").into());
            }
        }
        Ok(distinct.into_iter().collect())
    }

    fn release(&mut self, hash: Hash) -> Outcomes<()> {
        let sql = "UPDATE _blobs SET reference_count = reference_count - 1, \
                   unreferenced_since = CASE WHEN reference_count = 1 THEN ?3 END, \
                   version = version + 1 WHERE namespace = ?1 AND hash = ?2";
        let row = params![self.namespace.as_str(), hash.to_hex(), self.time];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

fn refuse<T>(kind: Kind, message: &str, place: &dyn std::fmt::Display) -> Outcomes<T> {
    Err(Stop::Refused(Error::new(kind, message).at(place.to_string())))
}

pub(super) fn unknown(what: &str, name: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the schema has no {what} {name}"))
}

/// Calls `f` with the values of a key's columns.
pub(super) fn with_key<T>(
    namespace: &Namespace,
    key: &Key,
    f: impl FnOnce(&[&dyn ToSql]) -> T,
) -> T {
    let namespace = namespace.as_str();
    let parts: Vec<&str> = key.parts().collect();
    let scope = (key.table().name != NAMESPACES.name).then_some(&namespace as &dyn ToSql);
    let parameters: Vec<&dyn ToSql> =
        scope.into_iter().chain(parts.iter().map(|part| part as &dyn ToSql)).collect();
    f(&parameters)
}
