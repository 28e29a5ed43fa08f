//! The conformance table over every driver: one named test for each driver and case.

#![allow(clippy::unwrap_used, reason = "a test states what must hold by unwrapping it")]

#[path = "fixtures/file.rs"]
mod file;
#[cfg(feature = "redis")]
#[path = "fixtures/redis.rs"]
mod of_redis;
#[cfg(feature = "postgres")]
#[path = "fixtures/postgres.rs"]
mod postgres;
#[path = "fixtures/sqlite.rs"]
mod sqlite;

use std::collections::BTreeSet;
use std::sync::Arc;

use agentkeep::Result;
use agentkeep::conformance::{Fixture, Verdict, cases, run_case};
use agentkeep::driver::{Driver, Durability};
use agentkeep::drivers::memory::Memory;
use agentkeep::schema::Schema;
use async_trait::async_trait;
use libtest_mimic::{Arguments, Failed, Trial};

/// Cases that a driver cannot run, and no others: `driver::case`.
const SKIPPED: [&str; 1] = ["memory::lifecycle::a_store_comes_back_whole"];

struct OfMemory;

#[async_trait]
impl Fixture for OfMemory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, schema: &'static Schema) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(Memory::open(schema)))
    }

    async fn reopen(&self, _: &'static Schema) -> Result<Option<Arc<dyn Driver>>> {
        Ok(None)
    }
}

/// Makes a driver's fixture.
type Make = fn() -> Arc<dyn Fixture>;

fn fixtures() -> Vec<(&'static str, Make)> {
    let mut fixtures: Vec<(&'static str, Make)> = vec![
        ("memory", || Arc::new(OfMemory)),
        ("file", || Arc::new(file::OfFiles::new())),
        ("sqlite", || Arc::new(sqlite::OfSqlite::new(Durability::Process))),
    ];
    #[cfg(feature = "postgres")]
    if postgres::is_there("postgres, all cases") {
        fixtures.push(("postgres", || Arc::new(postgres::OfPostgres::new())));
    }
    #[cfg(feature = "redis")]
    if of_redis::Form::Single.is_there("redis, all cases") {
        fixtures.push(("redis", || Arc::new(of_redis::OfRedis::new(of_redis::Form::Single))));
    }
    #[cfg(feature = "redis")]
    if of_redis::Form::Cluster.is_there("redis-cluster, all cases") {
        fixtures
            .push(("redis-cluster", || Arc::new(of_redis::OfRedis::new(of_redis::Form::Cluster))));
    }
    fixtures
}

fn main() {
    let names: BTreeSet<&str> = cases().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len(), "two cases have one name");
    let mut trials = Vec::new();
    for (driver, fixture) in fixtures() {
        for case in cases() {
            let name = format!("{driver}::{}", case.name);
            let expected = SKIPPED.contains(&name.as_str());
            trials.push(Trial::test(name.clone(), move || {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime = builder.worker_threads(4).enable_all().build().unwrap();
                match (runtime.block_on(run_case(&fixture(), case)), expected) {
                    (Verdict::Passed, false) => Ok(()),
                    (Verdict::Skipped(why), true) => {
                        eprintln!("SKIPPED {name}: {why}");
                        Ok(())
                    }
                    (verdict, _) => Err(Failed::from(format!("{verdict:?}"))),
                }
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
