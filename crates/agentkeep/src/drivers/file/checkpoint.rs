//! Bringing what the journal has into its place: records into their files, streams and folders onto
//! the disk. The same work recovers a store whose last user did not come to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use super::changes::{BlobChange, Lines, OperationChange, RecordChange, SpaceChange, StreamValue};
use super::document;
use super::folder::Folder;
use super::journal::{Frames, Position};
use super::layout::{self, BLOBS, LOGS, NAMESPACE, OPERATIONS, RECORDS, STATE};
use super::load;
use super::locks::Ended;
use super::operations_file;
use super::space::stream_key;
use super::store::{Store, decode};
use crate::driver::Hash;
use crate::drivers::io_error;
use crate::drivers::kernel::Stored;
use crate::drivers::kernel::built_in::{blob_record, stream_record};
use crate::error::{Error, Result};
use crate::schema::{BLOBS as BLOBS_TABLE, Key, NAMESPACES, Namespace, STREAMS, Schema, Table};

/// Where a turn of the journal leaves a namespace: the last value of everything that changed.
#[derive(Default)]
struct Fold<'a> {
    records: BTreeMap<(String, String), RecordChange<'a>>,
    streams: BTreeMap<(String, String), Option<StreamValue>>,
    lines: Vec<Lines<'a>>,
    blobs: BTreeMap<[u8; 32], Option<BlobChange>>,
    floors: [u64; 4],
    tables: BTreeMap<String, (u64, String)>,
    operations: Vec<OperationChange<'a>>,
}

impl<'a> Fold<'a> {
    fn add(&mut self, change: SpaceChange<'a>) {
        self.floors = change.floors;
        for record in change.records {
            let key = (record.table.clone().into_owned(), record.key.clone().into_owned());
            self.records.insert(key, record);
        }
        for stream in change.streams {
            self.streams
                .insert((stream.log.into_owned(), stream.stream.into_owned()), stream.value);
        }
        self.lines.extend(change.lines);
        self.blobs.extend(change.blobs);
        for (table, count, sum) in change.tables {
            self.tables.insert(table.into_owned(), (count, format!("{sum:x}")));
        }
        self.operations.extend(change.operations);
    }
}

/// Brings everything into its place and begins the next turn, with the lock held.
pub(super) fn run(store: &Store) -> Result<()> {
    store.settle()?;
    let at = store.state().position;
    if at == Position::start(at.number) {
        return Ok(());
    }
    let from = Position::start(at.number);
    let bytes = store.journal.bytes(from, at.end).map_err(|error| store.journal_io(&error))?;
    put_in_place(store, &mut Frames::new(&bytes, from), false)?;
    let next = turn(store, at)?;
    store.state_mut().position = next;
    Ok(())
}

fn turn(store: &Store, at: Position) -> Result<Position> {
    let sync = store.options.sync_places();
    let begun = store.journal.begin(at.number + 1, at.end, sync);
    let next = begun.map_err(|error| failed(store, &error))?;
    store.generation.publish(next).map_err(|error| failed(store, &error))?;
    Ok(next)
}

fn failed(store: &Store, error: &io::Error) -> Error {
    io_error(error, "the journal cannot be written", store.base.path())
}

/// What the last look of a handle that is closed does.
pub(super) fn last(store: &Store) -> Result<()> {
    if store.is_poisoned() {
        return Ok(());
    }
    let _held = store.lock.hold(Instant::now() + std::time::Duration::from_secs(1))?;
    run(store)?;
    store.generation.sync().map_err(|error| failed(store, &error))?;
    if store.users.alone() {
        store.users.mark(Ended::Well).map_err(|error| failed(store, &error))?;
    }
    Ok(())
}

