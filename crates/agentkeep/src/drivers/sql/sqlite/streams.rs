//! Streams: their heads, and the entries of logs.

use rusqlite::params;

use super::apply::{Apply, Outcomes, Stop, refuse};
use super::blobs::distinct;
use super::cache::StreamRow;
use super::rows::{self, damaged, refs_text, signed};
use super::statements::HEAD;
use crate::driver::{Append, Entry, Hash, Head, NewEntry, Outcome};
use crate::error::{Error, Kind};
use crate::json::Json;
use crate::schema::{EntryId, Log, STREAMS, Stream, Turn};

/// SQLite's code for a value that is there already in a unique index.
const NOT_UNIQUE: std::ffi::c_int = rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;

impl Apply<'_> {
    /// The numbers of an append's entries, when all are known with equal bodies.
    pub(super) fn known(&mut self, append: &Append) -> Outcomes<Option<Vec<u64>>> {
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

    /// The stream's row as this batch leaves it so far.
    pub(super) fn stream(
        &mut self,
        log: &'static Log,
        stream: &Stream,
    ) -> Outcomes<Option<StreamRow>> {
        let place = (log.name, stream.clone());
        if let Some(row) = self.streams.get(&place) {
            return Ok(row.clone());
        }
        if let Some(row) = self.cache.stream(self.namespace, log.name, stream) {
            return Ok(Some(row.clone()));
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

    pub(super) fn append(&mut self, append: &Append) -> Outcomes<Outcome> {
        self.made = true;
        self.log(append.log)?;
        let row = match self.stream(append.log, &append.stream)? {
            Some(row) => row,
            None => self.make_stream(append.log, &append.stream)?,
        };
        let numbers = append.numbers(row.head.last)?;
        if append.entries.is_empty() {
            return Ok(Outcome::Appended { numbers });
        }
        let mut bytes = 0;
        for (new, &number) in append.entries.iter().zip(&numbers) {
            self.insert(append, row.no, new, number)?;
            bytes += new.body.len() as u64;
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
        let refs = refs_text(&distinct(&new.refs));
        let (id, body) = (new.id.as_ref().map(EntryId::as_str), new.body.as_str());
        let sum =
            rows::entry_sum(no, number, id, body, self.time, self.turn, None, refs.as_deref());
        let sql = &self.log(append.log)?.insert;
        let mut statement = self.connection.prepare_cached(sql)?;
        let row = params![no, signed(number), id, body, self.time, self.turn, refs, sum];
        match statement.execute(row) {
            Ok(_) => self.refer(&new.refs, &append.stream).map(|_| ()),
            // Of all constraints this is the one that a caller can break.
            Err(error) if error.sqlite_error().is_some_and(|e| e.extended_code == NOT_UNIQUE) => {
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

    pub(super) fn trim(
        &mut self,
        log: &'static Log,
        stream: &Stream,
        before: u64,
    ) -> Outcomes<Outcome> {
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

    pub(super) fn rewrite(
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
            old.id.as_ref().map(EntryId::as_str),
            body.as_str(),
            old.time,
            old.turn.as_ref().map(Turn::as_str),
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

    pub(super) fn drop_stream(&mut self, log: &'static Log, stream: &Stream) -> Outcomes<Outcome> {
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
}
