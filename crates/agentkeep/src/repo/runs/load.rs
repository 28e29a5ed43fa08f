//! Putting a run together again.

use super::gather::Gathered;
use super::record::RunRecord;
use super::tail::stretch;
use super::write::place;
use crate::driver::{Entries, Entry, Head, MAX_LIMIT};
use crate::error::{Error, Kind, Result};
use crate::model::RunSnapshot;
use crate::repo::conversations::pending::Pending;
use crate::repo::space::Space;

/// How often a reader looks again when the run was deleted and begun anew meanwhile.
const ATTEMPTS: u32 = 5;
/// Entries of the first page, when nothing is known of their size yet.
const FIRST: usize = 32;
/// Bytes of a page: what is read in small pages is still at hand when it is put together.
const PAGE: u64 = 192 << 10;

/// The record of a run, with the steps behind it, unless the namespace is going.
pub(super) async fn record(space: &Space, id: &str) -> Result<Option<RunRecord>> {
    let found = space.get_many(&[RunRecord::key(id)?, Pending::key()?]).await?;
    let [Some(record), pending] = found.as_slice() else { return Ok(None) };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(None);
    }
    let run = RunRecord::parse(&record.body).map_err(|error| error.at(place(id)))?;
    super::tail::followed(space, id, run).await.map(Some)
}

/// The last snapshot of a run, text for text.
pub(super) async fn load(space: &Space, id: &str) -> Result<Option<RunSnapshot>> {
    let mut attempt = 1;
    loop {
        match read(space, id).await? {
            Read::Nothing => return Ok(None),
            Read::Whole(snapshot) => return Ok(Some(snapshot)),
            // Written over between two reads, or damaged for good.
            Read::Torn if attempt < ATTEMPTS => attempt += 1,
            Read::Torn => {
                return Err(Error::new(Kind::Corrupt, "what is kept of the run does not fit")
                    .at(place(id))
                    .advice("check the store"));
            }
        }
    }
}

enum Read {
    Nothing,
    Whole(RunSnapshot),
    /// Record and log do not belong together.
    Torn,
}

async fn read(space: &Space, id: &str) -> Result<Read> {
    let keys = [RunRecord::key(id)?, Pending::key()?];
    let ([record, pending], mut page) = space.get_and_read(keys, &stretch(id, 1, FIRST)?).await?;
    let Some(record) = record else { return Ok(Read::Nothing) };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(Read::Nothing);
    }
    let run = RunRecord::parse(&record.body).map_err(|error| error.at(place(id)))?;
    let born = birth(&page);
    let mut gathered = Gathered::new(run, page.heads.first().and_then(Option::as_ref));
    while gathered.take(&page.entries) && page.more {
        let from = page.entries.last().map_or(1, |entry: &Entry| entry.number + 1);
        page = space.read(&stretch(id, from, many(&page))?).await?;
        if birth(&page) != born {
            return Ok(Read::Torn);
        }
    }
    let Some((json, status)) = gathered.finish() else { return Ok(Read::Torn) };
    Ok(Read::Whole(RunSnapshot::stored(json, id, status)))
}

/// What tells the stream from one that had its name before.
fn birth(page: &Entries) -> Option<u64> {
    page.heads.first().and_then(Option::as_ref).map(|head| head.birth)
}

/// Entries of the next page.
fn many(page: &Entries) -> usize {
    let Some(Some(Head { bytes, count, .. })) = page.heads.first() else { return FIRST };
    let each = (bytes / (*count).max(1)).max(1);
    usize::try_from(PAGE / each).unwrap_or(MAX_LIMIT).clamp(FIRST, MAX_LIMIT)
}
