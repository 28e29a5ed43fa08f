//! Runs on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../drivers/mod.rs"]
mod drivers;

mod behind;
mod imports;
mod leases;
mod lists;
mod random;
mod refusals;
mod snapshots;
mod support;
mod units;
