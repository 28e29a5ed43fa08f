//! Attachments.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::driver::Hash;

/// Bytes kept once and referred to by messages: an image, a file, a large tool output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    #[serde(serialize_with = "hex", deserialize_with = "from_hex")]
    hash: Hash,
    /// How many bytes.
    pub size: u64,
    /// What kind of bytes, for example `image/png`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Attachment {
    /// Describes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Hash::of(bytes), size: bytes.len() as u64, media_type: None, name: None }
    }

    /// The same with a media type.
    #[must_use]
    pub fn media_type(mut self, media_type: &str) -> Self {
        self.media_type = Some(media_type.to_owned());
        self
    }

    /// The same with a name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The BLAKE3 hash of the bytes.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

fn hex<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hash.to_hex())
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = String::deserialize(deserializer)?;
    Hash::from_hex(&text).map_err(serde::de::Error::custom)
}
