//! Conversations on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../drivers/mod.rs"]
mod drivers;

mod copies;
mod deleting;
mod forks;
mod lists;
mod loads;
mod messages;
mod namespaces;
mod refusals;
mod support;
mod units;
