//! Entries of a log, and blobs.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::apply::unknown;
use super::errors::{damage_at, map};
use super::readers::Budget;
use super::rows::{self, damaged, signed};
use super::statements::{HEAD, LogSql, Sql};
use crate::driver::{Blob, Entries, Entry, FoundBlob, Hash, Head, Read, Stretch, Want, Which};
use crate::error::Result;
use crate::schema::{EntryId, Log, Namespace, STREAMS, Stream, Turn};

/// The stream's number and head.
pub(super) fn stream(
    connection: &Connection,
    namespace: &Namespace,
    log: &Log,
    stream: &Stream,
) -> Result<Option<(i64, Head)>> {
    let mut statement = connection.prepare_cached(HEAD).map_err(map)?;
    let row = params![namespace.as_str(), log.name, stream.as_str()];
    let mut found = statement.query(row).map_err(map)?;
    let Some(row) = found.next().map_err(map)? else { return Ok(None) };
    let (head, version) = (rows::head(row, 1)?, rows::number(row, 7)?);
    let sum = rows::head_sum(namespace, log.name, stream.as_str(), &head, version);
    if i64::from(sum) != rows::integer(row, 8)? {
        return Err(damaged(format!("{} {} {stream:?}", STREAMS.name, log.name)));
    }
    Ok(Some((rows::integer(row, 0)?, head)))
}

/// Entries, all within the connection's transaction.
pub(super) fn read(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    read: &Read,
    budget: &Budget,
) -> Result<Entries> {
    read_now(connection, sql, namespace, read, budget)
        .map_err(|error| damage_at(error, read.log.name))
}

fn read_now(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    read: &Read,
    budget: &Budget,
) -> Result<Entries> {
    let log = sql.logs.get(read.log.name).ok_or_else(|| unknown("log", read.log.name))?;
    let reading = Reading { connection, log, namespace, read, budget };
    let (mut entries, heads) = match &read.which {
        Which::Stretches(stretches) => reading.stretches(stretches)?,
        Which::Ids(ids) => (reading.ids(ids)?, Vec::new()),
        Which::Turn(turn) => (reading.turn(turn)?, Vec::new()),
    };
    let more = entries.len() > read.limit;
    entries.truncate(read.limit);
    Ok(Entries { entries, heads, more })
}

struct Reading<'a> {
    connection: &'a Connection,
    log: &'a LogSql,
    namespace: &'a Namespace,
    read: &'a Read,
    budget: &'a Budget,
}

/// Stretches of one stream that lie close together: one walk takes them all.
struct Run<'a> {
    stream: &'a Stream,
    no: i64,
    from: u64,
    to: u64,
    /// In the order of the walk.
    pieces: Vec<(u64, u64)>,
    reverse: bool,
}

/// So many entries between two stretches are walked over: to begin a walk anew takes longer,
const CLOSE: u64 = 3;
/// unless the stream's bodies have more bytes than this.
const LIGHT: u64 = 2_048;

/// What there is of the stretches, in the order of the walk.
fn runs<'a>(
    stretches: &'a [Stretch],
    found: &[Option<(i64, Head)>],
    reverse: bool,
) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for at in 0..stretches.len() {
        let place = if reverse { stretches.len() - 1 - at } else { at };
        let (stretch, Some((no, head))) = (&stretches[place], &found[place]) else { continue };
        let (from, to) = (stretch.from.max(head.first), stretch.to.min(head.last));
        if from > to {
            continue;
        }
        let light = head.bytes / head.count.max(1) <= LIGHT;
        match runs.last_mut().filter(|run| light && run.no == *no) {
            Some(run) if !reverse && run.to < from && from - run.to <= CLOSE + 1 => {
                run.to = to;
                run.pieces.push((from, to));
            }
            Some(run) if reverse && to < run.from && run.from - to <= CLOSE + 1 => {
                run.from = from;
                run.pieces.push((from, to));
            }
            _ => {
                let (stream, pieces) = (&stretch.stream, vec![(from, to)]);
                runs.push(Run { stream, no: *no, from, to, pieces, reverse });
            }
        }
    }
    runs
}

impl Run<'_> {
    /// True when a piece holds the number; `piece` is the one that the walk has come to.
    fn holds(&self, number: u64, piece: &mut usize) -> bool {
        while let Some((from, to)) = self.pieces.get(*piece) {
            if (*from..=*to).contains(&number) {
                return true;
            }
            let behind = if self.reverse { number < *from } else { number > *to };
            if !behind {
                return false;
            }
            *piece += 1;
        }
        false
    }
}

type Streams = HashMap<Stream, Option<(i64, Head)>>;

