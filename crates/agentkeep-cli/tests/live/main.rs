//! On the servers of the tests: importing from live databases that AgentX wrote, and following.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

#[cfg(feature = "redis")]
mod follow;
#[cfg(feature = "redis")]
#[path = "../../../agentkeep/tests/servers/own.rs"]
#[allow(dead_code, reason = "nothing is killed here")]
mod own;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[path = "../support/mod.rs"]
mod support;

/// The URL of a server, unless the test is left out, which is said.
fn server(variable: &str, name: &str, test: &str) -> Option<String> {
    let server = std::env::var(variable).ok().filter(|url| !url.is_empty());
    let required = std::env::var_os("AGENTKEEP_TEST_SERVERS").is_some();
    assert!(server.is_some() || !required, "{test}: there is no {name}, and it was required");
    if server.is_none() {
        eprintln!("SKIPPED {test}: no {name}; eval \"$(scripts/services start {name})\"");
    }
    server
}
