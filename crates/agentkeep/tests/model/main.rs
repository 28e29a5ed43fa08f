//! Model checks: thousands of schedules of what repositories do between the calls of a driver.
//!
//! Every call of the driver is one atomic step; before each the scheduler may let another task go
//! on. A schedule that fails is printed, and replayed by `shuttle::replay`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

mod acknowledging;
mod runs;
mod seam;
mod yielding;

use std::sync::Arc;

use agentkeep::Store;
use agentkeep::drivers::memory::Memory;
use agentkeep::schema::AGENTKEEP;
use yielding::{Patient, Yielding};

/// Schedules of each check.
fn schedules() -> usize {
    let asked = std::env::var("AGENTKEEP_SCHEDULES").ok();
    asked.and_then(|schedules| schedules.parse().ok()).unwrap_or(20_000)
}

/// A fresh store in memory, each of whose calls is a point of the schedule.
fn store() -> Store {
    let driver = Yielding(Memory::open(&AGENTKEEP));
    Store::with_clock(Arc::new(driver), Arc::new(Patient::default()))
}

/// Runs a task in many schedules, under random ones and under ones with few switches.
fn check<F: Future<Output = ()> + 'static>(task: impl Fn() -> F + Send + Sync + Copy + 'static) {
    let run = move || shuttle::future::block_on(task());
    shuttle::check_random(run, schedules() / 2);
    shuttle::check_pct(run, schedules() / 2, 3);
}
