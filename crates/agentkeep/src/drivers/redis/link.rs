//! The way to the server or the cluster: a few connections, each shared by all callers, over which
//! commands go without waiting for each other's answers.
//!
//! Every new connection is asked for the settings that durability depends on: after a failover or a
//! restart the server may be another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::time::Instant;

use super::cluster::{Again, Cluster};
use super::errors::{Fate, closed, fate, late, map};
use super::lanes::Lanes;
use super::options::Options;
use super::scripts::Script;
use super::settings::{self, Server};
use super::{connect, errors};
use crate::drivers::server::patience::{ATTEMPTS, pause};
use crate::error::{Error, Result};

/// How long closing waits for what is to be removed: it goes by itself, if later.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// The way to the store.
pub(super) struct Link {
    pub(super) options: Options,
    mode: Mode,
    closed: AtomicBool,
    /// How often something was sent: what a commit costs is looked at by tests.
    pub(super) sent: AtomicUsize,
    /// Held for reading by what is still to be removed in the background.
    leftovers: Arc<RwLock<()>>,
}

enum Mode {
    Single(Lanes),
    Cluster(Box<Cluster>),
}

/// Why a command gave no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// There was no connection: nothing was sent.
    NotSent(Error),
    /// The server did not do it, and may soon.
    Again(Error),
    /// The server refused it: nothing has changed.
    Refused(Error),
    /// The server does not know the script.
    NoScript,
    /// It may have happened.
    Lost(Error),
    /// The deadline passed; it may have happened.
    Late,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({:?})", self.options)
    }
}

impl Link {
    /// Finds out what there is at the hosts.
    pub(super) async fn open(options: Options) -> Result<Self> {
        let deadline = Instant::now() + options.timeout;
        let mut attempt = 0;
        let (connection, server) = loop {
            attempt += 1;
            let connecting = tokio::time::timeout_at(deadline, connect::first(&options)).await;
            match connecting.unwrap_or_else(|_| Err(late())) {
                Ok(found) => break found,
                Err(error) if attempt >= ATTEMPTS || !error.is_retryable() => return Err(error),
                Err(error) if Instant::now() + pause(attempt) > deadline => return Err(error),
                Err(_) => tokio::time::sleep(pause(attempt)).await,
            }
        };
        let mode = if server.clustered {
            let cluster = Cluster::new(&options)?;
            let opened =
                tokio::time::timeout_at(deadline, cluster.get(Again::Client, &options)).await;
            opened.unwrap_or_else(|_| Err(late()))?;
            Mode::Cluster(Box::new(cluster))
        } else {
            Mode::Single(Lanes::new(options.pool, connection))
        };
        let (closed, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Self { options, mode, closed, sent, leftovers: Arc::default() })
    }

    pub(super) fn is_clustered(&self) -> bool {
        matches!(self.mode, Mode::Cluster(_))
    }

