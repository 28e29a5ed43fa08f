//! From a source into a store, all or none.

use agentkeep::schema::Turn;
use agentkeep::{Error, Kind, Load, Met, Result, Store, Tally};

use super::bytes;
use super::index::{self, Item};
use super::lists::Messages;
use super::records::{self, Record};
use super::source::{SORTS, Sort, Source};
use super::{Data, Opened, queue};
use crate::import::progress::Progress;
use crate::import::report::{List, Origin, Outcome, Report};
use crate::import::scratch::Scratch;
use crate::import::stop::Stop;

/// How to take a source in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Only say what would come in.
    pub(crate) dry_run: bool,
    /// What the store has with other content stays as it is; else it is a conflict.
    pub(crate) keep: bool,
}

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn take(store: &Store, opened: Opened, wish: Wish) -> Result<Report> {
    let Opened { data, scratch, path, stop } = opened;
    let source = match data {
        Data::Values(source) => source,
        Data::Queue(rows) => return queue::take(store, &rows, path, scratch, &stop, wish).await,
    };
    let import = index::make(source.as_ref(), &scratch, &stop)?;
    if !wish.dry_run && !store.unfinished_loads().await?.is_empty() {
        // One that was given up long ago need not be in the way.
        store.collect().await?;
    }
    let mut load = store.load(&import).await?;
    let resumed = load.is_resumed();
    let mut pass = Pass::new(store, source.as_ref(), &scratch, &stop, &import);
    pass.run(&mut load, "comparing").await?;
    let (prototypes, providers) = (pass.prototypes, pass.providers);
    let mut outcome = Outcome::DryRun;
    let mut loaded = load.loaded().clone();
    if !wish.dry_run {
        refuse_differing(&scratch, wish.keep)?;
        outcome = Outcome::NothingNew;
        if load.begin(wish.keep).await? {
            scratch.set_tells(false);
            pass.writes = true;
            if let Err(error) = pass.run(&mut load, "writing").await {
                return Err(given_up(store, &import, error).await);
            }
            outcome = Outcome::Imported;
        }
        loaded = load.finish().await?;
    }
    let origin = Origin { form: source.form(), path };
    let kinds = vec![
        ("containers", loaded.containers),
        ("images", loaded.images),
        ("sessions", loaded.sessions),
        ("messages", loaded.messages),
        ("prototypes", prototypes),
        ("llmProviders", providers),
    ];
    let import_id = Some(import.as_str().to_owned());
    Ok(Report { source: origin, import_id, outcome, resumed, kinds, notes: scratch })
}

/// What is there with other content is told before anything is changed.
pub(super) fn refuse_differing(scratch: &Scratch, keep: bool) -> Result<()> {
    let differing = scratch.noted(List::Kept)?;
    if keep || differing == 0 {
        return Ok(());
    }
    let mut first = String::new();
    scratch.notes(List::Kept, 1, |note| {
        first = note.place;
        Ok(())
    })?;
    let what = if differing == 1 {
        format!("the store has {first} with other content")
    } else {
        format!("the store has {differing} things with other content, the first is {first}")
    };
    Err(Error::new(Kind::Conflict, what).retryable(false).advice(
        "nothing was changed; see them all with --dry-run, import into another --namespace, or \
         leave them as they are with --keep",
    ))
}

/// A source that changed under the import cannot be gone on with: what came in of it goes again.
async fn given_up(store: &Store, import: &Turn, error: Error) -> Error {
    if error.kind() == Kind::Conflict && error.message().contains("source changed") {
        let listed = store.unfinished_loads().await.unwrap_or_default();
        if listed.iter().any(|listed| listed.import_id == import.as_str()) {
            return store.undo_load(import).await.err().unwrap_or(error);
        }
    }
    error
}

/// Gives everything that the source holds to a load, in an order that is always the same.
struct Pass<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    scratch: &'a Scratch,
    stop: &'a Stop,
    import: &'a Turn,
    writes: bool,
    prototypes: Tally,
    providers: Tally,
}

