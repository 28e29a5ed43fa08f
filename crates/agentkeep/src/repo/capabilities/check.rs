//! Checking that every list of tool references that something names is there, and is what it is called
//! after.

use std::collections::{BTreeSet, HashSet};

use super::kept::damaged;
use super::{parts, toolsets};
use crate::driver::{CheckReport, Find, Hash, Record};
use crate::error::{Kind, Result};
use crate::json::Json;
use crate::repo::space::Space;
use crate::schema::{ENVELOPES, LINKS, TOOL_SNAPSHOTS};

/// Records looked at in one call.
const PAGE: usize = 500;

pub(crate) async fn check(space: &Space, report: &mut CheckReport) -> Result<()> {
    let mut sound = HashSet::new();
    for table in [&LINKS, &TOOL_SNAPSHOTS, &ENVELOPES] {
        let mut find = Find::by(table, "key")?.limit(PAGE);
        loop {
            let page = match space.find(&find).await {
                Ok(page) => page,
                // The driver has told of it, and what comes behind it cannot be read here.
                Err(error) if error.kind() == Kind::Corrupt => {
                    report.damaged(
                        format!("{:?} {}", space.namespace(), table.name),
                        error.message(),
                    );
                    break;
                }
                Err(error) => return Err(error),
            };
            of_page(space, &page.records, &mut sound, report).await?;
            match page.next {
                Some(next) => find.after = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}

/// `sound`: the lists that have been looked at.
async fn of_page(
    space: &Space,
    records: &[Record],
    sound: &mut HashSet<Hash>,
    report: &mut CheckReport,
) -> Result<()> {
    let place = |record: &Record| format!("{:?} {}", space.namespace(), record.key);
    let mut all = Vec::with_capacity(records.len());
    for record in records {
        match names(record) {
            Ok(lists) => all.push((record, lists)),
            Err(error) => report.damaged(place(record), error.message()),
        }
    }
    let every = all.iter().flat_map(|(_, lists)| lists);
    let new: BTreeSet<Hash> = every.filter(|name| !sound.contains(*name)).copied().collect();
    let mut others = HashSet::new();
    for name in new {
        match list(space, &name).await? {
            Some(refs) if toolsets::name(&refs) == name => sound.insert(name),
            Some(_) => others.insert(name),
            None => continue,
        };
    }
    for (record, names) in all {
        for name in names.iter().filter(|name| !sound.contains(*name)) {
            // What has been removed since it was read lacks nothing.
            if space.get(&record.key).await?.is_none() {
                break;
            }
            let how = if others.contains(name) { "is another one" } else { "is missing" };
            report.damaged(place(record), format!("its list of tools {name} {how}"));
        }
    }
    Ok(())
}

/// A list; `null`, which is no list, for one that is damaged.
async fn list(space: &Space, name: &Hash) -> Result<Option<Json>> {
    match toolsets::lists(space, &[*name]).await {
        Ok(mut lists) => Ok(lists.remove(name)),
        Err(error) if error.kind() == Kind::Corrupt => Ok(Some(Json::null())),
        Err(error) => Err(error),
    }
}

/// The lists that a record names.
fn names(record: &Record) -> Result<Vec<Hash>> {
    if record.key.table().name == ENVELOPES.name {
        let places = record.body.member("parts").ok_or_else(|| damaged(&record.key))?;
        return parts::lists(&places, &record.refs);
    }
    let Some(name) = record.body.member("toolset") else { return Ok(Vec::new()) };
    let name = name.to_text().and_then(|name| Hash::from_hex(&name).ok());
    Ok(vec![name.ok_or_else(|| damaged(&record.key))?])
}
