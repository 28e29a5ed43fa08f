//! One of the two stores that go side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use agentkeep::Result;
use agentkeep::conformance::{ALPHA, BETA, SCHEMA, dump};
use agentkeep::driver::{Batch, Driver, Find, Read, Reader, Stretch, Want, Which};
use agentkeep::schema::{BLOBS, BY_KEY, NAMESPACES, STREAMS, Stream};

use crate::resolve::{Resolver, find, hashes, key, read, space};
use crate::show::{self, Births, answer};
use crate::step::{Search, Source, Step};

pub(crate) struct Side {
    pub(crate) driver: Arc<dyn Driver>,
    births: Births,
    frozen: BTreeMap<u8, Box<dyn Reader>>,
    /// The page to go on with.
    page: Option<(u8, Find)>,
    /// All batches so far.
    past: Vec<Batch>,
}

impl Side {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let (births, frozen) = (Births::default(), BTreeMap::new());
        Self { driver, births, frozen, page: None, past: Vec::new() }
    }

    /// What the step gives here.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<String> {
        match step {
            Step::Commit(change) => {
                let resolver = Resolver { store: &*self.driver, space: space(change.space)? };
                let batch = resolver.batch(change).await?;
                self.past.push(batch.clone());
                Ok(self.commit(batch).await)
            }
            Step::Repeat { back } => match self.past.iter().nth_back(*back).cloned() {
                Some(batch) => Ok(self.commit(batch).await),
                None => Ok(String::new()),
            },
            Step::Freeze { space: i } => {
                if let Some(snapshots) = self.driver.snapshots() {
                    self.frozen.insert(*i, snapshots.snapshot(&space(*i)?).await?);
                }
                Ok(String::new())
            }
            Step::Find(source, search) => self.find_all(*source, search).await,
            Step::FindFirst(search, space) => self.page(*space, find(search)).await,
            Step::FindNext => match self.page.take() {
                Some((space, find)) => self.page(space, find).await,
                None => Ok(String::new()),
            },
            _ => self.look(step).await,
        }
    }

    async fn commit(&self, batch: Batch) -> String {
        let committed = self.driver.commit(batch).await;
        answer(&committed, show::committed)
    }

    async fn look(&mut self, step: &Step) -> Result<String> {
        let Self { driver, births, frozen, .. } = self;
        Ok(match step {
            Step::Get(source, ids) => {
                let space = space(source.space)?;
                let keys = ids.iter().map(|id| key(id, &space)).collect::<Result<Vec<_>>>()?;
                let found = reader(driver, frozen, *source).get(&space, &keys).await;
                answer(&found, |found| births.records(found))
            }
            Step::Read(source, reading) => {
                let read = read(reading)?;
                let reader = reader(driver, frozen, *source);
                let found = reader.read(&space(source.space)?, &read).await;
                answer(&found, |found| births.entries(found))
            }
            Step::Blobs(source, blobs, bytes) => {
                let want = if *bytes { Want::Bytes } else { Want::Presence };
                let reader = reader(driver, frozen, *source);
                let found = reader.blobs(&space(source.space)?, &hashes(blobs), want).await;
                answer(&found, |found| show::blobs(found))
            }
            _ => String::new(),
        })
    }

    async fn find_all(&mut self, source: Source, search: &Search) -> Result<String> {
        let (mut find, space) = (find(search), space(source.space)?);
        let mut pages = Vec::new();
        loop {
            let found = reader(&self.driver, &self.frozen, source).find(&space, &find).await;
            pages.push(answer(&found, |found| self.births.found(found)));
            match found.ok().and_then(|found| found.next) {
                Some(next) if pages.len() < 100 => find.after = Some(next),
                _ => return Ok(pages.join("\n--\n")),
            }
        }
    }

    async fn page(&mut self, of: u8, find: Find) -> Result<String> {
        let space = space(of)?;
        let found = self.driver.find(&space, &find).await;
        let shown = answer(&found, |found| self.births.found(found));
        let next = found.ok().and_then(|found| found.next);
        if let Some(next) = next {
            self.page = Some((of, find.after(Some(next))));
        }
        Ok(shown)
    }

    /// Everything there is, now and in the snapshots, as stores that are alike show it.
    pub(crate) async fn whole(&mut self) -> Result<String> {
        let mut text = String::new();
        let Self { driver, births, frozen, .. } = self;
        let frozen = frozen.iter().map(|(i, frozen)| (*i, &**frozen));
        for (i, reader) in (0..3).map(|i| (i, &**driver as &dyn Reader)).chain(frozen) {
            let space = space(i)?;
            let built_in = [&STREAMS, &BLOBS, &NAMESPACES];
            for table in SCHEMA.tables.iter().copied().chain(built_in) {
                let found = reader.find(&space, &Find::new(table, &BY_KEY)).await?;
                let _ = writeln!(text, "-- {} in {space}", table.name);
                text += &births.found(&found);
            }
            for log in [&ALPHA, &BETA] {
                let streams = reader.find(&space, &Find::new(&STREAMS, &BY_KEY)).await?.records;
                let of =
                    |name: &str| Ok(Stretch { stream: Stream::new(name)?, from: 0, to: u64::MAX });
                let of_log = streams.iter().filter(|record| record.key.first() == log.name);
                let stretches = of_log.filter_map(|record| record.key.parts().nth(1)).map(of);
                let which = Which::Stretches(stretches.collect::<Result<_>>()?);
                let read = Read { log, which, reverse: false, limit: 10_000 };
                text += &births.entries(&reader.read(&space, &read).await?);
            }
        }
        Ok(text)
    }

    /// Everything, to the letter: for comparing a store with itself.
    pub(crate) async fn exactly(&self) -> Result<String> {
        let mut text = String::new();
        for i in 0..3 {
            text += &dump(&*self.driver, &SCHEMA, &space(i)?).await?;
        }
        Ok(text)
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen.clear();
    }
}

fn reader<'a>(
    driver: &'a Arc<dyn Driver>,
    frozen: &'a BTreeMap<u8, Box<dyn Reader>>,
    source: Source,
) -> &'a dyn Reader {
    match frozen.get(&source.space) {
        Some(frozen) if source.frozen => &**frozen,
        _ => &**driver,
    }
}
