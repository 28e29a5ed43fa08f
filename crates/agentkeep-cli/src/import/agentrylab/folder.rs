//! The folder that Agentry Lab writes: `transcripts/*.jsonl`, and `checkpoints.db`, which knows the
//! threads' real names. The folder of transcripts alone will do, too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use agentkeep::{Error, Kind, Result};

use super::lines::Lines;
use super::safe;
use crate::import::bytes::{Digest, Hashing};
use crate::import::ids::escaped;
use crate::import::progress::Progress;
use crate::import::report::List;
use crate::import::scratch::Scratch;
use crate::import::sqlite::{self, check_whole, damaged, has_table};
use crate::import::stop::Stop;
use crate::output::{io_error, text};

const CHECKPOINTS: &str = "checkpoints.db";
const EXPECTED: &str = "expected the folder that Agentry Lab writes (outputs), with the folder \
                        transcripts and the file checkpoints.db, or the folder of .jsonl files";

/// What is there.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) transcripts: Vec<Transcript>,
}

/// One file of entries.
#[derive(Debug)]
pub(super) struct Transcript {
    /// The name of the file.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The threads that it is the transcript of, as they are taken; mostly one.
    pub(super) threads: Vec<String>,
    /// So much of it counts: what is added meanwhile is for the next import.
    pub(super) len: u64,
    pub(super) digest: Digest,
}

fn not_lab(what: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the source is {what}, not Agentry Lab data"))
        .advice(EXPECTED)
}

fn cannot_read(error: std::io::Error) -> Error {
    io_error("the source cannot be read", error)
}

impl Folder {
    pub(super) fn open(base: &Path, scratch: &Scratch, stop: &Stop) -> Result<Self> {
        if !std::fs::metadata(base).map_err(cannot_read)?.is_dir() {
            return Err(not_lab("no folder"));
        }
        let below = base.join("transcripts");
        let folder = if below.is_dir() { below.as_path() } else { base };
        let (files, others) = files(folder)?;
        let checkpoints = base.join(CHECKPOINTS);
        if files.is_empty() && !checkpoints.is_file() {
            return Err(not_lab("a folder without transcripts"));
        }
        let named =
            if checkpoints.is_file() { named(&checkpoints, scratch)? } else { BTreeMap::new() };
        let mut progress = Progress::new(files.iter().map(|(_, len)| *len).sum(), "reading");
        let (mut transcripts, mut foreign) = (Vec::new(), Vec::new());
        for (name, len) in files {
            stop.check(|| "nothing was changed".to_owned())?;
            let path = folder.join(&name);
            let digest = digest(&path, len)?;
            let mut transcript = Transcript { name, path, threads: Vec::new(), len, digest };
            progress.advance(len);
            if len > 0 && !Lines::of(&transcript)?.has_entries()? {
                foreign.push(transcript.name);
                continue;
            }
            transcript.threads = threads(&transcript.name, &named, scratch)?;
            transcripts.push(transcript);
        }
        if transcripts.is_empty() && !foreign.is_empty() {
            let what = format!("a folder whose files hold no transcript ({})", foreign.join(", "));
            return Err(not_lab(&what));
        }
        for name in foreign {
            scratch.note(List::NotTaken, name, "no line of it is an entry of a transcript")?;
        }
        for (name, reason) in others {
            scratch.note(List::NotTaken, name, reason)?;
        }
        Ok(Self { transcripts })
    }
}

/// The files of transcripts with their sizes, by name; and what else is there.
type Files = (Vec<(String, u64)>, Vec<(String, &'static str)>);

fn files(folder: &Path) -> Result<Files> {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let kind = entry.file_type().map_err(cannot_read)?;
        let name = entry.file_name();
        let is_transcript = Path::new(&name).extension().is_some_and(|ending| ending == "jsonl");
        match name.to_str() {
            Some(name) if is_transcript && kind.is_file() => {
                files.push((name.to_owned(), entry.metadata().map_err(cannot_read)?.len()));
            }
            Some(CHECKPOINTS) => {}
            Some(name) if is_transcript => others.push((name.to_owned(), "no ordinary file")),
            Some(name) => others.push((name.to_owned(), "no transcript: it is no .jsonl file")),
            None => {
                let name = name.to_string_lossy().into_owned();
                others.push((name, "its name is no UTF-8"));
            }
        }
    }
    files.sort();
    others.sort();
    Ok((files, others))
}

fn digest(path: &Path, len: u64) -> Result<Digest> {
    let mut reader = Hashing::new(File::open(path).map_err(cannot_read)?.take(len));
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(cannot_read)?;
    Ok(reader.digest())
}

/// The threads that the checkpoints name, by the names of their files. What is pickled in there is
/// not even read.
fn named(path: &Path, scratch: &Scratch) -> Result<BTreeMap<String, Vec<String>>> {
    let (connection, _folder) = sqlite::open(path)?;
    if !has_table(&connection, "checkpoints")? {
        return Err(not_lab("a folder whose checkpoints.db has no table checkpoints"));
    }
    check_whole(&connection)?;
    let mut statement = connection
        .prepare("SELECT thread_id FROM checkpoints ORDER BY thread_id")
        .map_err(damaged)?;
    let mut rows = statement.query([]).map_err(damaged)?;
    let (mut named, mut count) = (BTreeMap::<_, Vec<_>>::new(), 0);
    while let Some(row) = rows.next().map_err(damaged)? {
        count += 1;
        match sqlite::text_of(row.get_ref(0).map_err(damaged)?) {
            Ok(thread) => named.entry(safe(&thread)).or_default().push(thread),
            Err(reason) => scratch.note(List::NotTaken, "a thread_id of checkpoints.db", reason)?,
        }
    }
    if count > 0 {
        let reason = format!("{} not taken: they are pickled", text::counted(count, "checkpoint"));
        scratch.note(List::NotTaken, CHECKPOINTS, reason)?;
    }
    Ok(named)
}

/// The threads of a file. Where several share it, their entries cannot be told apart: each thread
/// reads as it did in Agentry Lab.
fn threads(
    file: &str,
    named: &BTreeMap<String, Vec<String>>,
    scratch: &Scratch,
) -> Result<Vec<String>> {
    let stem = file.strip_suffix(".jsonl").unwrap_or(file);
    let originals = named.get(stem).cloned().unwrap_or_else(|| vec![stem.to_owned()]);
    if originals.len() > 1 {
        let reason = format!(
            "the threads {originals:?} share this file: their entries are mixed, and each of them \
             gets all"
        );
        scratch.note(List::Collisions, file, reason)?;
    }
    let mut threads = Vec::new();
    for thread in originals {
        let taken = escaped(&thread);
        if let Some(id) = &taken {
            scratch.note(List::EscapedIds, file, format!("its thread is taken as {id:?}"))?;
        }
        threads.push(taken.unwrap_or(thread));
    }
    Ok(threads)
}
