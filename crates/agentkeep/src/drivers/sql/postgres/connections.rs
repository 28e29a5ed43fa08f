//! Connections: a pool of them for calls, and single ones for who needs one alone.
//!
//! Every new one is asked for the settings that durability depends on: after a failover or a
//! restart the server may be another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, QueueMode};
use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::{Fate, closed, fate, late, map, of_pool};
use super::options::{Options, Tls};
use super::settings;
use super::wire::{Manager, Wire};
use crate::drivers::server::patience::{ATTEMPTS, pause};
use crate::error::{Error, Kind, Result};

/// Parameters with their types: so that a statement needs no round trip to be understood.
pub(super) type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// The way to the server.
pub(super) struct Connections {
    pool: Pool<Manager>,
    tls: MakeRustlsConnect,
    pub(super) options: Options,
    /// False once a pooler was found in between, for which names of statements mean nothing.
    prepare: AtomicBool,
    closed: AtomicBool,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({:?})", self.options)
    }
}

/// What the server tells by itself, on a connection of its own.
pub(super) type Told = tokio::sync::mpsc::UnboundedReceiver<AsyncMessage>;

impl Connections {
    pub(super) fn new(options: Options) -> Result<Self> {
        let tls = super::tls::connector(&options)?;
        let manager = Manager { config: config(&options), tls: tls.clone() };
        let pool = Pool::builder(manager)
            .max_size(options.pool)
            // What was used last is warm, here and at the server.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(options.timeout))
            .create_timeout(Some(options.timeout))
            .recycle_timeout(Some(options.timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                Error::new(Kind::Unavailable, "the pool of connections cannot be made")
                    .caused_by(error)
            })?;
        let (prepare, closed) = (AtomicBool::new(options.prepare), AtomicBool::new(false));
        Ok(Self { pool, tls, options, prepare, closed })
    }

    pub(super) fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// No connection is given any more; those in use end with who uses them.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pool.close();
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// A connection of the pool, its settings looked at.
    pub(super) async fn get(&self) -> Result<Object<Manager>> {
        self.refuse_if_closed()?;
        let connection = self.pool.get().await.map_err(|error| of_pool(&error))?;
        if connection.is_looked_at() {
            return Ok(connection);
        }
        // Only when it has been looked at does it go back to the pool.
        let lent = Lent::new(connection);
        Box::pin(self.look_at(lent.client()?)).await?;
        let connection = lent.keep().ok_or_else(closed)?;
        connection.looked_at();
        Ok(connection)
    }

    /// Looks at a new connection before it is used: at the server's settings, and whether a pooler
    /// is in between.
    async fn look_at(&self, connection: &ClientWrapper) -> Result<()> {
        let process = settings::verify(connection, &self.options).await?;
        if super::between::process_of(connection.cancel_token()).await != Some(process) {
            self.prepare.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether statements are prepared by name.
    pub(super) fn prepares(&self) -> bool {
        self.prepare.load(Ordering::Relaxed)
    }

    /// A connection outside the pool, and what the server tells on it by itself.
    pub(super) async fn single(&self) -> Result<(ClientWrapper, Told)> {
        self.refuse_if_closed()?;
        let (client, told) = connected(&self.options, self.tls.clone()).await?;
        self.look_at(&client).await?;
        Ok((client, told))
    }

    /// Asks on a connection, by a prepared statement where that works.
    pub(super) async fn ask(
        &self,
        connection: &ClientWrapper,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        if self.prepares() {
            let asked = prepared(connection, sql, parameters).await;
            match &asked {
                Err(error) if fate(error) == Fate::Unprepared => {
                    connection.statement_cache.clear();
                    self.prepare.store(false, Ordering::Relaxed);
                }
                _ => return asked,
            }
        }
        connection.query_typed(sql, parameters).await
    }

    /// As [`Self::ask`], for the few statements that commit.
    pub(super) async fn call(
        &self,
        wire: &Wire,
        sql: &Arc<str>,
        parameters: &Parameters<'_>,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        if self.prepares() {
            let called = wire.call(sql, parameters).await;
            match &called {
                Err(error) if fate(error) == Fate::Unprepared => {
                    wire.forget();
                    self.prepare.store(false, Ordering::Relaxed);
                }
                _ => return called,
            }
        }
        // Apart, for it is large and seldom.
        Box::pin(wire.query_typed(sql, parameters)).await
    }

    /// Asks the server to give up what is under way on a connection.
    pub(super) fn cancel(
        &self,
        cancel: tokio_postgres::CancelToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let tls = self.tls.clone();
        async move {
            // When it does not come about, resolving waits for what is under way.
            let _ = tokio::time::timeout(Duration::from_secs(2), cancel.cancel_query(tls)).await;
        }
    }

    /// Attempts at a read, whose repetition is harmless: see [`reading`].
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts { connections: self, deadline: self.deadline(), made: 0 }
    }
}

