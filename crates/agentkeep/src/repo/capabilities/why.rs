//! Why an agent said what it said: everything that one turn left, put together.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use super::kept::Kept;
use super::{links, snapshots};
use crate::driver::{Entry, Find, MAX_LIMIT, Read, Which};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{EnvelopeRow, LinkRow, StoredMessage};
use crate::repo::conversations::Messages;
use crate::repo::runs::{RunInfo, Runs};
use crate::repo::space::Space;
use crate::schema::{BY_TURN, EVENTS, LINKS, Log, STEPS, TRANSCRIPTS, Turn, Value};

/// Links looked at in one call.
const PAGE: usize = 64;

/// What one turn left, seen from one of its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnAccount {
    /// The session.
    pub session_id: String,
    /// The message that was asked about.
    #[serde(serialize_with = "body")]
    pub message: StoredMessage,
    /// The turn that wrote it, if it says.
    pub turn: Option<String>,
    /// How many messages of the session came before it: what its context was taken from.
    pub before: u64,
    /// The other messages of the turn in the session: tool calls, their results, texts.
    #[serde(serialize_with = "bodies")]
    pub messages: Vec<StoredMessage>,
    /// The link in force: the turn's own, or else the session's last one before the message.
    pub link: Option<Kept<LinkRow>>,
    /// True when the link is the turn's own.
    pub own_link: bool,
    /// The envelope that was recorded with the link.
    pub envelope: Option<Kept<EnvelopeRow>>,
    /// The events of the turn.
    pub events: Vec<TurnEntry>,
    /// The runs that the turn wrote steps of, as they are now.
    pub runs: Vec<RunInfo>,
    /// The steps of runs that the turn wrote.
    pub steps: Vec<TurnEntry>,
    /// The entries of transcripts that the turn wrote.
    pub transcripts: Vec<TurnEntry>,
}

/// An entry that a turn wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TurnEntry {
    /// The topic, run or thread.
    pub of: String,
    /// Its number there.
    pub number: u64,
    /// When it was stored, in milliseconds since 1970.
    pub time: i64,
    /// What it is.
    pub body: Json,
}

fn body<S: Serializer>(stored: &StoredMessage, serializer: S) -> Result<S::Ok, S::Error> {
    stored.message.json().serialize(serializer)
}

fn bodies<S: Serializer>(stored: &[StoredMessage], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stored.iter().map(|stored| stored.message.json()))
}

pub(crate) async fn account(space: &Space, session: &str, message: &str) -> Result<TurnAccount> {
    let messages = Messages::new(space, session);
    let found = messages.get(message).await?.ok_or_else(|| {
        Error::new(Kind::NotFound, "the session has no such message")
            .at(format!("session {session:?} message {message:?}"))
            .advice("show the session to see the ids of its messages")
    })?;
    let turn = found.turn.as_deref().map(Turn::new).transpose()?;
    let mut account = TurnAccount {
        session_id: session.to_owned(),
        turn: found.turn.clone(),
        before: found.index,
        messages: Vec::new(),
        link: None,
        own_link: false,
        envelope: None,
        events: Vec::new(),
        runs: Vec::new(),
        steps: Vec::new(),
        transcripts: Vec::new(),
        message: found,
    };
    if let Some(turn) = &turn {
        for written in crate::repo::conversations::turns::read(space, turn).await? {
            if written.session_id == session {
                let index = account.message.index;
                account.messages =
                    written.messages.into_iter().filter(|one| one.index != index).collect();
            }
        }
        account.link = own_link(space, turn, session).await?;
        account.own_link = account.link.is_some();
        account.events = written(space, &EVENTS, turn).await?;
        account.steps = written(space, &STEPS, turn).await?;
        account.runs = runs_of(space, &account.steps).await?;
        account.transcripts = written(space, &TRANSCRIPTS, turn).await?;
    }
    if account.link.is_none() {
        account.link = links::before(space, session, account.message.time, PAGE).await?;
    }
    if let Some(id) = account.link.as_ref().and_then(|link| link.with.clone()) {
        account.envelope = snapshots::get_envelope(space, &id).await?;
    }
    Ok(account)
}

/// The link that the turn wrote: of this session, or, when the session is a fork that shares the
/// turn's messages, of the one it was forked from.
async fn own_link(space: &Space, turn: &Turn, session: &str) -> Result<Option<Kept<LinkRow>>> {
    let find = Find::new(&LINKS, &BY_TURN).equal(Value::text(turn.as_str())).limit(PAGE);
    let records = space.find(&find).await?.records;
    let mut kept = links::whole(space, &records.iter().collect::<Vec<_>>()).await?;
    let mine = kept.iter().position(|kept| kept.row.session_id() == session).unwrap_or(0);
    Ok((!kept.is_empty()).then(|| kept.swap_remove(mine)))
}

/// The runs of these steps, each once; one that is gone has none.
async fn runs_of(space: &Space, steps: &[TurnEntry]) -> Result<Vec<RunInfo>> {
    let ids: BTreeSet<&str> = steps.iter().map(|step| step.of.as_str()).collect();
    let mut runs = Vec::new();
    for id in ids {
        runs.extend(Runs::new(space).info(id).await?);
    }
    Ok(runs)
}

async fn written(space: &Space, log: &'static Log, turn: &Turn) -> Result<Vec<TurnEntry>> {
    let which = Which::Turn(turn.clone());
    let found = space.read(&Read { log, which, reverse: false, limit: MAX_LIMIT }).await?;
    let of = |entry: Entry| TurnEntry {
        of: entry.stream.as_str().to_owned(),
        number: entry.number,
        time: entry.time,
        body: entry.body,
    };
    // What was taken back has no body any more.
    Ok(found.entries.into_iter().filter(|entry| !entry.body.is_null()).map(of).collect())
}
