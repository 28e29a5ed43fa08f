//! Opening the file: what it is, whether it is ours, and making it if it is new.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Options;
use super::ddl;
use super::errors::map;
use super::numbering;
use super::sums::facts_sum;
use crate::driver::Durability;
use crate::drivers::durable::{sync_above, sync_folder};
use crate::drivers::{io_error as io, network_fs};
use crate::error::{Error, Kind, Result};
use crate::schema::Schema;

/// "akep": marks our files in SQLite's header.
const APPLICATION_ID: u32 = 0x616b_6570;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Pages in SQLite's log after which they are brought into the file. So many the log's index holds
/// in its first part, in which pages are found fastest.
pub(super) const CHECKPOINT: i32 = 4_000;

/// What a store says of itself.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) store_id: String,
    pub(super) epoch: u64,
}

/// Prepares the path: refuses what is not ours without touching it, makes what is missing.
pub(super) fn prepare(schema: &'static Schema, path: &Path, options: &Options) -> Result<PathBuf> {
    check_library(rusqlite::version_number())?;
    let place = || path.display().to_string();
    // Before it is opened: opening a pipe waits for somebody to write into it.
    if let Ok(found) = path.metadata()
        && !found.is_file()
    {
        let what = if found.is_dir() { "a folder" } else { "no plain file" };
        return Err(Error::new(Kind::InvalidInput, format!("the store's path is {what}"))
            .at(place())
            .advice("name a file in a folder, for example keep.db"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if !options.create && !path.exists() {
        return Err(Error::new(Kind::NotFound, "there is no store")
            .at(place())
            .advice("name the file of a store that is there"));
    }
    make_folder(&folder)
        .map_err(|error| io(&error, "the store's folder cannot be made", &folder))?;
    if let (false, Some(kind)) = (options.network_fs, network_fs::holding(&folder)) {
        return Err(Error::new(
            Kind::DurabilityNotMet,
            format!("the store is on a network file system ({kind})"),
        )
        .at(place())
        .advice("keep it on a local disk, or accept the risk with network_fs=yes"));
    }
    match File::open(path) {
        Ok(_) => check_ours(path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(Error::new(Kind::InvalidInput, "the store's path is a dangling link")
                    .at(place())
                    .advice("name the file itself: no store is made at the other end of a link"));
            }
            make_store(schema, path, &folder, options)?;
        }
        Err(error) => return Err(io(&error, "the store cannot be read", path)),
    }
    path.canonicalize().map_err(|error| io(&error, "the store's path cannot be resolved", path))
}

/// SQLite before these versions can drop commits when two connections checkpoint at once.
fn check_library(version: i32) -> Result<()> {
    let sound = version >= 3_051_003
        || (3_050_007..3_051_000).contains(&version)
        || (3_044_006..3_045_000).contains(&version);
    if sound {
        return Ok(());
    }
    let message = format!(
        "this build has SQLite {}.{}.{}, which can lose commits",
        version / 1_000_000,
        version / 1000 % 1000,
        version % 1000
    );
    Err(Error::new(Kind::DurabilityNotMet, message).advice("build with SQLite 3.51.3 or later"))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A new file, and nothing that somebody has put there, be it a link. Conversations are private:
/// nobody else may read the file, whatever the umask says. SQLite gives the files beside it the
/// same permissions.
fn make_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    Ok(())
}

/// Makes a whole store under another name, then gives it its own: nobody ever sees half of one.
/// Of several processes that do so at once, one wins, and its store is everybody's.
fn make_store(
    schema: &'static Schema,
    path: &Path,
    folder: &Path,
    options: &Options,
) -> Result<()> {
    let cannot = |error: &std::io::Error| io(error, "the store cannot be made", path);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let temporary = folder.join(name);
    make_file(&temporary).map_err(|error| cannot(&error))?;
    let made = open(schema, &temporary, options).and_then(|(connection, _)| gathered(connection));
    let linked = made.and_then(|()| {
        sync_above(folder).map_err(|error| cannot(&error))?;
        let named = match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                claim(&temporary, path)
            }
            named => named,
        };
        match named {
            // Who was faster may not have come to the sync below, and never come to it.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(&error)),
            Ok(()) => {}
        }
        sync_folder(folder).map_err(|error| cannot(&error))
    });
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut leftover = temporary.clone().into_os_string();
        leftover.push(suffix);
        let _ = std::fs::remove_file(leftover);
    }
    linked
}

/// For file systems without hard links: takes the name with an empty file, which only one can do,
/// then puts the store over it.
fn claim(temporary: &Path, path: &Path) -> std::io::Result<()> {
    make_file(path)?;
    std::fs::rename(temporary, path)
}