/// Finishes what the last users of the store left in the journal; nobody else has it open.
pub(super) fn recover(store: &Store) -> Result<()> {
    let told = store.generation.read().map_err(|error| failed(store, &error))?;
    let io = |error: io::Error| store.journal_io(&error);
    let headers = [store.journal.header(0).map_err(io)?, store.journal.header(1).map_err(io)?];
    let newest = headers.into_iter().flatten().max_by_key(|header| header.number);
    let damaged = |what: &str| {
        Error::new(crate::error::Kind::Corrupt, what.to_owned())
            .at(store.base.place("journal").display().to_string())
            .advice("restore the files from a backup")
    };
    let newest = newest.ok_or_else(|| damaged("the journal is damaged"))?;
    if told.is_some_and(|told| told.number > newest.number) {
        return Err(damaged("the newest part of the journal is damaged"));
    }
    let (mut from, mut bytes, mut end) = frames_of(store, newest.number)?;
    let promised = told.filter(|told| told.number == newest.number);
    if promised.is_some_and(|told| told.end > end.end) {
        return Err(damaged("committed groups of the journal are damaged"));
    }
    if end == from && promised.is_none() {
        // Whoever began the turn may have been killed before it told anybody. Then others went on
        // with the turn before.
        let before = headers.into_iter().flatten().find(|h| h.number + 1 == newest.number);
        if let Some(before) = before {
            let found = frames_of(store, before.number)?;
            if found.2.end > newest.ended {
                (from, bytes, end) = found;
            }
        }
    }
    if end == from {
        // Again, for it may not be on the disk.
        let begun = store.journal.begin(newest.number, newest.ended, store.options.sync_places());
        let from = begun.map_err(|error| failed(store, &error))?;
        return store.generation.publish(from).map_err(|error| failed(store, &error));
    }
    put_in_place(store, &mut Frames::new(&bytes, from), true)?;
    turn(store, end).map(|_| ())
}

/// Where a turn begins, its bytes from there on, and the place behind its last sound frame.
fn frames_of(store: &Store, number: u64) -> Result<(Position, Vec<u8>, Position)> {
    let from = Position::start(number);
    let bytes = store.journal.bytes(from, u64::MAX).map_err(|error| store.journal_io(&error))?;
    let mut frames = Frames::new(&bytes, from);
    while frames.next().is_some() {}
    let end = frames.position();
    Ok((from, bytes, end))
}

