//! AgentX: its SQLite key-value file, and the JSON backup that its guide describes.

mod copy;
mod json;
mod messages;
mod records;
mod source;
mod sqlite;
mod take;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agentkeep::{Error, Kind, Result};

use self::source::Source;
use crate::output::io_error;

pub(crate) use self::take::take;

const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What can be read, for errors.
const EXPECTED: &str = "expected an SQLite file with the table kv_storage, or a JSON backup \
                        {containers, images, sessions, messages}";

/// Recognises the source by its content.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>> {
    let at = |error: Error| error.at(path.display().to_string());
    let cannot_read = |error| at(io_error("the source cannot be read", error));
    let metadata = std::fs::metadata(path).map_err(cannot_read)?;
    if metadata.is_dir() {
        return Err(at(not_agentx("a folder")));
    }
    if !metadata.is_file() {
        return Err(at(not_agentx("no ordinary file")));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut start).map_err(cannot_read)?;
    if start.is_empty() {
        return Err(at(not_agentx("an empty file")));
    }
    if start == SQLITE_MAGIC {
        return Ok(Box::new(sqlite::Sqlite::open(path).map_err(at)?));
    }
    let bytes = std::fs::read(path).map_err(cannot_read)?;
    Ok(Box::new(json::Backup::parse(bytes).map_err(at)?))
}

fn not_agentx(what: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the source is {what}, not AgentX data"))
        .advice(EXPECTED)
}
