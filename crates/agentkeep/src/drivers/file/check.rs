//! Looking at every file, and removing those that nothing refers to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::checkpoint;
use super::document;
use super::folder::Folder;
use super::layout::{self, BLOBS, LOGS, NAMESPACE, NAMESPACES, OPERATIONS, RECORDS, STATE};
use super::load;
use super::space::Home;
use super::store::Store;
use super::{line, view};
use crate::driver::{CheckReport, Hash};
use crate::drivers::io_error;
use crate::drivers::kernel::{Rows, StreamKey, stream_place};
use crate::error::Result;
use crate::schema::{BLOBS as BLOBS_TABLE, NAMESPACES as NAMES, Namespace, STREAMS};

/// Looks at everything, while nobody writes.
pub(super) fn check(store: &Store) -> Result<CheckReport> {
    let _held = store.lock.hold(store.deadline(std::time::Instant::now()))?;
    let mut report = CheckReport::default();
    if let Err(error) = checkpoint::run(store) {
        report.damaged(error.place().unwrap_or("journal").to_owned(), error.message());
    }
    for (namespace, folder, name) in namespaces(store, &mut report)? {
        let mut check = Check {
            store,
            folder: &folder,
            namespace: &namespace,
            references: HashMap::new(),
            report: &mut report,
        };
        check.all(name)?;
    }
    Ok(report)
}

/// A namespace with its folder, and with the references of its record if it has one.
type Found = (Namespace, Folder, Option<Vec<Hash>>);

/// The namespaces that there are.
fn namespaces(store: &Store, report: &mut CheckReport) -> Result<Vec<Found>> {
    let failed = |error: &std::io::Error| {
        io_error(error, "the namespaces cannot be read", &store.base.place(NAMESPACES))
    };
    let mut found = Vec::new();
    let Some(all) = store.base.sub(NAMESPACES).map_err(|error| failed(&error))? else {
        report.damaged(NAMESPACES, "the folder is missing");
        return Ok(found);
    };
    let mut names = Rows::new(&NAMES);
    if let Err(error) = load::names(&store.base, &mut names) {
        report.damaged(error.place().unwrap_or(NAMESPACES).to_owned(), error.message());
    }
    let known: BTreeMap<String, Namespace> = names
        .all()
        .filter_map(|record| Namespace::new(record.key.first()).ok())
        .map(|namespace| (super::escape::name(namespace.as_str()), namespace))
        .collect();
    for (name, is_folder) in all.list().map_err(|error| failed(&error))? {
        let place = all.place(&name).display().to_string();
        if !is_folder {
            report.damaged(place, "nothing of the store has this name");
            continue;
        }
        let Some(folder) = all.sub(&name).map_err(|error| failed(&error))? else { continue };
        match known.get(&name) {
            Some(namespace) => {
                let own = names.all().find(|record| record.key.first() == namespace.as_str());
                found.push((namespace.clone(), folder, own.map(|record| record.refs.clone())));
            }
            // One that was deleted keeps what its state must remember.
            None => match state_of(&folder) {
                Some(namespace) => found.push((namespace, folder, None)),
                None if is_unborn(&folder).map_err(|error| failed(&error))? => {
                    report.due(place, "its first commit did not come to its end");
                }
                None => {
                    report.damaged(place, "it has no record of a namespace, and no sound state");
                }
            },
        }
    }
    Ok(found)
}

/// The namespace of a folder without a record, as its state says.
fn state_of(folder: &Folder) -> Option<Namespace> {
    let bytes = folder.read(STATE).ok()??;
    super::state_file::namespace_of(&bytes)
}

/// True for what the first commit of a namespace has made when it did not come to its end: lines
/// and blobs, but no state and no record.
fn is_unborn(folder: &Folder) -> std::io::Result<bool> {
    if folder.list()?.iter().any(|(name, _)| name != LOGS && name != BLOBS && name != RECORDS) {
        return Ok(false);
    }
    let Some(records) = folder.sub(RECORDS)? else { return Ok(true) };
    for (table, _) in records.list()? {
        if records.sub(&table)?.is_some_and(|table| table.list().is_ok_and(|all| all.is_empty())) {
            continue;
        }
        return Ok(false);
    }
    Ok(true)
}

struct Check<'a> {
    store: &'a Store,
    folder: &'a Folder,
    namespace: &'a Namespace,
    /// References counted anew.
    references: HashMap<Hash, u64>,
    report: &'a mut CheckReport,
}

