//! Hints from other processes: one connection that listens for the whole process.
//!
//! Who listens holds a lock, so that commits tell only when somebody does. A connection that broke
//! is made again, and then everybody is woken: what was told in between is lost, what was written
//! is not. Commits that are under way then may have found nobody who listens, and cannot be seen
//! yet: everybody is woken again when some of them have ended, until all have. Where notifications
//! do not come through, as behind a pooler, the server is asked a few times a second whether
//! anything was written at all.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::Type;

use super::connections::{Connections, Lent, Told, reading};
use super::errors::map;
use crate::driver::Hub;
use crate::drivers::server::patience::pause;
use crate::drivers::sql::shape::quoted;
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, Schema, Stream};

/// How long a notification of our own may take before they count as not coming through.
const TEST: Duration = Duration::from_secs(2);
/// Between two questions, where there are no notifications.
const POLL: Duration = Duration::from_millis(300);
/// Between two looks at a connection that is silent.
const PULSE: Duration = Duration::from_secs(15);
/// Before the first look whether what was under way has ended; each further one waits twice as long,
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// up to this: what takes longer is hardly a commit of ours.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Tells the oldest transaction that writes, the first that has not ended, and those between them
/// that write.
const SNAPSHOT: &str = "pg_current_snapshot";

/// What listening needs.
pub(super) struct Listening {
    pub(super) schema: &'static Schema,
    pub(super) connections: Arc<Connections>,
    pub(super) hub: Hub,
    pub(super) channel: String,
    pub(super) lock: i64,
    /// The runtime of the store,
    pub(super) runtime: Handle,
}

/// The task that listens, started with the first watch.
#[derive(Default)]
pub(super) struct Hints(tokio::sync::Mutex<Option<(JoinHandle<()>, watch::Receiver<bool>)>>);

impl Hints {
    /// Makes sure that hints come from now on.
    pub(super) async fn ensure(&self, make: impl Fn() -> Listening) -> Result<()> {
        // Whoever asks first may have a runtime that ends before the store does; that of the store may have
        // ended, too.
        for runtime in [make().runtime, Handle::current()] {
            let mut ready = {
                let mut running = self.0.lock().await;
                if running.as_ref().is_none_or(|(task, _)| task.is_finished()) {
                    let (tell, ready) = watch::channel(false);
                    *running = Some((runtime.spawn(make().run(tell)), ready));
                }
                let Some((_, ready)) = &*running else { return Err(super::errors::closed()) };
                ready.clone()
            };
            if ready.wait_for(|ready| *ready).await.is_ok() {
                return Ok(());
            }
        }
        Err(super::errors::closed())
    }

    pub(super) async fn close(&self) {
        if let Some((task, _)) = self.0.lock().await.take() {
            task.abort();
        }
    }

    /// For who cannot wait.
    pub(super) fn abort(&self) {
        if let Ok(mut running) = self.0.try_lock()
            && let Some((task, _)) = running.take()
        {
            task.abort();
        }
    }
}

/// Why listening ended.
enum End {
    /// The connection broke.
    Broken,
    /// Notifications do not come through here.
    Deaf,
}

/// What was being written when listening began.
struct UnderWay {
    /// Transactions before this one.
    before: u64,
    /// What was being written at the last look.
    seen: String,
    look: Instant,
    pause: Duration,
}

impl UnderWay {
    /// A transaction of our own is later than any commit that has looked for listeners: these write
    /// first. (The end of a snapshot would not do: it is the first of those that have not ended.)
    async fn from_now(client: &ClientWrapper) -> Result<Self> {
        let before = number(&asked(client, "pg_current_xact_id").await?)?;
        let (seen, look) = (String::new(), Instant::now() + FIRST_LOOK);
        Ok(Self { before, seen, look, pause: FIRST_LOOK })
    }

    /// Whether something has ended since the last look, and whether all has.
    fn look(&mut self, snapshot: String) -> Result<(bool, bool)> {
        let oldest = number(snapshot.split(':').next().unwrap_or_default())?;
        let has_changed = snapshot != self.seen;
        self.seen = snapshot;
        self.pause = (self.pause * 2).min(LAST_LOOK);
        self.look = Instant::now() + self.pause;
        Ok((has_changed, oldest >= self.before))
    }
}

/// What a function of the server without parameters answers, as text.
async fn asked(client: &ClientWrapper, function: &str) -> Result<String> {
    let sql = format!("SELECT pg_catalog.{function}()::text");
    let rows = client.query_typed(&sql, &[]).await.map_err(|error| map(&error))?;
    rows.first().and_then(|row| row.try_get(0).ok()).ok_or_else(unclear)
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| unclear())
}

fn unclear() -> Error {
    Error::new(Kind::Unavailable, "PostgreSQL does not tell what is being written")
}

