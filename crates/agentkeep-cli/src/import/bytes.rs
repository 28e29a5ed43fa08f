//! Bytes of a source, read once and known again by their hash; and its texts as JSON.

use std::io::Read;

use agentkeep::driver::MAX_BODY;
use agentkeep::{Error, Json, Kind, Result};

/// Longest text of a record or message that is looked at; white space may go beyond the limit of
/// what is kept.
pub(crate) const MAX_TEXT: usize = 2 * MAX_BODY;

/// Stands for the content of a value.
pub(crate) type Digest = [u8; 16];

/// Hashes what is read through it.
#[derive(Debug)]
pub(crate) struct Hashing<R> {
    input: R,
    hasher: blake3::Hasher,
}

impl<R> Hashing<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, hasher: blake3::Hasher::new() }
    }

    pub(crate) fn digest(&self) -> Digest {
        shortened(&self.hasher.finalize())
    }
}

pub(crate) fn shortened(hash: &blake3::Hash) -> Digest {
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

/// Adds parts to a hash so that no two lists of parts give the same.
pub(crate) fn update<'a>(hasher: &mut blake3::Hasher, parts: impl IntoIterator<Item = &'a [u8]>) {
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}

/// The source is not what it was when it was looked at.
pub(crate) fn changed(place: &str) -> Error {
    Error::new(Kind::Conflict, "the source changed while it was read")
        .at(place.to_owned())
        .advice("stop the program that writes to it, then import again")
}

/// The text as JSON, and what was replaced in it.
pub(crate) fn to_json(text: &str) -> Result<(Json, Option<String>), String> {
    let (json, replaced) =
        Json::parse_replacing_surrogates(text).map_err(|error| error.message().to_owned())?;
    let told = match replaced {
        0 => None,
        1 => Some("1 lone surrogate replaced by U+FFFD".to_owned()),
        n => Some(format!("{n} lone surrogates replaced by U+FFFD")),
    };
    Ok((json, told))
}

/// A body beyond the limit would stop the whole import.
pub(crate) fn check_size(json: &Json) -> Result<(), String> {
    if json.len() <= MAX_BODY {
        return Ok(());
    }
    Err(format!("it has {} bytes, more than {MAX_BODY}", json.len()))
}

/// What is wrong, and what would be right.
pub(crate) fn reason_of(error: &Error) -> String {
    match error.advice_text() {
        Some(advice) => format!("{} ({advice})", error.message()),
        None => error.message().to_owned(),
    }
}
