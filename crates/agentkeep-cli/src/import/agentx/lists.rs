//! Message lists of the source as our messages, some at a time.

use std::collections::HashSet;
use std::io::Read;

use agentkeep::{Message, Result};

use super::bytes::reason;
use super::index::Item;
use super::source::Source;
use crate::import::bytes::{Digest, Hashing, MAX_TEXT, changed, check_size, shortened, to_json};
use crate::import::cut::{Broken, Cutter, Kept};
use crate::import::report::List;
use crate::import::scratch::Scratch;

/// Messages given out at once, and bytes of them.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 2 << 20;

fn told(broken: Broken) -> Result<String> {
    match broken {
        Broken::Io(error) => reason(error),
        Broken::Text(what) => Ok(what),
    }
}

/// How many elements a list has, or why it is none; and its digest.
pub(super) fn count(source: &dyn Source, item: &Item) -> Result<(Result<u64, String>, Digest)> {
    let reader = match source.open(&item.place, item.at, item.bytes)? {
        Ok(reader) => reader,
        Err(reason) => {
            let digest = shortened(&blake3::hash(reason.as_bytes()));
            return Ok((Err(reason), digest));
        }
    };
    let mut reader = Hashing::new(reader);
    let mut cutter = Cutter::new(&mut reader, 0);
    let counted = elements(&mut cutter);
    let drained = cutter.drain().map_err(Broken::Io);
    let counted = match counted.and_then(|count| drained.map(|()| count)) {
        Ok(count) => Ok(count),
        Err(broken) => Err(told(broken)?),
    };
    Ok((counted, reader.digest()))
}

fn elements<R: Read>(cutter: &mut Cutter<R>) -> Result<u64, Broken> {
    match cutter.next_byte()? {
        Some(b'[') => cutter.demand(b'[')?,
        Some(b'{' | b'"' | b'-' | b'0'..=b'9') => {
            return Err(Broken::Text("it is no list of messages".to_owned()));
        }
        _ => return Err(cutter.expected("a list of messages")),
    }
    let (mut first, mut count) = (true, 0);
    while cutter.next(&mut first, b']')? {
        cutter.value(None)?;
        count += 1;
    }
    cutter.finish()?;
    Ok(count)
}

/// A list that was found whole, read again.
#[derive(Debug)]
pub(super) struct Messages<R> {
    cutter: Cutter<Hashing<R>>,
    item: Item,
    begun: bool,
    ended: bool,
    first: bool,
    number: u64,
    /// Hashes of the ids so far. Two ids with one hash would cost the second its entry id, no more.
    seen: HashSet<u64>,
}

impl<R: Read> Messages<R> {
    pub(super) fn new(reader: R, item: Item) -> Self {
        Self {
            cutter: Cutter::new(Hashing::new(reader), 0),
            item,
            begun: false,
            ended: false,
            first: true,
            number: 0,
            seen: HashSet::new(),
        }
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.cutter.position()
    }

    /// The next messages that can be taken; `None` after the last. The list is cut without
    /// touching the messages' text, so that a damaged one costs only itself.
    pub(super) fn some(&mut self, scratch: &Scratch) -> Result<Option<Vec<Message>>> {
        if self.ended {
            return Ok(None);
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < CHUNK && bytes < CHUNK_BYTES {
            let Some(kept) = self.element()? else {
                self.ended = true;
                break;
            };
            let place = format!("{}[{}]", self.item.place, self.number);
            self.number += 1;
            bytes += kept.bytes.len();
            match message(kept) {
                Ok((message, altered)) => {
                    if let Some(altered) = altered {
                        scratch.note(List::Altered, &place, altered)?;
                    }
                    messages.push(self.with_unique_id(message, &place, scratch)?);
                }
                Err(reason) => scratch.note(List::NotTaken, &place, reason)?,
            }
        }
        Ok(Some(messages))
    }

    /// The next element's text; at the end, that all of it was as before.
    fn element(&mut self) -> Result<Option<Kept>> {
        let read = self.cut();
        match read {
            Ok(Some(kept)) => Ok(Some(kept)),
            Ok(None) if self.item.hash == Some(self.cutter.input().digest()) => Ok(None),
            Err(Broken::Io(error)) => {
                Err(crate::output::io_error("the source cannot be read", error))
            }
            _ => Err(changed(&self.item.place)),
        }
    }

    fn cut(&mut self) -> Result<Option<Kept>, Broken> {
        if !std::mem::replace(&mut self.begun, true) {
            self.cutter.demand(b'[')?;
        }
        if self.cutter.next(&mut self.first, b']')? {
            let mut kept = Kept::new(MAX_TEXT);
            self.cutter.value(Some(&mut kept))?;
            return Ok(Some(kept));
        }
        self.cutter.drain()?;
        Ok(None)
    }

    /// An id names one message of its session; what has none, or another's, is kept without.
    fn with_unique_id(
        &mut self,
        message: Message,
        place: &str,
        scratch: &Scratch,
    ) -> Result<Message> {
        let reason = match message.id() {
            Some(id) if self.seen.insert(short_hash(id)) => return Ok(message),
            Some(id) => format!("an earlier message has the id {id:?}"),
            None if message.json().raw_member("id").is_some() => {
                "its id breaks the rule for ids".to_owned()
            }
            None => "it has no id".to_owned(),
        };
        scratch.note(List::WithoutEntryId, place, reason)?;
        Ok(message.without_entry_id())
    }
}

fn short_hash(id: &str) -> u64 {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(short)
}

fn message(kept: Kept) -> Result<(Message, Option<String>), String> {
    let text = kept.text()?;
    let (json, altered) = to_json(&text)?;
    if !json.is_object() {
        return Err("the message is no JSON object".to_owned());
    }
    check_size(&json)?;
    Ok((Message::foreign(json).0, altered))
}
