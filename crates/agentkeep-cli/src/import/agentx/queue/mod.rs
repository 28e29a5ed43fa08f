//! The event queue's database (`queue.db`).
//!
//! Events come in by the order in which they were published, which is that of the rows: by cursors,
//! as AgentX reads them, a clock that was set back puts new events before old ones.

mod event;
mod rows;
mod take;

use agentkeep::Result;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::import::sqlite::damaged;

pub(super) use self::rows::Rows;
pub(super) use self::take::take;

/// The queue in an open database, if it is one.
pub(super) fn recognise(connection: Connection, folder: TempDir) -> Result<Found> {
    let others = ["topic", "event", "timestamp"];
    let cursor = rows::cursor_column(&connection, "queue_entries", &others).map_err(damaged)?;
    let Some(cursor) = cursor else { return Ok(Found::OtherShape) };
    let others = ["consumer_id", "topic"];
    let acked = rows::cursor_column(&connection, "queue_consumers", &others).map_err(damaged)?;
    Ok(Found::Queue(Box::new(Rows::open(connection, folder, cursor, acked)?)))
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A queue.
    Queue(Box<Rows>),
    /// A table of that name with other columns.
    OtherShape,
}
