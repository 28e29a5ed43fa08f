//! Calls: a group is sent until it is committed, refused or out of time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deadpool::managed::Object;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use super::alarm::Alarm;
use super::answer::answers;
use super::appending::Appending;
use super::committer::{Answer, Asked, Shared, ended};
use super::encode::Call;
use super::errors::{Fate, fate, late, map};
use super::join::{Unit, join};
use super::locks::Locks;
use super::resolve::{Resolved, resolve, token};
use super::settings::not_synced;
use crate::driver::Batch;
use crate::drivers::server::patience::{ATTEMPTS, pause};
use crate::error::{Error, Kind};

/// One call for the group, its neighbours joined; one more, as they are, for those whose joined batch
/// was refused; each alone when the server refuses them together.
pub(super) async fn together(
    shared: &Shared,
    alarm: &mut Alarm,
    group: &[&Asked],
    locks: &Locks,
) -> Vec<Answer> {
    let batches: Vec<&Batch> = group.iter().map(|asked| &asked.batch).collect();
    let mut units = join(&batches);
    let mut answers: Vec<Option<Answer>> = group.iter().map(|_| None).collect();
    loop {
        let left: Vec<usize> = (0..group.len()).filter(|place| answers[*place].is_none()).collect();
        if left.is_empty() {
            return answers.into_iter().flatten().collect();
        }
        let asked: Vec<&Asked> = left.iter().map(|place| group[*place]).collect();
        match attempts(shared, alarm, &asked, &units, locks).await {
            Ok(told) => left.iter().zip(told).for_each(|(place, told)| answers[*place] = told),
            Err(failure) if failure.of_one && left.len() > 1 => {
                for (place, asked) in left.into_iter().zip(asked) {
                    answers[place] = Some(Box::pin(alone(shared, alarm, asked)).await);
                }
                continue;
            }
            Err(failure) => {
                let copies: Vec<Error> = left.iter().skip(1).map(|_| failure.copy()).collect();
                let errors = std::iter::once(failure.error).chain(copies);
                left.iter()
                    .zip(errors)
                    .for_each(|(place, error)| answers[*place] = Some(Err(error)));
            }
        }
        let left = answers.iter().filter(|answer| answer.is_none()).count();
        units = (0..left).map(Unit::Own).collect();
    }
}

async fn alone(shared: &Shared, alarm: &mut Alarm, asked: &Asked) -> Answer {
    let told = attempts(shared, alarm, &[asked], &[Unit::Own(0)], &asked.locks).await;
    let told = told.map_err(|failure| failure.error)?;
    told.into_iter().flatten().next().unwrap_or_else(|| Err(ended()))
}

/// So many calls go to the commit function at once after the server refused what an append function did.
const UNUSUAL: u64 = 16;

/// Why a call gave no answers.
struct Failure {
    error: Error,
    /// The server refused it, perhaps because of one batch.
    of_one: bool,
}

impl Failure {
    fn of_all(error: Error) -> Self {
        Self { error, of_one: false }
    }

    /// The same error for a neighbour.
    fn copy(&self) -> Error {
        let error = Error::new(self.error.kind(), self.error.message())
            .retryable(self.error.is_retryable());
        match self.error.advice_text() {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }
}

/// Attempts until the group is committed, refused or out of time. What was sent and not answered
/// is resolved before it is sent again.
async fn attempts(
    shared: &Shared,
    alarm: &mut Alarm,
    group: &[&Asked],
    units: &[Unit],
    locks: &Locks,
) -> std::result::Result<Vec<Option<Answer>>, Failure> {
    let deadline = group.iter().map(|asked| asked.deadline).min().unwrap_or_else(Instant::now);
    let batches: Vec<&Batch> = group.iter().map(|asked| &asked.batch).collect();
    let mut function = Function::Append;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let last = attempt >= ATTEMPTS;
        let call = Group { shared, asked: group, batches: &batches, units, locks, deadline };
        let error = match call.once(alarm, function).await {
            Once::NotTaken => {
                function = Function::Commit;
                attempt -= 1;
                continue;
            }
            Once::Answered(text) => {
                let answers = answers(&text, &batches, units).map_err(Failure::of_all)?;
                let done = answers.iter().flatten().flatten();
                for committed in done.filter(|committed| !committed.replayed) {
                    shared.time.fetch_max(committed.time, Ordering::Relaxed);
                }
                return Ok(answers);
            }
            Once::Refused(error) => return Err(Failure { error, of_one: true }),
            Once::Unknown => return Err(Failure::of_all(unknown(group))),
            Once::NotSent(error) | Once::Again(error) if last => {
                return Err(Failure::of_all(error));
            }
            Once::NotSent(error) if !error.is_retryable() || error.kind() != Kind::Unavailable => {
                return Err(Failure::of_all(error));
            }
            Once::NotSent(error) | Once::Again(error) => error,
        };
        if Instant::now() + pause(attempt) > deadline || shared.connections.is_closed() {
            return Err(Failure::of_all(error));
        }
        tokio::time::sleep(pause(attempt)).await;
    }
}