/// Writes the last values of everything. With `redo`, the lines of streams too: after a power cut
/// they may not be where they were written.
fn put_in_place<'a>(store: &Store, frames: &mut Frames<'a>, redo: bool) -> Result<()> {
    let mut folds: BTreeMap<String, Fold<'a>> = BTreeMap::new();
    for frame in frames {
        for change in decode(frame)?.spaces {
            folds.entry(change.namespace.clone().into_owned()).or_default().add(change);
        }
    }
    for (namespace, fold) in folds {
        let namespace = Namespace::new(&namespace)?;
        let placing = Placing { store, namespace: &namespace, redo };
        placing.all(&fold)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Placing<'a> {
    store: &'a Store,
    namespace: &'a Namespace,
    redo: bool,
}

impl Placing<'_> {
    fn schema(&self) -> &'static Schema {
        self.store.schema
    }

    fn sync(&self) -> bool {
        self.store.options.sync_places()
    }

    fn failed(&self, error: &io::Error) -> Error {
        let place = layout::place(&self.store.base, self.namespace, &[]);
        io_error(error, "a namespace cannot be written", &place)
    }

    fn folder(&self, below: &[&str]) -> Result<Folder> {
        layout::make_folder(&self.store.base, self.namespace, below, self.sync())
            .map_err(|error| self.failed(&error))
    }

    fn done(&self, folder: &Folder) -> Result<()> {
        if self.sync() { folder.sync().map_err(|error| self.failed(&error)) } else { Ok(()) }
    }

    fn all(&self, fold: &Fold<'_>) -> Result<()> {
        let own = self.folder(&[])?;
        let mut state = load::state(&own, self.namespace)?;
        self.records(&own, fold)?;
        self.streams(fold)?;
        self.blobs(fold)?;
        self.operations(&own, fold, &mut state.operations)?;
        state.floors = fold.floors;
        state.tables.extend(fold.tables.clone());
        let text = state.write(self.namespace)?;
        own.write(STATE, text.as_bytes(), self.sync()).map_err(|error| self.failed(&error))?;
        self.done(&own)
    }

    fn records(&self, own: &Folder, fold: &Fold<'_>) -> Result<()> {
        let mut folders: BTreeMap<&'static str, Folder> = BTreeMap::new();
        for change in fold.records.values() {
            let (key, stored) = change.decode(self.schema())?;
            if key.table().name == NAMESPACES.name {
                self.put(own, NAMESPACE, stored.as_deref(), None)?;
                continue;
            }
            let folder = self.table(&mut folders, key.table())?;
            self.put(&folder, &document::name(&key), stored.as_deref(), None)?;
        }
        folders.values().try_for_each(|folder| self.done(folder))
    }

    fn table(
        &self,
        folders: &mut BTreeMap<&'static str, Folder>,
        table: &'static Table,
    ) -> Result<Folder> {
        if let Some(folder) = folders.get(table.name) {
            return Ok(folder.clone());
        }
        let folder = self.folder(&[RECORDS, table.name])?;
        folders.insert(table.name, folder.clone());
        Ok(folder)
    }

    fn put(
        &self,
        folder: &Folder,
        name: &str,
        stored: Option<&Stored>,
        place: Option<super::changes::Place>,
    ) -> Result<()> {
        let done = match stored {
            Some(stored) => {
                let text = document::write(self.namespace, &stored.told(), place);
                folder.write(name, text.as_bytes(), self.sync())
            }
            None => folder.remove(name).map(|_| ()),
        };
        done.map_err(|error| self.failed(&error))
    }

    fn streams(&self, fold: &Fold<'_>) -> Result<()> {
        if fold.streams.is_empty() {
            return Ok(());
        }
        let records = self.folder(&[RECORDS, STREAMS.name])?;
        let mut logs: BTreeMap<&'static str, Folder> = BTreeMap::new();
        for ((log, stream), value) in &fold.streams {
            let key = stream_key(self.schema(), log, stream)?;
            let name = document::name(&stream_record(&key)?);
            let Some(value) = value else {
                self.put(&records, &name, None, None)?;
                continue;
            };
            let folder = match logs.get(key.0) {
                Some(folder) => folder.clone(),
                None => self.folder(&[LOGS, key.0])?,
            };
            logs.insert(key.0, folder.clone());
            let lines = fold.lines.iter().filter(|lines| {
                lines.log == log.as_str()
                    && lines.stream == stream.as_str()
                    && (lines.birth, lines.file) == (value.birth, value.place.file)
            });
            let file = layout::lines(&key.1, value.place.file);
            self.lines(&folder, &file, value, lines).map_err(|error| self.failed(&error))?;
            self.put(&records, &name, Some(&value.record(&key)?), Some(value.place))?;
        }
        self.done(&records)?;
        logs.values().try_for_each(|folder| self.done(folder))
    }

    fn lines<'l>(
        &self,
        folder: &Folder,
        name: &str,
        value: &StreamValue,
        lines: impl Iterator<Item = &'l Lines<'l>>,
    ) -> io::Result<()> {
        let (file, _) = folder.make_file(name)?;
        if self.redo {
            for lines in lines {
                file.write_all_at(lines.text.as_bytes(), lines.at)?;
            }
        }
        // What a commit that did not come to its end has left behind the last line.
        if file.metadata()?.len() > value.place.end {
            file.set_len(value.place.end)?;
        }
        if self.sync() { folder.sync_file(&file) } else { Ok(()) }
    }

    fn blobs(&self, fold: &Fold<'_>) -> Result<()> {
        if fold.blobs.is_empty() {
            return Ok(());
        }
        let records = self.folder(&[RECORDS, BLOBS_TABLE.name])?;
        for (hash, change) in &fold.blobs {
            let hash = Hash::from_bytes(*hash);
            let key: Key = blob_record(hash)?;
            let stored = change.as_ref().map(|change| change.record(hash)).transpose()?;
            self.put(&records, &document::name(&key), stored.as_ref(), None)?;
            if change.is_none() && self.redo {
                let bytes = self.folder(&[BLOBS])?;
                bytes.remove(&layout::blob(hash)).map_err(|error| self.failed(&error))?;
            }
        }
        self.done(&records)
    }

    fn operations(&self, own: &Folder, fold: &Fold<'_>, end: &mut u64) -> Result<()> {
        if fold.operations.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for change in &fold.operations {
            text.push_str(&operations_file::write(change)?);
        }
        let written = own.make_file(OPERATIONS).and_then(|(file, _): (File, bool)| {
            file.write_all_at(text.as_bytes(), *end)?;
            *end += text.len() as u64;
            file.set_len(*end)?;
            if self.sync() { own.sync_file(&file) } else { Ok(()) }
        });
        written.map_err(|error| self.failed(&error))
    }
}

/// Removes files that nothing refers to any more, unless a snapshot may still read them. What
/// stays is told by `check` and removed by `compact`.
pub(super) fn remove(store: &Store, obsolete: &[(Namespace, Vec<String>, String)]) {
    if obsolete.is_empty() {
        return;
    }
    let pins = Arc::clone(&store.pins);
    pins.unless_pinned(|| {
        for (namespace, below, name) in obsolete {
            let below: Vec<&str> = below.iter().map(String::as_str).collect();
            if let Ok(Some(folder)) = layout::folder(&store.base, namespace, &below) {
                let _ = folder.remove(name);
            }
        }
    });
}