impl<'a> Pass<'a> {
    fn new(
        store: &'a Store,
        source: &'a dyn Source,
        scratch: &'a Scratch,
        stop: &'a Stop,
        import: &'a Turn,
    ) -> Self {
        let (prototypes, providers) = (Tally::default(), Tally::default());
        Self { store, source, scratch, stop, import, writes: false, prototypes, providers }
    }

    async fn run(&mut self, load: &mut Load, what: &'static str) -> Result<()> {
        let mut progress = Progress::new(index::size(self.scratch)?, what);
        for sort in SORTS {
            let mut after = -1;
            while let Some(item) = index::record_after(self.scratch, sort, after)? {
                self.check_stop(load)?;
                after = item.no;
                progress.advance(item.bytes.cast_unsigned());
                self.record(load, sort, &item, &mut progress).await?;
            }
        }
        Ok(())
    }

    fn check_stop(&self, load: &Load) -> Result<()> {
        let (import, begun) = (self.import, self.writes && load.comes_in_many());
        self.stop.check(|| {
            if begun {
                format!(
                    "run the same command again to go on, or take back what has come in with \
                     `agentkeep import --undo {import}`"
                )
            } else {
                "nothing was changed".to_owned()
            }
        })
    }

    async fn record(
        &mut self,
        load: &mut Load,
        sort: Sort,
        item: &Item,
        progress: &mut Progress,
    ) -> Result<()> {
        let (text, digest) = bytes::text(self.source, item)?;
        let parsed = text.and_then(|text| records::read(sort, &text));
        let parsed = parsed.ok().filter(|_| item.hash == Some(digest));
        let parsed = parsed.ok_or_else(|| bytes::changed(&item.place))?;
        if !self.writes {
            self.note_missing_parents(&parsed.record, &item.place).await?;
        }
        let id = parsed.record.id().to_owned();
        let met = match parsed.record {
            Record::Container(container) => load.container(container).await?,
            Record::Image(image) => load.image(image).await?,
            Record::Definition(kind, id, body) => {
                let met = load.definition(kind, &id, &body).await?;
                let prototype = sort == Sort::Prototype;
                if !self.writes {
                    let tally = if prototype { &mut self.prototypes } else { &mut self.providers };
                    index::count(tally, met);
                }
                met
            }
            Record::Session(session) => {
                let met = load.session(session).await?;
                self.messages(load, &id, &parsed.original, item, progress).await?;
                met
            }
        };
        self.note_differing(met, || format!("{} {id:?}", records::what(sort)))
    }

    async fn messages(
        &mut self,
        load: &mut Load,
        session: &str,
        original: &str,
        record: &Item,
        progress: &mut Progress,
    ) -> Result<()> {
        let place = self.source.place_of_messages(original);
        let Some(list) = index::list_of(self.scratch, &place, record.no)? else { return Ok(()) };
        let reader = self.source.open(&list.place, list.at, list.bytes)?;
        let reader = reader.map_err(|_| bytes::changed(&place))?;
        let mut messages = Messages::new(reader, list);
        let mut done = 0;
        while let Some(some) = messages.some(self.scratch)? {
            self.check_stop(load)?;
            let ids: Vec<Option<String>> =
                some.iter().map(|message| message.id().map(str::to_owned)).collect();
            for (met, id) in load.messages(some).await?.into_iter().zip(ids) {
                let id = id.unwrap_or_default();
                self.note_differing(met, || format!("message {id:?} of session {session:?}"))?;
            }
            progress.advance(messages.position() - done);
            done = messages.position();
        }
        Ok(())
    }

    fn note_differing(&self, met: Met, place: impl FnOnce() -> String) -> Result<()> {
        if met != Met::Other {
            return Ok(());
        }
        let reason = "the store has it with other content and keeps that";
        self.scratch.note(List::Kept, place(), reason)
    }

    async fn note_missing_parents(&self, record: &Record, place: &str) -> Result<()> {
        for (sort, id) in record.parents() {
            let there = index::has(self.scratch, sort, &id)?
                || match sort {
                    Sort::Container => self.store.containers().exists(&id).await?,
                    _ => self.store.images().exists(&id).await?,
                };
            if !there {
                let reason = format!("there is no {} {id:?}", records::what(sort));
                self.scratch.note(List::MissingParents, place, reason)?;
            }
        }
        Ok(())
    }
}
