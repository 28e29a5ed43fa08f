//! Making one namespace equal to a moment of another. What is equal already is left alone, so
//! that a copy that was interrupted goes on; what differs, for the old one may have changed since,
//! is written anew.

use std::collections::HashSet;

use serde::Serialize;

use super::copy::{Progress, given_up};
use super::{expecting, number, stale};
use crate::driver::{
    Append, Blob, Entry, Expect, Find, FoundBlob, Hash, Known, NewEntry, Operation, Put, Read,
    Reader, Record, Save, Stretch, Want, Which,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::repo::space::Space;
use crate::schema::{
    AGENTKEEP, BLOBS, DELETIONS, Key, Log, Namespace, STREAMS, Stream, Table, Turn,
};

/// Records or entries looked at in one call.
const STEP: usize = 500;
/// Operations committed at once.
const COMMIT: usize = 2_000;
/// Bytes committed at once, about.
const STEP_BYTES: usize = 8 << 20;

/// What a copy has looked at: what an interrupted one had copied counts, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Records.
    pub records: u64,
    /// Messages.
    pub messages: u64,
    /// Of so many.
    pub messages_in_all: u64,
    /// Attachments.
    pub blobs: u64,
}

/// A copy under way.
pub(super) struct Sync<'a> {
    from: &'a Namespace,
    reader: &'a dyn Reader,
    to: &'a Space,
    /// The mark of the new namespace.
    guard: Expect,
    progress: Progress<'a>,
    told: Copied,
    /// What is to be committed next, all of one turn.
    turn: Option<Turn>,
    operations: Vec<Operation>,
    weight: (usize, usize),
}

impl<'a> Sync<'a> {
    pub(super) fn new(
        from: &'a Namespace,
        reader: &'a dyn Reader,
        to: &'a Space,
        guard: Expect,
        progress: Progress<'a>,
    ) -> Self {
        let told = Copied::default();
        let (turn, operations, weight) = (None, Vec::new(), (0, 0));
        Self { from, reader, to, guard, progress, told, turn, operations, weight }
    }

    pub(super) async fn run(mut self) -> Result<Copied> {
        let streams = self.all(&STREAMS).await?;
        self.told.messages_in_all = streams.iter().map(|head| number(head, "count")).sum();
        (self.progress)(&self.told);
        self.blobs().await?;
        for head in &streams {
            self.stream(head).await?;
        }
        // What refers to streams after them, notes of garbage last.
        for table in AGENTKEEP.tables.iter().filter(|table| table.name != DELETIONS.name) {
            self.records(table).await?;
        }
        self.drop_strange_streams(&streams).await?;
        self.flush().await?;
        (self.progress)(&self.told);
        Ok(self.told)
    }

    async fn all(&self, table: &'static Table) -> Result<Vec<Record>> {
        let mut find = Find::by(table, "key")?;
        let mut records = Vec::new();
        loop {
            let found = self.reader.find(self.from, &find).await?;
            records.extend(found.records);
            match found.next {
                Some(next) => find.after = Some(next),
                None => return Ok(records),
            }
        }
    }

    async fn blobs(&mut self) -> Result<()> {
        for record in self.all(&BLOBS).await? {
            if number(&record, "references") == 0 {
                continue;
            }
            self.told.blobs += 1;
            let hash = Hash::from_hex(record.key.first())?;
            let driver = self.to.driver();
            let there = driver.blobs(self.to.namespace(), &[hash], Want::Presence).await?;
            if matches!(there.first(), Some(Some(_))) {
                continue;
            }
            let blob = self.blob(hash).await?;
            let bytes = blob.bytes().len();
            self.push(None, Operation::PutBlob(blob), 1, bytes).await?;
        }
        self.flush().await
    }

    async fn blob(&self, hash: Hash) -> Result<Blob> {
        let found = self.reader.blobs(self.from, &[hash], Want::Bytes).await?;
        match found.into_iter().next().flatten() {
            Some(FoundBlob::Bytes(blob)) => Ok(blob),
            _ => Err(Error::new(Kind::Corrupt, "an attachment is missing")
                .at(format!("{:?} blob {hash}", self.from))
                .advice("run check")),
        }
    }

