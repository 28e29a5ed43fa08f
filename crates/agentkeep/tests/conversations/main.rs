//! Conversations on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

mod deleting;
mod forks;
mod lists;
mod loads;
mod messages;
mod namespaces;
#[cfg(feature = "postgres")]
#[path = "../fixtures/postgres.rs"]
mod postgres;
mod refusals;
mod support;
mod units;
