//! The lines of a transcript as entries, some at a time. Lines end with a line feed and nothing
//! else: other line ends of Unicode stand within texts.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Take};

use agentkeep::{Json, Result, TranscriptEntry};

use super::folder::Transcript;
use super::{note, python};
use crate::import::bytes::{Digest, Hashing, MAX_TEXT, check_size, reason_of, to_json};
use crate::import::cut::Kept;
use crate::import::report::List;
use crate::import::scratch::Scratch;
use crate::output::{io_error, text};

/// Entries given out at once, and bytes of them.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 2 << 20;
/// How every entry begins that Agentry Lab writes.
const BEGINNING: &str = "{\"t\":";
/// So many torn entries in one line are looked behind.
const TORN: usize = 64;

/// A file being read.
#[derive(Debug)]
pub(super) struct Lines {
    input: BufReader<Hashing<Take<File>>>,
    name: String,
    number: u64,
    position: u64,
    blank: u64,
    ended: bool,
}

/// One line.
struct Line {
    kept: Kept,
    /// True when a line feed ends it.
    ended: bool,
}

fn cannot_read(error: std::io::Error) -> agentkeep::Error {
    io_error("the source cannot be read", error)
}

impl Lines {
    pub(super) fn of(transcript: &Transcript) -> Result<Self> {
        let file = File::open(&transcript.path).map_err(cannot_read)?;
        let input = BufReader::with_capacity(64 << 10, Hashing::new(file.take(transcript.len)));
        let name = transcript.name.clone();
        Ok(Self { input, name, number: 0, position: 0, blank: 0, ended: false })
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What was read, once it has all been.
    pub(super) fn digest(&self) -> Digest {
        self.input.get_ref().digest()
    }

    /// Whether any line is an entry.
    pub(super) fn has_entries(mut self) -> Result<bool> {
        while let Some(line) = self.line()? {
            let text = String::from_utf8_lossy(&line.kept.bytes).into_owned();
            if parsed(&text).is_ok_and(|(json, _)| is_entry(&json)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next entries; `None` after the last. What is the matter with lines goes into `notes`.
    pub(super) fn some(&mut self, notes: Option<&Scratch>) -> Result<Option<Vec<TranscriptEntry>>> {
        if self.ended {
            return Ok(None);
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < CHUNK && bytes < CHUNK_BYTES {
            let Some(line) = self.line()? else {
                self.ended = true;
                if self.blank > 0 {
                    let reason = format!("{} without anything", text::counted(self.blank, "line"));
                    note(notes, List::NotTaken, &self.name, &reason)?;
                }
                break;
            };
            bytes += line.kept.bytes.len();
            self.entries_of(&line, notes, &mut entries)?;
        }
        Ok(Some(entries))
    }

    fn line(&mut self) -> Result<Option<Line>> {
        let mut kept = Kept::new(MAX_TEXT);
        loop {
            let buffer = self.input.fill_buf().map_err(cannot_read)?;
            if buffer.is_empty() {
                if kept.len == 0 {
                    return Ok(None);
                }
                self.number += 1;
                return Ok(Some(Line { kept, ended: false }));
            }
            let end = memchr::memchr(b'\n', buffer);
            let taken = end.unwrap_or(buffer.len());
            kept.push(&buffer[..taken]);
            let passed = taken + usize::from(end.is_some());
            self.input.consume(passed);
            self.position += passed as u64;
            if end.is_some() {
                self.number += 1;
                return Ok(Some(Line { kept, ended: true }));
            }
        }
    }

    fn entries_of(
        &mut self,
        line: &Line,
        notes: Option<&Scratch>,
        entries: &mut Vec<TranscriptEntry>,
    ) -> Result<()> {
        let place = format!("{}:{}", self.name, self.number);
        if !line.kept.is_whole() {
            let reason = format!("it has {} bytes, more than {MAX_TEXT}", line.kept.len);
            return note(notes, List::NotTaken, &place, &reason);
        }
        let mut told = Vec::new();
        let text = match String::from_utf8_lossy(&line.kept.bytes) {
            std::borrow::Cow::Borrowed(text) => text.to_owned(),
            std::borrow::Cow::Owned(text) => {
                told.push("what was no UTF-8 replaced by U+FFFD".to_owned());
                text
            }
        };
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        if text.trim_ascii().is_empty() {
            self.blank += 1;
            return Ok(());
        }
        match entry(text) {
            Ok((entry, more)) => {
                told.extend(more);
                for told in told {
                    note(notes, List::Altered, &place, &told)?;
                }
                entries.push(entry);
            }
            Err(reason) => {
                let found = behind_torn(text);
                let torn = if line.ended { "" } else { "torn, without a line end: " };
                let reason = match found.len() {
                    0 => format!("{torn}{reason}"),
                    n => format!(
                        "torn: {reason}; what was written behind it is taken ({n} of the line)"
                    ),
                };
                note(notes, List::NotTaken, &place, &reason)?;
                entries.extend(found);
            }
        }
        Ok(())
    }
}

/// A line's text as JSON, and what was replaced in it.
fn parsed(text: &str) -> Result<(Json, Vec<String>), String> {
    let (plain, replaced) = python::plain(text);
    let (json, told) = to_json(&plain)?;
    let mut all: Vec<String> = told.into_iter().collect();
    if replaced > 0 {
        let what = text::counted(replaced, "number");
        all.push(format!("{what} that JSON does not have (NaN, Infinity) kept as text"));
    }
    Ok((json, all))
}

fn entry(text: &str) -> Result<(TranscriptEntry, Vec<String>), String> {
    let (json, told) = parsed(text)?;
    check_size(&json)?;
    let entry = TranscriptEntry::foreign(json).map_err(|error| reason_of(&error))?;
    Ok((entry, told))
}

/// Whether an object is an entry and not some part of one.
fn is_entry(json: &Json) -> bool {
    json.is_object() && ["iter", "agent_id"].iter().all(|name| json.raw_member(name).is_some())
}

/// Agentry Lab writes the next entry behind a torn one, into the same line, and then reads neither.
/// The whole ones in such a line.
fn behind_torn(text: &str) -> Vec<TranscriptEntry> {
    let starts: Vec<usize> =
        text.match_indices(BEGINNING).map(|(start, _)| start).take(TORN).collect();
    let mut entries = Vec::new();
    let mut next = 0;
    for (place, start) in starts.iter().enumerate() {
        if *start < next {
            continue;
        }
        let ends = starts[place + 1..].iter().copied().chain([text.len()]);
        for end in ends {
            let found = parsed(&text[*start..end]).ok().filter(|(json, _)| is_entry(json));
            if let Some((json, _)) = found
                && check_size(&json).is_ok()
                && let Ok(entry) = TranscriptEntry::foreign(json)
            {
                entries.push(entry);
                next = end;
                break;
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    const WHOLE: &str = r#"{"t": 2.0, "iter": 1, "agent_id": "a", "content": {"t": 1}}"#;

    fn behind(line: &str) -> Vec<String> {
        behind_torn(line).iter().map(|entry| entry.json().as_str().to_owned()).collect()
    }

    #[test]
    fn what_was_written_behind_a_torn_entry_is_found() {
        let whole = Json::parse(WHOLE).unwrap().as_str().to_owned();
        let torn = r#"{"t": 1.0, "iter": 0, "agent_id": "b", "content": "to"#;
        assert_eq!(behind(&format!("{torn}{WHOLE}")), std::slice::from_ref(&whole));
        assert_eq!(behind(&format!("{WHOLE}{WHOLE}")), [whole.clone(), whole.clone()]);
        assert_eq!(behind(&format!("{WHOLE}{torn}")), std::slice::from_ref(&whole));
        assert_eq!(behind(&format!("\0\0{WHOLE}")), [whole]);
        assert_eq!(behind(torn), [""; 0]);
        // A part of a torn entry is none.
        assert_eq!(behind(r#"{"t": 1.0, "iter": 0, "content": {"t": 2.0, "x": 1}, "#), [""; 0]);
    }
}
