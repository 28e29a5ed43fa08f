//! What the writer does with a group of commits: one frame of the journal, brought to the disk once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checkpoint;
use super::draft::{Draft, Work};
use super::group::{self, Prepared};
use super::space::Space;
use super::store::{State, Store, closed, lock};
use super::writer::{Answer, Asked, GROUP, Group, poisoned};
use crate::driver::Committed;
use crate::drivers::{io_error, kernel};
use crate::error::{Error, Kind, Result};
use crate::schema::Namespace;

/// What is in the journal is brought into its place when it is so long.
const JOURNAL: u64 = 16 << 20;

/// Commits the group as far as it has come by then; an answer for each commit.
pub(super) fn answers(store: &Store, group: &mut Group<'_>) -> Vec<Answer> {
    match commit(store, group) {
        Ok(answers) => answers,
        // Which of them it was is not known: each alone gets an answer of its own.
        Err(error) if group.asked().len() > 1 && error.kind() != Kind::OutcomeUnknown => {
            let all = group.asked().len();
            (0..all).map(|place| alone(store, group, place)).collect()
        }
        Err(error) => {
            let unknown = error.kind() == Kind::OutcomeUnknown;
            let mut first = Some(error);
            group
                .asked()
                .iter()
                .map(|_| {
                    Err(first.take().unwrap_or_else(|| if unknown { unsure() } else { poisoned() }))
                })
                .collect()
        }
    }
}

fn alone(store: &Store, group: &mut Group<'_>, place: usize) -> Answer {
    group.leave_only(place);
    let answer = commit(store, group).map(|mut answers| answers.pop());
    group.leave_all();
    answer?.unwrap_or_else(|| Err(closed()))
}

/// Commits a group: all that is not refused, or nothing.
fn commit(store: &Store, group: &mut Group<'_>) -> Result<Vec<Answer>> {
    if store.is_poisoned() {
        return Err(poisoned());
    }
    let Some(first) = group.asked().first() else { return Ok(Vec::new()) };
    let _held = store.lock.hold(store.deadline(first.since))?;
    store.bring_in(&first.batch.namespace)?;
    let (answers, prepared) = draft(store, group)?;
    let Some(prepared) = prepared else { return Ok(answers) };
    write(store, prepared)?;
    let asked = group.asked().iter().zip(&answers);
    let done = asked.filter(|(_, answer)| answer.as_ref().is_ok_and(|done| !done.replayed));
    store.hub.all_committed(done.map(|(asked, _)| &asked.batch));
    if store.state().position.end > JOURNAL {
        // What fails here fails again, and is told, at the next commit or when closing.
        let _ = checkpoint::run(store);
    }
    Ok(answers)
}

/// What each commit answers, and what they change together. The group grows meanwhile.
fn draft(store: &Store, group: &mut Group<'_>) -> Result<(Vec<Answer>, Option<Prepared>)> {
    let state = store.state();
    let time = now().max(state.time);
    let mut drafts: BTreeMap<Namespace, (Arc<Space>, Draft)> = BTreeMap::new();
    let mut names = kernel::Map::default();
    let (mut answers, mut undo) = (Vec::with_capacity(GROUP), Vec::new());
    while let Some(asked) = group.at(answers.len(), |namespace| state.home(namespace).is_ok()) {
        let namespace = &asked.batch.namespace;
        if !drafts.contains_key(namespace) {
            let space = Arc::clone(&state.home(namespace)?.space);
            let draft = Draft::new(&space);
            drafts.insert(namespace.clone(), (space, draft));
        }
        let (space, draft) = drafts.get_mut(namespace).ok_or_else(closed)?;
        let answer = match replay(&state, draft, asked) {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => {
                undo.clear();
                let mut work = Work {
                    store,
                    namespace,
                    names: &state.names,
                    changed_names: &mut names,
                    space,
                    draft,
                    undo: &mut undo,
                };
                work.apply(asked, time)
            }
            Err(error) => Err(error),
        };
        answers.push(answer);
    }
    drop(state);
    let is_named =
        |namespace: &Namespace| names.keys().any(|key| key.first() == namespace.as_str());
    drafts.retain(|namespace, (_, draft)| !draft.is_empty() || is_named(namespace));
    let prepared = group::prepare(store, time, drafts, names)?;
    Ok((answers, prepared))
}

/// What the commit answered before, if its operation id is known.
fn replay(state: &State, draft: &Draft, asked: &Asked) -> Result<Option<Committed>> {
    let Asked { batch, .. } = asked;
    if batch.operation.is_none() {
        return Ok(None);
    }
    match state.home(&batch.namespace)?.operations.replay(batch) {
        Ok(None) => draft.operations.replay(batch),
        known => known,
    }
}

impl Work<'_> {
    fn apply(&mut self, asked: &Asked, time: i64) -> Answer {
        let committed = kernel::apply(self, time, &asked.batch)?;
        if let (Some(operation), Some(digest)) = (&asked.batch.operation, asked.digest) {
            self.draft.operations.remember(operation.clone(), digest, committed.clone());
            self.draft.remembered.push((operation.clone(), digest, committed.clone()));
        }
        Ok(committed)
    }
}

/// Makes a prepared group count: the journal, then everybody's knowledge of it.
fn write(store: &Store, prepared: Prepared) -> Result<()> {
    let before = store.state().position;
    let cannot = |error: &std::io::Error| {
        io_error(error, "the journal cannot be written", &store.base.place("journal.0"))
    };
    let after = store.journal.append(before, prepared.frame).map_err(|error| cannot(&error))?;
    if store.options.sync()
        && let Err(error) = store.journal.sync(before.number)
    {
        return Err(unsure().caused_by(error));
    }
    if let Err(error) = store.generation.publish(after) {
        // The others would not learn of it.
        store.poison();
        return Err(unsure().caused_by(error));
    }
    let mut state = store.state_mut();
    state.position = after;
    state.time = prepared.time;
    if !prepared.names.is_empty() {
        let names = Arc::make_mut(&mut state.names);
        for (key, stored) in prepared.names {
            names.set(&key, stored);
        }
    }
    for (namespace, install) in prepared.installs {
        if let Some(home) = state.homes.get_mut(&namespace) {
            home.install(install);
        }
    }
    drop(state);
    for added in prepared.added {
        let index = store.index(&added.namespace, &added.key, &added.value);
        let mut index = lock(&index);
        for (at, length, entry) in added.lines {
            index.push(at, &entry, length);
        }
    }
    checkpoint::remove(store, &prepared.obsolete);
    Ok(())
}

fn unsure() -> Error {
    Error::new(Kind::OutcomeUnknown, "the disk failed while the commit was written")
        .advice("reopen the store and look, or repeat it under its operation id")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