impl Check<'_> {
    fn place(&self, below: &str) -> String {
        self.folder.place(below).display().to_string()
    }

    fn refer(&mut self, refs: &[Hash]) {
        for hash in refs {
            *self.references.entry(*hash).or_default() += 1;
        }
    }

    fn all(&mut self, name: Option<Vec<Hash>>) -> Result<()> {
        let loaded = load::home(self.store.schema, &self.store.base, self.namespace);
        let home = match loaded {
            Ok((mut home, expected)) => {
                load::compare(&mut home, &self.store.base, self.namespace, &expected);
                home
            }
            Err(error) => {
                let place = error.place().map_or_else(|| self.place(STATE), str::to_owned);
                self.report.damaged(place, error.message());
                return Ok(());
            }
        };
        for (table, what) in &home.space.damage {
            self.report.damaged(format!("{:?} {table}", self.namespace), what.clone());
        }
        let empty = home.space.tables.iter().all(|(_, rows)| rows.len() == 0);
        if name.is_none() && !empty {
            self.report.damaged(self.place(NAMESPACE), "the namespace has no record");
        }
        self.refer(&name.unwrap_or_default());
        for (table, rows) in home.space.tables.iter() {
            rows.check(&format!("{:?} ", self.namespace), self.report);
            if !table.starts_with('_') {
                self.report.records += rows.len() as u64;
            }
            for record in rows.all() {
                self.refer(&record.refs);
            }
        }
        self.streams(&home)?;
        self.blobs(&home);
        self.strangers(&home)
    }

    fn streams(&mut self, home: &Home) -> Result<()> {
        for (key, value) in home.space.streams.iter() {
            self.report.streams += 1;
            self.report.entries += value.count;
            let name = layout::lines(&key.1, value.place.file);
            let place = self.place(&format!("{LOGS}/{}/{name}", key.0));
            let Some(lines) = self.lines(key, &name)? else {
                self.report.damaged(place, "the stream's file is missing");
                continue;
            };
            self.stream(key, value, &lines, &place);
        }
        Ok(())
    }

    fn lines(&self, key: &StreamKey, name: &str) -> Result<Option<Vec<u8>>> {
        let failed = |error: &std::io::Error| {
            io_error(error, "a stream cannot be read", &self.folder.place(LOGS))
        };
        let read = layout::folder(&self.store.base, self.namespace, &[LOGS, key.0])
            .and_then(|folder| folder.map_or(Ok(None), |folder| folder.read(name)));
        read.map_err(|error| failed(&error))
    }

    fn stream(
        &mut self,
        key: &StreamKey,
        value: &super::changes::StreamValue,
        bytes: &[u8],
        place: &str,
    ) {
        let range =
            usize::try_from(value.place.start).ok().zip(usize::try_from(value.place.end).ok());
        let Some(counted) = range.and_then(|(start, end)| bytes.get(start..end)) else {
            self.report.damaged(place, "lines are missing at the end");
            return;
        };
        let (mut at, mut last, mut count, mut size) = (value.place.start, 0, 0, 0);
        let (mut first, mut ids) = (None, BTreeSet::new());
        for text in counted.split_inclusive(|byte| *byte == b'\n') {
            let here = format!("{place} byte {at}");
            at += text.len() as u64;
            let read = text.strip_suffix(b"\n").map(|text| line::read(&key.1, value.birth, text));
            let Some(Ok(entry)) = read else {
                self.report.damaged(here, "a line is damaged");
                continue;
            };
            if entry.number <= last {
                self.report
                    .damaged(here.clone(), format!("number {} is out of order", entry.number));
            }
            if let Some(id) = entry.id
                && !ids.insert(id.clone())
            {
                self.report.damaged(here, format!("the id {id:?} is there twice"));
            }
            self.refer(&entry.refs);
            last = entry.number;
            first = first.or(Some(last));
            count += 1;
            size += entry.body.len() as u64;
        }
        let fits = count == value.count
            && size == value.bytes
            && first.unwrap_or(value.last + 1) == value.first
            && last <= value.last;
        if !fits {
            self.report.damaged(stream_place(key), "its head does not fit its entries");
        }
    }

    fn blobs(&mut self, home: &Home) {
        for (hash, state) in home.space.blobs.iter() {
            self.report.blobs += 1;
            let place = self.place(&format!("{BLOBS}/{hash}"));
            if let Err(error) = view::bytes(self.store, self.namespace, *hash) {
                self.report.damaged(place.clone(), error.message());
            }
            let references = self.references.remove(hash).unwrap_or(0);
            if references != state.references {
                let what = format!("{references} refer to it, not {}", state.references);
                self.report.damaged(place.clone(), what);
            }
            if (references == 0) != state.unreferenced_since.is_some() {
                let what = "the time since when nothing refers to it is wrong";
                self.report.damaged(place.clone(), what);
            }
            if references == 0 {
                self.report.due(place, "nothing refers to it");
            }
        }
        for hash in std::mem::take(&mut self.references).into_keys() {
            self.report.damaged(format!("blob {hash}"), "it is referred to and is not there");
        }
    }

    /// Files that nothing refers to: left by a commit that did not come to its end.
    fn strangers(&mut self, home: &Home) -> Result<()> {
        for (folder, name) in strangers(self.folder, home)? {
            self.report
                .due(folder.place(&name).display().to_string(), "nothing refers to the file");
        }
        Ok(())
    }
}

