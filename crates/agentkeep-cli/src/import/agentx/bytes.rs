//! The bytes of a value, read once and known again by their hash.

use std::io::Read;

use agentkeep::driver::MAX_BODY;
use agentkeep::{Error, Kind, Result};

use super::index::Item;
use super::source::Source;
use crate::import::cut::Kept;
use crate::output::io_error;

/// Longest text of a record or message that is looked at; white space may go beyond the limit of
/// what is kept.
pub(super) const MAX_TEXT: usize = 2 * MAX_BODY;

/// Stands for the content of a value.
pub(super) type Digest = [u8; 16];

/// Hashes what is read through it.
#[derive(Debug)]
pub(super) struct Hashing<R> {
    input: R,
    hasher: blake3::Hasher,
}

impl<R> Hashing<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, hasher: blake3::Hasher::new() }
    }

    pub(super) fn digest(&self) -> Digest {
        shortened(&self.hasher.finalize())
    }
}

pub(super) fn shortened(hash: &blake3::Hash) -> Digest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.as_bytes()[..16]);
    digest
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

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

/// The source is not what it was when it was looked at.
pub(super) fn changed(place: &str) -> Error {
    Error::new(Kind::Conflict, "the source changed while it was read")
        .at(place.to_owned())
        .advice("stop the program that writes to it, then import again")
}
