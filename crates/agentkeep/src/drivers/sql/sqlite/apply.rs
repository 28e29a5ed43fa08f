//! Applying a batch on the writer's connection, within a transaction that the writer opened.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::blobs::BlobRow;
use super::cache::{Cache, StreamRow};
use super::readers::Budget;
use super::statements::{LogSql, Sql, TableSql};
use crate::driver::{Append, Batch, Committed, Expect, Find, Hash, Known, Operation, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Log, NAMESPACES, Namespace, Stream, Table, Turn};

/// Why a batch did not go through.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is refused; the transaction can go on without it.
    Refused(Error),
    /// It is refused, and the transaction, which holds nothing but some of it, is to be taken back.
    Spoiled(Error),
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

pub(super) type Outcomes<T> = std::result::Result<T, Stop>;

/// One batch under way.
pub(super) struct Apply<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sql: &'a Sql,
    pub(super) cache: &'a mut Cache,
    pub(super) namespace: &'a Namespace,
    pub(super) turn: Option<&'a str>,
    pub(super) time: i64,
    /// Streams as the batch leaves them so far; `None` for one that is not there.
    pub(super) streams: BTreeMap<(&'static str, Stream), Option<StreamRow>>,
    /// Blobs' rows likewise, which are written when all is done.
    pub(super) blobs: BTreeMap<Hash, Option<BlobRow>>,
    /// Versions that the batch gave; 0 for what it deleted.
    pub(super) versions: Vec<(Key, u64)>,
    /// Floors that the batch has raised.
    pub(super) floors: BTreeMap<&'static str, u64>,
    /// True when the batch made something, so that the namespace must have its record.
    pub(super) made: bool,
    /// True when the batch deleted the namespace's record.
    pub(super) unnamed: bool,
}

/// Applies the batch, whose digest is given when it has an operation id, or leaves the transaction
/// as it was; what it answers is true once the transaction has been committed. When it is the
/// `first` to write in it, the transaction is to be taken back if the answer is `Spoiled`: for a
/// savepoint, SQLite copies each page that is about to change, and many of them go to a file.
pub(super) fn batch(
    connection: &Connection,
    sql: &Sql,
    cache: &mut Cache,
    batch: &Batch,
    digest: Option<[u8; 32]>,
    time: i64,
    first: bool,
) -> Outcomes<Committed> {
    if let (Some(operation), Some(digest)) = (&batch.operation, digest)
        && let Some(known) =
            super::operations::known(connection, &batch.namespace, operation, &digest)?
    {
        return Ok(known);
    }
    let mut apply = Apply::new(connection, sql, cache, batch, time);
    for (i, expect) in batch.expect.iter().enumerate() {
        apply.expect(expect).map_err(|stop| match stop {
            Stop::Refused(error) => Stop::Refused(error.of_expectation(i)),
            other => other,
        })?;
    }
    if apply.is_single(batch)? {
        // One statement that can be refused, and it is the first: nothing to take back.
        return match apply.all(batch) {
            Ok(outcomes) => Ok(Committed { time, replayed: false, outcomes }),
            Err(stop) => apply.left_out_instead(batch, stop),
        };
    }
    // What was left out is remembered too: the entries may go before the repetition comes.
    let remember = |committed: Committed| {
        if let (Some(operation), Some(digest)) = (&batch.operation, digest) {
            super::operations::keep(connection, &batch.namespace, operation, &digest, &committed)?;
        }
        Ok(committed)
    };
    if let Some(outcomes) = apply.left_out(batch)? {
        return remember(Committed { time, replayed: true, outcomes });
    }
    let mut all = || {
        let outcomes = apply.all(batch)?;
        remember(Committed { time, replayed: false, outcomes })
    };
    if first {
        return all().map_err(|stop| match stop {
            Stop::Refused(error) => Stop::Spoiled(error),
            other => other,
        });
    }
    run(connection, "SAVEPOINT batch")?;
    let done = all();
    if let Err(Stop::Refused(_)) = &done {
        run(connection, "ROLLBACK TO batch")?;
    }
    if !matches!(done, Err(Stop::Failed(_))) {
        run(connection, "RELEASE batch")?;
    }
    done
}

/// Runs a statement without parameters.
pub(super) fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

