//! Files of run snapshots: the table `agent_runs` of the SQLite adapter of dudko-dev/agent.

mod rows;
mod snapshot;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agentkeep::schema::Turn;
use agentkeep::{Error, Kind, Load, Met, Result, RunSnapshot, Store};

use self::rows::Rows;
use super::bytes::{self, reason_of};
use super::progress::Progress;
use super::report::{List, Origin, Report};
use super::scratch::Scratch;
use super::sqlite;
use super::stop::Stop;
use super::take::{Gives, Taken, Wish, all_or_none, check_stop, note_differing};
use crate::output::io_error;

const EXPECTED: &str = "expected an SQLite file with the table agent_runs, as the SQLite example \
                        of dudko-dev/agent writes it (runs.db)";

/// A source, recognised.
#[derive(Debug)]
pub(crate) struct Opened {
    rows: Rows,
    path: String,
    stop: Stop,
}

/// Recognises the source by its content.
pub(crate) fn open(path: &Path, stop: Stop) -> Result<Opened> {
    let at = |error: Error| error.at(path.display().to_string());
    let cannot_read = |error| at(io_error("the source cannot be read", error));
    let metadata = std::fs::metadata(path).map_err(cannot_read)?;
    if !metadata.is_file() {
        return Err(at(not_runs("no ordinary file")));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    file.take(sqlite::MAGIC.len() as u64).read_to_end(&mut start).map_err(cannot_read)?;
    if start.is_empty() {
        return Err(at(not_runs("an empty file")));
    }
    if start != sqlite::MAGIC {
        return Err(at(not_runs("no SQLite file")));
    }
    let rows = Rows::open(path).map_err(at)?;
    Ok(Opened { rows, path: path.display().to_string(), stop })
}

fn not_runs(what: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the source is {what}, not a file of runs"))
        .advice(EXPECTED)
}

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn take(store: &Store, opened: Opened, wish: Wish) -> Result<Report> {
    let Opened { rows, path, stop } = opened;
    let scratch = Scratch::new()?;
    for column in rows.others() {
        let place = format!("column {column} of agent_runs");
        scratch.note(List::NotTaken, place, "not one of the columns that are taken")?;
    }
    let import = import_of(&rows, &stop)?;
    let mut pass = Pass { rows: &rows, scratch: &scratch, stop: &stop, import: &import };
    let taken = all_or_none(store, &import, &scratch, wish, &mut pass).await?;
    let Taken { outcome, resumed, loaded } = taken;
    Ok(Report {
        source: Origin { form: "runs file", path },
        import_id: Some(import.as_str().to_owned()),
        outcome,
        resumed,
        kinds: vec![("runs", loaded.runs)],
        notes: scratch,
    })
}

/// The import's id: the same for the same content.
fn import_of(rows: &Rows, stop: &Stop) -> Result<Turn> {
    let mut progress = Progress::new(rows.size()?, "reading");
    let mut hasher = blake3::Hasher::new();
    let mut after = i64::MIN;
    while let Some(row) = rows.after(after)? {
        stop.check(|| "nothing was changed".to_owned())?;
        after = row.no;
        bytes::update(&mut hasher, row.parts().iter().map(Vec::as_slice));
        progress.advance(row.bytes());
    }
    Turn::new(&format!("runs-{}", &hasher.finalize().to_hex()[..16]))
}

struct Pass<'a> {
    rows: &'a Rows,
    scratch: &'a Scratch,
    stop: &'a Stop,
    import: &'a Turn,
}

impl Gives for Pass<'_> {
    async fn give(&mut self, load: &mut Load, writes: bool) -> Result<()> {
        let what = if writes { "writing" } else { "comparing" };
        let mut progress = Progress::new(self.rows.size()?, what);
        let mut after = i64::MIN;
        while let Some(row) = self.rows.after(after)? {
            check_stop(self.stop, load, self.import, writes)?;
            after = row.no;
            let bytes = row.bytes();
            let place = row.place();
            match snapshot::of(&row) {
                Ok((run, notes)) => self.run(load, run, notes, &place).await?,
                Err(reason) => self.scratch.note(List::NotTaken, place, reason)?,
            }
            progress.advance(bytes);
        }
        Ok(())
    }
}

impl Pass<'_> {
    async fn run(
        &self,
        load: &mut Load,
        run: RunSnapshot,
        notes: Vec<(List, String)>,
        place: &str,
    ) -> Result<()> {
        let id = run.id().to_owned();
        match load.run(run).await {
            Ok(met) => {
                if met == Met::Other {
                    note_differing(self.scratch, format!("run {id:?}"))?;
                }
                for (list, reason) in notes {
                    self.scratch.note(list, place, reason)?;
                }
                Ok(())
            }
            // Of the source's values one is too large, not of the import.
            Err(error) if error.kind() == Kind::TooLarge => {
                self.scratch.note(List::NotTaken, place, reason_of(&error))
            }
            Err(error) => Err(error),
        }
    }
}
