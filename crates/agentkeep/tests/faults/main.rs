//! Faults from outside: does it ever lose or tear anything?
//!
//! A child does a workload and says each acknowledgement with one write; this program holds the
//! ledger. A small C library, preloaded into the child, kills it, fails its disk or records what it
//! does to the disk. `docs/reliability.md` says what each tier does.
//!
//! This program is its own child: with `FAULTS_CHILD` set it does one child's work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_arguments,
    reason = "a test states what must hold by unwrapping it"
)]

mod child;
mod disk;
mod dump;
mod errors;
mod failing;
mod full;
mod kill;
mod ledger;
mod place;
mod planted;
mod power;
mod random;
mod resume;
mod runs;
mod sharing;
mod shim;
mod sloppy;
mod steps;
mod subject;
mod tally;
mod trace;
mod verify;
mod workload;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::shim::{Setting, Shim};
use crate::tally::Run;

/// What a test answers: anything that goes wrong fails it.
pub(crate) type Outcome = Result<(), Failed>;

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        child::run(&role);
        return;
    }
    let mut arguments = Arguments::from_args();
    // Each tier uses the machine for itself.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    if let Some(shim) = Shim::build() {
        let shim: &'static Shim = Box::leak(Box::new(shim));
        for subject in subject::ALL {
            let (setting, name) = (Setting::of(subject), subject.name());
            let mut add = |tier: &str, test: fn(&Run, &Shim, Setting) -> Outcome| {
                let run = Run::from_environment();
                let trial =
                    Trial::test(format!("{name}::{tier}"), move || test(&run, shim, setting));
                trials.push(trial);
            };
            add("killed_at_every_operation", kill::tier);
            add("killed_and_resumed_at_every_operation", resume::tier);
            add("power_cut_at_every_operation", power::tier);
            add("power_cut_after_a_kill", power::after_a_kill);
            add("disk_fails_at_every_operation", errors::tier);
            add("power_cut_after_a_failed_sync", errors::power_after_failed_sync);
            add("disk_is_full", full::tier);
            add("four_processes_share_it", sharing::tier);
            add("planted_defects_are_caught", planted::tier);
        }
    } else {
        println!("SKIPPED: all faults, for they need Linux and a C compiler (cc)");
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs an asynchronous test.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}
