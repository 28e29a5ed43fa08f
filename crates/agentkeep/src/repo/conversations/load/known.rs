//! Comparing messages that come in with those of a session that is there already.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::lineage::Lineage;
use super::super::view::View;
use super::{Found, Load};
use crate::error::{Error, Kind, Result};
use crate::model::{Message, StoredMessage};

/// Messages read at once from a session that is there already.
const LOOK: u64 = 2_000;

/// The session whose messages are being given.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) id: String,
    /// What it holds already, if it was there.
    pub(super) known: Option<Known>,
    /// True when it was there before the import.
    pub(super) grows: bool,
}

#[derive(Debug)]
pub(super) struct Known {
    lineage: Arc<Lineage>,
    /// Messages without an id, by the hash of their text: how many there are of each.
    nameless: HashMap<[u8; 16], (u32, bool)>,
    /// The place with which the next message is compared first.
    at: u64,
}

impl Load {
    /// What a session holds that is there already.
    pub(super) async fn known(&self, id: &str) -> Result<Option<Known>> {
        let Some((lineage, _)) = Lineage::load(&self.space, id).await? else { return Ok(None) };
        let view = View::of(&self.space, id, Arc::clone(&lineage));
        let (mut nameless, mut at) = (HashMap::new(), 0);
        loop {
            let gone = || Error::new(Kind::Conflict, "messages were taken away meanwhile");
            let some = view.range(at, at + LOOK).await?.ok_or_else(gone)?;
            for stored in some.iter().filter(|stored| stored.message.id().is_none()) {
                let mine = self.is_mine(stored.turn.as_deref());
                let place = nameless.entry(digest(&stored.message)).or_insert((0, mine));
                place.0 += 1;
            }
            if (some.len() as u64) < LOOK {
                return Ok(Some(Known { lineage, nameless, at: 0 }));
            }
            at += LOOK;
        }
    }

    pub(super) async fn compare_messages(
        &self,
        current: &mut Current,
        messages: &[Message],
    ) -> Result<Vec<Found>> {
        let Some(known) = &mut current.known else {
            return Ok(vec![Found::Missing; messages.len()]);
        };
        let view = View::of(&self.space, &current.id, Arc::clone(&known.lineage));
        let mut found = self.in_step(&view, known, messages).await?;
        let is_sought = |(message, found): &(&Message, &Option<Found>)| {
            found.is_none() && message.id().is_some()
        };
        let sought = messages.iter().zip(&found).filter(is_sought);
        let ids: Vec<_> = sought.filter_map(|(message, _)| message.entry_id()).cloned().collect();
        let stored = if ids.is_empty() { Vec::new() } else { view.by_ids(&ids).await? };
        // Where the rest may go on in step.
        if let Some(last) = stored.iter().map(|stored| stored.index).max() {
            known.at = known.at.max(last + 1);
        }
        let by_id: HashMap<_, _> =
            stored.iter().filter_map(|stored| Some((stored.message.id()?, stored))).collect();
        for (message, found) in messages.iter().zip(&mut found).filter(|(_, found)| found.is_none())
        {
            *found = Some(match message.id() {
                Some(id) => by_id.get(id).map_or(Found::Missing, |old| {
                    if old.message.json() == message.json() { self.same(old) } else { Found::Other }
                }),
                None => match known.nameless.get_mut(&digest(message)) {
                    Some((left, mine)) if *left > 0 => {
                        *left -= 1;
                        if *mine { Found::Mine } else { Found::Same }
                    }
                    _ => Found::Missing,
                },
            });
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Compares with the messages at the same places, which are read one after the other: what
    /// has come in before mostly stands there. `None` for those that differ or have no id.
    async fn in_step(
        &self,
        view: &View<'_>,
        known: &mut Known,
        messages: &[Message],
    ) -> Result<Vec<Option<Found>>> {
        let mut found = vec![None; messages.len()];
        let there = view.range(known.at, known.at + messages.len() as u64).await?;
        for ((message, stored), found) in
            messages.iter().zip(there.unwrap_or_default()).zip(&mut found)
        {
            let same = stored.message.entry_id() == message.entry_id()
                && stored.message.json() == message.json();
            if same {
                known.at = stored.index + 1;
                // Those without an id go by how many there are of each, in their order.
                *found = message.id().is_some().then(|| self.same(&stored));
            }
        }
        Ok(found)
    }

    fn same(&self, stored: &StoredMessage) -> Found {
        if self.is_mine(stored.turn.as_deref()) { Found::Mine } else { Found::Same }
    }
}

fn digest(message: &Message) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(message.json().as_str().as_bytes()).as_bytes()[..16]);
    digest
}
