//! A Redis dump as JSON: `[{key, type, ttl, value}, ..]`, the values JSON in strings.
//!
//! The keys have AgentX's base before them, which is told by the first key of a known kind.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use agentkeep::{Json, Result};

use super::escaped::Unescaped;
use super::{broken, not_agentx};
use crate::import::agentx::source::{Bytes, Catalogue, Sort, Source, is_known, key_of};
use crate::import::cut::{Broken, Cutter, Kept};
use crate::output::io_error;

/// Longest text of an entry beside its value.
const MAX_TEXT: usize = 64 * 1024;

/// A dump file.
#[derive(Debug)]
pub(super) struct Dump {
    path: PathBuf,
}

/// What an entry says beside its value's text.
#[derive(Debug, Default)]
struct Entry {
    key: Option<String>,
    kind: Option<String>,
    /// Where the value stands, how long it is, and whether it is a string.
    value: Option<(i64, i64, bool)>,
}

impl Dump {
    /// The file is not read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn file(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| io_error("the source cannot be read", error))
    }
}

fn entry(cutter: &mut Cutter<File>) -> Result<Entry, Broken> {
    let mut entry = Entry::default();
    if cutter.next_byte()? != Some(b'{') {
        cutter.value(None)?;
        return Ok(entry);
    }
    cutter.demand(b'{')?;
    let mut first = true;
    while cutter.next(&mut first, b'}')? {
        let name = text(cutter)?;
        cutter.demand(b':')?;
        let string = cutter.next_byte()? == Some(b'"');
        match name.as_deref() {
            Some("key") if string => entry.key = text(cutter)?,
            Some("type") if string => entry.kind = text(cutter)?,
            Some("value") => {
                let at = cutter.position();
                cutter.value(None)?;
                let bytes = cutter.position() - at;
                let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                entry.value = Some((number(at), number(bytes), string));
            }
            _ => cutter.value(None)?,
        }
    }
    Ok(entry)
}

/// The string that comes next, decoded.
fn text(cutter: &mut Cutter<File>) -> Result<Option<String>, Broken> {
    let mut kept = Kept::new(MAX_TEXT);
    cutter.value(Some(&mut kept))?;
    let json = kept.text().ok().and_then(|text| Json::parse_replacing_surrogates(&text).ok());
    Ok(json.and_then(|(json, _)| json.to_text()))
}

/// What stands before the known part of a key.
fn base_of(key: &str) -> Option<&str> {
    let starts = std::iter::once(0).chain(key.match_indices(':').map(|(at, _)| at + 1));
    starts.map(|at| key.split_at(at)).find(|(_, rest)| is_known(rest)).map(|(base, _)| base)
}

/// Notes one entry's value.
fn take(entry: &Entry, number: u64, base: &mut Option<String>, into: &Catalogue<'_>) -> Result<()> {
    let Some(key) = &entry.key else {
        return into.other(&format!("[{number}]"), "it has no key");
    };
    if base.is_none() {
        *base = base_of(key).map(str::to_owned);
    }
    let Some(rest) = base.as_deref().and_then(|base| key.strip_prefix(base)) else {
        return into.other(key, "not one of the kinds that are taken");
    };
    let kind = entry.kind.as_deref().unwrap_or("string");
    match entry.value {
        _ if kind != "string" => into.other(key, &format!("it is a Redis {kind}, not a string")),
        Some((at, bytes, true)) => into.keyed(rest, at, bytes),
        _ => into.other(key, "its value is no string"),
    }
}

impl Source for Dump {
    fn form(&self) -> &'static str {
        "AgentX Redis dump"
    }

    fn list(&self, into: &Catalogue<'_>) -> Result<()> {
        let mut cutter = Cutter::new(self.file()?, 0);
        let (mut base, mut number) = (None, 0);
        let mut walk = || {
            cutter.skip_mark()?;
            cutter.demand(b'[')?;
            let mut first = true;
            while cutter.next(&mut first, b']')? {
                let entry = entry(&mut cutter)?;
                if let Err(error) = take(&entry, number, &mut base, into) {
                    return Ok(Err(error));
                }
                number += 1;
            }
            cutter.finish()?;
            Ok(Ok(()))
        };
        walk().map_err(broken)??;
        if base.is_none() {
            return Err(not_agentx("a JSON list without any of AgentX's keys"));
        }
        into.only_once()
    }

    fn open(&self, _place: &str, at: i64, bytes: i64) -> Result<Bytes<'_>> {
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(at.cast_unsigned()))
            .map_err(|error| io_error("the source cannot be read", error))?;
        Ok(Ok(Box::new(Unescaped::new(file.take(bytes.cast_unsigned())))))
    }

    fn home(&self, sort: Sort, id: &str) -> Option<String> {
        Some(key_of(sort, id))
    }

    fn place_of_messages(&self, session: &str) -> String {
        key_of(Sort::Messages, session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_what_stands_before_a_known_kind() {
        assert_eq!(base_of("agentx:containers:x"), Some("agentx:"));
        assert_eq!(base_of("containers:x"), Some(""));
        assert_eq!(base_of("my:own:idx:images:a"), Some("my:own:"));
        assert_eq!(base_of("agentx:other:x"), None);
    }
}