impl Reading<'_> {
    fn entry(&self, stream: &Stream, no: i64, row: &Row<'_>, at: usize) -> Result<Entry> {
        let entry = rows::entry(stream, no, row, at)?;
        self.budget.spend(entry.body.len())?;
        Ok(entry)
    }

    fn stream(&self, known: &mut Streams, name: &Stream) -> Result<Option<(i64, Head)>> {
        if let Some(found) = known.get(name) {
            return Ok(found.clone());
        }
        let found = stream(self.connection, self.namespace, self.read.log, name)?;
        known.insert(name.clone(), found.clone());
        Ok(found)
    }

    fn stretches(&self, stretches: &[Stretch]) -> Result<(Vec<Entry>, Vec<Option<Head>>)> {
        let found = self.heads(stretches)?;
        let mut entries = Vec::with_capacity(self.read.limit.min(64) + 1);
        let text = if self.read.reverse { &self.log.backward } else { &self.log.forward };
        let mut statement = self.connection.prepare_cached(text).map_err(map)?;
        for run in runs(stretches, &found, self.read.reverse) {
            let wanted = self.read.limit + 1 - entries.len();
            if wanted == 0 {
                break;
            }
            // What lies between two pieces must not count.
            let limit = if run.pieces.len() == 1 { wanted } else { usize::MAX };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let row = params![run.no, signed(run.from), signed(run.to), limit];
            let mut found = statement.query(row).map_err(map)?;
            let mut piece = 0;
            while let Some(row) = found.next().map_err(map)? {
                if run.pieces.len() > 1 && !run.holds(rows::number(row, 0)?, &mut piece) {
                    continue;
                }
                entries.push(self.entry(run.stream, run.no, row, 0)?);
                if entries.len() > self.read.limit {
                    break;
                }
            }
        }
        Ok((entries, found.into_iter().map(|found| found.map(|(_, head)| head)).collect()))
    }

    /// Number and head of each stretch's stream.
    fn heads(&self, stretches: &[Stretch]) -> Result<Vec<Option<(i64, Head)>>> {
        if let [stretch] = stretches {
            let found = stream(self.connection, self.namespace, self.read.log, &stretch.stream)?;
            return Ok(vec![found]);
        }
        let mut known = Streams::new();
        let mut heads: Vec<Option<(i64, Head)>> = Vec::with_capacity(stretches.len());
        for (place, stretch) in stretches.iter().enumerate() {
            // Mostly the same as the one before.
            let before = place.checked_sub(1).filter(|at| stretches[*at].stream == stretch.stream);
            let head = match before {
                Some(before) => heads[before].clone(),
                None => self.stream(&mut known, &stretch.stream)?,
            };
            heads.push(head);
        }
        Ok(heads)
    }

    fn ids(&self, ids: &[(Stream, EntryId)]) -> Result<Vec<Entry>> {
        let mut known = Streams::new();
        let mut statement = self.connection.prepare_cached(&self.log.by_id).map_err(map)?;
        let mut entries = Vec::new();
        for (name, id) in ids {
            let Some((no, _)) = self.stream(&mut known, name)? else { continue };
            let mut found = statement.query(params![no, id.as_str()]).map_err(map)?;
            if let Some(row) = found.next().map_err(map)? {
                entries.push(self.entry(name, no, row, 0)?);
            }
        }
        if self.read.reverse {
            entries.reverse();
        }
        Ok(entries)
    }

    fn turn(&self, turn: &Turn) -> Result<Vec<Entry>> {
        let backward = self.read.reverse;
        let text = if backward { &self.log.by_turn_backward } else { &self.log.by_turn };
        let mut statement = self.connection.prepare_cached(text).map_err(map)?;
        let limit = i64::try_from(self.read.limit + 1).unwrap_or(i64::MAX);
        let row = params![turn.as_str(), self.namespace.as_str(), self.read.log.name, limit];
        let mut found = statement.query(row).map_err(map)?;
        let mut entries = Vec::new();
        while let Some(row) = found.next().map_err(map)? {
            let name = Stream::new(rows::text(row, 0)?)?;
            entries.push(self.entry(&name, rows::integer(row, 1)?, row, 2)?);
        }
        Ok(entries)
    }
}

/// Blobs, all within the connection's transaction.
pub(super) fn blobs(
    connection: &Connection,
    namespace: &Namespace,
    hashes: &[Hash],
    want: Want,
) -> Result<Vec<Option<FoundBlob>>> {
    let text = match want {
        Want::Presence => "SELECT NULL FROM _blobs WHERE namespace = ?1 AND hash = ?2",
        Want::Bytes => {
            "SELECT c.bytes FROM _blobs AS b JOIN _blob_bytes AS c ON c.no = b.no \
             WHERE b.namespace = ?1 AND b.hash = ?2"
        }
    };
    let mut statement =
        connection.prepare_cached(text).map_err(|error| damage_at(map(error), "_blobs"))?;
    let mut one = |hash: &Hash| {
        let row = params![namespace.as_str(), hash.to_hex()];
        let found = statement
            .query_row(row, |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()
            .map_err(map)?;
        match found {
            None => Ok(None),
            Some(None) => Ok(Some(FoundBlob::Present)),
            Some(Some(bytes)) => Blob::from_stored(*hash, bytes).map(FoundBlob::Bytes).map(Some),
        }
    };
    let at = |hash: &Hash| one(hash).map_err(|error| damage_at(error, format!("blob {hash}")));
    hashes.iter().map(at).collect()
}
