//! One look at a topic: its record, its end, some events, and what else a caller depends on.

use std::sync::Arc;

use super::cursor::Issuer;
use super::topic::{Topic, ends};
use crate::driver::{Entry, Head, Read, Record, Stretch, Which};
use crate::error::Result;
use crate::repo::conversations::pending::Pending;
use crate::repo::space::Space;
use crate::schema::{CONSUMERS, EVENTS, Key, Stream, TRIMS, check_id};

/// Which events to look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) limit: usize,
    pub(super) reverse: bool,
}

/// No events, only the ends.
pub(super) const NONE: Range = Range { from: u64::MAX, limit: 1, reverse: false };

/// What a look saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) topic: Arc<Topic>,
    pub(super) version: u64,
    pub(super) issuer: Issuer,
    pub(super) entries: Vec<Entry>,
    pub(super) more: bool,
    pub(super) head: Option<Head>,
    /// The version of the record that trimming and claiming change.
    pub(super) trims: u64,
    /// The record of the consumer asked for.
    pub(super) consumer: Option<Record>,
}

impl Seen {
    /// The numbers of the first and last event.
    pub(super) fn ends(&self) -> (u64, u64) {
        ends(self.head.as_ref())
    }
}

pub(super) fn trims_key(topic: &str) -> Result<Key> {
    Key::new(&TRIMS, [topic])
}

pub(super) fn consumer_key(topic: &str, consumer: &str) -> Result<Key> {
    check_id("consumer", consumer)?;
    Key::new(&CONSUMERS, [topic, consumer])
}

/// Looks at a topic; `None` when there is none of this name.
pub(super) async fn look(
    space: &Space,
    name: &str,
    range: Range,
    consumer: Option<&str>,
) -> Result<Option<Seen>> {
    let topic_key = Topic::key(name)?;
    let consumer_key = match consumer {
        Some(consumer) => consumer_key(name, consumer)?,
        None => topic_key.clone(),
    };
    let stream = Stream::new(name)?;
    let which = Which::Stretches(vec![Stretch { stream, from: range.from, to: u64::MAX }]);
    let read = Read { log: &EVENTS, which, reverse: range.reverse, limit: range.limit };
    let keys = [topic_key.clone(), Pending::key()?, trims_key(name)?, consumer_key];
    let ([record, pending, trims, other], read) = space.get_and_read(keys, &read).await?;
    let Some(record) = record else {
        space.forget(&topic_key);
        return Ok(None);
    };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(None);
    }
    let topic = Arc::new(Topic::of_record(&record)?);
    let issuer = topic.issuer(space);
    Ok(Some(Seen {
        topic,
        version: record.version,
        issuer,
        entries: read.entries,
        more: read.more,
        head: read.heads.into_iter().next().flatten(),
        trims: trims.map_or(0, |record| record.version),
        consumer: other.filter(|_| consumer.is_some()),
    }))
}
