//! Reading a namespace from its files into memory. Whoever loads holds the lock, so that nobody
//! changes the files meanwhile; what the journal has beyond them is applied by the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document;
use super::folder::Folder;
use super::layout::{self, NAMESPACE, NAMESPACES, OPERATIONS, RECORDS, STATE};
use super::operations_file;
use super::space::Home;
use super::state_file::StateFile;
use crate::drivers::io_error;
use crate::drivers::kernel::built_in::name_key;
use crate::drivers::kernel::{Rows, Stored};
use crate::error::{Error, Kind, Result};
use crate::schema::{BLOBS, Namespace, STREAMS, Schema, Stream, Table};

/// The namespace as its files have it.
///
/// # Errors
/// `Corrupt` when not even `state.json` is sound. A damaged record does not fail the loading: its
/// table is marked.
pub(super) fn home(
    schema: &'static Schema,
    base: &Folder,
    namespace: &Namespace,
) -> Result<(Home, Expected)> {
    let mut home = Home::new(schema);
    let cannot = |error: &std::io::Error| {
        io_error(error, "a namespace cannot be read", &layout::place(base, namespace, &[]))
    };
    let Some(folder) = layout::folder(base, namespace, &[]).map_err(|error| cannot(&error))? else {
        return Ok((home, Expected::new()));
    };
    let state = state(&folder, namespace)?;
    let space = Arc::make_mut(&mut home.space);
    space.floors = state.floors;
    let built_in = [&STREAMS, &BLOBS].into_iter();
    for table in built_in.chain(schema.tables.iter().copied()) {
        if let Err(error) = records(space, &folder, namespace, table) {
            let place = error.place().map(str::to_owned);
            let place = place.unwrap_or_else(|| {
                layout::place(base, namespace, &[RECORDS, table.name]).display().to_string()
            });
            space.damage.insert(table.name, format!("{} ({place})", error.message()));
        }
    }
    operations(&mut home, &folder, state.operations)?;
    let sum = |sum: &str| u64::from_str_radix(sum, 16).unwrap_or(u64::MAX);
    let expected = state.tables.iter().map(|(name, (n, s))| (name.clone(), (*n, sum(s))));
    Ok((home, expected.collect()))
}

/// For each table, how many records it should have, and the sum of their checksums.
pub(super) type Expected = BTreeMap<String, (u64, u64)>;

/// Marks the tables that have not what they should have.
pub(super) fn compare(home: &mut Home, base: &Folder, namespace: &Namespace, expected: &Expected) {
    let space = Arc::make_mut(&mut home.space);
    for (name, rows) in space.tables.iter() {
        let there = (rows.len() as u64, space.sums.get(name).copied().unwrap_or(0));
        let should = expected.get(name).copied().unwrap_or((0, 0));
        if there != should && !space.damage.contains_key(name) {
            let place = layout::place(base, namespace, &[RECORDS, name]);
            let what = if there.0 == should.0 {
                "its records are not those that should be there".to_owned()
            } else {
                format!("{} records are there, not {}", there.0, should.0)
            };
            space.damage.insert(name, format!("{what} ({})", place.display()));
        }
    }
}

/// What `state.json` says; a namespace without one is new.
pub(super) fn state(folder: &Folder, namespace: &Namespace) -> Result<StateFile> {
    let place = || folder.place(STATE);
    let bytes = folder
        .read(STATE)
        .map_err(|error| io_error(&error, "the namespace's state cannot be read", &place()))?;
    match bytes {
        Some(bytes) => StateFile::read(namespace, &bytes)
            .map_err(|error| error.at(place().display().to_string())),
        None => Ok(StateFile::default()),
    }
}

