//! Calls of the scripts that write.
//!
//! A call that was sent and not answered is sent again as it was: the server keeps, for each client
//! and each of its slots, the number of the last call and what it answered, in the same write. So it
//! happens once, however often it arrives. Who gives up takes the number away from it.

use std::borrow::Cow;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::errors::{late, strange};
use super::link::{Failed, Link, called};
use super::scripts::{Script, Scripts};
use super::slots::Slot;
use crate::drivers::server::patience::{ATTEMPTS, GRACE, pause};
use crate::error::Error;

/// The server forgets a client's slots after so long: longer than any call can be under way.
pub(super) const KEPT: Duration = Duration::from_hours(4);

/// How often a commit is tried in a cluster, where it is refused while its slot moves or has no master.
const IN_CLUSTER: u32 = 3 * ATTEMPTS;

/// What is sent.
pub(super) struct Call<'a> {
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Cow<'a, [u8]>>,
}

/// Why a call gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing has changed.
    Not(Error),
    /// The same, and the server has said so of this call.
    Refused(Error),
    /// It may have happened.
    Unknown,
}

/// One call, until it is answered or out of time.
pub(super) struct Calling<'a> {
    pub(super) link: &'a Link,
    pub(super) scripts: &'a Scripts,
    pub(super) script: &'a Script,
    pub(super) call: &'a Call<'a>,
    pub(super) slot: &'a Slot<'a>,
    /// The key of this client's slots.
    pub(super) calls: String,
    pub(super) deadline: Instant,
}

impl Calling<'_> {
    pub(super) async fn answer(self) -> Result<String, Failure> {
        let Self { script, call, deadline, .. } = self;
        let known = called(script, true, &call.keys, &call.arguments);
        let (mut made, mut sent) = (0, false);
        let attempts = if self.link.is_clustered() { IN_CLUSTER } else { ATTEMPTS };
        loop {
            made += 1;
            let whole = || called(script, false, &call.keys, &call.arguments);
            let error = match self.send((&known, true), whole, deadline).await {
                Ok(value) => {
                    let text = redis::from_redis_value(value);
                    let text = text.map_err(|_| Failure::Not(strange("a commit")))?;
                    return if sent { self.settled(text).await } else { Ok(text) };
                }
                Err(Failed::Late) => {
                    sent = true;
                    late()
                }
                Err(Failed::NotSent(error)) if !sent && !error.is_retryable() => {
                    return Err(Failure::Not(error));
                }
                // A closed store, too: what was sent may have happened.
                Err(Failed::Refused(error)) if !sent => return Err(Failure::Refused(error)),
                Err(Failed::NoScript) => strange("a script"),
                Err(Failed::Lost(error)) => {
                    sent = true;
                    error
                }
                Err(Failed::NotSent(error) | Failed::Again(error) | Failed::Refused(error)) => {
                    error
                }
            };
            let out_of_time = Instant::now() + pause(made) > deadline || self.link.is_closed();
            if !sent && (made >= attempts || out_of_time) {
                return Err(Failure::Not(error));
            }
            if out_of_time {
                return self.resolve().await;
            }
            tokio::time::sleep(pause(made)).await;
        }
    }

    async fn send(
        &self,
        (known, commit): (&Cmd, bool),
        whole: impl Fn() -> Cmd,
        deadline: Instant,
    ) -> Result<Value, Failed> {
        match self.link.send(known, commit, deadline).await {
            Err(Failed::NoScript) => self.link.send(&whole(), commit, deadline).await,
            answer => answer,
        }
    }

    /// The answer to a call of which an earlier copy may still be on its way. An answer that
    /// changed nothing has left no mark by which the server would know the copy: so it is kept from
    /// ever happening.
    async fn settled(&self, answer: String) -> Result<String, Failure> {
        match self.resolve().await {
            Ok(done) => Ok(done),
            Err(Failure::Unknown) if !answer.starts_with("ok") => Err(Failure::Unknown),
            Err(_) => Ok(answer),
        }
    }

    /// What became of the call; if it has not happened, it never will. This may be asked again and again.
    async fn resolve(&self) -> Result<String, Failure> {
        let deadline = self.deadline.max(Instant::now()) + GRACE;
        let keys = std::slice::from_ref(&self.calls);
        let Slot { place, number, .. } = self.slot;
        let arguments = [place.to_string(), number.to_string(), KEPT.as_millis().to_string()];
        let script = &self.scripts.resolve;
        let known = called(script, true, keys, &arguments);
        let mut made = 0;
        while !self.link.is_closed() {
            made += 1;
            let whole = || called(script, false, keys, &arguments);
            if let Ok(value) = self.send((&known, false), whole, deadline).await {
                let text: String = redis::from_redis_value(value)
                    .map_err(|_| Failure::Not(strange("a commit")))?;
                return match text.as_str() {
                    "void" => Err(Failure::Not(late())),
                    "stale" => Err(Failure::Unknown),
                    _ => Ok(text),
                };
            }
            if Instant::now() + pause(made) > deadline {
                break;
            }
            tokio::time::sleep(pause(made)).await;
        }
        Err(Failure::Unknown)
    }
}
