//! Opening the folder: what it is, whether it is ours, and making the store if it is new.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::journal::{Frames, Journal, Position};
use super::layout::{IDENTITY, NAMESPACES};
use super::locks::{Ended, Generation, Lock, Pins, Users};
use super::options::Options;
use super::store::{Parts, Store};
use super::{check, checkpoint};
use super::{pretty, seal};
use crate::drivers::durable::sync_above;
use crate::drivers::{io_error, network_fs};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::Schema;

/// The files that are there before `agentkeep.json` is.
const EARLIER: [&str; 7] =
    ["lock", "users", "pins", "generation", "journal.0", "journal.1", NAMESPACES];

/// What `agentkeep.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    /// What kind of folder it is.
    agentkeep: String,
    pub(super) format: u32,
    schema: String,
    pub(super) store: String,
    pub(super) epoch: u64,
}

/// Opens the store in a folder.
pub(super) fn open(
    schema: &'static Schema,
    path: &Path,
    options: Options,
) -> Result<(Store, Identity)> {
    let base = folder(path, &options)?;
    refuse_foreign(&base, &options)?;
    let cannot = |error: &std::io::Error| io_error(error, "the store cannot be opened", path);
    let lock = Lock::open(&base).map_err(|error| cannot(&error))?;
    let deadline = Instant::now() + options.timeout.min(std::time::Duration::from_hours(24));
    let held = lock.hold(deadline).map_err(|error| error.at(path.display().to_string()))?;
    let (journal, made) = Journal::open(&base).map_err(|error| cannot(&error))?;
    let parts = Parts {
        schema,
        side: Lock::open(&base).map_err(|error| cannot(&error))?,
        users: Users::open(&base).map_err(|error| cannot(&error))?,
        pins: Pins::open(&base).map_err(|error| cannot(&error))?,
        generation: Generation::open(&base).map_err(|error| cannot(&error))?,
        lock: Lock::open(&base).map_err(|error| cannot(&error))?,
        base: base.clone(),
        options,
        journal,
    };
    let store = Store::new(parts);
    let mut identity = match read_identity(&base)? {
        Some(identity) if made => {
            let _: Identity = identity;
            return Err(Error::new(Kind::Corrupt, "the journal is missing")
                .at(path.display().to_string())
                .advice("restore the files from a backup"));
        }
        Some(identity) => {
            // Whoever gave the store its name may have been killed before that was on the disk.
            if store.options.sync() {
                store.base.sync().map_err(|error| cannot(&error))?;
            }
            identity
        }
        None => {
            refuse_headless(&store)?;
            make(schema, &store).map_err(|error| cannot(&error))?
        }
    };
    refuse_other(schema, &identity, &store.options)
        .map_err(|error| error.at(path.display().to_string()))?;
    if identity.format < schema.version {
        // So far formats only added tables and logs, which need nothing until they are written.
        identity.format = schema.version;
        tell(&store, &identity).map_err(|error| cannot(&error))?;
    }
    if store.users.alone() {
        checkpoint::recover(&store)?;
        if store.users.ended().map_err(|error| cannot(&error))? == Ended::Badly {
            // What fails here is told by `check`.
            let _ = check::sweep(&store);
        }
    }
    store.users.mark(Ended::Badly).map_err(|error| cannot(&error))?;
    store.users.join().map_err(|error| cannot(&error))?;
    store.bring_in(&crate::schema::Namespace::default())?;
    drop(held);
    Ok((store, identity))
}

/// The store's folder, made with its parents if need be.
fn folder(path: &Path, options: &Options) -> Result<Folder> {
    let cannot =
        |error: &std::io::Error| io_error(error, "the store's folder cannot be opened", path);
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound && options.create => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent {
                make_parents(parent).map_err(|error| cannot(&error))?;
            }
            make_private(path).map_err(|error| cannot(&error))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::new(Kind::NotFound, "there is no store")
                .at(path.display().to_string())
                .advice("name the folder of a store that is there"));
        }
        Err(error) => return Err(cannot(&error)),
        Ok(found) if found.is_dir() => {}
        Ok(found) => {
            let what = if found.is_symlink() { "a symbolic link" } else { "no folder" };
            return Err(Error::new(Kind::InvalidInput, format!("the store's path is {what}"))
                .at(path.display().to_string())
                .advice("name a folder for the store, for example file:./keep"));
        }
    }
    if let (false, Some(kind)) = (options.network_fs, network_fs::holding(path)) {
        return Err(Error::new(
            Kind::DurabilityNotMet,
            format!("the store is on a network file system ({kind})"),
        )
        .at(path.display().to_string())
        .advice("keep it on a local disk, or accept the risk with network_fs=yes"));
    }
    let absolute: PathBuf = path.canonicalize().map_err(|error| cannot(&error))?;
    Folder::open(&absolute).map_err(|error| cannot(&error))
}

