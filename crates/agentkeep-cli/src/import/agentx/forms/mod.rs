//! The forms that AgentX data comes in, recognised by their content.

mod backup;
mod escaped;
mod folder;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod live;
#[cfg(feature = "redis")]
mod live_redis;
#[cfg(feature = "postgres")]
mod postgres;
mod redis;
mod sqlite;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agentkeep::{Error, Kind, Result};

use super::Data;
use crate::output::io_error;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// What can be read, for errors.
const EXPECTED: &str = "expected AgentX data in one of its forms: an SQLite file with the table \
                        kv_storage, a folder with containers, images, sessions, messages, a JSON \
                        backup {containers, images, sessions, messages}, a Redis dump as JSON \
                        [{key, type, value}], an event queue (an SQLite file with the \
                        table queue_entries), or the URL of a live postgres://, redis:// \
                        or rediss:// database";

/// Recognises the source by its content, a live database by its URL. Answers it and where it is.
pub(crate) async fn open(path: &Path) -> Result<(Data, String)> {
    match path.to_str().and_then(|text| Some((text, text.split_once("://")?.0))) {
        #[cfg(feature = "postgres")]
        Some((url, "postgres" | "postgresql")) => postgres::open(url).await,
        #[cfg(feature = "redis")]
        Some((url, "redis" | "rediss")) => live_redis::open(url).await,
        Some((_, scheme)) if !path.exists() => Err(Error::new(
            Kind::Unsupported,
            format!("a live database of {scheme:?} cannot be read"),
        )
        .advice(EXPECTED)),
        _ => Ok((in_file(path)?, path.display().to_string())),
    }
}

fn in_file(path: &Path) -> Result<Data> {
    let at = |error: Error| error.at(path.display().to_string());
    let cannot_read = |error| at(io_error("the source cannot be read", error));
    let metadata = std::fs::metadata(path).map_err(cannot_read)?;
    if metadata.is_dir() {
        return Ok(Data::Values(Box::new(folder::Folder::open(path).map_err(at)?)));
    }
    if !metadata.is_file() {
        return Err(at(not_agentx("no ordinary file")));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    file.take(4096).read_to_end(&mut start).map_err(cannot_read)?;
    if start.starts_with(crate::import::sqlite::MAGIC) {
        return sqlite::open(path).map_err(at);
    }
    let text = start.strip_prefix(MARK).unwrap_or(&start).trim_ascii_start();
    Ok(match text.first() {
        Some(b'{') => Data::Values(Box::new(backup::Backup::new(path))),
        Some(b'[') => Data::Values(Box::new(redis::Dump::new(path))),
        _ => return Err(at(not_agentx(what_else(&start)))),
    })
}

/// What a file is that is none of the forms.
fn what_else(start: &[u8]) -> &'static str {
    if start.is_empty() {
        "an empty file"
    } else if start.starts_with(b"REDIS") {
        "a binary Redis snapshot (RDB), not a Redis dump as JSON"
    } else if start.starts_with(b"\x1f\x8b") || start.starts_with(b"PK\x03\x04") {
        "a compressed file"
    } else if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        "a text in UTF-16"
    } else if std::str::from_utf8(start).is_err_and(|error| error.error_len().is_some()) {
        "no text in UTF-8"
    } else {
        "neither an SQLite file nor JSON"
    }
}

fn not_agentx(what: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the source is {what}, not AgentX data"))
        .advice(EXPECTED)
}

fn broken(broken: crate::import::cut::Broken) -> Error {
    match broken {
        crate::import::cut::Broken::Io(error) => io_error("the source cannot be read", error),
        crate::import::cut::Broken::Text(what) => {
            Error::new(Kind::InvalidInput, format!("the source is no whole JSON: {what}"))
                .advice(EXPECTED)
        }
    }
}
