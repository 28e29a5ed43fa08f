//! What a tier counts, and how it ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::Outcome;

/// More than the two cores that there may be: who waits for a child leaves his to another.
pub(crate) const WORKERS: usize = 3;

/// Violations that are printed; the others are counted.
const SHOWN: usize = 20;

/// How a run is steered from outside.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// How many times as many seeds as in a usual run.
    pub(crate) scale: u64,
    /// The one case to repeat, as a failure printed it.
    pub(crate) only: Option<String>,
    /// Whether the seed was given: then what it makes may be smaller.
    pub(crate) given: bool,
}

impl Run {
    pub(crate) fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
        let only = std::env::var("AGENTKEEP_FAULTS").ok().filter(|text| !text.is_empty());
        // A case carries its seed.
        let of_case = only.as_ref().and_then(|case| case.split(':').nth(3)?.parse().ok());
        Self {
            seed: of_case.or_else(|| number("AGENTKEEP_FAULTS_SEED")).unwrap_or(1),
            scale: number("AGENTKEEP_FAULTS_SCALE").unwrap_or(1).max(1),
            only,
            given: std::env::var_os("AGENTKEEP_FAULTS_SEED").is_some(),
        }
    }

    /// The seeds of a usual run of `count` of them, scaled.
    pub(crate) fn seeds(&self, count: u64) -> Vec<u64> {
        let many = if self.only.is_some() { 1 } else { count * self.scale };
        (self.seed..self.seed + many).collect()
    }

    /// Whether a case is wanted, or one that it begins with or that begins with it.
    pub(crate) fn wants(&self, case: &str) -> bool {
        let begins = |long: &str, short: &str| long.starts_with(&format!("{short}:"));
        let fits = |only: &String| only == case || begins(only, case) || begins(case, only);
        self.only.as_ref().is_none_or(fits)
    }
}

/// Counts of one tier; several threads add to it.
pub(crate) struct Tally {
    tier: String,
    begun: Instant,
    pub(crate) points: AtomicU64,
    pub(crate) fired: AtomicU64,
    violations: Mutex<Vec<String>>,
    /// A planted defect: the first violation is enough, and is what is wanted.
    planted: bool,
    enough: AtomicBool,
}

impl Tally {
    pub(crate) fn new(tier: &str, planted: bool) -> Self {
        Self {
            tier: tier.to_owned(),
            begun: Instant::now(),
            points: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            violations: Mutex::default(),
            planted,
            enough: AtomicBool::new(false),
        }
    }

    pub(crate) fn violated(&self, case: &str, what: &str) {
        let mut violations = self.violations.lock().unwrap();
        if self.planted {
            self.enough.store(true, Ordering::Relaxed);
        } else if violations.len() < SHOWN {
            println!(
                "VIOLATION {what}\n  repeat with \
                 AGENTKEEP_FAULTS={case} cargo test -p agentkeep --all-features --test faults"
            );
        }
        violations.push(format!("{case}: {what}"));
    }

    pub(crate) fn judged(&self, case: &str, result: Result<(), String>) {
        self.points.fetch_add(1, Ordering::Relaxed);
        if let Err(what) = result {
            self.violated(case, &what);
        }
    }

    pub(crate) fn violations(&self) -> usize {
        self.violations.lock().unwrap().len()
    }

    /// Whether a planted defect has been caught.
    pub(crate) fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    pub(crate) fn first(&self) -> Option<String> {
        self.violations.lock().unwrap().first().cloned()
    }

    /// Every fifth is left to another seed, so that a usual run has the points that it must have and
    /// not many more. A planted defect is looked for at all, and a case is repeated wherever it was.
    pub(crate) fn leaves_out(&self, run: &Run, at: u64, seed: u64) -> bool {
        !self.planted && run.only.is_none() && (at + seed).is_multiple_of(5)
    }

    /// Does all cases on several threads.
    pub(crate) fn each<T: Sync>(&self, cases: &[T], work: impl Fn(usize, &T) + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    while !self.enough.load(Ordering::Relaxed)
                        && let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        work(worker, case);
                    }
                });
            }
        });
    }

    /// Prints the tier's line. At least `least` points must have been reached, or it fails.
    pub(crate) fn end(&self, run: &Run, what: &str, least: u64) -> Outcome {
        if run.only.is_some() && self.points.load(Ordering::Relaxed) == 0 && self.violations() == 0
        {
            return Ok(());
        }
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (points, fired, bad) = (number(&self.points), number(&self.fired), self.violations());
        println!(
            "{}: {points} {what}, {fired} faults fired, {bad} violations (seed {}, scale {}, {:.0} s)",
            self.tier,
            run.seed,
            run.scale,
            self.begun.elapsed().as_secs_f64()
        );
        if bad > 0 {
            return Err(format!("{}: {bad} violations", self.tier).into());
        }
        let least = if run.given { least / 2 } else { least };
        if run.only.is_none() && (fired == 0 || points < least) {
            let why = format!("{}: it takes {least} {what} to show something", self.tier);
            return Err(why.into());
        }
        Ok(())
    }
}
