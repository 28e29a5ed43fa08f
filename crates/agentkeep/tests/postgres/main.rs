//! What only PostgreSQL has: rights, settings, connections that die, a server that is killed, a
//! pooler in between.
//!
//! Most tests use the server of `AGENTKEEP_TEST_POSTGRES`; those that change or kill it start one of
//! their own with `scripts/services`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../fixtures/postgres.rs"]
mod fixture;
#[path = "../servers/mod.rs"]
mod servers;

mod appending;
mod driving;
mod dying;
mod hints;
mod limits;
mod opening;
mod partitions;
mod pooler;
mod rights;
mod settings;
mod sql;
mod trips;
mod unsure;
mod upgrading;

/// Returns from the test, loudly, where there is no server.
macro_rules! needs_server {
    ($name:literal) => {
        if !crate::fixture::is_there($name) {
            return;
        }
    };
}

pub(crate) use needs_server;

/// A connection as anybody has it.
pub(crate) async fn plain() -> tokio_postgres::Client {
    let url = fixture::server().unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_nothing_acknowledged() {
    needs_server!("a_killed_server_loses_nothing_acknowledged");
    servers::killing::loses_nothing_acknowledged("postgres").await;
}
