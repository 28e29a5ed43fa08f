//! What a child said, held outside the store, and what must be in the store by then.
//!
//! The oracle is the memory driver: each task's steps done there, one by one, and the whole dumped
//! after each. After a fault a task's part must be exactly one of these states: that of its last
//! acknowledged step, or that of the one after it, if it was tried.

use agentkeep::Store;

use crate::dump::{Dump, difference, dump, of_task};
use crate::workload::Workload;

/// The states that a workload goes through, task by task.
pub(crate) struct Oracle {
    pub(crate) states: Vec<Vec<Dump>>,
    /// What belongs to no task and must be there all the time.
    pub(crate) held: Dump,
}

impl Oracle {
    pub(crate) async fn of(workload: &Workload) -> Self {
        let mut states = Vec::new();
        for (task, steps) in workload.tasks.iter().enumerate() {
            let store = Store::open("memory:").await.unwrap();
            let mut dumps = vec![Dump::new()];
            for step in steps {
                step.apply(&store, task).await.unwrap();
                dumps.push(dump(&store).await.unwrap());
            }
            states.push(dumps);
        }
        Self { states, held: Dump::new() }
    }
}

/// What the child said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// The id of the store that was opened.
    pub(crate) store: Option<String>,
    pub(crate) tasks: Vec<Told>,
    /// Errors, as `step Kind`.
    pub(crate) errors: Vec<String>,
    /// What the child itself found wrong.
    pub(crate) wrong: Vec<String>,
    pub(crate) ended: bool,
    pub(crate) stopped: bool,
}

/// What was said of one task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) acknowledged: usize,
    pub(crate) tried: usize,
}

impl Ledger {
    pub(crate) fn new(workload: &Workload, store: Option<&str>) -> Self {
        let told = Told { acknowledged: workload.prepared, tried: workload.prepared };
        Self {
            store: store.map(str::to_owned),
            tasks: vec![told; workload.tasks.len()],
            ..Self::default()
        }
    }

    pub(crate) fn note(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        match (word(), word(), word()) {
            ("OPEN", id, _) => {
                if self.store.as_ref().is_some_and(|known| known != id) {
                    self.wrong.push(format!("the store was {:?} and is {id}", self.store));
                }
                self.store = Some(id.to_owned());
            }
            ("TRY", task, step) => self.tasks[number(task)].tried = number(step) + 1,
            ("ACK", task, step) => self.tasks[number(task)].acknowledged = number(step) + 1,
            // Another process has seen it, and told it.
            ("FOUND", task, state) => {
                let told = &mut self.tasks[number(task)];
                if !(told.acknowledged..=told.tried).contains(&number(state)) {
                    self.wrong.push(format!("{line:?}, but {told:?}"));
                }
                (told.acknowledged, told.tried) = (number(state), number(state));
            }
            // It gave an error that means: nothing was done.
            ("NOT", task, step) => self.tasks[number(task)].tried = number(step),
            ("ERR", step, kind) => self.errors.push(format!("{step} {kind}")),
            ("WRONG", a, b) => self.wrong.push(format!("{a} {b}")),
            ("END", ..) => self.ended = true,
            ("STOP", ..) => self.stopped = true,
            _ => self.wrong.push(format!("the child said {line:?}")),
        }
    }

    /// Everything acknowledged is there, nothing is half there, nothing is there that nobody wrote.
    pub(crate) fn compare(&self, oracle: &Oracle, found: &Dump) -> Result<(), String> {
        let mut rest = found.clone();
        for (task, told) in self.tasks.iter().enumerate() {
            let own = of_task(found, task);
            rest.retain(|key, _| !own.contains_key(key));
            let states = &oracle.states[task];
            let possible = told.acknowledged..=told.tried.max(told.acknowledged);
            if states[possible.clone()].contains(&own) {
                continue;
            }
            let known = states.iter().position(|state| *state == own);
            let what = match known {
                Some(state) => format!("it is in the state after {state} steps"),
                None => difference(&states[told.acknowledged], &own),
            };
            return Err(format!(
                "task {task}: {} steps were acknowledged, {} tried; {what}",
                told.acknowledged, told.tried
            ));
        }
        if rest != oracle.held {
            let difference = difference(&oracle.held, &rest);
            return Err(format!("what belongs to no task is another: {difference}"));
        }
        Ok(())
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}
