//! How a Redis store is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::driver::Durability;

/// Options of [`Redis::open`](super::Redis::open); [`from_url`](Self::from_url) makes them.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// Hosts with their ports: of a cluster some of its nodes, else the first that is a master counts.
    pub hosts: Vec<(String, u16)>,
    /// The number of the database; a cluster has only 0.
    pub database: u32,
    /// The user; `None` for the server's default one.
    pub user: Option<String>,
    /// The password; never shown.
    pub password: Option<String>,
    /// What all keys begin with.
    pub base: String,
    /// What an acknowledged commit must survive: the server's settings are held against it.
    pub durability: Durability,
    /// The user states that a server which hides its settings has those that are needed.
    pub stated: bool,
    /// Whether a store that is not there is made.
    pub create: bool,
    /// Whether an older format is brought up to date.
    pub upgrade: bool,
    /// Connections, apart from the one that listens. The first is for commits alone; where many
    /// come together they take the others, too.
    pub pool: usize,
    /// The deadline of every call.
    pub timeout: Duration,
    /// Whether the connection is encrypted, the server's certificate and name verified.
    pub tls: bool,
    /// Certificates to trust instead of the system's.
    pub root_certificates: Option<PathBuf>,
}

impl Options {
    /// Where the store is, without secrets.
    pub fn location(&self) -> String {
        format!("{}?base={}", self.place(), self.base)
    }

    /// Where the database is.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}/{}", hosts.join(","), self.database)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({:?}, {:?})", self.location(), self.durability)
    }
}
