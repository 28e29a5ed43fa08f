//! Connections to a single server, each shared by all callers.
//!
//! The server takes some bytes from each connection that has any, then writes what came of them to
//! its disk, and only then answers. So commits that come together go over several connections: over
//! one, most of them would wait for the disk again and again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{Arg, Cmd};

use super::connect;
use super::options::Options;
use crate::error::{Error, Kind, Result};

/// How much a server takes from one connection at once (`PROTO_IOBUF_LEN`).
const TURN: usize = 16 * 1024;

/// The connections.
pub(super) struct Lanes {
    /// Never empty. The first has no reads, unless it is the only one.
    all: Vec<Lane>,
    /// Counts reads, to spread them over the lanes.
    reads: AtomicUsize,
    /// Counts connections.
    made: AtomicU64,
}

/// One connection, made when it is needed and again when it broke.
#[derive(Default)]
pub(super) struct Lane {
    held: tokio::sync::Mutex<Held>,
    /// Bytes of commits that were not answered yet.
    under_way: AtomicUsize,
}

#[derive(Default)]
struct Held {
    connection: Option<MultiplexedConnection>,
    /// Which connection it is, of all that the lanes have had.
    turn: u64,
}

/// A commit's bytes, for as long as it is not answered.
pub(super) struct UnderWay<'a> {
    lane: &'a Lane,
    bytes: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.lane.under_way.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Lanes {
    pub(super) fn new(count: usize, first: MultiplexedConnection) -> Self {
        let held = Held { connection: Some(first), turn: 1 };
        let mut all = vec![Lane { held: held.into(), ..Lane::default() }];
        all.resize_with(count.max(1), Lane::default);
        Self { all, reads: AtomicUsize::new(0), made: AtomicU64::new(1) }
    }

    /// The lane for a commit, until what is answered with it is dropped.
    pub(super) fn for_commit(&self, cmd: &Cmd) -> Option<(&Lane, UnderWay<'_>)> {
        let bytes = size(cmd);
        let under_way = self.all.iter().map(|lane| lane.under_way.load(Ordering::Relaxed));
        let lane = self.all.get(with_room(under_way, bytes))?;
        lane.under_way.fetch_add(bytes, Ordering::Relaxed);
        Some((lane, UnderWay { lane, bytes }))
    }

    /// The next lane for a read.
    pub(super) fn for_read(&self) -> Option<&Lane> {
        let others = self.all.get(1..).filter(|others| !others.is_empty()).unwrap_or(&self.all);
        others.get(self.reads.fetch_add(1, Ordering::Relaxed) % others.len().max(1))
    }

    /// A connection, and how many had been made by now.
    pub(super) async fn get(
        &self,
        lane: &Lane,
        options: &Options,
    ) -> Result<(MultiplexedConnection, u64)> {
        let mut held = lane.held.lock().await;
        if let Some(connection) = &held.connection {
            return Ok((connection.clone(), self.made.load(Ordering::Acquire)));
        }
        let (connection, server) = connect::first(options).await?;
        if server.clustered {
            return Err(Error::new(Kind::Unsupported, "the server is a node of a cluster by now")
                .advice("open the store again"));
        }
        let turn = self.made.fetch_add(1, Ordering::AcqRel) + 1;
        *held = Held { connection: Some(connection.clone()), turn };
        Ok((connection, turn))
    }

    /// One of the first so many broke: the others are hardly of use any more. An idle one tells of
    /// its server's end only when it is asked, which would cost an attempt for each of them.
    pub(super) fn broke(&self, made: u64) {
        for lane in &self.all {
            // One that is in somebody's hands is being made, or will be seen to be broken.
            if let Ok(mut held) = lane.held.try_lock()
                && held.turn <= made
            {
                held.connection = None;
            }
        }
    }

    pub(super) async fn close(&self) {
        for lane in &self.all {
            lane.held.lock().await.connection = None;
        }
    }
}

/// The first lane that the server can take all of at once; else that which has least.
fn with_room(under_way: impl Iterator<Item = usize> + Clone, bytes: usize) -> usize {
    let fits = under_way.clone().position(|before| before == 0 || before + bytes <= TURN);
    let least = || under_way.enumerate().min_by_key(|(_, before)| *before).map(|(lane, _)| lane);
    fits.or_else(least).unwrap_or(0)
}

/// About how many bytes a command has when it is sent.
fn size(cmd: &Cmd) -> usize {
    let argument = |argument: Arg<&[u8]>| match argument {
        Arg::Simple(bytes) => bytes.len() + 8,
        _ => 8,
    };
    cmd.args_iter().map(argument).sum()
}

impl Lane {
    /// Another caller may have a new connection already.
    pub(super) async fn forget(&self, made: u64) {
        let mut held = self.held.lock().await;
        if held.turn <= made {
            held.connection = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(under_way: &[usize], bytes: usize) -> usize {
        with_room(under_way.iter().copied(), bytes)
    }

    #[test]
    fn commits_spread_when_one_connection_has_enough() {
        assert_eq!(chosen(&[0, 0, 0], 2_000), 0);
        assert_eq!(chosen(&[14_000, 0, 0], 2_000), 0);
        assert_eq!(chosen(&[15_000, 0, 0], 2_000), 1);
        assert_eq!(chosen(&[15_000, 16_000, 100], 2_000), 2);
        // What is larger than the server takes at once goes alone, if it can.
        assert_eq!(chosen(&[100, 0, 0], 1 << 20), 1);
        assert_eq!(chosen(&[0, 0], 1 << 20), 0);
        assert_eq!(chosen(&[1 << 20, 16_000, 15_900], 2_000), 2);
        assert_eq!(chosen(&[1 << 20], 2_000), 0);
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg("x".repeat(1000)).arg(7);
        assert!((1000..1050).contains(&size(&cmd)), "{}", size(&cmd));
    }
}
