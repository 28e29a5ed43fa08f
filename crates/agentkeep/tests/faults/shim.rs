//! Building the shim, and running children under it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::child;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::subject::Subject;
use crate::workload::{UPGRADE, Workload};

/// A child that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// The shim, built into a folder that goes with it.
pub(crate) struct Shim {
    library: PathBuf,
    _folder: tempfile::TempDir,
}

/// What is done to a child.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fault<'a> {
    pub(crate) act: &'a str,
    pub(crate) at: u64,
    pub(crate) sticky: bool,
    pub(crate) trace: Option<&'a Path>,
}

/// Under which conditions a tier runs; a planted defect is another condition.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) subject: &'static dyn Subject,
    pub(crate) durability: &'static str,
    /// A defect that the shim plants.
    pub(crate) plant: &'static str,
    /// A defect that the workload has.
    pub(crate) cheat: &'static str,
}

impl Setting {
    pub(crate) fn of(subject: &'static dyn Subject) -> Self {
        Self { subject, durability: "power", plant: "", cheat: "" }
    }

    /// Whether the driver can have this workload.
    pub(crate) fn has(&self, workload: &str) -> bool {
        workload != UPGRADE || self.subject.earlier().is_some()
    }

    /// Whether the planted defect is one of reading, so that what a fault has left must be opened
    /// with it.
    pub(crate) fn reads(&self) -> bool {
        self.plant.starts_with("read-")
    }
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Killed by the shim.
    pub(crate) killed: bool,
    /// Ended by itself, and well.
    pub(crate) well: bool,
    pub(crate) operations: u64,
    pub(crate) fired: u64,
    pub(crate) syncs: u64,
    /// What it said on standard error, if it did not end well.
    pub(crate) complaint: String,
}

impl Shim {
    /// `None` where it cannot be: elsewhere than on Linux, or without a C compiler.
    pub(crate) fn build() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("shim.c"), folder.path().join("shim.so"));
        std::fs::write(&source, include_str!("shim.c")).unwrap();
        let built = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
            .args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .ok()?;
        // A compiler that is there must be able to build it: else all would be skipped for ever.
        let text = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "the shim does not compile: {text}");
        Some(Self { library, _folder: folder })
    }

    /// The command of a child in `role` on the store in `folder`.
    pub(crate) fn command(
        &self,
        setting: &Setting,
        role: &str,
        folder: &Path,
        workload: &Workload,
        fault: Fault<'_>,
    ) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        // Ids that a child makes are the same in each run, and never those of another child's.
        let role_number = role.bytes().map(u64::from).sum::<u64>();
        let place = [role_number, setting.cheat.len() as u64];
        let randomness = Random::at(workload.seed, &place).next();
        command
            .env(child::ROLE, role)
            .env(child::SUBJECT, setting.subject.name())
            .env(child::DURABILITY, setting.durability)
            .env(child::CHEAT, setting.cheat)
            .env(child::FOLDER, folder)
            .env(child::WORKLOAD, format!("{}:{}", workload.name, workload.seed))
            .env("LD_PRELOAD", &self.library)
            .env("FAULTS_ROOT", folder)
            .env("FAULTS_STATUS", status_of(folder))
            .env("FAULTS_PLANT", setting.plant)
            .env("FAULTS_SEED", randomness.to_string())
            .env("FAULTS_ACT", fault.act)
            .env("FAULTS_AT", fault.at.to_string())
            .env("FAULTS_STICKY", if fault.sticky { "1" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(trace) = fault.trace {
            command.env("FAULTS_TRACE", trace);
        }
        command
    }

    /// Runs a child to its end and notes what it says.
    pub(crate) fn run(
        &self,
        setting: &Setting,
        role: &str,
        folder: &Path,
        workload: &Workload,
        fault: Fault<'_>,
        ledger: &mut Ledger,
    ) -> Ended {
        let status = status_of(folder);
        let _ = std::fs::remove_file(&status);
        let mut process = self.command(setting, role, folder, workload, fault).spawn().unwrap();
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        drop(process.stdin.take());
        let id = process.id();
        let (over, watch) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let hangs = watch.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            }
            hangs
        });
        for line in BufReader::new(out).lines() {
            ledger.note(&line.unwrap());
        }
        let complaint = std::io::read_to_string(err).unwrap_or_default();
        let ended = process.wait().unwrap();
        drop(over);
        if watchdog.join().unwrap() {
            ledger.wrong.push(format!("the child hung for {} seconds", PATIENCE.as_secs()));
        }
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let mut numbers = told.split_whitespace().map(|number| number.parse().unwrap());
        let mut number = || numbers.next().unwrap_or(0);
        Ended {
            killed: was_killed(ended),
            well: ended.success(),
            operations: number(),
            fired: number(),
            syncs: number(),
            complaint: complaint.chars().take(600).collect(),
        }
    }
}

#[cfg(unix)]
pub(crate) fn was_killed(ended: std::process::ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9)
}

#[cfg(not(unix))]
pub(crate) fn was_killed(_ended: std::process::ExitStatus) -> bool {
    false
}

/// Beside the store's folder, so that it is no part of it.
fn status_of(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".status");
    name.into()
}
