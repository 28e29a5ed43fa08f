//! Several processes on one store, and `kill -9` in the middle.
//!
//! This program is its own child: with `AGENTKEEP_TEST_CHILD` set it does one child's work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unnecessary_wraps,
    clippy::similar_names,
    reason = "a test states what must hold by unwrapping it"
)]

mod child;
mod contention;
mod events;
mod kill;
#[cfg(feature = "redis")]
#[path = "../fixtures/redis.rs"]
mod of_redis;
#[cfg(feature = "postgres")]
#[path = "../fixtures/postgres.rs"]
mod postgres;
mod runs;
mod turns;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test answers: anything that goes wrong fails it.
pub(crate) type Outcome = Result<(), Failed>;

type Named = (&'static str, fn(&str) -> Outcome);

/// The drivers whose stores many processes may share.
fn schemes() -> Vec<&'static str> {
    let mut schemes = vec!["file", "sqlite"];
    #[cfg(feature = "postgres")]
    if postgres::is_there("postgres, all tests of processes") {
        schemes.push("postgres");
    }
    #[cfg(feature = "redis")]
    if of_redis::Form::Single.is_there("redis, all tests of processes") {
        schemes.push("redis");
    }
    schemes
}

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role);
        return;
    }
    let tests: [Named; 8] = [
        ("four_processes_of_four_tasks_share_a_stream_and_a_record", contention::sharing),
        ("a_parent_and_a_child_never_both_win", contention::parent_and_child),
        ("sixteen_processes_open_a_fresh_store", contention::opening),
        ("hints_come_from_other_processes", contention::hints),
        ("events_reach_everybody_once_and_in_order_through_kills", events::through_kills),
        ("of_four_owners_never_two_are_valid", runs::race),
        ("kill_minus_nine_loses_nothing", kill::two_hundred_times),
        ("a_turn_is_there_wholly_or_not_at_all", turns::all_or_none),
    ];
    let trials = schemes().into_iter().flat_map(|scheme| {
        tests.map(|(name, run)| Trial::test(format!("{scheme}::{name}"), move || run(scheme)))
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    #[cfg(feature = "postgres")]
    postgres::drop_all();
    #[cfg(feature = "redis")]
    of_redis::drop_all();
    conclusion.exit();
}

/// Runs an asynchronous test.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(4).enable_all().build().unwrap().block_on(future)
}