fn make_parents(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Conversations are private, whatever the umask says.
fn make_private(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(path, mode)
}

/// A folder with something in it that is no store is somebody else's, and stays untouched.
fn refuse_foreign(base: &Folder, options: &Options) -> Result<()> {
    let found = base
        .list()
        .map_err(|error| io_error(&error, "the store's folder cannot be read", base.path()))?;
    let is_ours = found.iter().any(|(name, _)| name == IDENTITY);
    if is_ours {
        return Ok(());
    }
    if !options.create {
        return Err(Error::new(Kind::NotFound, "there is no store")
            .at(base.path().display().to_string())
            .advice("name the folder of a store that is there"));
    }
    let foreign = found.iter().find(|(name, _)| !EARLIER.contains(&name.as_str()));
    match foreign {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(
            Kind::InvalidInput,
            format!("the folder is not an agentkeep store: it holds {name:?}"),
        )
        .at(base.path().display().to_string())
        .advice("name an empty folder, or one that is not there yet")),
    }
}

fn read_identity(base: &Folder) -> Result<Option<Identity>> {
    let damaged = || {
        Error::new(Kind::Corrupt, "what the store says of itself is damaged")
            .at(base.place(IDENTITY).display().to_string())
            .advice("restore the file from a backup")
    };
    let bytes = base
        .read(IDENTITY)
        .map_err(|error| io_error(&error, "the store cannot be read", &base.place(IDENTITY)))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let json = Json::parse(text).map_err(|error| damaged().caused_by(error))?;
    // A newer format may be sealed in another way: its number is looked at first.
    let format = json.member("format").and_then(|format| format.to_i64());
    if json.member("agentkeep").is_none() {
        return Err(Error::new(Kind::InvalidInput, "the folder is not an agentkeep store")
            .at(base.path().display().to_string())
            .advice("name another folder for the store"));
    }
    if let Ok((body, _)) = seal::open(&[b"identity"], json.as_str()) {
        return body.to().map(Some).map_err(|error| damaged().caused_by(error));
    }
    match format {
        Some(format) if format > i64::from(crate::schema::AGENTKEEP.version) => {
            Err(newer(u32::try_from(format).unwrap_or(u32::MAX), crate::schema::AGENTKEEP.version)
                .at(base.path().display().to_string()))
        }
        _ => Err(damaged()),
    }
}

fn newer(found: u32, known: u32) -> Error {
    Error::new(
        Kind::NewerFormat,
        format!("the store has format {found}, this agentkeep knows {known}"),
    )
    .advice("use a newer agentkeep")
}

fn refuse_other(schema: &Schema, identity: &Identity, options: &Options) -> Result<()> {
    if identity.schema != schema.name {
        let message = format!("the store keeps {:?}, not {:?}", identity.schema, schema.name);
        return Err(
            Error::new(Kind::InvalidInput, message).advice("name another folder for the store")
        );
    }
    if identity.format > schema.version {
        return Err(newer(identity.format, schema.version));
    }
    if identity.format < schema.version && !options.upgrade {
        let message = format!("the store has the older format {}", identity.format);
        return Err(Error::new(Kind::Unsupported, message)
            .advice("open it without upgrade=no to bring it up to date"));
    }
    Ok(())
}

/// A folder with commits and without `agentkeep.json` is a store that lost it.
fn refuse_headless(store: &Store) -> Result<()> {
    let cannot =
        |error: &std::io::Error| io_error(error, "the store cannot be read", store.base.path());
    let namespaces = store.base.sub(NAMESPACES).map_err(|error| cannot(&error))?;
    let held = match namespaces {
        Some(folder) => folder.list().map_err(|error| cannot(&error))?,
        None => Vec::new(),
    };
    let start = Position::start(1);
    let bytes = store.journal.bytes(start, u64::MAX).map_err(|error| cannot(&error))?;
    if held.is_empty() && Frames::new(&bytes, start).next().is_none() {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, "agentkeep.json is missing, which says what the store is")
        .at(store.base.place(IDENTITY).display().to_string())
        .advice("restore the file from a backup"))
}

/// Makes the store, its name last: a folder without `agentkeep.json` is none yet.
fn make(schema: &Schema, store: &Store) -> std::io::Result<Identity> {
    let sync = store.options.sync();
    store.journal.begin(0, 0, sync)?;
    let start = store.journal.begin(1, 0, sync)?;
    debug_assert_eq!(start, Position::start(1));
    store.generation.publish(start)?;
    let identity = Identity {
        agentkeep: "store".to_owned(),
        format: schema.version,
        schema: schema.name.to_owned(),
        store: uuid::Uuid::new_v4().to_string(),
        epoch: 1,
    };
    store.base.make_sub(NAMESPACES, false)?;
    if sync {
        store.generation.sync()?;
        store.base.sync()?;
        sync_above(store.base.path())?;
    }
    tell(store, &identity)?;
    Ok(identity)
}

/// Puts in place what the store says of itself.
fn tell(store: &Store, identity: &Identity) -> std::io::Result<()> {
    let body = Json::of(identity).map_err(std::io::Error::other)?;
    let text = pretty::pretty(&seal::seal(&[b"identity"], &body, "\"of\":1"));
    let sync = store.options.sync();
    store.base.write(IDENTITY, text.as_bytes(), sync)?;
    if sync { store.base.sync() } else { Ok(()) }
}
