//! The conformance table over every driver: one named test for each driver and case.

#![allow(clippy::unwrap_used, reason = "a test states what must hold by unwrapping it")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use agentkeep::Result;
use agentkeep::conformance::{Fixture, Verdict, cases, run_case};
use agentkeep::driver::{Driver, Durability};
use agentkeep::drivers::memory::Memory;
use agentkeep::drivers::sql::sqlite::{Options, Sqlite};
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

/// Each store in a folder of its own.
struct OfSqlite {
    folder: tempfile::TempDir,
    last: Mutex<(u32, PathBuf)>,
}

impl OfSqlite {
    async fn at(&self, schema: &'static Schema, path: PathBuf) -> Result<Arc<dyn Driver>> {
        // What a power cut leaves is tested by other means; here it would only cost time.
        let options = Options { durability: Durability::Process, ..Options::default() };
        Ok(Arc::new(Sqlite::open(schema, &path, options).await?))
    }
}

#[async_trait]
impl Fixture for OfSqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn open(&self, schema: &'static Schema) -> Result<Arc<dyn Driver>> {
        let path = {
            let mut last = self.last.lock().unwrap();
            last.0 += 1;
            last.1 = self.folder.path().join(format!("{}.db", last.0));
            last.1.clone()
        };
        self.at(schema, path).await
    }

    async fn reopen(&self, schema: &'static Schema) -> Result<Option<Arc<dyn Driver>>> {
        let path = self.last.lock().unwrap().1.clone();
        self.at(schema, path).await.map(Some)
    }
}

type Named = (&'static str, fn() -> Arc<dyn Fixture>);

fn fixtures() -> Vec<Named> {
    vec![
        ("memory", || Arc::new(OfMemory)),
        ("sqlite", || {
            let folder = tempfile::tempdir().unwrap();
            Arc::new(OfSqlite { folder, last: Mutex::default() })
        }),
    ]
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
