//! What the children do.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use agentkeep::{Error, Kind, Result, Store};

use crate::dump::{dump, of_task};
use crate::ledger::Oracle;
use crate::sloppy::IndexFirst;
use crate::steps::Step;
use crate::subject::{Subject, named};
use crate::workload::Workload;
use crate::{block_on, failing, resume};

/// What this program does when it is somebody's child.
pub(crate) const ROLE: &str = "FAULTS_CHILD";
pub(crate) const SUBJECT: &str = "FAULTS_SUBJECT";
pub(crate) const DURABILITY: &str = "FAULTS_DURABILITY";
pub(crate) const FOLDER: &str = "FAULTS_FOLDER";
pub(crate) const WORKLOAD: &str = "FAULTS_WORKLOAD";
pub(crate) const CHEAT: &str = "FAULTS_CHEAT";

/// What a child was told to do.
pub(crate) struct Task {
    pub(crate) subject: &'static dyn Subject,
    pub(crate) folder: PathBuf,
    pub(crate) durability: String,
    /// A defect that the workload itself has.
    pub(crate) cheat: String,
    pub(crate) workload: Workload,
}

/// One line in one write, so that a kill leaves it whole or not at all.
pub(crate) fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub(crate) fn run(role: &str) {
    let get = |name| std::env::var(name).unwrap();
    let workload = get(WORKLOAD);
    let (name, seed) = workload.split_once(':').unwrap();
    let task = Task {
        subject: named(&get(SUBJECT)),
        folder: Path::new(&get(FOLDER)).to_path_buf(),
        durability: get(DURABILITY),
        cheat: get(CHEAT),
        workload: Workload::named(name, seed.parse().unwrap()),
    };
    block_on(async {
        match role {
            "work" => work(task).await,
            "recover" => recover(&task).await,
            "go-on" => go_on(&task).await,
            "fail" => failing::work(&task).await,
            "share" => share(task).await,
            "agent" | "agent-again" => resume::agent(&task).await,
            _ => panic!("no role {role}"),
        }
    });
}

impl Task {
    pub(crate) async fn open(&self) -> Result<Store> {
        let store = self.subject.open(&self.folder, &self.durability).await?;
        let store = match self.cheat.as_str() {
            "index-first" => Store::over(Arc::new(IndexFirst(Arc::clone(store.driver())))),
            _ => store,
        };
        say(&format!("OPEN {}", store.describe().store_id));
        Ok(store)
    }

    async fn apply(&self, store: &Store, task: usize, step: Step) -> Result<()> {
        match self.cheat.as_str() {
            "unit-in-halves" | "step-in-halves" => step.apply_in_halves(store, task).await,
            _ => step.apply(store, task).await,
        }
    }
}

/// All tasks do their steps; nothing may fail.
async fn work(task: Task) {
    let task = Rc::new(task);
    let store = task.open().await.unwrap();
    let local = tokio::task::LocalSet::new();
    let running: Vec<_> = (0..task.workload.tasks.len())
        .map(|number| {
            let (task, store) = (Rc::clone(&task), store.clone());
            local.spawn_local(async move { steps_of(&task, &store, number).await })
        })
        .collect();
    local
        .run_until(async {
            for one in running {
                one.await.unwrap();
            }
        })
        .await;
    store.close().await.unwrap();
    say("END");
}

async fn steps_of(task: &Task, store: &Store, number: usize) {
    let steps = task.workload.tasks[number].iter().enumerate().skip(task.workload.prepared);
    for (place, step) in steps {
        say(&format!("TRY {number} {place}"));
        let early = task.cheat == "acknowledge-first";
        if early {
            say(&format!("ACK {number} {place}"));
        }
        patiently(|| task.apply(store, number, *step)).await.unwrap();
        if !early {
            say(&format!("ACK {number} {place}"));
        }
    }
}

/// Others may keep changing what a step depends on.
async fn patiently<F: Future<Output = Result<()>>>(attempt: impl Fn() -> F) -> Result<()> {
    let mut result: Result<(), Error> = attempt().await;
    for _ in 0..50 {
        match result {
            Err(error) if error.kind() == Kind::Conflict => result = attempt().await,
            result => return result,
        }
    }
    result
}

/// Opens what a fault has left, does what is due, and ends.
async fn recover(task: &Task) {
    let store = task.open().await.unwrap();
    store.collect().await.unwrap();
    store.close().await.unwrap();
    say("END");
}

/// Opens what a fault has left, and says for each task how far it has come: who asks again whether
/// a step was done is answered from there on that it was. Then it goes on from there.
async fn go_on(task: &Task) {
    let oracle = Oracle::of(&task.workload).await;
    let store = task.open().await.unwrap();
    let found = dump(&store).await.unwrap();
    let mut reached = Vec::new();
    for (number, states) in oracle.states.iter().enumerate() {
        let own = of_task(&found, number);
        let state = states.iter().position(|state| *state == own).unwrap();
        say(&format!("FOUND {number} {state}"));
        reached.push(state);
    }
    for (number, state) in reached.into_iter().enumerate() {
        for (place, step) in task.workload.tasks[number].iter().enumerate().skip(state).take(2) {
            say(&format!("TRY {number} {place}"));
            patiently(|| task.apply(&store, number, *step)).await.unwrap();
            say(&format!("ACK {number} {place}"));
        }
    }
    store.close().await.unwrap();
    say("END");
}

/// One of several processes: it does the steps of the one task that its cheat names.
async fn share(task: Task) {
    let number = task.cheat.parse().unwrap();
    let store = task.open().await.unwrap();
    // All begin together.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    steps_of(&task, &store, number).await;
    store.close().await.unwrap();
    say("END");
}