impl Listening {
    async fn run(self, ready: watch::Sender<bool>) {
        let mut attempt = 0;
        if !self.connections.options.listen {
            return self.poll(&ready).await;
        }
        while !self.connections.is_closed() {
            let began = Instant::now();
            match self.listen(&ready).await {
                Ok(End::Deaf) => return self.poll(&ready).await,
                Ok(End::Broken) | Err(_) => {}
            }
            attempt = if began.elapsed() > PULSE { 0 } else { (attempt + 1).min(4) };
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn listen(&self, ready: &watch::Sender<bool>) -> Result<End> {
        let (client, mut told) = self.connections.single().await?;
        let listen = format!("LISTEN {}", quoted(&self.channel));
        client.batch_execute(&listen).await.map_err(|error| map(&error))?;
        if !self.hears(&mut told).await? {
            // Behind a pooler the connection goes on without us.
            let _ = client.batch_execute(&format!("UNLISTEN {}", quoted(&self.channel))).await;
            return Ok(End::Deaf);
        }
        let sql = "SELECT pg_catalog.pg_advisory_lock_shared($1)::text";
        let locked = client.query_typed(sql, &[(&self.lock, Type::INT8)]).await;
        locked.map_err(|error| map(&error))?;
        // From here on all is told; what came before has to be looked for.
        let under_way = UnderWay::from_now(&client).await?;
        self.hub.all();
        let _ = ready.send(true);
        self.attend(&client, &mut told, under_way).await;
        Ok(End::Broken)
    }

    /// Whether a notification sent on another connection comes.
    async fn hears(&self, told: &mut Told) -> Result<bool> {
        let nonce = format!("test {}", uuid::Uuid::new_v4());
        let lent = Lent::new(self.connections.get().await?);
        let sql = "SELECT pg_catalog.pg_notify($1, $2)::text";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&self.channel, Type::TEXT), (&nonce, Type::TEXT)];
        let told_once = lent.client()?.query_typed(sql, &parameters).await;
        told_once.map_err(|error| map(&error))?;
        lent.give_back();
        let heard = timeout(TEST, async {
            while let Some(message) = told.recv().await {
                if let AsyncMessage::Notification(told) = message
                    && told.payload() == nonce
                {
                    return Ok(true);
                }
            }
            Err(Error::new(Kind::Unavailable, "the connection that listens broke"))
        });
        heard.await.unwrap_or(Ok(false))
    }

    /// Passes on what is told, until the connection breaks.
    async fn attend(&self, client: &ClientWrapper, told: &mut Told, under_way: UnderWay) {
        let mut under_way = Some(under_way);
        loop {
            let look = under_way.as_ref().map_or_else(|| Instant::now() + PULSE, |some| some.look);
            match timeout_at(look, told.recv()).await {
                Ok(Some(AsyncMessage::Notification(told))) => self.told(told.payload()),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    let snapshot = timeout(PULSE, asked(client, SNAPSHOT)).await;
                    let Ok(Ok(snapshot)) = snapshot else { return };
                    let Some(some) = &mut under_way else { continue };
                    let Ok((has_changed, is_over)) = some.look(snapshot) else { return };
                    if has_changed {
                        self.hub.all();
                    }
                    if is_over {
                        under_way = None;
                    }
                }
            }
        }
    }

    /// Namespace, log and stream; what is not understood wakes everybody.
    fn told(&self, payload: &str) {
        let mut parts = payload.split('\u{1f}');
        let topic = || {
            let namespace = Namespace::new(parts.next()?).ok()?;
            let log = self.schema.log(parts.next()?)?;
            Some((namespace, log.name, Stream::new(parts.next()?).ok()?))
        };
        match { topic }() {
            Some((namespace, log, stream)) => self.hub.appended(&namespace, log, &stream),
            None if payload.starts_with("test ") => {}
            None => self.hub.all(),
        }
    }

    /// Wakes everybody whenever something was written to the server, by whomever.
    async fn poll(&self, ready: &watch::Sender<bool>) {
        let mut before = None;
        while !self.connections.is_closed() {
            if let Ok(now) = self.written().await {
                if before.as_ref().is_some_and(|before| *before != now) {
                    self.hub.all();
                }
                before = Some(now);
                let _ = ready.send(true);
            }
            tokio::time::sleep(POLL).await;
            while *ready.borrow() && !self.hub.is_watched() && !self.connections.is_closed() {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn written(&self) -> Result<String> {
        // The log would tell too early: a commit stands in it before anybody can see it.
        let sql = &format!("SELECT pg_catalog.{SNAPSHOT}()::text");
        let rows =
            reading!(self.connections, |client| async { Ok(client.query_typed(sql, &[]).await?) })?;
        let at = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(at.map_err(|error| map(&error))?.unwrap_or_default())
    }
}
