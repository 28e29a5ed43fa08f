//! Reading a conversation through its lineage.

use std::sync::{Arc, Mutex, PoisonError};

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
    pub(crate) lineage: Arc<Lineage>,
    /// What was read in one call with the lineage.
    ahead: Mutex<Option<(Asked, Entries)>>,
}

pub(crate) fn not_found(session: &str) -> Error {
    Error::new(Kind::NotFound, format!("there is no session {session:?}"))
        .advice("save the session first, or list the sessions to find it")
}

/// What a read will ask for first, so that it can be had in one call with the lineage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum First {
    /// The last messages.
    Last(u64),
    /// Messages from an index on, up to another.
    Range(u64, u64),
    /// The end of the open stream.
    End,
    /// Something else.
    Other,
}

/// A read of stretches, as [`View`] asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    stretches: Vec<Stretch>,
    reverse: bool,
    limit: u64,
}

/// Views of a conversation, one after the other: a read begins again with the next one if a
/// deletion came in between. What it asks for first is read ahead, by the lineage that is
/// remembered.
///
/// Not a function that is given the read as a closure: futures with one could not be sent to
/// another thread.
#[derive(Debug)]
pub(crate) struct Views<'a> {
    space: &'a Space,
    session: &'a str,
    first: First,
    left: u32,
}

impl<'a> Views<'a> {
    pub(crate) fn of(space: &'a Space, session: &'a str, first: First) -> Self {
        Self { space, session, first, left: ATTEMPTS }
    }

    pub(crate) async fn next(&mut self) -> Result<View<'a>> {
        let Some(left) = self.left.checked_sub(1) else {
            let message = "messages are missing from the middle of the conversation";
            return Err(Error::new(Kind::Corrupt, message)
                .at(format!("session {:?}", self.session))
                .advice("run check"));
        };
        self.left = left;
        View::open(self.space, self.session, self.first).await
    }
}

impl Asked {
    /// What `first` comes to by this lineage, if it asks for stretches.
    fn of(first: First, lineage: &Lineage) -> Option<Self> {
        let asked = match first {
            First::Last(count) if (1..=STEP).contains(&count) => Self::last(lineage, count),
            First::Range(from, to) if from < to => {
                Self::range(lineage, from, (to - from).min(STEP))
            }
            First::End => Self::end(lineage)?,
            _ => return None,
        };
        (!asked.stretches.is_empty()).then_some(asked)
    }

    fn last(lineage: &Lineage, count: u64) -> Self {
        // The open segment may hold none or all of them: ask for as many closed ones as well.
        let from = lineage.closed_len().saturating_sub(count);
        Self { stretches: lineage.stretches(from, u64::MAX), reverse: true, limit: count }
    }

    fn range(lineage: &Lineage, from: u64, step: u64) -> Self {
        let stretches = lineage.stretches(from, from.saturating_add(step));
        Self { stretches, reverse: false, limit: step }
    }

    fn end(lineage: &Lineage) -> Option<Self> {
        let stream = lineage.open()?.stream.clone();
        let stretches = vec![Stretch { stream, from: u64::MAX, to: u64::MAX }];
        Some(Self { stretches, reverse: false, limit: 1 })
    }

    fn read(&self) -> Read {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let which = Which::Stretches(self.stretches.clone());
        Read { log: &MESSAGES, which, reverse: self.reverse, limit }
    }
}

impl<'a> View<'a> {
    async fn open(space: &'a Space, session: &'a str, first: First) -> Result<Self> {
        let key = Key::new(&LINEAGES, [session])?;
        let keys = [key.clone(), Pending::key()?];
        let guess = space.remembered::<Lineage>(&key);
        let asked = guess.as_ref().and_then(|(guess, _)| Asked::of(first, guess));
        let ([lineage, pending], ahead) = if let Some(asked) = asked {
            let (found, entries) = space.get_and_read(keys, &asked.read()).await?;
            (found, Some((asked, entries)))
        } else {
            let found = <[_; 2]>::try_from(space.get_many(&keys).await?);
            (found.map_err(|_| not_found(session))?, None)
        };
        let Some(record) = lineage else {
            space.forget(&key);
            return Err(not_found(session));
        };
        if !Pending::of_record(pending.as_ref())?.is_clear() {
            Self::expect_visible(space, session).await?;
        }
        if let Some((guess, version)) = guess
            && version == record.version
        {
            return Ok(Self { space, session, lineage: guess, ahead: Mutex::new(ahead) });
        }
        let (lineage, version) = Lineage::of_record(&record)?;
        let lineage = Arc::new(lineage);
        space.remember(key, Arc::clone(&lineage), version);
        Ok(Self { space, session, lineage, ahead: Mutex::default() })
    }

    /// The session must not belong to what a deletion under way has taken.
    async fn expect_visible(space: &Space, session: &str) -> Result<()> {
        let keys = [Key::new(&SESSIONS, [session])?, Pending::key()?];
        let found = space.get_many(&keys).await?;
        // A deletion may have been collected since.
        let [Some(record), pending] = found.as_slice() else { return Err(not_found(session)) };
        let pending = Pending::of_record(pending.as_ref())?;
        let session_record = Session::from_json(record.body.clone())?;
        if pending.hides_session(space, &session_record).await? {
            return Err(not_found(session));
        }
        Ok(())
    }

    /// A conversation whose lineage is known already.
    pub(crate) fn of(space: &'a Space, session: &'a str, lineage: impl Into<Arc<Lineage>>) -> Self {
        Self { space, session, lineage: lineage.into(), ahead: Mutex::default() }
    }

    /// The last number of the open stream: 0 when there is none yet, `None` when the lineage is
    /// closed.
    pub(crate) async fn open_end(&self) -> Result<Option<u64>> {
        let Some(asked) = Asked::end(&self.lineage) else { return Ok(None) };
        let entries = self.read(&asked).await?;
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

    async fn read(&self, asked: &Asked) -> Result<Entries> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ahead {
            Some((known, entries)) if known == *asked => Ok(entries),
            _ => self.space.read(&asked.read()).await,
        }
    }

    /// The messages `from..to`, oldest first; `None` when some of them have been collected
    /// meanwhile.
    pub(crate) async fn range(&self, from: u64, to: u64) -> Result<Option<Vec<StoredMessage>>> {
        let mut messages = Vec::new();
        let (mut at, closed) = (from, self.lineage.closed_len());
        while at < to {
            let step = (to - at).min(STEP);
            let asked = Asked::range(&self.lineage, at, step);
            let stretches = &asked.stretches;
            if stretches.is_empty() {
                break;
            }
            let entries = self.read(&asked).await?.entries;
            let read = entries.len() as u64;
            if !adjacent(stretches, 0, stretches[0].from, &entries) {
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
        let asked = Asked::last(&self.lineage, count);
        let stretches = &asked.stretches;
        if stretches.is_empty() || count == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut entries = self.read(&asked).await?.entries;
        entries.reverse();
        let Some(oldest) = entries.first() else { return Ok((closed == 0).then(Vec::new)) };
        let holds =
            |s: &Stretch| s.stream == oldest.stream && (s.from..=s.to).contains(&oldest.number);
        let place = stretches.iter().position(holds);
        let index = self.lineage.index_of(&oldest.stream, oldest.number);
        let (Some(place), Some(first)) = (place, index) else { return Ok(None) };
        let len = entries.len() as u64;
        let whole = adjacent(stretches, place, oldest.number, &entries)
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
