//! From a source into a store, all or none.

use agentkeep::schema::Turn;
use agentkeep::{Load, Met, Result, Store, Tally};

use super::bytes;
use super::index::{self, Item};
use super::lists::Messages;
use super::records::{self, Record};
use super::source::{SORTS, Sort, Source};
use super::{Data, Opened, queue};
use crate::import::bytes::changed;
use crate::import::progress::Progress;
use crate::import::report::{List, Origin, Report};
use crate::import::scratch::Scratch;
use crate::import::stop::Stop;
use crate::import::take::{Gives, Taken, Wish, all_or_none, check_stop, note_differing};

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn take(store: &Store, opened: Opened, wish: Wish) -> Result<Report> {
    let Opened { data, scratch, path, stop } = opened;
    let source = match data {
        Data::Values(source) => source,
        Data::Queue(rows) => return queue::take(store, &rows, path, scratch, &stop, wish).await,
    };
    let import = index::make(source.as_ref(), &scratch, &stop)?;
    let mut pass = Pass::new(store, source.as_ref(), &scratch, &stop, &import);
    let taken = all_or_none(store, &import, &scratch, wish, &mut pass).await?;
    let (prototypes, providers) = (pass.prototypes, pass.providers);
    let Taken { outcome, resumed, loaded } = taken;
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

impl Gives for Pass<'_> {
    async fn give(&mut self, load: &mut Load, writes: bool) -> Result<()> {
        self.writes = writes;
        let what = if writes { "writing" } else { "comparing" };
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

    fn check_stop(&self, load: &Load) -> Result<()> {
        check_stop(self.stop, load, self.import, self.writes)
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
        let parsed = parsed.ok_or_else(|| changed(&item.place))?;
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
        let reader = reader.map_err(|_| changed(&place))?;
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
        note_differing(self.scratch, place())
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
