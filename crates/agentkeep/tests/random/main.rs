//! Random sequences on a driver and on the memory driver side by side: every answer is the same.
//!
//! A failure prints its seed and the shortest sequence found. `PROPTEST_RNG_SEED` runs a seed
//! again, `PROPTEST_CASES` says how many sequences.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "../fixtures/file.rs"]
mod file;
#[cfg(feature = "redis")]
#[path = "../fixtures/redis.rs"]
mod of_redis;
#[cfg(feature = "postgres")]
#[path = "../fixtures/postgres.rs"]
mod postgres;
mod resolve;
mod show;
mod side;
#[path = "../fixtures/sqlite.rs"]
mod sqlite;
mod step;

use std::sync::Arc;

use agentkeep::conformance::{Fixture, SCHEMA};
use agentkeep::driver::Durability;
use agentkeep::drivers::memory::Memory;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use crate::side::Side;
use crate::step::{Step, steps};

const CASES: u32 = 500;
/// For a server, where a fresh store takes a while.
const SERVER_CASES: u32 = 150;

type Checked = std::result::Result<(), TestCaseError>;

fn same(what: &str, step: &dyn std::fmt::Debug, seen: &str, expected: &str) -> Checked {
    if seen == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!(
        "{what} differs after {step:?}\n-- seen:\n{seen}\n-- expected:\n{expected}"
    )))
}

fn broken(error: impl std::fmt::Debug) -> TestCaseError {
    TestCaseError::fail(format!("a step could not be made: {error:?}"))
}

/// Runs one sequence on fresh stores.
async fn alike(fixture: &dyn Fixture, steps: &[Step]) -> Checked {
    let mut model = Side::new(Arc::new(Memory::open(&SCHEMA)));
    let mut tested = Side::new(fixture.open(&SCHEMA).await.map_err(broken)?);
    for step in steps {
        let seen = tested.step(step).await.map_err(broken)?;
        let expected = model.step(step).await.map_err(broken)?;
        same("the answer", step, &seen, &expected)?;
    }
    let expected = model.whole().await.map_err(broken)?;
    same("the store", &"all", &tested.whole().await.map_err(broken)?, &expected)?;
    for side in [&model, &tested] {
        let report = side.driver.check().await.map_err(broken)?;
        if !report.is_sound() {
            return Err(TestCaseError::fail(format!("{:?}: {report:?}", side.driver)));
        }
    }
    let expected = tested.exactly().await.map_err(broken)?;
    tested.thaw();
    tested.driver.close().await.map_err(broken)?;
    if let Some(driver) = fixture.reopen(&SCHEMA).await.map_err(broken)? {
        let again = Side::new(driver);
        let seen = again.exactly().await.map_err(broken)?;
        same("the store", &"reopening", &seen, &expected)?;
        again.driver.close().await.map_err(broken)?;
    }
    Ok(())
}

fn sequences(fixture: &dyn Fixture, cases: u32) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(uuid::Uuid::new_v4().as_u64_pair().0);
    }
    let seed = config.rng_seed;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result =
        TestRunner::new(config).run(&steps(), |steps| runtime.block_on(alike(fixture, &steps.0)));
    if let Err(error) = result {
        panic!("{}, seed {seed:?}: {error}", fixture.name());
    }
}

#[test]
fn sqlite_behaves_as_memory() {
    sequences(&sqlite::OfSqlite::new(Durability::None), CASES);
}

#[test]
fn files_behave_as_memory() {
    sequences(&file::OfFiles::new(), CASES);
}

#[test]
#[cfg(feature = "postgres")]
fn postgres_behaves_as_memory() {
    if postgres::is_there("postgres_behaves_as_memory") {
        sequences(&postgres::OfPostgres::new(), SERVER_CASES);
    }
}

#[test]
#[cfg(feature = "redis")]
fn redis_behaves_as_memory() {
    if of_redis::Form::Single.is_there("redis_behaves_as_memory") {
        sequences(&of_redis::OfRedis::new(of_redis::Form::Single), SERVER_CASES);
    }
}
