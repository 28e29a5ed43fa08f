//! Events on every driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../drivers/mod.rs"]
mod drivers;

mod consumers;
mod groups;
mod publishing;
mod reference;
mod restoring;
mod retention;
mod seam;
mod subscribing;
mod support;
