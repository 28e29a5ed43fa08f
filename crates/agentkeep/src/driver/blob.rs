//! Immutable bytes named by their hash.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// The BLAKE3 hash of a blob: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// From its 64 hexadecimal digits.
    ///
    /// # Errors
    /// `InvalidId` for any other text.
    pub fn from_hex(text: &str) -> Result<Self> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|error| {
            Error::new(Kind::InvalidId, "not the name of a blob")
                .advice("a blob is named by the 64 hexadecimal digits of its BLAKE3 hash")
                .caused_by(error)
        })
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Bytes with their hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    hash: Hash,
    bytes: Arc<[u8]>,
}

impl Blob {
    /// Takes the bytes and hashes them.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { hash: Hash::of(&bytes), bytes }
    }

    /// Takes bytes that a driver stored under `hash`.
    ///
    /// # Errors
    /// `Corrupt` when they hash to something else.
    pub fn from_stored(hash: Hash, bytes: impl Into<Arc<[u8]>>) -> Result<Self> {
        let blob = Self::new(bytes);
        if blob.hash == hash {
            return Ok(blob);
        }
        Err(Error::new(Kind::Corrupt, "a stored blob is damaged").at(format!("blob {hash}")))
    }

    /// Its hash.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, {} bytes)", self.hash, self.bytes.len())
    }
}

/// Whether a read of blobs wants their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The bytes.
    Bytes,
    /// Only whether they are there: the answered blobs are [`FoundBlob::Present`].
    Presence,
}

/// A blob that a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundBlob {
    /// It is there.
    Present,
    /// It is there, with its bytes.
    Bytes(Blob),
}
