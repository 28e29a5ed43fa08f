//! Reading a conversation through its lineage.

use super::lineage::Lineage;
use super::pending::Pending;
use crate::driver::{Entries, Entry, Read, Stretch, Which};
use crate::error::{Error, Kind, Result};
use crate::model::{Message, Session, StoredMessage};
use crate::repo::space::Space;
use crate::schema::{EntryId, Key, LINEAGES, MESSAGES, SESSIONS, Turn};

/// Entries read in one call.
const STEP: u64 = 5_000;
/// How often a read begins again when a deletion collected what it was reading.
const ATTEMPTS: u32 = 5;

/// A conversation as it was when it was opened.
#[derive(Debug)]
pub(crate) struct View<'a> {
    space: &'a Space,
    session: &'a str,
    pub(crate) lineage: Lineage,
}

pub(crate) fn not_found(session: &str) -> Error {
    Error::new(Kind::NotFound, format!("there is no session {session:?}"))
        .advice("save the session first, or list the sessions to find it")
}

/// Runs `read` on the conversation, again if a deletion came in between.
pub(crate) async fn with_view<'a, T>(
    space: &'a Space,
    session: &'a str,
    read: impl AsyncFn(&View<'a>) -> Result<Option<T>>,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let view = View::open(space, session).await?;
        if let Some(answer) = read(&view).await? {
            return Ok(answer);
        }
    }
    Err(Error::new(Kind::Corrupt, "messages are missing from the middle of the conversation")
        .at(format!("session {session:?}"))
        .advice("run check"))
}

impl<'a> View<'a> {
    async fn open(space: &'a Space, session: &'a str) -> Result<Self> {
        let keys =
            [Key::new(&LINEAGES, [session])?, Pending::key()?, Key::new(&SESSIONS, [session])?];
        let found = space.get_many(&keys).await?;
        let [Some(lineage), pending, record] = found.as_slice() else {
            return Err(not_found(session));
        };
        let pending = Pending::of_record(pending.as_ref())?;
        if let (false, Some(record)) = (pending.is_clear(), record) {
            let session_record = Session::from_json(record.body.clone())?;
            if pending.hides_session(space, &session_record).await? {
                return Err(not_found(session));
            }
        }
        let (lineage, _) = Lineage::of_record(lineage)?;
        Ok(Self { space, session, lineage })
    }

    /// A conversation whose lineage is known already.
    pub(crate) fn of(space: &'a Space, session: &'a str, lineage: Lineage) -> Self {
        Self { space, session, lineage }
    }

    /// The last number of the open stream: 0 when there is none yet, `None` when the lineage is
    /// closed.
    pub(crate) async fn open_end(&self) -> Result<Option<u64>> {
        let Some(open) = self.lineage.open() else { return Ok(None) };
        let stretch = Stretch { stream: open.stream.clone(), from: u64::MAX, to: u64::MAX };
        let entries = self.read(vec![stretch], false, 1).await?;
        Ok(Some(entries.heads.first().and_then(Option::as_ref).map_or(0, |head| head.last)))
    }

    /// How many messages there are.
    pub(crate) async fn count(&self) -> Result<u64> {
        let open = match (self.lineage.open(), self.open_end().await?) {
            (Some(open), Some(last)) => (last + 1).saturating_sub(open.from),
            _ => 0,
        };
        Ok(self.lineage.closed_len() + open)
    }

