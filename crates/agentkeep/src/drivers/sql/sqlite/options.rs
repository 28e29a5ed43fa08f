//! How a SQLite store is opened.

use std::time::Duration;

use crate::driver::Durability;

/// Options of [`Sqlite::open`](super::Sqlite::open).
#[derive(Debug, Clone)]
pub struct Options {
    /// What an acknowledged commit survives: `power` sets `synchronous=FULL`; `process` sets
    /// `NORMAL`, which on a power cut loses the commits since the last checkpoint; `none` sets
    /// `OFF`, which on a power cut may damage the file.
    pub durability: Durability,
    /// Whether a store that is not there is made.
    pub create: bool,
    /// Whether a network file system is accepted. Its locks are often not to be trusted.
    pub network_fs: bool,
    /// Whether an older format is brought up to date.
    pub upgrade: bool,
    /// How many reads run at once.
    pub readers: usize,
    /// How long a commit waits for other processes.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Power,
            create: true,
            network_fs: false,
            upgrade: true,
            readers: 4,
            timeout: Duration::from_secs(30),
        }
    }
}