impl<'a> Apply<'a> {
    fn new(
        connection: &'a Connection,
        sql: &'a Sql,
        cache: &'a mut Cache,
        batch: &'a Batch,
        time: i64,
    ) -> Self {
        Self {
            connection,
            sql,
            cache,
            namespace: &batch.namespace,
            turn: batch.turn.as_ref().map(Turn::as_str),
            time,
            streams: BTreeMap::new(),
            blobs: BTreeMap::new(),
            versions: Vec::new(),
            floors: BTreeMap::new(),
            made: false,
            unnamed: false,
        }
    }

    /// All operations; then what they did is what the writer knows.
    fn all(&mut self, batch: &Batch) -> Outcomes<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            outcomes.push(self.operation(operation)?);
        }
        self.name_namespace()?;
        self.write_blobs()?;
        for ((log, stream), mut row) in std::mem::take(&mut self.streams) {
            if let Some(row) = row.as_mut().filter(|row| row.changed) {
                row.version += 1;
            }
            self.cache.set_stream(self.namespace, log, stream, row);
        }
        for (hash, row) in std::mem::take(&mut self.blobs) {
            self.cache.set_blob(self.namespace, hash, row);
        }
        for (table, floor) in std::mem::take(&mut self.floors) {
            self.cache.set_floor(self.namespace, table, Some(floor));
        }
        for (key, version) in std::mem::take(&mut self.versions) {
            self.cache.set_version(self.namespace, key, version);
        }
        Ok(outcomes)
    }

    /// True for the append of one entry to a stream that is there, alone in its batch: by far the
    /// most frequent commit.
    fn is_single(&mut self, batch: &Batch) -> Outcomes<bool> {
        let [Operation::Append(Append { log, stream, entries, .. })] = batch.operations.as_slice()
        else {
            return Ok(false);
        };
        Ok(batch.operation.is_none()
            && entries.len() == 1
            && entries.iter().all(|entry| entry.refs.is_empty())
            && self.cache.is_named(self.namespace)
            && self.stream(log, stream)?.is_some())
    }

    /// A single append that was refused may be one whose entry is known.
    fn left_out_instead(&mut self, batch: &Batch, stop: Stop) -> Outcomes<Committed> {
        if !matches!(stop, Stop::Refused(_)) {
            return Err(stop);
        }
        match self.left_out(batch)? {
            Some(outcomes) => Ok(Committed { time: self.time, replayed: true, outcomes }),
            None => Err(stop),
        }
    }

    pub(super) fn table(&self, table: &Table) -> Result<&TableSql> {
        self.sql.tables.get(table.name).ok_or_else(|| unknown("table", table.name))
    }

    pub(super) fn log(&self, log: &Log) -> Result<&LogSql> {
        self.sql.logs.get(log.name).ok_or_else(|| unknown("log", log.name))
    }

    pub(super) fn version(&mut self, key: &Key) -> Outcomes<u64> {
        if let Some(version) = self.cache.version(self.namespace, key) {
            return Ok(version);
        }
        let sql = &self.table(key.table())?.version;
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = with_key(self.namespace, key, |key| {
            statement.query_row(key, |row| row.get::<_, i64>(0)).optional()
        })?;
        let version = found.unwrap_or(0).cast_unsigned();
        self.cache.set_version(self.namespace, key.clone(), version);
        Ok(version)
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
                self.cache.flush(self.connection)?;
                let find = Find::new(table, index).equal(value.clone()).limit(1);
                let found = super::find::find(
                    self.connection,
                    self.sql,
                    self.namespace,
                    &find,
                    &Budget::endless(),
                )?;
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
        self.cache.flush(self.connection)?;
        let found = super::find::get(self.connection, self.sql, self.namespace, key)?;
        Ok(found.map_or(0, |record| record.version))
    }

    /// What the batch answers when it is left out, because all appends that allow known entries
    /// have nothing but known ones.
    fn left_out(&mut self, batch: &Batch) -> Outcomes<Option<Vec<Outcome>>> {
        let mut outcomes = vec![Outcome::LeftOut; batch.operations.len()];
        let (mut known, mut new) = (0, 0);
        for (outcome, operation) in outcomes.iter_mut().zip(&batch.operations) {
            let Operation::Append(append) = operation else { continue };
            if append.known == Known::Refuse || append.entries.is_empty() {
                continue;
            }
            // All of them are looked at: a different body is told whatever the others are.
            match self.known(append)? {
                Some(numbers) => {
                    *outcome = Outcome::Appended { numbers };
                    known += 1;
                }
                None => new += 1,
            }
        }
        Ok((known > 0 && new == 0).then_some(outcomes))
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
}

pub(super) fn refuse<T>(kind: Kind, message: &str, place: &dyn std::fmt::Display) -> Outcomes<T> {
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
