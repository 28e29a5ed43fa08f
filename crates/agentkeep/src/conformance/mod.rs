//! The cases that every driver must pass, one for each law of the seam.
//!
//! An author of a driver implements [`Fixture`] and calls [`run`]; the report says which cases
//! passed, which failed and why, and which could not be run. A case that was not run has not
//! passed. `examples/own_driver.rs` shows a whole driver under it.

mod blobs;
mod bodies;
mod commits;
mod concurrency;
mod dump;
mod ids;
mod indexes;
mod lifecycle;
mod logs;
mod namespaces;
mod operations;
mod records;
mod schema;
mod streams;
mod support;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

pub use dump::dump;
pub use schema::{ALPHA, BETA, FOURS, PAIRS, SCHEMA, THINGS};
pub use support::{Context, Failure};

use crate::driver::Driver;
use crate::error::Result;
use crate::schema::Schema;

/// How a driver is put under the suite.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// The driver's name in reports.
    fn name(&self) -> &'static str;

    /// A fresh, empty store for `schema`, independent of all opened before.
    async fn open(&self, schema: &'static Schema) -> Result<Arc<dyn Driver>>;

    /// The store that the last [`open`](Self::open) gave, once more, after it was closed; `None`
    /// for a driver whose stores end with their handle.
    async fn reopen(&self, schema: &'static Schema) -> Result<Option<Arc<dyn Driver>>>;
}

/// What a case needs that not every driver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A store that can be opened again.
    Reopen,
    /// [`Driver::snapshots`].
    Snapshot,
    /// [`Driver::maintenance`].
    Maintain,
}

/// One case.
pub struct Case {
    /// Its name, unique: `family::case`.
    pub name: &'static str,
    /// The law that it tries to break.
    pub law: &'static str,
    /// What it needs.
    pub need: Need,
    run: Run,
}

type Run = fn(Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a case answers.
pub type Outcome = std::result::Result<(), Failure>;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed: what was seen.
    Failed(String),
    /// It was not run: why.
    Skipped(String),
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.law)
    }
}

/// All cases, by family.
pub fn cases() -> Vec<&'static Case> {
    let families = [
        records::CASES,
        indexes::CASES,
        logs::CASES,
        streams::CASES,
        blobs::CASES,
        commits::CASES,
        operations::CASES,
        bodies::CASES,
        ids::CASES,
        namespaces::CASES,
        concurrency::CASES,
        lifecycle::CASES,
    ];
    families.into_iter().flatten().collect()
}

/// Runs one case on a fresh store.
pub async fn run_case(fixture: &Arc<dyn Fixture>, case: &Case) -> Verdict {
    let driver = match fixture.open(&SCHEMA).await {
        Ok(driver) => driver,
        Err(error) => return Verdict::Failed(format!("the store cannot be opened: {error:?}")),
    };
    let missing = match case.need {
        Need::Snapshot if driver.snapshots().is_none() => "the driver has no snapshots",
        Need::Maintain if driver.maintenance().is_none() => "the driver has no upkeep",
        Need::Reopen if !driver.describe().many_processes => "its stores end with their handle",
        _ => "",
    };
    if !missing.is_empty() {
        return Verdict::Skipped(missing.to_owned());
    }
    let context = Context::new(Arc::clone(&driver), Arc::clone(fixture));
    let outcome = (case.run)(context).await;
    let closed = driver.close().await;
    match (outcome, closed) {
        (Ok(()), Ok(())) => Verdict::Passed,
        (Ok(()), Err(error)) => Verdict::Failed(format!("closing: {error:?}")),
        (Err(failure), _) => Verdict::Failed(format!("{}\n  law: {}", failure, case.law)),
    }
}

/// What a whole run gave.
#[derive(Debug)]
pub struct Report {
    /// The driver's name.
    pub driver: &'static str,
    /// Every case with its verdict.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// True when no case failed.
    pub fn passed(&self) -> bool {
        !self.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Passed => passed += 1,
                Verdict::Failed(what) => {
                    failed += 1;
                    writeln!(f, "FAILED  {}::{name}: {what}", self.driver)?;
                }
                Verdict::Skipped(why) => {
                    skipped += 1;
                    writeln!(f, "SKIPPED {}::{name}: {why}", self.driver)?;
                }
            }
        }
        write!(f, "{}: {passed} passed, {failed} failed, {skipped} skipped", self.driver)
    }
}

/// Runs all cases, one after the other, each on a fresh store.
pub async fn run(fixture: Arc<dyn Fixture>) -> Report {
    let mut verdicts = Vec::new();
    for case in cases() {
        verdicts.push((case.name, run_case(&fixture, case).await));
    }
    Report { driver: fixture.name(), verdicts }
}
