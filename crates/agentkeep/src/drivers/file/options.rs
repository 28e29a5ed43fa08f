//! How a folder of files is opened.

use std::time::Duration;

use crate::driver::Durability;

/// Options of [`Files::open`](super::Files::open).
#[derive(Debug, Clone)]
pub struct Options {
    /// What an acknowledged commit survives: `power` brings the journal to the disk before it
    /// answers; `process` and `none` leave that to the system, so a power cut may lose or tear
    /// what was written since.
    pub durability: Durability,
    /// Whether a store that is not there is made.
    pub create: bool,
    /// Whether an older format is brought up to date.
    pub upgrade: bool,
    /// Whether a network file system is accepted. Its locks are often not to be trusted.
    pub network_fs: bool,
    /// How long a commit waits for other processes.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Power,
            create: true,
            upgrade: true,
            network_fs: false,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// True when a commit must be on the disk before it is acknowledged.
    pub(super) fn sync(&self) -> bool {
        self.durability == Durability::Power
    }

    /// True when files must be on the disk before the journal gives up what it has for them. Also
    /// where commits need not be: those of other processes may be among them.
    pub(super) fn sync_places(&self) -> bool {
        self.durability != Durability::None
    }
}
