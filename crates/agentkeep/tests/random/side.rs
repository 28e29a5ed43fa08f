//! One of the two stores that go side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentkeep::conformance::{ALPHA, BETA, SCHEMA, dump};
use agentkeep::driver::{Batch, Driver, Find, Operation, Read, Reader, Save, Stretch, Want, Which};
use agentkeep::schema::{BLOBS, BY_KEY, NAMESPACES, STREAMS, Stream};
use agentkeep::{Kind, Result};

use crate::resolve::{Resolver, find, hashes, key, read, space};
use crate::show::{self, Names, answer};
use crate::step::{Search, Source, Step};

pub(crate) struct Side {
    pub(crate) driver: Arc<dyn Driver>,
    names: Names,
    frozen: BTreeMap<u8, Box<dyn Reader>>,
    /// The page to go on with.
    page: Option<(u8, Find)>,
    /// All batches so far.
    past: Vec<Batch>,
}

impl Side {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let (names, frozen) = (Names::default(), BTreeMap::new());
        Self { driver, names, frozen, page: None, past: Vec::new() }
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

    async fn commit(&mut self, batch: Batch) -> String {
        let committed = self.driver.commit(batch.clone()).await;
        if let Err(error) = &committed
            && error.expectation().is_none()
            && [Kind::NotFound, Kind::AlreadyExists, Kind::Conflict].contains(&error.kind())
            && batch.operations.iter().any(may_have_two_faults)
        {
            return "refused for one of its faults".to_owned();
        }
        answer(&committed, |committed| self.names.committed(&batch, committed))
    }

    async fn look(&mut self, step: &Step) -> Result<String> {
        let Self { driver, names, frozen, .. } = self;
        Ok(match step {
            Step::Get(source, ids) => {
                let keys = ids.iter().map(key).collect::<Result<Vec<_>>>()?;
                let space = space(source.space)?;
                let found = reader(driver, frozen, *source).get(&space, &keys).await;
                answer(&found, |found| names.records(&space, found))
            }
            Step::Read(source, reading) => {
                let read = read(reading)?;
                let reader = reader(driver, frozen, *source);
                let found = reader.read(&space(source.space)?, &read).await;
                answer(&found, |found| names.entries(found))
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
            pages.push(answer(&found, |found| self.names.found(&space, found)));
            match found.ok().and_then(|found| found.next) {
                Some(next) if pages.len() < 100 => find.after = Some(next),
                _ => return Ok(pages.join("\n--\n")),
            }
        }
    }

    async fn page(&mut self, of: u8, find: Find) -> Result<String> {
        let space = space(of)?;
        let found = self.driver.find(&space, &find).await;
        let shown = answer(&found, |found| self.names.found(&space, found));
        let next = found.ok().and_then(|found| found.next);
        self.page = next.map(|next| (of, find.after(Some(next))));
        Ok(shown)
    }

    /// Everything there is, now and in the snapshots, as stores that are alike show it.
    pub(crate) async fn whole(&mut self) -> Result<String> {
        let mut text = String::new();
        let Self { driver, names, frozen, .. } = self;
        let frozen = frozen.iter().map(|(i, frozen)| (*i, &**frozen));
        for (i, reader) in (0..3).map(|i| (i, &**driver as &dyn Reader)).chain(frozen) {
            let space = space(i)?;
            let built_in = [&STREAMS, &BLOBS, &NAMESPACES];
            for table in SCHEMA.tables.iter().copied().chain(built_in) {
                let found = reader.find(&space, &Find::new(table, &BY_KEY)).await?;
                text += &format!("-- {} in {space}\n", table.name);
                text += &names.found(&space, &found);
            }
            for log in [&ALPHA, &BETA] {
                let streams = reader.find(&space, &Find::new(&STREAMS, &BY_KEY)).await?.records;
                let of =
                    |name: &str| Ok(Stretch { stream: Stream::new(name)?, from: 0, to: u64::MAX });
                let names_of = streams.iter().filter(|record| record.key.first() == log.name);
                let stretches = names_of.filter_map(|record| record.key.parts().nth(1)).map(of);
                let which = Which::Stretches(stretches.collect::<Result<_>>()?);
                let read = Read { log, which, reverse: false, limit: 10_000 };
                text += &names.entries(&reader.read(&space, &read).await?);
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

/// No law says which of the faults of one operation counts.
fn may_have_two_faults(operation: &Operation) -> bool {
    match operation {
        Operation::Put(put) => !put.refs.is_empty() && put.save != Save::Any,
        Operation::Append(append) => {
            let refers = append.entries.iter().any(|entry| !entry.refs.is_empty());
            let named = append.entries.iter().any(|entry| entry.id.is_some());
            usize::from(refers) + usize::from(named) + usize::from(append.start.is_some()) > 1
        }
        _ => false,
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
