//! What publishing would meet, for imports, which look before they write.

use std::collections::HashMap;

use super::look::{NONE, look};
use super::publish::{Earlier, digest, key_of};
use crate::driver::{MAX_LIMIT, Read, Which};
use crate::error::Result;
use crate::model::Event;
use crate::repo::conversations::Met;
use crate::repo::space::Space;
use crate::schema::{EVENTS, EntryId, Key, Stream};

/// For each event what the topic has under its key.
pub(super) async fn meets(space: &Space, topic: &str, events: &[Event]) -> Result<Vec<Met>> {
    if look(space, topic, NONE, None).await?.is_none() {
        return Ok(vec![Met::New; events.len()]);
    }
    let mut known = HashMap::new();
    for some in events.chunks(MAX_LIMIT) {
        let ids: Vec<EntryId> = some.iter().filter_map(|event| event.key().cloned()).collect();
        known.extend(published(space, topic, &ids).await?);
    }
    let met = events.iter().map(|event| match event.key().and_then(|id| known.get(id)) {
        None => Met::New,
        Some(earlier) if earlier.digest == digest(event.body()) => Met::Same,
        Some(_) => Met::Other,
    });
    Ok(met.collect())
}

/// The events that were published under these keys, trimmed since or not.
async fn published(
    space: &Space,
    topic: &str,
    ids: &[EntryId],
) -> Result<HashMap<EntryId, Earlier>> {
    let mut known = HashMap::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let keys: Vec<Key> = ids.iter().map(|id| key_of(topic, id)).collect::<Result<_>>()?;
    for (id, record) in ids.iter().zip(space.get_many(&keys).await?) {
        if let Some(record) = record {
            known.insert(id.clone(), Earlier::of(&record.body)?);
        }
    }
    known.extend(kept(space, &Stream::new(topic)?, ids.to_vec()).await?);
    Ok(known)
}

/// The events that are kept under these keys.
pub(super) async fn kept(
    space: &Space,
    stream: &Stream,
    ids: Vec<EntryId>,
) -> Result<Vec<(EntryId, Earlier)>> {
    let limit = ids.len().max(1);
    let which = Which::Ids(ids.into_iter().map(|id| (stream.clone(), id)).collect());
    let read = Read { log: &EVENTS, which, reverse: false, limit };
    let entries = space.read(&read).await?.entries;
    let known = entries.into_iter().filter_map(|entry| {
        let earlier = Earlier { number: entry.number, digest: digest(&entry.body) };
        Some((entry.id?, earlier))
    });
    Ok(known.collect())
}
