//! What only Redis has: settings, slots of a cluster, connections that die, a server that is killed.
//!
//! Most tests use the servers of `AGENTKEEP_TEST_REDIS` and `AGENTKEEP_TEST_REDIS_CLUSTER`; those that
//! change or kill one start it for themselves with `scripts/services`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../fixtures/redis.rs"]
mod fixture;
#[path = "../servers/mod.rs"]
mod servers;

mod cluster;
mod cut_groups;
mod damage;
mod dying;
mod failover;
mod foreign;
mod full;
mod grouped;
mod heads;
mod hints;
mod moving;
mod opening;
mod settings;
mod slots;
mod snapshots;
mod trips;

/// Returns from the test, loudly, where there is no server.
macro_rules! needs {
    ($form:ident, $name:literal) => {
        if !crate::fixture::Form::$form.is_there($name) {
            return;
        }
    };
}

pub(crate) use needs;

/// A connection as anybody has it.
pub(crate) fn plain() -> redis::Connection {
    fixture::nodes(fixture::Form::Single).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_nothing_acknowledged() {
    needs!(Single, "a_killed_server_loses_nothing_acknowledged");
    servers::killing::loses_nothing_acknowledged("redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_cluster_loses_nothing_acknowledged() {
    needs!(Cluster, "a_killed_cluster_loses_nothing_acknowledged");
    servers::killing::loses_nothing_acknowledged("redis-cluster").await;
}
