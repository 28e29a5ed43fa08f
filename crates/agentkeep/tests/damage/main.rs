//! Damaged SQLite files: bits flipped, ends cut off, pages zeroed, each on a fresh copy of one
//! closed store, which is then opened, wholly read and checked.
//!
//! Whatever differs from the original must be told: by a read, as a typed error that names the
//! place, or by `check`. Damage to what nobody reads is harmless when every answer is as before.
//!
//! `AGENTKEEP_DAMAGE_SEED` runs a seed again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

mod judge;
mod original;
mod random;
mod reading;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::judge::{Verdict, judge};
use crate::original::Original;
use crate::random::Random;

/// Bits flipped in one run, each alone.
const FLIPS: usize = 2_000;
/// Files cut and pages zeroed in one run.
const CUTS: usize = 200;
/// Copies looked at at once.
const WORKERS: usize = 2;

/// What is done to a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    Flip { bit: usize },
    Cut { length: usize },
    Zero { page: usize },
}

/// What is done in one run, one copy each.
type Plan = fn(&mut Random, &[u8]) -> Vec<Damage>;

pub(crate) const PAGE: usize = 4096;

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { bit } => bytes[bit / 8] ^= 1 << (bit % 8),
            Self::Cut { length } => bytes.truncate(length),
            Self::Zero { page } => bytes[page * PAGE..][..PAGE].fill(0),
        }
    }

    fn place(self) -> String {
        match self {
            Self::Flip { bit } => {
                let byte = bit / 8;
                format!("bit {} of byte {} in page {}", bit % 8, byte % PAGE, byte / PAGE + 1)
            }
            Self::Cut { length } => format!("cut to {length} bytes"),
            Self::Zero { page } => format!("page {} zeroed", page + 1),
        }
    }
}

fn main() {
    let trials = [
        ("sqlite::bits_flipped", bits as Plan, 1),
        ("sqlite::files_cut_and_pages_zeroed", cuts, 2),
    ];
    let trials = trials
        .into_iter()
        .map(|(name, plan, salt)| Trial::test(name, move || run(name, plan, salt)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// Every second bit is anywhere, the others are in bytes that are not 0: most of a small store is
/// room that nobody reads.
fn bits(random: &mut Random, bytes: &[u8]) -> Vec<Damage> {
    let used: Vec<usize> = (0..bytes.len()).filter(|byte| bytes[*byte] != 0).collect();
    let mut flip = |n: usize| {
        let bit = random.below(bytes.len() * 8);
        let in_use = used[random.below(used.len())] * 8 + bit % 8;
        Damage::Flip { bit: if n.is_multiple_of(2) { bit } else { in_use } }
    };
    (0..FLIPS).map(&mut flip).collect()
}

fn cuts(random: &mut Random, bytes: &[u8]) -> Vec<Damage> {
    let length = bytes.len();
    let mut plan: Vec<Damage> = (0..length / PAGE).map(|page| Damage::Zero { page }).collect();
    // Whole pages gone, cuts within each page, and cuts anywhere.
    plan.extend((0..length / PAGE).step_by(2).map(|n| Damage::Cut { length: n * PAGE }));
    plan.extend((0..length / PAGE).map(|n| Damage::Cut { length: n * PAGE + 515 }));
    while plan.len() < CUTS {
        plan.push(Damage::Cut { length: random.below(length) });
    }
    plan
}

fn run(name: &str, plan: Plan, salt: u64) -> Result<(), Failed> {
    let seed = std::env::var("AGENTKEEP_DAMAGE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    let again = format!(
        "AGENTKEEP_DAMAGE_SEED={seed} cargo test -p agentkeep --features conformance --test \
         damage {name}"
    );
    println!("{name}: again with {again}");
    judge::count_panics();
    let folder = tempfile::tempdir().unwrap();
    let original = Original::make(&folder.path().join("original"));
    let plan = plan(&mut Random::new(seed.wrapping_mul(2).wrapping_add(salt)), &original.bytes);
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, verdicts, original, plan) = (&next, &verdicts, &original, &plan);
            let folder = folder.path().join(worker.to_string());
            scope.spawn(move || {
                while let Some(damage) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(original, *damage, &folder);
                    verdicts.lock().unwrap().push((*damage, verdict));
                }
            });
        }
    });
    report(name, &again, &original, &verdicts.into_inner().unwrap())
}

fn report(
    name: &str,
    again: &str,
    original: &Original,
    verdicts: &[(Damage, Verdict)],
) -> Result<(), Failed> {
    let count = |wanted: fn(&Verdict) -> bool| {
        verdicts.iter().filter(|(_, verdict)| wanted(verdict)).count()
    };
    let violations = count(|verdict| matches!(verdict, Verdict::Violation(_)));
    println!(
        "{name}: {} damaged copies of {} bytes; found: {} when opened or read, {} by check alone; \
         harmless: {}; violations: {violations}",
        verdicts.len(),
        original.bytes.len(),
        count(|verdict| matches!(verdict, Verdict::Read)),
        count(|verdict| matches!(verdict, Verdict::Checked)),
        count(|verdict| matches!(verdict, Verdict::Harmless)),
    );
    for (damage, verdict) in verdicts {
        if let Verdict::Violation(what) = verdict {
            let mut bytes = original.bytes.clone();
            damage.apply(&mut bytes);
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let kept = kept.join(format!("{damage:?}.db").replace([' ', '{', '}', ':'], ""));
            std::fs::write(&kept, bytes).unwrap();
            println!(
                "VIOLATION {}: {what}\n  {again}\n  the file: {}",
                damage.place(),
                kept.display()
            );
        }
    }
    let found = verdicts.len() - count(|verdict| matches!(verdict, Verdict::Harmless));
    if violations > 0 {
        return Err(format!("{violations} violations; again with {again}").into());
    }
    if found == 0 {
        return Err("nothing was damaged: this run has shown nothing".into());
    }
    Ok(())
}
