//! The directory tree: a file for each value, its path the key.
//!
//! Symbolic links are not followed: what they lead to is no part of the tree.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use agentkeep::{Error, Result};

use super::not_agentx;
use crate::import::agentx::source::{Bytes, Catalogue, SORTS, Sort, Source, key_of};
use crate::output::io_error;

/// Folders nested deeper than this are no keys.
const DEEPEST: usize = 128;

/// The base folder of AgentX's file driver.
#[derive(Debug)]
pub(super) struct Folder {
    base: PathBuf,
}

fn cannot_read(error: std::io::Error) -> Error {
    io_error("the source cannot be read", error)
}

impl Folder {
    /// Looks whether it is such a tree: one of the known folders with JSON in its first file.
    pub(super) fn open(base: &Path) -> Result<Self> {
        for sort in SORTS {
            let folder = base.join(sort.key());
            if folder.is_dir() && holds_json(&folder, 0)? == Some(true) {
                return Ok(Self { base: base.to_owned() });
            }
        }
        if base.join("agentx.db").is_file() {
            return Err(not_agentx("a folder that holds the file agentx.db (name that file)"));
        }
        Err(not_agentx("a folder without AgentX's folders of JSON files"))
    }
}

/// The files below a folder whose path as a key is `key`, in the order of their names.
fn walk(folder: &Path, key: &str, depth: usize, into: &Catalogue<'_>) -> Result<()> {
    for entry in sorted(folder)? {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            let place = entry.path().display().to_string();
            into.other(&place, "its name is no UTF-8")?;
            continue;
        };
        let key = if key.is_empty() { name } else { format!("{key}:{name}") };
        let kind = entry.file_type().map_err(cannot_read)?;
        if kind.is_dir() {
            if depth == 0 && !is_known(&key) {
                into.other(&key, "a folder of no kind that is taken")?;
            } else if depth >= DEEPEST {
                into.other(&key, "nested too deep")?;
            } else {
                walk(&entry.path(), &key, depth + 1, into)?;
            }
        } else if kind.is_file() {
            let bytes = entry.metadata().map_err(cannot_read)?.len();
            into.keyed(&key, 0, i64::try_from(bytes).unwrap_or(i64::MAX))?;
        } else {
            into.other(&key, "no ordinary file")?;
        }
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    name == "idx" || SORTS.into_iter().any(|sort| sort.key() == name)
}

fn sorted(folder: &Path) -> Result<Vec<std::fs::DirEntry>> {
    let entries = std::fs::read_dir(folder).map_err(cannot_read)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    Ok(entries)
}

/// Whether the first file below a folder begins as JSON does; `None` when there is no file.
fn holds_json(folder: &Path, depth: usize) -> Result<Option<bool>> {
    for entry in sorted(folder)? {
        let kind = entry.file_type().map_err(cannot_read)?;
        if kind.is_dir() && depth < DEEPEST {
            if let Some(found) = holds_json(&entry.path(), depth + 1)? {
                return Ok(Some(found));
            }
        } else if kind.is_file() {
            let mut start = Vec::new();
            let file = File::open(entry.path()).map_err(cannot_read)?;
            file.take(64).read_to_end(&mut start).map_err(cannot_read)?;
            return Ok(Some(matches!(start.trim_ascii_start().first(), Some(b'{' | b'['))));
        }
    }
    Ok(None)
}

impl Source for Folder {
    fn form(&self) -> &'static str {
        "AgentX directory tree"
    }

    fn list(&self, into: &Catalogue<'_>) -> Result<()> {
        walk(&self.base, "", 0, into)
    }

    fn open(&self, place: &str, _at: i64, _bytes: i64) -> Result<Bytes<'_>> {
        // A name in a key holds no `:`, for it was made of a path.
        let path = place.split(':').fold(self.base.clone(), |path, name| path.join(name));
        match File::open(path) {
            Ok(file) => Ok(Ok(Box::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Ok(Err("it may not be read".to_owned()))
            }
            Err(error) => Err(cannot_read(error)),
        }
    }

    fn home(&self, sort: Sort, id: &str) -> Option<String> {
        Some(key_of(sort, id))
    }

    fn place_of_messages(&self, session: &str) -> String {
        key_of(Sort::Messages, session)
    }
}