fn records(
    space: &mut super::space::Space,
    folder: &Folder,
    namespace: &Namespace,
    table: &'static Table,
) -> Result<()> {
    let unreadable = |error: &std::io::Error| {
        io_error(error, "records cannot be read", &folder.place(RECORDS).join(table.name))
    };
    let of_table = match folder.sub(RECORDS).map_err(|error| unreadable(&error))? {
        Some(records) => records.sub(table.name).map_err(|error| unreadable(&error))?,
        None => None,
    };
    if let Some(of_table) = of_table {
        for (name, _) in of_table.list().map_err(|error| unreadable(&error))? {
            let (stored, place) = record(&of_table, namespace, table, &name)?;
            let key = stored.record.key.clone();
            let broken = || {
                Error::new(Kind::Corrupt, "it does not tell what it should")
                    .at(of_table.place(&name).display().to_string())
            };
            if table.name == STREAMS.name {
                let value = place.and_then(|place| document::stream_value(&stored, place));
                let value = value.ok_or_else(broken)?;
                let mut parts = key.parts();
                let log = parts.next().and_then(|log| space.schema.log(log)).ok_or_else(broken)?;
                let stream = Stream::new(parts.next().unwrap_or_default())?;
                Arc::make_mut(&mut space.streams).insert((log.name, stream), value);
            } else if table.name == BLOBS.name {
                let (hash, change) = document::blob_value(&stored).ok_or_else(broken)?;
                Arc::make_mut(&mut space.blobs).insert(hash, change.state());
            }
            space.set_record(&key, Some(Arc::new(stored)));
        }
    }
    Ok(())
}

/// The record that a file has.
pub(super) fn record(
    folder: &Folder,
    namespace: &Namespace,
    table: &'static Table,
    name: &str,
) -> Result<(Stored, Option<super::changes::Place>)> {
    let place = || folder.place(name).display().to_string();
    let bytes = folder
        .read(name)
        .map_err(|error| io_error(&error, "a record cannot be read", &folder.place(name)))?
        .ok_or_else(|| Error::new(Kind::Corrupt, "the record went away").at(place()))?;
    let (stored, lines) =
        document::read(namespace, table, &bytes).map_err(|error| corrupt(error).at(place()))?;
    if document::name(&stored.record.key) != name && name != NAMESPACE {
        return Err(Error::new(Kind::Corrupt, "the file has the record of another key").at(place()));
    }
    Ok((stored, lines))
}

/// Whatever a stored byte breaks, it is damage.
fn corrupt(error: Error) -> Error {
    if error.kind() == Kind::Corrupt {
        return error;
    }
    Error::new(Kind::Corrupt, "it is damaged").caused_by(error)
}

fn operations(home: &mut Home, folder: &Folder, end: u64) -> Result<()> {
    let place = || folder.place(OPERATIONS);
    let bytes = folder
        .read(OPERATIONS)
        .map_err(|error| io_error(&error, "the remembered operations cannot be read", &place()))?
        .unwrap_or_default();
    let counted = usize::try_from(end).ok().and_then(|end| bytes.get(..end)).ok_or_else(|| {
        Error::new(Kind::Corrupt, "remembered operations are missing")
            .at(place().display().to_string())
    })?;
    for line in counted.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (operation, digest, committed) =
            operations_file::read(line).map_err(|error| error.at(place().display().to_string()))?;
        home.operations.remember(operation, digest, committed);
    }
    Ok(())
}

/// The records of all namespaces.
pub(super) fn names(base: &Folder, rows: &mut Rows) -> Result<()> {
    let unreadable = |error: &std::io::Error| {
        io_error(error, "the namespaces cannot be read", &base.place(NAMESPACES))
    };
    let Some(all) = base.sub(NAMESPACES).map_err(|error| unreadable(&error))? else {
        return Ok(());
    };
    for (name, _) in all.list().map_err(|error| unreadable(&error))? {
        let Some(folder) = all.sub(&name).map_err(|error| unreadable(&error))? else { continue };
        if let Some(stored) = name_record(&folder, &name)? {
            rows.set(&stored.record.key.clone(), Some(Arc::new(stored)));
        }
    }
    Ok(())
}

/// The record of the namespace in a folder, if it has one. Its file says which namespace it is of,
/// and the folder's name must fit.
fn name_record(folder: &Folder, escaped: &str) -> Result<Option<Stored>> {
    let place = || folder.place(NAMESPACE);
    let bytes = folder
        .read(NAMESPACE)
        .map_err(|error| io_error(&error, "a namespace's record cannot be read", &place()))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let damaged = || {
        Error::new(Kind::Corrupt, "the record of a namespace is damaged")
            .at(place().display().to_string())
    };
    let namespace = document::key_of(&bytes)
        .and_then(|parts| Namespace::new(parts.first()?).ok())
        .ok_or_else(damaged)?;
    let (stored, _) = document::read(&namespace, &crate::schema::NAMESPACES, &bytes)
        .map_err(|error| damaged().caused_by(error))?;
    let fits = super::escape::name(namespace.as_str()) == escaped
        && stored.record.key == name_key(&namespace)?;
    if fits { Ok(Some(stored)) } else { Err(damaged()) }
}
