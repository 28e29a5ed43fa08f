//! How a PostgreSQL store is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::driver::Durability;

/// Whether the connection is encrypted, and whom it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// No encryption: the default for this machine's own addresses and sockets.
    Disable,
    /// Encryption without knowing who is at the other end.
    Require,
    /// Encryption, the server's certificate and name verified: the default everywhere else.
    Verify,
}

/// Options of [`Postgres::open`](super::Postgres::open); [`from_url`](Self::from_url) makes them.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// Hosts with their ports; a name that begins with `/` is the folder of a socket.
    pub hosts: Vec<(String, u16)>,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password; never shown.
    pub password: Option<String>,
    /// The schema that holds the tables.
    pub schema: String,
    /// What an acknowledged commit must survive: the server's settings are held against it.
    pub durability: Durability,
    /// Whether a store that is not there is made.
    pub create: bool,
    /// Whether an older format is brought up to date.
    pub upgrade: bool,
    /// Most connections at once, apart from those of snapshots and the one that listens.
    pub pool: usize,
    /// The deadline of every call. Opening a store of an older format may take an hour.
    pub timeout: Duration,
    /// Whether statements are prepared by name. Where that fails, as behind some poolers, it is
    /// given up by itself.
    pub prepare: bool,
    /// Whether hints come by LISTEN; else, and where that does not work, by asking.
    pub listen: bool,
    /// Encryption.
    pub tls: Tls,
    /// Certificates to trust instead of the system's.
    pub root_certificates: Option<PathBuf>,
}

impl Options {
    /// Where the store is, without secrets.
    pub fn location(&self) -> String {
        format!("{}?schema={}", self.place(), self.schema)
    }

    /// Where the database is.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("postgres://{}/{}", hosts.join(","), self.database)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({:?}, {:?}, {:?})", self.location(), self.durability, self.tls)
    }
}