    /// Copies a stream, from the first entry on which both do not agree.
    async fn stream(&mut self, head: &Record) -> Result<()> {
        let Some((log, stream)) = place(&head.key)? else { return Ok(()) };
        let key = head.key.clone();
        if let Some(own) = self.to.get(&key).await?
            && (number(&own, "first") != number(head, "first")
                || number(&own, "last") > number(head, "last"))
        {
            self.push(None, Operation::Drop { log, stream: stream.clone() }, 1, 0).await?;
            self.flush().await?;
        }
        let before = self.told.messages;
        if !self.entries(log, &stream, head, true).await? {
            self.told.messages = before;
            self.push(None, Operation::Drop { log, stream: stream.clone() }, 1, 0).await?;
            self.flush().await?;
            self.entries(log, &stream, head, false).await?;
        }
        Ok(())
    }

    /// Appends what is missing; false when something that is there differs.
    async fn entries(
        &mut self,
        log: &'static Log,
        stream: &Stream,
        head: &Record,
        compare: bool,
    ) -> Result<bool> {
        let (mut at, last) = (number(head, "first"), number(head, "last"));
        let mut compare = compare && self.to.get(&head.key).await?.is_some();
        while at <= last {
            let read = stretch(log, stream, at);
            let entries = self.reader.read(self.from, &read).await?.entries;
            let Some(end) = entries.last().map(|entry| entry.number) else { break };
            let mut there = 0;
            if compare {
                let own = self.to.read(&read).await?.entries;
                there = own.len();
                if there > entries.len() || !own.iter().zip(&entries).all(|(a, b)| same(a, b)) {
                    return Ok(false);
                }
                compare = there == entries.len();
            }
            self.told.messages += entries.len() as u64;
            for entry in entries.into_iter().skip(there) {
                self.entry(log, entry).await?;
            }
            (self.progress)(&self.told);
            at = end + 1;
        }
        if number(head, "count") == 0 {
            self.empty(log, stream, last).await?;
        }
        Ok(true)
    }

    async fn entry(&mut self, log: &'static Log, entry: Entry) -> Result<()> {
        let Entry { stream, number, id, body, turn, rewritten, refs, .. } = entry;
        let bytes = body.len();
        let rewrite = rewritten.is_some().then(|| Operation::Rewrite {
            log,
            stream: stream.clone(),
            number,
            body: body.clone(),
            refs: refs.clone(),
        });
        let new = NewEntry { id, body, refs };
        let goes_on = self.turn == turn && self.weight.0 < COMMIT && self.weight.1 < STEP_BYTES;
        match self.operations.last_mut() {
            // The numbers of one append are dense; the start of the next one says where it goes on.
            Some(Operation::Append(append))
                if goes_on
                    && append.stream == stream
                    && append.start.map(|start| start + append.entries.len() as u64)
                        == Some(number) =>
            {
                append.entries.push(new);
                self.weight = (self.weight.0 + 1, self.weight.1 + bytes);
            }
            _ => {
                let (entries, known) = (vec![new], Known::Refuse);
                let append = Append { log, stream, entries, known, start: Some(number) };
                self.push(turn.as_ref(), Operation::Append(append), 1, bytes).await?;
            }
        }
        if let Some(rewrite) = rewrite {
            self.operations.push(rewrite);
            self.weight = (self.weight.0 + 1, self.weight.1 + bytes);
        }
        Ok(())
    }

    /// A stream that has given numbers up to `last` and holds none of them.
    async fn empty(&mut self, log: &'static Log, stream: &Stream, last: u64) -> Result<()> {
        let key = Key::new(&STREAMS, [log.name, stream.as_str()])?;
        if self.to.get(&key).await?.is_some() {
            return Ok(());
        }
        let (entries, start) = match last {
            0 => (Vec::new(), None),
            _ => (vec![NewEntry { id: None, body: Json::null(), refs: Vec::new() }], Some(last)),
        };
        let append = Append { log, stream: stream.clone(), entries, known: Known::Refuse, start };
        self.push(None, Operation::Append(append), 1, 0).await?;
        if last > 0 {
            let (stream, before) = (stream.clone(), last + 1);
            self.push(None, Operation::Trim { log, stream, before }, 1, 0).await?;
        }
        Ok(())
    }

