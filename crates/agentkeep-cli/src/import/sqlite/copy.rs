//! A copy of an SQLite file at one moment, so that the source and its folder are never touched.
//!
//! Reading a file with a write-ahead log, or with a journal left by a crash, in place would make
//! files beside it or change it; and any lock on it makes AgentX, which does not wait for locks,
//! lose writes. The copy is taken without a lock, together with the files beside it, and thrown
//! away when anything changed meanwhile.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use agentkeep::{Error, Kind, Result};
use tempfile::TempDir;

use crate::output::io_error;

/// How often a source that keeps changing is copied again.
const ATTEMPTS: u32 = 5;
/// The file itself, its write-ahead log, its rollback journal.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// Tells one state of a file from another: size, time, and the header, in which SQLite counts the
/// commits of the file and marks the generations of the log.
#[derive(Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
    header: Vec<u8>,
}

/// Copies the file with what stands beside it; answers the folder and the copy in it.
pub(super) fn copy(path: &Path) -> Result<(TempDir, PathBuf)> {
    let cannot = |error| io_error("the source cannot be copied to be read", error);
    // SQLite looks for the files beside the file itself, not beside a link to it.
    let path = path.canonicalize().map_err(cannot)?;
    let folder = tempfile::Builder::new().prefix("agentkeep-").tempdir().map_err(cannot)?;
    let target = folder.path().join("source.db");
    for _ in 0..ATTEMPTS {
        let before = states(&path).map_err(cannot)?;
        for (part, state) in PARTS.iter().zip(&before) {
            copy_part(&beside(&path, part), &beside(&target, part), state.is_some())
                .map_err(cannot)?;
        }
        if states(&path).map_err(cannot)? == before {
            return Ok((folder, target));
        }
    }
    Err(Error::new(Kind::Conflict, "the source changes while it is read")
        .advice("stop the program that writes to it, then import again"))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn states(path: &Path) -> std::io::Result<Vec<Option<State>>> {
    PARTS.iter().map(|part| state(&beside(path, part))).collect()
}

fn state(path: &Path) -> std::io::Result<Option<State>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header)?;
    Ok(Some(State { len: metadata.len(), modified: metadata.modified().ok(), header }))
}

/// A part that vanishes while it is copied shows in the states afterwards.
fn copy_part(from: &Path, to: &Path, there: bool) -> std::io::Result<()> {
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(std::fs::remove_file(to))?;
    if !there {
        return Ok(());
    }
    // By content, not `fs::copy`: a source that may only be read gives a copy that may be written.
    let copied = File::open(from)
        .and_then(|mut from| std::io::copy(&mut from, &mut File::create(to)?).map(|_| ()));
    gone(copied)
}