    async fn read(&self, stretches: Vec<Stretch>, reverse: bool, limit: u64) -> Result<Entries> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let which = Which::Stretches(stretches);
        self.space.read(&Read { log: &MESSAGES, which, reverse, limit }).await
    }

    /// The messages `from..to`, oldest first; `None` when some of them have been collected
    /// meanwhile.
    pub(crate) async fn range(&self, from: u64, to: u64) -> Result<Option<Vec<StoredMessage>>> {
        let mut messages = Vec::new();
        let (mut at, closed) = (from, self.lineage.closed_len());
        while at < to {
            let step = (to - at).min(STEP);
            let stretches = self.lineage.stretches(at, at + step);
            if stretches.is_empty() {
                break;
            }
            let entries = self.read(stretches.clone(), false, step).await?.entries;
            let read = entries.len() as u64;
            if !adjacent(&stretches, 0, stretches[0].from, &entries) {
                return Ok(None);
            }
            messages.extend((at..).zip(entries).map(|(index, entry)| stored(index, entry)));
            at += read;
            if read < step {
                // Only the end of the open segment may come early.
                return Ok((at >= closed).then_some(messages));
            }
        }
        Ok(Some(messages))
    }

    /// The last `count` messages before index `before` (`u64::MAX`: the end), oldest first.
    pub(crate) async fn last(&self, before: u64, count: u64) -> Result<Option<Vec<StoredMessage>>> {
        let closed = self.lineage.closed_len();
        if before != u64::MAX {
            return self.range(before.saturating_sub(count), before).await;
        }
        if count > STEP {
            let total = self.count().await?;
            return self.range(total.saturating_sub(count), u64::MAX).await;
        }
        // The open segment may hold none or all of them: ask for as many closed ones as well.
        let stretches = self.lineage.stretches(closed.saturating_sub(count), u64::MAX);
        if stretches.is_empty() || count == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut entries = self.read(stretches.clone(), true, count).await?.entries;
        entries.reverse();
        let Some(oldest) = entries.first() else { return Ok((closed == 0).then(Vec::new)) };
        let holds =
            |s: &Stretch| s.stream == oldest.stream && (s.from..=s.to).contains(&oldest.number);
        let place = stretches.iter().position(holds);
        let index = self.lineage.index_of(&oldest.stream, oldest.number);
        let (Some(place), Some(first)) = (place, index) else { return Ok(None) };
        let len = entries.len() as u64;
        let whole = adjacent(&stretches, place, oldest.number, &entries)
            && (len == count || first == 0)
            && first + len >= closed;
        let messages = (first..).zip(entries).map(|(index, entry)| stored(index, entry));
        Ok(whole.then(|| messages.collect()))
    }

    /// The messages with these ids that belong to the conversation.
    pub(crate) async fn by_ids(&self, ids: &[EntryId]) -> Result<Vec<StoredMessage>> {
        let mut found = Vec::new();
        let streams = self.lineage.streams();
        let wanted: Vec<_> = ids
            .iter()
            .flat_map(|id| streams.iter().map(move |stream| ((*stream).clone(), id.clone())))
            .collect();
        for some in wanted.chunks(1000) {
            let which = Which::Ids(some.to_vec());
            let read = Read { log: &MESSAGES, which, reverse: false, limit: 1000 };
            let entries = self.space.read(&read).await?.entries;
            found.extend(entries.into_iter().filter_map(|entry| self.place(entry)));
        }
        Ok(found)
    }

    /// The message with this id, or the error that there is none.
    pub(crate) async fn message(&self, id: &str) -> Result<StoredMessage> {
        let entry = EntryId::new(id)?;
        let found = self.by_ids(std::slice::from_ref(&entry)).await?;
        found.into_iter().next().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no message {id:?}"))
                .at(format!("session {:?}", self.session))
                .advice("list the session's messages to find it")
        })
    }

    fn place(&self, entry: Entry) -> Option<StoredMessage> {
        let index = self.lineage.index_of(&entry.stream, entry.number)?;
        Some(stored(index, entry))
    }
}

fn stored(index: u64, entry: Entry) -> StoredMessage {
    StoredMessage {
        index,
        time: entry.time,
        turn: entry.turn.map(|turn: Turn| turn.as_str().to_owned()),
        edited: entry.rewritten.is_some(),
        message: Message::stored(entry.body, entry.id, entry.refs),
    }
}

/// True when the entries follow each other through the stretches without a hole, from number
/// `from` of stretch `place` on.
fn adjacent(stretches: &[Stretch], mut place: usize, from: u64, entries: &[Entry]) -> bool {
    let mut expected = from;
    for entry in entries {
        if stretches.get(place).is_some_and(|stretch| expected > stretch.to) {
            place += 1;
            expected = stretches.get(place).map_or(0, |stretch| stretch.from);
        }
        let fits = stretches.get(place).is_some_and(|stretch| stretch.stream == entry.stream);
        if !fits || entry.number != expected {
            return false;
        }
        expected += 1;
    }
    true
}