    async fn records(&mut self, table: &'static Table) -> Result<()> {
        let mut find = Find::by(table, "key")?.limit(STEP);
        let mut seen = HashSet::new();
        loop {
            let found = self.reader.find(self.from, &find).await?;
            let keys: Vec<Key> = found.records.iter().map(|record| record.key.clone()).collect();
            let own = self.to.get_many(&keys).await?;
            for (record, own) in found.records.into_iter().zip(own) {
                self.told.records += 1;
                seen.insert(record.key.encoded().to_owned());
                let Record { key, body, turn, refs, .. } = record;
                let same =
                    own.is_some_and(|own| own.body == body && own.turn == turn && own.refs == refs);
                if !same {
                    let bytes = body.len();
                    let put = Put { refs, ..Put::new(key, body, Save::Any)? };
                    self.push(turn.as_ref(), Operation::Put(put), 1, bytes).await?;
                }
            }
            (self.progress)(&self.told);
            match found.next {
                Some(next) => find.after = Some(next),
                None => break,
            }
        }
        self.flush().await?;
        for record in self.to.find_all(Find::by(table, "key")?).await? {
            if !seen.contains(record.key.encoded()) {
                self.push(None, Operation::Delete(record.key), 1, 0).await?;
            }
        }
        Ok(())
    }

    /// Streams that the old namespace has dropped since the copy began.
    async fn drop_strange_streams(&mut self, streams: &[Record]) -> Result<()> {
        let known: HashSet<&str> = streams.iter().map(|record| record.key.encoded()).collect();
        for record in self.to.find_all(Find::by(&STREAMS, "key")?).await? {
            if let (false, Some((log, stream))) =
                (known.contains(record.key.encoded()), place(&record.key)?)
            {
                self.push(None, Operation::Drop { log, stream }, 1, 0).await?;
            }
        }
        Ok(())
    }

    async fn push(
        &mut self,
        turn: Option<&Turn>,
        operation: Operation,
        count: usize,
        bytes: usize,
    ) -> Result<()> {
        let full = self.weight.0 + count > COMMIT || self.weight.1 + bytes > STEP_BYTES;
        if full || self.turn.as_ref() != turn {
            self.flush().await?;
            self.turn = turn.cloned();
        }
        self.operations.push(operation);
        self.weight = (self.weight.0 + count, self.weight.1 + bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.weight = (0, 0);
        if self.operations.is_empty() {
            return Ok(());
        }
        let mut batch = expecting(self.to, [self.guard.clone()]);
        batch.turn.clone_from(&self.turn);
        batch.operations = std::mem::take(&mut self.operations);
        let committed = self.to.commit(batch).await;
        let given_up = |error| {
            if stale(&error) {
                given_up(&self.to.sibling(self.from.clone()), self.to)
            } else {
                error
            }
        };
        committed.map(|_| ()).map_err(given_up)
    }
}

fn place(key: &Key) -> Result<Option<(&'static Log, Stream)>> {
    let mut parts = key.parts();
    let log = parts.next().and_then(|log| AGENTKEEP.log(log));
    match (log, parts.next()) {
        (Some(log), Some(stream)) => Ok(Some((log, Stream::new(stream)?))),
        _ => Ok(None),
    }
}

fn stretch(log: &'static Log, stream: &Stream, from: u64) -> Read {
    let which = Which::Stretches(vec![Stretch { stream: stream.clone(), from, to: u64::MAX }]);
    Read { log, which, reverse: false, limit: STEP }
}

fn same(a: &Entry, b: &Entry) -> bool {
    (a.number, &a.id, &a.body, &a.turn, &a.refs) == (b.number, &b.id, &b.body, &b.turn, &b.refs)
        && a.rewritten.is_some() == b.rewritten.is_some()
}