    pub(super) fn refuse_if_closed(&self) -> Result<()> {
        if self.is_closed() { Err(closed()) } else { Ok(()) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Until what this gives is dropped, closing waits, if it is not waiting already.
    pub(super) fn leftover(&self) -> Option<OwnedRwLockReadGuard<()>> {
        Arc::clone(&self.leftovers).try_read_owned().ok()
    }

    /// Waits a moment until everything is removed that was to be.
    pub(super) async fn settled(&self) {
        let _ = tokio::time::timeout(LEFTOVERS, self.leftovers.write()).await;
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.leftovers.try_write().is_ok()
    }

    /// Nothing is sent any more; the connections end with who uses them.
    pub(super) async fn close(&self) {
        self.settled().await;
        self.end();
        match &self.mode {
            Mode::Single(lanes) => lanes.close().await,
            Mode::Cluster(cluster) => cluster.forget().await,
        }
    }

    /// For who cannot wait.
    pub(super) fn end(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// Sends a command, a commit once; in a cluster the client may repeat anything else by itself.
    pub(super) async fn send(
        &self,
        cmd: &Cmd,
        commit: bool,
        deadline: Instant,
    ) -> std::result::Result<Value, Failed> {
        self.refuse_if_closed().map_err(Failed::NotSent)?;
        match &self.mode {
            Mode::Single(lanes) => {
                let chosen = if commit {
                    lanes.for_commit(cmd).map(|(lane, under_way)| (lane, Some(under_way)))
                } else {
                    lanes.for_read().map(|lane| (lane, None))
                };
                let (lane, _under_way) = chosen.ok_or_else(|| Failed::NotSent(closed()))?;
                let got = tokio::time::timeout_at(deadline, lanes.get(lane, &self.options)).await;
                let got = got.unwrap_or_else(|_| Err(late()));
                let (mut connection, made) = got.map_err(Failed::NotSent)?;
                self.sent.fetch_add(1, Ordering::Relaxed);
                let sent = tokio::time::timeout_at(deadline, connection.send_packed_command(cmd));
                let answer = settled(sent.await);
                match &answer {
                    Err((Failed::Late, true)) => lane.forget(made).await,
                    Err((_, true)) => lanes.broke(made),
                    _ => {}
                }
                answer.map_err(|(failed, _)| failed)
            }
            Mode::Cluster(cluster) => {
                let again = if commit { Again::Caller } else { Again::Client };
                let getting = cluster.get(again, &self.options);
                let got = tokio::time::timeout_at(deadline, getting).await;
                let got = got.unwrap_or_else(|_| Err(late()));
                let mut connection = got.map_err(Failed::NotSent)?;
                self.sent.fetch_add(1, Ordering::Relaxed);
                let asking = cmd.query_async::<Value>(&mut connection);
                let answer = settled(tokio::time::timeout_at(deadline, asking).await);
                if matches!(answer, Err((_, true))) {
                    cluster.look_again();
                }
                answer.map_err(|(failed, _)| failed)
            }
        }
    }

    /// Runs a script whose repetition is harmless, some attempts within the deadline.
    pub(super) async fn ask<A: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[A],
    ) -> Result<Value> {
        let known = called(script, true, keys, arguments);
        self.repeated(&known, || called(script, false, keys, arguments)).await
    }

    /// A plain command whose repetition is harmless.
    pub(super) async fn command(&self, cmd: &Cmd) -> Result<Value> {
        self.repeated(cmd, || cmd.clone()).await
    }

    async fn repeated(&self, cmd: &Cmd, whole: impl Fn() -> Cmd) -> Result<Value> {
        let deadline = self.deadline();
        let mut made = 0;
        loop {
            made += 1;
            let mut answer = self.send(cmd, false, deadline).await;
            if matches!(answer, Err(Failed::NoScript)) {
                answer = self.send(&whole(), false, deadline).await;
            }
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(Failed::Refused(error)) => return Err(error),
                Err(Failed::Late) => return Err(late()),
                Err(Failed::NoScript) => return Err(errors::strange("a script")),
                Err(Failed::NotSent(error)) if !error.is_retryable() => return Err(error),
                Err(Failed::NotSent(error) | Failed::Again(error) | Failed::Lost(error)) => error,
            };
            self.refuse_if_closed()?;
            if made >= ATTEMPTS || Instant::now() + pause(made) > deadline {
                return Err(error);
            }
            tokio::time::sleep(pause(made)).await;
        }
    }
}

/// A script's call: by what the server knows it by, or whole.
pub(super) fn called<A: AsRef<[u8]>>(
    script: &Script,
    known: bool,
    keys: &[String],
    arguments: &[A],
) -> Cmd {
    let mut cmd = if known { redis::cmd("EVALSHA") } else { redis::cmd("EVAL") };
    cmd.arg(if known { script.sha.as_str() } else { script.text.as_ref() }).arg(keys.len());
    for key in keys {
        cmd.arg(key.as_bytes());
    }
    for argument in arguments {
        cmd.arg(argument.as_ref());
    }
    cmd
}

type Settled = std::result::Result<Value, (Failed, bool)>;

/// What became of a command, and whether its connection is of no use any more.
fn settled(
    answer: std::result::Result<redis::RedisResult<Value>, tokio::time::error::Elapsed>,
) -> Settled {
    let error = match answer {
        Ok(Ok(Value::ServerError(error))) => redis::RedisError::from(error),
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        // Perhaps nobody is at the other end any more.
        Err(_) => return Err((Failed::Late, true)),
    };
    Err(match fate(&error) {
        Fate::Refused => (Failed::Refused(map(&error)), false),
        Fate::Again => (Failed::Again(map(&error)), false),
        Fate::Elsewhere => (Failed::Again(map(&error).retryable(true)), true),
        Fate::NoScript => (Failed::NoScript, false),
        Fate::Lost => (Failed::Lost(map(&error).retryable(true)), true),
    })
}

/// What a server says of itself, asked on a connection.
pub(super) async fn look(connection: &MultiplexedConnection) -> Result<Server> {
    let connection = Arc::new(connection.clone());
    let send = |cmd: Cmd| {
        let mut connection = MultiplexedConnection::clone(&connection);
        async move { cmd.query_async::<Value>(&mut connection).await }
    };
    settings::look(send).await
}
