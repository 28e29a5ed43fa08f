//! What agents were and could do, on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../drivers/mod.rs"]
mod drivers;

mod again;
mod checks;
#[cfg(feature = "capabilities")]
mod hosts;
mod lineages;
mod numbers;
mod rows;
mod support;
#[cfg(feature = "capabilities")]
mod telemetry;
mod tenants;
mod turns;
mod uses;
