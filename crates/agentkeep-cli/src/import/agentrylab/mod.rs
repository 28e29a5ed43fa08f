//! Agentry Lab: its transcripts. Checkpoints are pickled; here only the names of their threads are
//! read, and nothing of a pickle.

mod folder;
mod lines;
mod python;

use std::path::Path;

use agentkeep::schema::Turn;
use agentkeep::{Load, Met, Result, Store};

use self::folder::{Folder, Transcript};
use self::lines::Lines;
use super::bytes::{changed, update};
use super::progress::Progress;
use super::report::{List, Origin, Report};
use super::scratch::Scratch;
use super::stop::Stop;
use super::take::{Gives, Taken, Wish, all_or_none, check_stop, note_differing};
use crate::output::text;

/// A source, recognised.
#[derive(Debug)]
pub(crate) struct Opened {
    folder: Folder,
    scratch: Scratch,
    path: String,
    stop: Stop,
}

/// Recognises the source by its content.
pub(crate) fn open(path: &Path, stop: Stop) -> Result<Opened> {
    let scratch = Scratch::new()?;
    let place = path.display().to_string();
    let folder = Folder::open(path, &scratch, &stop).map_err(|error| error.at(place.clone()))?;
    Ok(Opened { folder, scratch, path: place, stop })
}

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn take(store: &Store, opened: Opened, wish: Wish) -> Result<Report> {
    let Opened { folder, scratch, path, stop } = opened;
    let import = import_of(&folder)?;
    let mut pass = Pass { folder: &folder, scratch: &scratch, stop: &stop, import: &import };
    let taken = all_or_none(store, &import, &scratch, wish, &mut pass).await?;
    let Taken { outcome, resumed, loaded } = taken;
    Ok(Report {
        source: Origin { form: "Agentry Lab folder", path },
        import_id: Some(import.as_str().to_owned()),
        outcome,
        resumed,
        kinds: vec![("threads", loaded.threads), ("entries", loaded.entries)],
        notes: scratch,
    })
}

/// The import's id: the same for the same content.
fn import_of(folder: &Folder) -> Result<Turn> {
    let mut hasher = blake3::Hasher::new();
    for transcript in &folder.transcripts {
        update(&mut hasher, [transcript.name.as_bytes(), &transcript.digest]);
        update(&mut hasher, transcript.threads.iter().map(String::as_bytes));
    }
    Turn::new(&format!("agentrylab-{}", &hasher.finalize().to_hex()[..16]))
}

struct Pass<'a> {
    folder: &'a Folder,
    scratch: &'a Scratch,
    stop: &'a Stop,
    import: &'a Turn,
}

impl Gives for Pass<'_> {
    async fn give(&mut self, load: &mut Load, writes: bool) -> Result<()> {
        let what = if writes { "writing" } else { "comparing" };
        let size = |transcript: &Transcript| transcript.len * transcript.threads.len() as u64;
        let whole = self.folder.transcripts.iter().map(size).sum();
        let mut progress = Progress::new(whole, what);
        for transcript in &self.folder.transcripts {
            // What is the matter with a file is told once, not for each of its threads.
            for (place, thread) in transcript.threads.iter().enumerate() {
                let notes = (!writes && place == 0).then_some(self.scratch);
                self.thread(load, transcript, thread, notes, writes, &mut progress).await?;
            }
        }
        Ok(())
    }
}

impl Pass<'_> {
    async fn thread(
        &self,
        load: &mut Load,
        transcript: &Transcript,
        thread: &str,
        notes: Option<&Scratch>,
        writes: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        let mut lines = Lines::of(transcript)?;
        let (mut before, mut differing) = (0, 0);
        while let Some(entries) = lines.some(notes)? {
            check_stop(self.stop, load, self.import, writes)?;
            let met = load.entries(thread, entries).await?;
            differing += met.iter().filter(|met| **met == Met::Other).count() as u64;
            progress.advance(lines.position() - before);
            before = lines.position();
        }
        if lines.digest() != transcript.digest {
            return Err(changed(&transcript.name));
        }
        if differing > 0 && !writes {
            let from = text::counted(differing, "entry").replace("entrys", "entries");
            note_differing(self.scratch, format!("thread {thread:?} ({from})"))?;
        }
        Ok(())
    }
}

/// The name of the file of a thread, without its ending, as Agentry Lab makes it.
fn safe(thread: &str) -> String {
    let mut out = String::new();
    for c in thread.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
            out.push(c);
        } else if !out.ends_with('\u{0}') {
            // A run of others becomes one; it must not join with underscores that stand there.
            out.push('\u{0}');
        }
    }
    let out = out.replace('\u{0}', "_");
    match out.trim_matches(['.', '_', '-']) {
        "" => "run".to_owned(),
        name => name.to_owned(),
    }
}

/// Notes something about a file.
fn note(scratch: Option<&Scratch>, list: List, place: &str, reason: &str) -> Result<()> {
    scratch.map_or(Ok(()), |scratch| scratch.note(list, place, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_agentry_lab_names_them() {
        for (thread, name) in [
            ("standup-01", "standup-01"),
            ("user/42 chat room", "user_42_chat_room"),
            ("team x", "team_x"),
            ("a \t/b", "a_b"),
            ("a_ _b", "a___b"),
            ("研究 スレッド #1", "1"),
            ("研究", "run"),
            ("...", "run"),
            ("", "run"),
            ("__a_b-", "a_b"),
        ] {
            assert_eq!(safe(thread), name, "{thread:?}");
        }
    }
}