/// Brings everything into the one file and closes it. Closing alone would do so, too, but not say
/// when it fails half-way, and half of a store must not get the store's name.
fn gathered(connection: Connection) -> Result<()> {
    let (busy, in_log, copied): (bool, i64, i64) = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(map)?;
    if busy || in_log != copied {
        return Err(Error::new(Kind::Unavailable, "the new store could not be written whole")
            .advice("try again; nothing was left behind"));
    }
    connection.close().map_err(|(_, error)| map(error))
}

/// A file with our mark is ours. An empty one is no store: it may have been one.
fn check_ours(path: &Path) -> Result<()> {
    let unreadable = |error: &std::io::Error| io(error, "the store cannot be read", path);
    // Another process that is making the store may have just taken its name.
    let header = patiently(Duration::from_secs(1), || {
        let mut header = Vec::new();
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        file.take(100).read_to_end(&mut header).map_err(|error| unreadable(&error))?;
        if header.is_empty() { Err(Error::new(Kind::Timeout, "empty")) } else { Ok(header) }
    });
    let header = match header {
        Err(error) if error.kind() == Kind::Timeout => {
            return Err(Error::new(Kind::Corrupt, "the store's file is empty")
                .at(path.display().to_string())
                .advice("restore it from a backup, or remove it if there has never been a store"));
        }
        header => header?,
    };
    let application = header.get(68..72).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
    let mut ours = header.starts_with(MAGIC) && application == Some(APPLICATION_ID);
    // Byte 18 is 1 before WAL mode, which comes after our mark: another process may be at it.
    if header.starts_with(MAGIC) && !ours && header.get(18) == Some(&1) {
        ours = application_under_lock(path)? == APPLICATION_ID;
    }
    if ours {
        return Ok(());
    }
    let what = if header.starts_with(MAGIC) {
        "an SQLite file of another program"
    } else {
        "some other file"
    };
    Err(Error::new(Kind::InvalidInput, format!("this is {what}, not an agentkeep store"))
        .at(path.display().to_string())
        .advice("name another file for the store; to take data in, use agentkeep import"))
}

/// The mark as SQLite reads it, under its lock and without writing: bytes read beside a writer may
/// be half new.
fn application_under_lock(path: &Path) -> Result<u32> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(map)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(map)?;
    connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(map)
}

/// SQLite counts milliseconds in 32 bits: 24 days are as good as for ever.
pub(super) fn longest_wait(timeout: Duration) -> Duration {
    timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}

/// A connection with the settings that all share.
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(map)?;
    if connection.is_readonly("main").map_err(map)? {
        return Err(Error::new(Kind::PermissionDenied, "the store's file cannot be written")
            .at(path.display().to_string())
            .advice("give this user the right to write the file"));
    }
    connection.busy_timeout(longest_wait(options.timeout)).map_err(map)?;
    connection.set_prepared_statement_cache_capacity(256);
    // Else a statement is parsed again for each new value of a range or a limit.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(map)?;
    let synchronous = match options.durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
        Durability::None => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous).map_err(map)?;
    connection.pragma_update(None, "secure_delete", "FAST").map_err(map)?;
    connection.pragma_update(None, "cache_size", -16_000).map_err(map)?;
    // A page that changes with every commit is brought into the file once for so many pages.
    connection
        .pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT, |_| Ok(()))
        .map_err(map)?;
    Ok(connection)
}

/// The writer's connection to a store that has the schema, made or upgraded if need be.
pub(super) fn open(
    schema: &'static Schema,
    path: &Path,
    options: &Options,
) -> Result<(Connection, Identity)> {
    let mut connection = connect(path, options)?;
    patiently(options.timeout, || initialise(schema, &mut connection, options))?;
    let identity = identify(schema, &connection)?;
    Ok((connection, identity))
}

/// Changing the journal mode can answer "busy" at once, whatever the timeout: many processes may
/// open a fresh store at the same time.
fn patiently<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + longest_wait(timeout);
    loop {
        match attempt() {
            Err(error) if error.kind() == Kind::Timeout && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn format_version(connection: &Connection) -> Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(map)
}

fn initialise(schema: &Schema, connection: &mut Connection, options: &Options) -> Result<()> {
    let version = format_version(connection)?;
    if version > 0 {
        // Versions of another schema mean nothing to us.
        refuse_schema(schema, connection)?;
    }
    let unnumbered = version > 0 && numbering::is_due(connection)?;
    refuse_version(schema, version, unnumbered, options)?;
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(map)?;
    if version == schema.version && !unnumbered && mode == "wal" {
        return Ok(());
    }
    mark(connection)?;
    if mode != "wal" {
        write_ahead(connection)?;
    }
    let watched = numbering::watch_references(connection, false)?;
    let done = under_lock(schema, connection, options);
    numbering::watch_references(connection, watched)?;
    done
}

/// Makes or upgrades the tables in one transaction.
fn under_lock(schema: &Schema, connection: &mut Connection, options: &Options) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(map)?;
    // Another process may have been faster.
    let version = format_version(&transaction)?;
    let unnumbered = version > 0 && numbering::is_due(&transaction)?;
    refuse_version(schema, version, unnumbered, options)?;
    if unnumbered {
        numbering::number_blobs(&transaction)?;
    }
    upgrade(schema, &transaction, version)?;
    transaction.commit().map_err(map)
}