/// The files of a namespace that nothing refers to.
fn strangers(own: &Folder, home: &Home) -> Result<Vec<(Folder, String)>> {
    let failed = |error: &std::io::Error| io_error(error, "a namespace cannot be read", own.path());
    let mut found = Vec::new();
    let mut look = |folder: &Folder, known: &dyn Fn(&str) -> bool| -> Result<()> {
        for (name, _) in folder.list().map_err(|error| failed(&error))? {
            if !known(&name) {
                found.push((folder.clone(), name));
            }
        }
        Ok(())
    };
    look(own, &|name| [NAMESPACE, STATE, OPERATIONS, RECORDS, LOGS, BLOBS].contains(&name))?;
    // Where records are damaged, it is not known what they refer to.
    let sound = |table: &str| !home.space.damage.contains_key(table);
    if let Some(logs) = own.sub(LOGS).map_err(|error| failed(&error))?
        && sound(STREAMS.name)
    {
        for log in home.space.schema.logs {
            let Some(folder) = logs.sub(log.name).map_err(|error| failed(&error))? else {
                continue;
            };
            let used: BTreeSet<String> = home
                .space
                .streams
                .iter()
                .filter(|((of, _), _)| *of == log.name)
                .map(|((_, stream), value)| layout::lines(stream, value.place.file))
                .collect();
            look(&folder, &|name| used.contains(name))?;
        }
    }
    if let Some(blobs) = own.sub(BLOBS).map_err(|error| failed(&error))?
        && sound(BLOBS_TABLE.name)
    {
        look(&blobs, &|name| {
            Hash::from_hex(name).is_ok_and(|hash| home.space.blobs.contains_key(&hash))
        })?;
    }
    if let Some(records) = own.sub(RECORDS).map_err(|error| failed(&error))? {
        for (table, rows) in home.space.tables.iter() {
            let Some(folder) = records.sub(table).map_err(|error| failed(&error))? else {
                continue;
            };
            let used: BTreeSet<String> =
                rows.all().map(|record| document::name(&record.key)).collect();
            if sound(table) {
                look(&folder, &|name| used.contains(name))?;
            }
        }
    }
    Ok(found)
}

/// Removes the files that nothing refers to; answers their bytes.
pub(super) fn compact(store: &Store) -> Result<u64> {
    let _held = store.lock.hold(store.deadline(std::time::Instant::now()))?;
    checkpoint::run(store)?;
    sweep(store)
}

/// Removes the files that nothing refers to, with the lock held and nothing in the journal.
pub(super) fn sweep(store: &Store) -> Result<u64> {
    let mut report = CheckReport::default();
    let mut given_back = 0;
    for (namespace, folder, _) in namespaces(store, &mut report)? {
        let Ok((mut home, expected)) = load::home(store.schema, &store.base, &namespace) else {
            continue;
        };
        load::compare(&mut home, &store.base, &namespace, &expected);
        for (folder, name) in strangers(&folder, &home)? {
            let size = folder.file(&name).ok().flatten().and_then(|file| file.metadata().ok());
            store.pins.unless_pinned(|| {
                if folder.remove(&name).is_ok_and(|removed| removed) {
                    given_back += size.map_or(0, |found| found.len());
                }
            });
        }
    }
    Ok(given_back)
}
