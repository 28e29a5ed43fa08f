//! What one turn of an agent wrote.

use super::lineage::Lineage;
use super::lists::Kept as _;
use super::pending::Pending;
use crate::driver::{Find, MAX_LIMIT, Read, Which};
use crate::error::{Error, Kind, Result};
use crate::model::{Message, Session, StoredMessage};
use crate::repo::space::Space;
use crate::schema::{MESSAGES, Turn, Value};

/// The messages that one turn added to one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnMessages {
    /// The session. A fork that shares them has an element of its own.
    pub session_id: String,
    /// The messages, oldest first.
    pub messages: Vec<StoredMessage>,
}

/// What the turn wrote, by session.
pub(crate) async fn read(space: &Space, turn: &Turn) -> Result<Vec<TurnMessages>> {
    let which = Which::Turn(turn.clone());
    let read = Read { log: &MESSAGES, which, reverse: false, limit: MAX_LIMIT };
    let found = space.read(&read).await?;
    if found.more {
        let message = format!("the turn wrote more than {MAX_LIMIT} messages");
        return Err(Error::new(Kind::TooLarge, message).at(format!("turn {turn}")));
    }
    let mut streams: Vec<_> = found.entries.iter().map(|entry| &entry.stream).collect();
    streams.dedup();
    let mut turns: Vec<TurnMessages> = Vec::new();
    let pending = Pending::load(space).await?;
    for stream in streams {
        let find = Find::by(&crate::schema::LINEAGES, "by_stream")?;
        for record in space.find_all(find.equal(Value::text(stream.as_str()))).await? {
            if !pending.roots.is_empty() && hidden(space, &pending, record.key.first()).await? {
                continue;
            }
            let (lineage, _) = Lineage::of_record(&record)?;
            let entries = found.entries.iter().filter(|entry| entry.stream == *stream);
            let messages: Vec<StoredMessage> = entries
                .filter_map(|entry| {
                    Some(StoredMessage {
                        index: lineage.index_of(stream, entry.number)?,
                        time: entry.time,
                        turn: Some(turn.as_str().to_owned()),
                        edited: entry.rewritten.is_some(),
                        message: Message::stored(
                            entry.body.clone(),
                            entry.id.clone(),
                            entry.refs.clone(),
                        ),
                    })
                })
                .collect();
            let session_id = record.key.first().to_owned();
            match turns.iter_mut().find(|turn| turn.session_id == session_id) {
                _ if messages.is_empty() => {}
                Some(turn) => turn.messages.extend(messages),
                None => turns.push(TurnMessages { session_id, messages }),
            }
        }
    }
    Ok(turns)
}

/// True when a deletion that is still being collected has taken the session away.
async fn hidden(space: &Space, pending: &Pending, session: &str) -> Result<bool> {
    match space.get(&Session::key(session)?).await? {
        Some(record) => Session::from_json(record.body)?.hidden(space, pending).await,
        None => Ok(true),
    }
}