/// What must come before the first table, in one transaction: a file with a first page that does
/// not carry our mark would be taken for another program's.
pub(super) fn mark(connection: &mut Connection) -> Result<()> {
    // Not "immediate": that would make the first page, without auto_vacuum.
    let transaction = connection.transaction().map_err(map)?;
    let found: u32 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(map)?;
    if found != APPLICATION_ID {
        transaction.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(map)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(map)?;
    }
    transaction.commit().map_err(map)
}

fn write_ahead(connection: &Connection) -> Result<()> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(map)?;
    if mode == "wal" {
        return Ok(());
    }
    Err(Error::new(Kind::DurabilityNotMet, format!("SQLite keeps journal_mode={mode}"))
        .advice("keep the store on a file system that supports WAL"))
}

fn refuse_version(schema: &Schema, found: u32, unnumbered: bool, options: &Options) -> Result<()> {
    let known = schema.version;
    if found > known {
        return Err(Error::new(
            Kind::NewerFormat,
            format!("the store has format {found}, this agentkeep knows {known}"),
        )
        .advice("use a newer agentkeep"));
    }
    if found > 0 && (found < known || unnumbered) && !options.upgrade {
        let what = if found < known {
            format!("the store has the older format {found}")
        } else {
            "the store keeps its blobs as older versions did".to_owned()
        };
        return Err(Error::new(Kind::Unsupported, what)
            .advice("open it without upgrade=no to bring it up to date"));
    }
    Ok(())
}

/// Brings format `from` up to date; 0 is an empty file. What later ones added the schema declares.
fn upgrade(schema: &Schema, connection: &Connection, from: u32) -> Result<()> {
    if from == schema.version {
        return Ok(());
    }
    let statements = if from == 0 { ddl::create(schema) } else { ddl::add(schema, from) };
    for statement in statements {
        connection.execute(&statement, []).map_err(map)?;
    }
    if from == 0 {
        introduce(schema, connection)?;
    }
    connection.pragma_update(None, "user_version", schema.version).map_err(map)
}

/// Writes what a new store says of itself.
fn introduce(schema: &Schema, connection: &Connection) -> Result<()> {
    let store_id = uuid::Uuid::new_v4().to_string();
    let sum = facts_sum(schema.name, &store_id, "1").to_string();
    let facts =
        [("schema", schema.name), ("store_id", store_id.as_str()), ("epoch", "1"), ("crc", &sum)];
    for (name, value) in facts {
        let sql = "INSERT INTO _store(name, value) VALUES (?, ?)";
        connection.execute(sql, [name, value]).map_err(map)?;
    }
    Ok(())
}

/// What the store says of itself under `name`.
fn fact(connection: &Connection, name: &str) -> Result<String> {
    let sql = "SELECT value FROM _store WHERE name = ?";
    connection.query_row(sql, [name], |row| row.get(0)).map_err(|error| {
        if matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy)) {
            return map(error);
        }
        Error::new(Kind::Corrupt, format!("the store does not say its {name}")).caused_by(error)
    })
}

fn refuse_schema(schema: &Schema, connection: &Connection) -> Result<()> {
    let found = fact(connection, "schema")?;
    if found == schema.name {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidInput, format!("the store keeps {found:?}, not {:?}", schema.name))
        .advice("name another file for the store"))
}

fn identify(schema: &Schema, connection: &Connection) -> Result<Identity> {
    refuse_schema(schema, connection)?;
    let (store_id, epoch) = (fact(connection, "store_id")?, fact(connection, "epoch")?);
    let sum = facts_sum(schema.name, &store_id, &epoch).to_string();
    match epoch.parse() {
        Ok(epoch) if sum == fact(connection, "crc")? => Ok(Identity { store_id, epoch }),
        _ => Err(Error::new(Kind::Corrupt, "what the store says of itself is damaged")
            .advice("restore it from a backup")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_commits_are_refused() {
        for (version, sound) in [
            (3_051_003, true),
            (3_054_001, true),
            (3_051_002, false),
            (3_051_000, false),
            (3_050_007, true),
            (3_050_006, false),
            (3_044_006, true),
            (3_045_000, false),
            (3_040_001, false),
        ] {
            assert_eq!(check_library(version).is_ok(), sound, "{version}");
        }
        check_library(rusqlite::version_number()).unwrap();
    }

    #[test]
    fn without_hard_links_only_one_gives_the_store_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("1.new"), "first").unwrap();
        std::fs::write(file("2.new"), "second").unwrap();
        claim(&file("1.new"), &file("keep.db")).unwrap();
        let error = claim(&file("2.new"), &file("keep.db")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(file("keep.db")).unwrap(), b"first");
    }
}
