//! The bytes of a value of AgentX's.

use std::io::Read as _;

use agentkeep::Result;

use super::index::Item;
use super::source::Source;
use crate::import::bytes::{Digest, Hashing, MAX_TEXT, shortened};
use crate::import::cut::Kept;
use crate::output::io_error;

/// A failure while a value is read: damage in it is a reason not to take it, anything else ends
/// the import.
pub(super) fn reason(error: std::io::Error) -> Result<String> {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            Ok(error.to_string())
        }
        _ => Err(io_error("the source cannot be read", error)),
    }
}

/// The whole text of a value, or why there is none; and its digest.
pub(super) fn text(source: &dyn Source, item: &Item) -> Result<(Result<String, String>, Digest)> {
    let reader = match source.open(&item.place, item.at, item.bytes)? {
        Ok(reader) => reader,
        Err(reason) => {
            let digest = shortened(&blake3::hash(reason.as_bytes()));
            return Ok((Err(reason), digest));
        }
    };
    let mut reader = Hashing::new(reader);
    let mut kept = Kept::new(MAX_TEXT);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((kept.text(), reader.digest())),
            Ok(read) => kept.push(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Ok((Err(reason(error)?), reader.digest())),
        }
    }
}
