//! The JSON backup: `{containers: [..], images: [..], sessions: [..], messages: {id: [..]}}`.
//!
//! The file is read as a stream: listing notes where each value stands, and opening one goes there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use agentkeep::{Error, Json, Kind, Result};

use super::{EXPECTED, broken, not_agentx};
use crate::import::agentx::source::{Bytes, Catalogue, Sort, Source};
use crate::import::cut::{Broken, Cutter, Kept};
use crate::output::io_error;

/// Longest key that is looked at.
const MAX_KEY: usize = 64 * 1024;
/// What a backup has at least.
const WANTED: [&str; 4] = ["containers", "images", "sessions", "messages"];

/// A backup file.
#[derive(Debug)]
pub(super) struct Backup {
    path: PathBuf,
}

impl Backup {
    /// The file is not read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn file(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| io_error("the source cannot be read", error))
    }

    /// Goes through the members; `with` must pass over each one's value.
    fn members(
        &self,
        mut with: impl FnMut(&str, &mut Cutter<File>) -> Result<Result<()>, Broken>,
    ) -> Result<()> {
        let mut cutter = Cutter::new(self.file()?, 0);
        let mut walk = || {
            cutter.skip_mark()?;
            cutter.demand(b'{')?;
            let mut first = true;
            while cutter.next(&mut first, b'}')? {
                let name = key(&mut cutter)?;
                if let Err(error) = with(&name, &mut cutter)? {
                    return Ok(Err(error));
                }
            }
            cutter.finish()?;
            Ok(Ok(()))
        };
        walk().map_err(broken)?
    }
}

/// The key that comes next, decoded, and the colon behind it.
fn key<R: Read>(cutter: &mut Cutter<R>) -> Result<String, Broken> {
    if cutter.next_byte()? != Some(b'"') {
        return Err(cutter.expected("a key in double quotes"));
    }
    let mut kept = Kept::new(MAX_KEY);
    cutter.value(Some(&mut kept))?;
    let text = kept.text().map_err(Broken::Text)?;
    let decoded = Json::parse_replacing_surrogates(&text).ok();
    let decoded = decoded.and_then(|(key, _)| key.to_text());
    cutter.demand(b':')?;
    cutter.next_byte()?;
    decoded.ok_or_else(|| Broken::Text(format!("not JSON: a damaged key {text}")))
}

/// Where the value that comes next begins, and how long it is.
fn pass_over(cutter: &mut Cutter<File>) -> Result<(i64, i64), Broken> {
    let at = cutter.position();
    cutter.value(None)?;
    let bytes = cutter.position() - at;
    Ok((i64::try_from(at).unwrap_or(i64::MAX), i64::try_from(bytes).unwrap_or(i64::MAX)))
}

fn place(session: &str) -> String {
    format!("messages[{session:?}]")
}

/// The elements of a list, with the name of the list before their numbers.
fn list(
    into: &Catalogue<'_>,
    sort: Sort,
    name: &str,
    cutter: &mut Cutter<File>,
) -> Result<Result<()>, Broken> {
    cutter.demand(b'[')?;
    let (mut first, mut number) = (true, 0_u64);
    while cutter.next(&mut first, b']')? {
        let (at, bytes) = pass_over(cutter)?;
        if let Err(error) = into.value(sort, &format!("{name}[{number}]"), at, bytes) {
            return Ok(Err(error));
        }
        number += 1;
    }
    Ok(Ok(()))
}

/// The message lists. One whose session stands twice is nobody's.
fn lists(into: &Catalogue<'_>, cutter: &mut Cutter<File>) -> Result<Result<()>, Broken> {
    cutter.demand(b'{')?;
    let mut first = true;
    while cutter.next(&mut first, b'}')? {
        let place = place(&key(cutter)?);
        let (at, bytes) = pass_over(cutter)?;
        if let Err(error) = into.value(Sort::Messages, &place, at, bytes) {
            return Ok(Err(error));
        }
    }
    Ok(into.only_once())
}

fn refused(message: String) -> Error {
    Error::new(Kind::InvalidInput, message).advice(EXPECTED)
}

impl Source for Backup {
    fn form(&self) -> &'static str {
        "AgentX JSON backup"
    }

    fn list(&self, into: &Catalogue<'_>) -> Result<()> {
        let mut seen = HashSet::new();
        self.members(|name, cutter| {
            if !seen.insert(name.to_owned()) {
                return Ok(Err(refused(format!("the backup has {name:?} twice"))));
            }
            let (sort, opening) = match name {
                "containers" => (Sort::Container, b'['),
                "images" => (Sort::Image, b'['),
                "sessions" => (Sort::Session, b'['),
                "prototypes" => (Sort::Prototype, b'['),
                "llmProviders" | "llm-providers" => (Sort::Provider, b'['),
                "messages" => (Sort::Messages, b'{'),
                _ => {
                    cutter.value(None)?;
                    return Ok(into.other(name, "not one of the kinds that are taken"));
                }
            };
            if cutter.next_byte()? != Some(opening) {
                let what = if opening == b'[' { "list" } else { "object" };
                return Ok(Err(refused(format!("the backup's member {name:?} is no {what}"))));
            }
            if sort == Sort::Messages {
                lists(into, cutter)
            } else {
                list(into, sort, name, cutter)
            }
        })?;
        match WANTED.into_iter().find(|name| !seen.contains(*name)) {
            Some(name) => Err(not_agentx(&format!("a JSON object without the member {name:?}"))),
            None => Ok(()),
        }
    }

    fn open(&self, _place: &str, at: i64, bytes: i64) -> Result<Bytes<'_>> {
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(at.cast_unsigned()))
            .map_err(|error| io_error("the source cannot be read", error))?;
        Ok(Ok(Box::new(file.take(bytes.cast_unsigned()))))
    }

    fn home(&self, _sort: Sort, _id: &str) -> Option<String> {
        None
    }

    fn place_of_messages(&self, session: &str) -> String {
        place(session)
    }
}
