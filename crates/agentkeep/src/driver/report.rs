//! What a driver says of itself and of its store.

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// What a commit that returned `Ok` survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing: it ends with the process.
    None,
    /// `kill -9` of the process, not a power cut.
    Process,
    /// A power cut.
    Power,
}

impl Durability {
    /// Its name in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "process" => Ok(Self::Process),
            "power" => Ok(Self::Power),
            _ => Err(Error::new(Kind::InvalidInput, format!("unknown durability {text:?}"))
                .advice("it is power, process or none")),
        }
    }
}

/// What a driver promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The driver's name: the scheme of its URLs.
    pub driver: &'static str,
    /// Where the data is, without secrets.
    pub location: String,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// Whether hints come from other processes, too.
    pub hints_across_processes: bool,
    /// Whether several processes may share the store.
    pub many_processes: bool,
    /// The random id of the store.
    pub store_id: String,
    /// Counts restores; 1 at birth.
    pub epoch: u64,
    /// The format version.
    pub format: u32,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Damage: each names the place and what is wrong. Empty for a sound store.
    pub damage: Vec<Finding>,
    /// Work that is due: deletions and blobs still to be collected.
    pub due: Vec<Finding>,
    /// How many records were looked at.
    pub records: u64,
    /// How many streams.
    pub streams: u64,
    /// How many entries.
    pub entries: u64,
    /// How many blobs.
    pub blobs: u64,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The table, stream or file and the id.
    pub place: String,
    /// What is the matter there.
    pub what: String,
}

impl CheckReport {
    /// True when nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// Notes damage.
    pub fn damaged(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.damage.push(Finding { place: place.into(), what: what.into() });
    }

    /// Notes work that is due.
    pub fn due(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.due.push(Finding { place: place.into(), what: what.into() });
    }
}

/// How much a namespace holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Records by table.
    pub records: Vec<(String, u64)>,
    /// Streams, entries and bytes by log.
    pub logs: Vec<(String, u64, u64, u64)>,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}