fn unknown(group: &[&Asked]) -> Error {
    let operation = match group {
        [asked] => asked.batch.operation.as_ref(),
        _ => None,
    };
    let error = Error::new(
        Kind::OutcomeUnknown,
        "the connection died in the middle of a commit, and the server cannot be asked",
    );
    match operation {
        Some(operation) => error.at(format!("operation {operation:?}")),
        None => error,
    }
    .advice("repeat it under its operation id; without one, look whether it is there")
}

/// What became of one call.
enum Once {
    Answered(String),
    /// Nothing changed: it is for the commit function.
    NotTaken,
    /// Nothing changed, and trying again would not help.
    Refused(Error),
    /// Nothing changed, and it may go better now.
    Again(Error),
    /// There was no connection.
    NotSent(Error),
    /// It may have happened.
    Unknown,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    /// The log's append function, if the group is one for it.
    Append,
    Commit,
}

/// One call.
struct Group<'a> {
    shared: &'a Shared,
    asked: &'a [&'a Asked],
    batches: &'a [&'a Batch],
    units: &'a [Unit],
    locks: &'a Locks,
    deadline: Instant,
}

impl<'a> Group<'a> {
    async fn once(&self, alarm: &mut Alarm, function: Function) -> Once {
        let shared = self.shared;
        let (token, time) = (token(), shared.time.load(Ordering::Relaxed));
        if function == Function::Append
            && let Some((mut appending, statement)) = self.appending()
        {
            appending.prepare(&shared.names, &shared.channel, token, time);
            // A statement pays only if the server need not understand it anew each time.
            if shared.connections.prepares()
                && let Some((ordered, statement)) = appending.alone(shared.schema, &shared.lone)
            {
                let parameters = appending.parameters_alone(&ordered);
                return self.ask(alarm, &statement, &parameters, token, function).await;
            }
            return self.ask(alarm, statement, &appending.parameters(), token, function).await;
        }
        // Apart, for it is large.
        Box::pin(self.commit(alarm, token, time)).await
    }

    /// A call of the commit function.
    async fn commit(&self, alarm: &mut Alarm, token: uuid::Uuid, time: i64) -> Once {
        let shared = self.shared;
        let mut call = Call::new(&shared.names, &shared.channel, token, time);
        call.lock(self.locks);
        for unit in self.units {
            match unit {
                Unit::Own(place) => {
                    call.add(self.batches[*place], self.asked[*place].digest, &shared.names);
                }
                Unit::Joined(streams) => call.add_joined(self.batches, streams, &shared.names),
            }
        }
        self.ask(alarm, &shared.call, &call.parameters(), token, Function::Commit).await
    }

    /// The parameters of the append function, if it may serve, and the statement that calls it.
    fn appending(&self) -> Option<(Appending<'a>, &'a Arc<str>)> {
        // The first append to a stream makes it, which is not for an append function.
        if !self.shared.are_there(self.locks) {
            return None;
        }
        let unusual = &self.shared.unusual;
        let fewer = |left: u64| left.checked_sub(1);
        let appending = Appending::of(self.shared.schema, self.batches, self.units, self.locks)?;
        if unusual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            return None;
        }
        let statement = self.shared.append(appending.log)?;
        Some((appending, statement))
    }

    async fn ask(
        &self,
        alarm: &mut Alarm,
        statement: &Arc<str>,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        token: uuid::Uuid,
        function: Function,
    ) -> Once {
        let connections = &self.shared.connections;
        let getting = pin!(connections.get());
        let connection = match tokio::time::timeout_at(self.deadline, getting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Once::NotSent(error),
            Err(_) => return Once::NotSent(late()),
        };
        let answer = {
            // In one place: each future that took it by value would have room for it twice.
            let asking = pin!(connections.call(&connection, statement, parameters));
            let driving = pin!(connection.drive(asking));
            alarm.before(self.deadline, driving).await
        };
        let (in_time, failed) = match answer {
            Some(Ok(rows)) => match rows.first().map(|row| row.try_get::<_, Option<String>>(0)) {
                // It is done; resolving waits until it is as safe as it should be.
                Some(Ok(Some(_))) if connection.was_cut_short() => (true, None),
                Some(Ok(Some(text))) => return Once::Answered(text),
                Some(Ok(None)) | None if function == Function::Append => return Once::NotTaken,
                // The function was not called.
                None => return Once::Refused(not_synced()),
                _ => (true, None),
            },
            Some(Err(error)) => match fate(&error) {
                Fate::Refused if function == Function::Append => {
                    // An id that is known, most likely: more of them may come.
                    self.shared.unusual.store(UNUSUAL, Ordering::Relaxed);
                    return Once::NotTaken;
                }
                Fate::Refused => return Once::Refused(map(&error)),
                Fate::Again | Fate::Unprepared => return Once::Again(map(&error)),
                Fate::Lost => (true, Some(map(&error))),
            },
            None => (false, None),
        };
        // Nobody may get a connection on which something is still under way.
        let cancel = connection.cancel_token();
        drop(Object::take(connection));
        if !in_time {
            Box::pin(connections.cancel(cancel)).await;
        }
        match Box::pin(resolve(self.shared, token, self.deadline)).await {
            Resolved::Committed(text) => Once::Answered(text),
            Resolved::Not if !in_time => Once::Refused(late()),
            Resolved::Not => Once::Again(failed.unwrap_or_else(late)),
            Resolved::Unknown => Once::Unknown,
        }
    }
}
