//! The connections of the pool: the client's library, and the line that its callers drive.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Config, Connection, Error, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connections::{Parameters, types, values};
use super::line::Line;

/// The function of the server that warns when somebody ends its wait: the commit is told as done all the same.
const WAITING_FOR_STANDBYS: &str = "SyncRepWaitForLSN";

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct Wire {
    client: ClientWrapper,
    line: Arc<Line>,
    /// The statements that commit, found by where their text stands: to find them by the text itself, some
    /// kilobytes, takes longer than to send them.
    prepared: Mutex<Vec<(Arc<str>, Statement)>>,
    /// Whether the settings that durability depends on have been looked at here.
    looked_at: AtomicBool,
    /// Whether somebody ended the wait of a commit for its standbys.
    cut_short: Arc<AtomicBool>,
}

impl Wire {
    /// What the future asks on this connection: without another task between it and the server.
    pub(super) async fn drive<F: Future>(&self, future: F) -> F::Output {
        self.line.drive(future).await
    }

    /// Asks by a statement that is prepared by its first use.
    pub(super) async fn call(
        &self,
        sql: &Arc<str>,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let known = self.list().iter().find(|(text, _)| Arc::ptr_eq(text, sql)).cloned();
        let statement = match known {
            Some((_, statement)) => statement,
            // Apart, for it is large and seldom.
            None => Box::pin(self.prepare_by_name(sql, parameters)).await?,
        };
        self.client.query(&statement, &values(parameters)).await
    }

    async fn prepare_by_name(
        &self,
        sql: &Arc<str>,
        parameters: &Parameters<'_>,
    ) -> Result<Statement, Error> {
        let statement = self.client.prepare_typed(sql, &types(parameters)).await?;
        self.list().push((Arc::clone(sql), statement.clone()));
        Ok(statement)
    }

    pub(super) fn looked_at(&self) {
        self.looked_at.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// Whether, since this was last asked, a commit was told as done that not all standbys have that it
    /// should have waited for.
    pub(super) fn was_cut_short(&self) -> bool {
        self.cut_short.load(Ordering::Relaxed) && self.cut_short.swap(false, Ordering::Relaxed)
    }

    fn list(&self) -> MutexGuard<'_, Vec<(Arc<str>, Statement)>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing counts as prepared any more.
    pub(super) fn forget(&self) {
        self.list().clear();
        self.client.statement_cache.clear();
    }
}

impl Deref for Wire {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

/// What a connection does. Those who wait for it are told how it ended.
async fn to_its_end<S, T>(mut connection: Connection<S, T>, cut_short: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        // It comes before the end of the call that it is about. Its text is in the server's language.
        if let AsyncMessage::Notice(notice) = message
            && notice.routine() == Some(WAITING_FOR_STANDBYS)
        {
            cut_short.store(true, Ordering::Relaxed);
        }
    }
}

/// Makes connections for the pool.
pub(super) struct Manager {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Manager")
    }
}

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = Error;

    async fn create(&self) -> Result<Wire, Error> {
        // Apart, for it is large, and the future of every call would have room for it.
        let connecting = Box::pin(self.config.connect(self.tls.clone()));
        let (client, connection) = connecting.await?;
        let cut_short = Arc::new(AtomicBool::new(false));
        let (line, driver) = Line::new(to_its_end(connection, Arc::clone(&cut_short)));
        let client = ClientWrapper::new(client, tokio::spawn(driver));
        let looked_at = AtomicBool::new(false);
        Ok(Wire { client, line, prepared: Mutex::default(), looked_at, cut_short })
    }

    async fn recycle(&self, wire: &mut Wire, _: &Metrics) -> RecycleResult<Error> {
        if wire.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}
