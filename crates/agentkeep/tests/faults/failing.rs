//! The child whose disk fails: it goes on as a careful program would, and looks at every error.

use agentkeep::{Container, Error, Kind, Store};

use crate::child::{Task, say};
use crate::dump::{difference, dump, of_task};
use crate::ledger::Oracle;
use crate::steps::Step;

/// How often a step is tried. A fault that comes once is over by then.
const ATTEMPTS: usize = 5;
/// The task that runs: these workloads have one.
const TASK: usize = 0;

struct Child<'a> {
    task: &'a Task,
    oracle: Oracle,
    /// Whether the fault is a failing sync, after which no write may be believed.
    sync_fails: bool,
}

pub(crate) async fn work(task: &Task) {
    let sync_fails = std::env::var("FAULTS_ACT").is_ok_and(|act| act == "sync-eio");
    let child = Child { task, oracle: Oracle::of(&task.workload).await, sync_fails };
    let Some(mut store) = child.open().await else { return say("STOP") };
    let steps = task.workload.tasks[TASK].iter().enumerate().skip(task.workload.prepared);
    for (place, step) in steps {
        say(&format!("TRY {TASK} {place}"));
        match child.step(store, place, *step).await {
            Some(same) => store = same,
            None => return say("STOP"),
        }
        say(&format!("ACK {TASK} {place}"));
    }
    if let Err(error) = store.close().await {
        typed("close", &error);
    }
    say("END");
}

/// A failing disk has four names.
fn typed(what: &str, error: &Error) {
    let kind = error.kind();
    say(&format!("ERR {what} {}", kind.name()));
    let fitting =
        matches!(kind, Kind::Unavailable | Kind::NoSpace | Kind::OutcomeUnknown | Kind::Poisoned);
    if !fitting {
        say(&format!("WRONG {what} gave {error:?}").replace('\n', " "));
    }
}

impl Child<'_> {
    async fn open(&self) -> Option<Store> {
        for _ in 0..ATTEMPTS {
            match self.task.open().await {
                Ok(store) => return Some(store),
                Err(error) => typed("open", &error),
            }
        }
        None
    }

    /// Does a step, again after an error; answers the handle to go on with.
    async fn step(&self, mut store: Store, place: usize, step: Step) -> Option<Store> {
        for _ in 0..ATTEMPTS {
            let applied = match self.task.cheat.as_str() {
                "tried-again-without-id" => step.apply_without_id(&store, TASK).await,
                _ => step.apply(&store, TASK).await,
            };
            let Err(error) = applied else { return Some(store) };
            typed(&format!("{step:?}").replace(' ', ""), &error);
            match self.task.cheat.as_str() {
                "error-is-success" => return Some(store),
                "tried-again-without-id" => {
                    store = self.another(store).await?;
                    continue;
                }
                _ => {}
            }
            let sure = step.is_one_commit() && error.kind() != Kind::OutcomeUnknown;
            let done = self.is_done(&store, place, sure).await;
            if sure {
                say(&format!("NOT {TASK} {place}"));
            }
            if self.takes_writes(&store, error.kind()).await {
                if done == Some(true) {
                    return Some(store);
                }
                continue;
            }
            store = self.another(store).await?;
            if self.is_done(&store, place, sure).await == Some(true) {
                return Some(store);
            }
        }
        let _ = store.close().await;
        None
    }

    /// Closes the handle and opens the store anew.
    async fn another(&self, store: Store) -> Option<Store> {
        if let Err(error) = store.close().await {
            typed("close", &error);
        }
        self.open().await
    }

    /// Whether the store is in the state after the step; `None` when it cannot be read. Nothing
    /// else but the state before it is possible, and not even the state after, if it is `sure`
    /// that nothing was done.
    async fn is_done(&self, store: &Store, place: usize, sure: bool) -> Option<bool> {
        let found = match dump(store).await {
            Ok(found) => of_task(&found, TASK),
            Err(error) => {
                typed("reading", &error);
                return None;
            }
        };
        let states = &self.oracle.states[TASK];
        if found == states[place] {
            return Some(found == states[place + 1]);
        }
        if found != states[place + 1] {
            let difference = difference(&states[place], &found).replace('\n', " ");
            say(&format!("WRONG after an error at step {place}: {difference}"));
        } else if sure {
            say(&format!("WRONG step {place} was done and gave an error"));
        }
        Some(true)
    }

    /// Tries the handle with another write.
    async fn takes_writes(&self, store: &Store, kind: Kind) -> bool {
        let must_not = self.sync_fails || kind == Kind::OutcomeUnknown || kind == Kind::Poisoned;
        let probe = store.namespace("probe").unwrap();
        match probe.containers().save(Container::new("probe").unwrap()).await {
            Ok(()) => {
                if must_not {
                    say(&format!("WRONG the handle goes on after {}", kind.name()));
                }
                true
            }
            Err(error) => {
                typed("probe", &error);
                if must_not && error.kind() != Kind::Poisoned {
                    say(&format!("WRONG the handle is not poisoned after {}", kind.name()));
                }
                error.kind() != Kind::Poisoned
            }
        }
    }
}