/// A new connection, and what the server tells on it by itself.
pub(super) async fn connected(
    options: &Options,
    tls: MakeRustlsConnect,
) -> Result<(ClientWrapper, Told)> {
    let connecting = config(options);
    let connecting = tokio::time::timeout(options.timeout, connecting.connect(tls)).await;
    let (client, mut connection) = connecting.map_err(|_| late())?.map_err(|error| map(&error))?;
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let mut messages = std::pin::pin!(futures_util::stream::poll_fn(move |context| {
            connection.poll_message(context)
        }));
        while let Some(Ok(message)) = futures_util::StreamExt::next(&mut messages).await {
            // Who only wanted the connection does not listen.
            let _ = tell.send(message);
        }
    });
    Ok((ClientWrapper::new(client, task), told))
}

/// Runs a read on whatever connection is sound, some attempts within the deadline.
macro_rules! reading {
    ($connections:expr, |$client:ident| $read:expr) => {{
        let mut attempts = $connections.attempts();
        loop {
            let lent = match attempts.next().await {
                Ok(lent) => lent,
                Err(error) => break Err(error),
            };
            let answer = match lent.client() {
                Ok($client) => {
                    let read = std::pin::pin!($read);
                    let read = $client.drive(read);
                    tokio::time::timeout_at(attempts.deadline, read).await
                }
                Err(error) => break Err(error),
            };
            if let Some(done) = attempts.settle(lent, answer).await {
                break done;
            }
        }
    }};
}

pub(super) use reading;

/// Attempts at a read.
pub(super) struct Attempts<'a> {
    connections: &'a Connections,
    pub(super) deadline: Instant,
    made: u32,
}

impl Attempts<'_> {
    /// The connection for the next attempt.
    pub(super) async fn next(&mut self) -> Result<Lent> {
        loop {
            self.made += 1;
            let got = tokio::time::timeout_at(self.deadline, self.connections.get()).await;
            match got.unwrap_or_else(|_| Err(late())) {
                Ok(connection) => return Ok(Lent::new(connection)),
                Err(error) if error.kind() == Kind::Unavailable && error.is_retryable() => {
                    self.pause_or(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The end of the read, or `None` for another attempt.
    pub(super) async fn settle<T>(
        &self,
        lent: Lent,
        answer: std::result::Result<std::result::Result<T, Failed>, tokio::time::error::Elapsed>,
    ) -> Option<Result<T>> {
        let failed = match answer {
            Ok(Ok(value)) => {
                lent.give_back();
                return Some(Ok(value));
            }
            Ok(Err(failed)) => failed,
            Err(_) => {
                // Else the server would go on with it.
                if let Ok(client) = lent.client() {
                    tokio::spawn(self.connections.cancel(client.cancel_token()));
                }
                return Some(Err(late()));
            }
        };
        let error = match failed {
            Failed::Here(error) => {
                lent.give_back();
                return Some(Err(error));
            }
            Failed::Server(error) => error,
        };
        let fate = fate(&error);
        if fate != Fate::Lost {
            lent.give_back();
        }
        if fate == Fate::Refused {
            return Some(Err(map(&error)));
        }
        self.pause_or(map(&error)).await.err().map(Err)
    }

    /// Waits for the next attempt; the error when there is none.
    async fn pause_or(&self, error: Error) -> Result<()> {
        self.connections.refuse_if_closed()?;
        if self.made >= ATTEMPTS || Instant::now() + pause(self.made) > self.deadline {
            return Err(error);
        }
        tokio::time::sleep(pause(self.made)).await;
        Ok(())
    }
}

/// A connection that leaves the pool unless it is given back: a read that is given up in the
/// middle must not leave its statement to the next one.
pub(super) struct Lent(Option<Object<Manager>>);

impl Lent {
    pub(super) fn new(connection: Object<Manager>) -> Self {
        Self(Some(connection))
    }

    fn keep(mut self) -> Option<Object<Manager>> {
        self.0.take()
    }

    pub(super) fn client(&self) -> Result<&Wire> {
        self.0.as_deref().ok_or_else(closed)
    }

    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// Why a read failed: at the server or on the way to it, or because of what it gave.
#[derive(Debug)]
pub(super) enum Failed {
    Server(tokio_postgres::Error),
    Here(Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Server(error) => map(&error),
            Failed::Here(error) => error,
        }
    }
}

pub(super) fn types(parameters: &Parameters<'_>) -> Vec<Type> {
    parameters.iter().map(|(_, kind)| kind.clone()).collect()
}

pub(super) fn values<'a>(parameters: &Parameters<'a>) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|(value, _)| *value).collect()
}

async fn prepared(
    connection: &ClientWrapper,
    sql: &str,
    parameters: &Parameters<'_>,
) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
    let statement = connection.prepare_typed_cached(sql, &types(parameters)).await?;
    connection.query(&statement, &values(parameters)).await
}

fn config(options: &Options) -> Config {
    let mut config = Config::new();
    for (host, port) in &options.hosts {
        config.host(host).port(*port);
    }
    config
        .dbname(&options.database)
        .user(&options.user)
        .application_name("agentkeep")
        .connect_timeout(options.timeout.min(Duration::from_secs(10)))
        .tcp_user_timeout(options.timeout)
        .keepalives_idle(Duration::from_secs(30))
        .ssl_mode(if options.tls == Tls::Disable { SslMode::Disable } else { SslMode::Require });
    if let Some(password) = &options.password {
        config.password(password);
    }
    if options.hosts.len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config
}
