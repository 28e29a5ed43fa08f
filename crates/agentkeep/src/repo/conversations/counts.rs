//! How many messages sessions have, for many sessions at once.

use super::lineage::Lineage;
use super::pending::Pending;
use super::view::{First, Views};
use crate::driver::{MAX_LIMIT, Read, Stretch, Which};
use crate::error::{Kind, Result};
use crate::repo::space::Space;
use crate::schema::{Key, LINEAGES, MESSAGES};

/// Sessions looked at in one call.
const STEP: usize = 1_000;

/// One answer for each id: `None` for a session that is not there.
pub(super) async fn of(space: &Space, ids: &[&str]) -> Result<Vec<Option<u64>>> {
    let mut counts = Vec::with_capacity(ids.len());
    for some in ids.chunks(STEP) {
        let mut keys = vec![Pending::key()?];
        for id in some {
            keys.push(Key::new(&LINEAGES, [*id])?);
        }
        let mut records = space.get_many(&keys).await?;
        let lineages = records.split_off(1);
        if !Pending::of_record(records.first().and_then(Option::as_ref))?.is_clear() {
            // Some of them may be hidden.
            for id in some {
                counts.push(one(space, id).await?);
            }
            continue;
        }
        let lineages: Vec<Option<Lineage>> = lineages
            .iter()
            .map(|record| {
                record.as_ref().map(|record| Ok(Lineage::of_record(record)?.0)).transpose()
            })
            .collect::<Result<_>>()?;
        counts.extend(together(space, &lineages).await?);
    }
    Ok(counts)
}

async fn one(space: &Space, id: &str) -> Result<Option<u64>> {
    let count = async { Views::of(space, id, First::End).next().await?.count().await }.await;
    match count {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// With the heads of all open streams, which one read answers without an entry.
async fn together(space: &Space, lineages: &[Option<Lineage>]) -> Result<Vec<Option<u64>>> {
    let open = lineages.iter().flatten().filter_map(Lineage::open);
    let stretch =
        |stream: &_| Stretch { stream: Clone::clone(stream), from: u64::MAX, to: u64::MAX };
    let stretches: Vec<Stretch> = open.map(|segment| stretch(&segment.stream)).collect();
    let read = Read {
        log: &MESSAGES,
        which: Which::Stretches(stretches),
        reverse: false,
        limit: MAX_LIMIT,
    };
    let mut heads = space.read(&read).await?.heads.into_iter();
    let mut count = |lineage: &Lineage| {
        let open = lineage.open().map_or(0, |open| {
            let last = heads.next().flatten().map_or(0, |head| head.last);
            (last + 1).saturating_sub(open.from)
        });
        lineage.closed_len() + open
    };
    Ok(lineages.iter().map(|lineage| lineage.as_ref().map(&mut count)).collect())
}
