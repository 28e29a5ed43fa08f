//! Hints from other processes: one connection that listens for the whole process.
//!
//! Each commit that appends publishes what it appended to. A connection that broke is made again,
//! and then everybody is woken: what was told in between is lost, what was written is not.
//! The same now and then, for hints that did not come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connect;
use super::errors::{closed, map};
use super::link::Link;
use crate::driver::Hub;
use crate::drivers::server::patience::pause;
use crate::error::{Error, Kind, Result};
use crate::schema::{Namespace, Schema, Stream};

/// Between two looks at the connection. A hint may be lost, without a sign: by a replica that has no
/// master, or between the nodes of a cluster. So everybody is woken then, too.
const PULSE: Duration = Duration::from_secs(15);

/// What listening needs.
pub(super) struct Listening {
    pub(super) schema: &'static Schema,
    pub(super) link: Arc<Link>,
    pub(super) hub: Hub,
    pub(super) channel: String,
    /// The runtime of the store.
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
                let Some((_, ready)) = &*running else { return Err(closed()) };
                ready.clone()
            };
            if ready.wait_for(|ready| *ready).await.is_ok() {
                return Ok(());
            }
        }
        Err(closed())
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

impl Listening {
    async fn run(self, ready: watch::Sender<bool>) {
        let mut attempt = 0;
        while !self.link.is_closed() {
            let began = tokio::time::Instant::now();
            // Any of the hosts will do: a cluster passes on to all its nodes what is told to one.
            for host in &self.link.options.hosts {
                if self.listen(host, &ready).await.is_ok() {
                    break;
                }
            }
            attempt = if began.elapsed() > PULSE { 0 } else { (attempt + 1).min(4) };
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn listen(&self, host: &(String, u16), ready: &watch::Sender<bool>) -> Result<()> {
        let client = connect::client(&self.link.options, host)?;
        let connecting = tokio::time::timeout(PULSE, client.get_async_pubsub()).await;
        let late = |_| Error::new(Kind::Timeout, "Redis did not answer in time");
        let mut listener = connecting.map_err(late)?.map_err(|error| map(&error))?;
        let subscribing = tokio::time::timeout(PULSE, listener.subscribe(&self.channel)).await;
        subscribing.map_err(late)?.map_err(|error| map(&error))?;
        // From here on all is told; what came before has to be looked for.
        self.hub.all();
        let _ = ready.send(true);
        let (mut sink, mut told) = listener.split();
        let mut pulse = tokio::time::Instant::now() + PULSE;
        loop {
            match tokio::time::timeout_at(pulse, told.next()).await {
                Ok(Some(message)) => self.told(message.get_payload_bytes()),
                Ok(None) => return Ok(()),
                Err(_) => {
                    let answer = tokio::time::timeout(PULSE, sink.ping::<redis::Value>()).await;
                    if !matches!(answer, Ok(Ok(_))) {
                        return Ok(());
                    }
                    self.hub.all();
                    pulse = tokio::time::Instant::now() + PULSE;
                }
            }
        }
    }

    /// Namespace, log and stream, in as many lines; what is not understood wakes everybody.
    fn told(&self, payload: &[u8]) {
        let topic = |line: &str| {
            let mut parts = line.split('\u{1f}');
            let namespace = Namespace::new(parts.next()?).ok()?;
            let log = self.schema.log(parts.next()?)?;
            Some((namespace, log.name, Stream::new(parts.next()?).ok()?))
        };
        let lines = std::str::from_utf8(payload).unwrap_or_default().split('\n');
        match lines.map(topic).collect::<Option<Vec<_>>>() {
            Some(topics) => {
                for (namespace, log, stream) in topics {
                    self.hub.appended(&namespace, log, &stream);
                }
            }
            None => self.hub.all(),
        }
    }
}
