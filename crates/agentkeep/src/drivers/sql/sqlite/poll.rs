//! Hints about commits of other processes: SQLite counts them in `data_version`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::errors::map;
use super::writer::Commits;
use crate::driver::Hub;
use crate::error::{Error, Kind, Result};

/// Between two looks when something happens, and when nothing does.
const QUICK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(100);

/// A thread that looks while somebody watches.
#[derive(Debug, Default, Clone)]
pub(super) struct Poll {
    running: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
}

impl Poll {
    /// Sees to it that the thread runs; it has looked once when this returns.
    pub(super) fn ensure(
        &self,
        hub: &Hub,
        commits: &Commits,
        connect: impl FnOnce() -> Result<Connection>,
    ) -> Result<()> {
        if self.running.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let started = self.start(hub.clone(), commits.clone(), connect);
        if started.is_err() {
            self.running.store(false, Ordering::Release);
        }
        started
    }

    fn start(
        &self,
        hub: Hub,
        commits: Commits,
        connect: impl FnOnce() -> Result<Connection>,
    ) -> Result<()> {
        let connection = connect()?;
        let (running, closed) = (Arc::clone(&self.running), Arc::clone(&self.closed));
        let (looked, wait) = mpsc::channel();
        let run = move || {
            let mut last = version(&connection);
            let _ = looked.send(());
            loop {
                look(&connection, &hub, &commits, &closed, &mut last);
                running.store(false, Ordering::Release);
                // Somebody may have begun to watch just now and found the thread running: it
                // runs on, unless another one has been started.
                let wanted = !closed.load(Ordering::Acquire) && hub.is_watched();
                if !wanted || running.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("agentkeep-poll".to_owned()).spawn(run);
        thread.map_err(|error| {
            Error::new(Kind::Unavailable, "the watching thread cannot be started").caused_by(error)
        })?;
        wait.recv().map_err(|error| {
            Error::new(Kind::Unavailable, "the watching thread ended at once").caused_by(error)
        })
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Looks until nobody watches any more, or the store is closed.
fn look(
    connection: &Connection,
    hub: &Hub,
    commits: &Commits,
    closed: &AtomicBool,
    last: &mut Option<i64>,
) {
    let (mut pause, mut own) = (QUICK, commits.own());
    while !closed.load(Ordering::Acquire) && hub.is_watched() {
        std::thread::sleep(pause);
        // Before and after: a commit of ours that shows only now counts in between.
        let before = commits.own();
        let now = version(connection);
        // An error is no reason to be silent: readers will meet it.
        if now.is_none() || now != *last {
            // Our own commits are hinted at one by one. If there were some, the writer can tell
            // whether others committed, too.
            if now.is_none() || own == commits.own() || !commits.look() {
                hub.all();
            }
            pause = QUICK;
        } else {
            pause = (pause * 5 / 4).min(SLOW);
        }
        (*last, own) = (now, before);
    }
}

fn version(connection: &Connection) -> Option<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(map).ok()
}
