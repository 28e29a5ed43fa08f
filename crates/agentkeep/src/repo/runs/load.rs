//! Putting a run together again.

use std::collections::HashMap;

use super::record::{Part, RunRecord, chained, empty, hash};
use super::write::place;
use crate::driver::{Entry, MAX_LIMIT, Read, Stretch, Which};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::RunSnapshot;
use crate::repo::conversations::pending::Pending;
use crate::repo::space::Space;
use crate::schema::{STEPS, Stream};

/// How often a reader looks again when the run was deleted and begun anew meanwhile.
const ATTEMPTS: u32 = 5;

/// A value in the log, as it stands there.
enum Held<'a> {
    List(Vec<&'a str>),
    Whole(&'a str),
}

/// The record of a run, unless the namespace is going.
pub(super) async fn record(space: &Space, id: &str) -> Result<Option<RunRecord>> {
    let found = space.get_many(&[RunRecord::key(id)?, Pending::key()?]).await?;
    let [Some(record), pending] = found.as_slice() else { return Ok(None) };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(None);
    }
    RunRecord::parse(&record.body).map(Some).map_err(|error| error.at(place(id)))
}

/// The last snapshot of a run, text for text.
pub(super) async fn load(space: &Space, id: &str) -> Result<Option<RunSnapshot>> {
    let mut attempt = 1;
    loop {
        let Some((run, entries)) = read(space, id).await? else { return Ok(None) };
        match assemble(&run, &entries) {
            Some(json) => return Ok(Some(RunSnapshot::stored(json, id, run.status()))),
            // Written over between two reads, or damaged for good.
            None if attempt < ATTEMPTS => attempt += 1,
            None => {
                return Err(Error::new(Kind::Corrupt, "what is kept of the run does not fit")
                    .at(place(id))
                    .advice("check the store"));
            }
        }
    }
}

async fn read(space: &Space, id: &str) -> Result<Option<(RunRecord, Vec<Entry>)>> {
    let keys = [RunRecord::key(id)?, Pending::key()?];
    let stretch = |from| -> Result<Read> {
        let which =
            Which::Stretches(vec![Stretch { stream: Stream::new(id)?, from, to: u64::MAX }]);
        Ok(Read { log: &STEPS, which, reverse: false, limit: MAX_LIMIT })
    };
    let ([record, pending], mut page) = space.get_and_read(keys, &stretch(1)?).await?;
    let Some(record) = record else { return Ok(None) };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(None);
    }
    let run = RunRecord::parse(&record.body).map_err(|error| error.at(place(id)))?;
    let mut entries = std::mem::take(&mut page.entries);
    while page.more {
        let from = entries.last().map_or(1, |entry| entry.number + 1);
        page = space.read(&stretch(from)?).await?;
        entries.append(&mut page.entries);
    }
    // What came after the record was read belongs to a later state.
    entries.retain(|entry| entry.number <= run.last);
    Ok(Some((run, entries)))
}

/// `None` when record and log do not belong together.
fn assemble(run: &RunRecord, entries: &[Entry]) -> Option<Json> {
    if entries.len() as u64 != run.last {
        return None;
    }
    let mut held: HashMap<String, Held<'_>> = HashMap::new();
    for entry in entries {
        let [set, add] = entry.body.raw_members(["set", "add"]).map(Option::unwrap_or_default);
        for (name, value) in Json::members_of(set) {
            let list =
                value.starts_with('[') && matches!(run.parts.get(&name), Some(Part::List(..)));
            let value = if list {
                Held::List(Json::elements_of(value).collect())
            } else {
                Held::Whole(value)
            };
            held.insert(name, value);
        }
        for (name, elements) in Json::members_of(add) {
            match held.entry(name).or_insert_with(|| Held::List(Vec::new())) {
                Held::List(list) => list.extend(Json::elements_of(elements)),
                Held::Whole(_) => {}
            }
        }
    }
    let mut out = String::with_capacity(entries.iter().map(|entry| entry.body.len()).sum());
    out.push('{');
    for (place, (name, value)) in run.members.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(Json::string(name).as_str());
        out.push(':');
        match (run.parts.get(name), held.get(name)) {
            (None, _) => out.push_str(value.as_str()),
            (Some(Part::Whole(expected)), Some(Held::Whole(value))) if hash(value) == *expected => {
                out.push_str(value);
            }
            (Some(Part::List(n, expected)), Some(Held::List(list))) => {
                list_into(&mut out, list, *n, expected)?;
            }
            _ => return None,
        }
    }
    out.push('}');
    Some(Json::assembled(out))
}

fn list_into(out: &mut String, list: &[&str], n: u64, expected: &str) -> Option<()> {
    let mut chain = empty();
    out.push('[');
    for (place, element) in list.iter().enumerate() {
        chain = chained(&chain, element);
        if place > 0 {
            out.push(',');
        }
        out.push_str(element);
    }
    out.push(']');
    (list.len() as u64 == n && chain == expected).then_some(())
}
