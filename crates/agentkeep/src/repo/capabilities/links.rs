//! Links: one for each turn of a session.

use std::ops::Bound;

use super::again::Marks;
use super::kept::{Kept, body, damaged, kept, other_row, save};
use super::toolsets::{self, Listed};
use crate::driver::{
    Append, Entry, Expect, Find, Known, NewEntry, Operation, Read, Record, Stretch, Which,
};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::{LinkRow, OpContext};
use crate::repo::conversations::pending::Pending;
use crate::repo::pages::{List, Page};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::{AGENT_LINKS, Key, LINKS, Log, SESSION_LINKS, Stream, Value, check_id};

/// A page of links by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPage {
    /// The links, oldest first.
    pub links: Vec<Kept<LinkRow>>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<u64>,
}

pub(super) fn key(id: &str) -> Result<Key> {
    check_id("link", id)?;
    Key::new(&LINKS, [id])
}

/// Plans to record a link; nothing when it is there already, as it is. Answers the list that has its tools,
/// which is kept in any case.
pub(super) async fn plan(
    plan: &mut Plan<'_>,
    op: &OpContext,
    (row, new): &(LinkRow, bool),
    envelope: Option<&str>,
) -> Result<Option<Listed>> {
    let id = row.id().unwrap_or_default();
    let key = key(&id)?;
    let (rest, listed) = toolsets::take_out(plan, row).await?;
    let toolset = listed.as_ref().map(Listed::told);
    // As for other rows, the first plan takes it for new.
    if !new
        && plan.again
        && let Some(known) = plan.get(&key).await?
    {
        let same =
            known.body.member("row") == Some(rest) && known.body.member("toolset") == toolset;
        plan.expect(Expect::Exists(key), Guard::Retry);
        return if same { Ok(listed) } else { Err(other_row("link", &id)) };
    }
    let how = save(plan, &key, *new);
    let marks = Marks::of(plan, &key, &rest, toolset.as_ref())?;
    let told =
        |mark: fn(&Marks) -> bool| marks.as_ref().is_some_and(mark).then(|| Json::boolean(true));
    let more = [
        ("again", told(|marks| marks.again)),
        ("invokedAgain", told(|marks| marks.invoked_again)),
        ("toolset", toolset),
        ("envelope", envelope.map(Json::string)),
    ];
    plan.put(key, body(&rest, op, &more), how)?;
    if let Some(marks) = marks {
        marks.hold(plan);
    }
    let mut entry = ObjectEditor::default();
    entry.set("link", &Json::string(&id));
    let entry = entry.finish();
    for (log, stream) in [(&SESSION_LINKS, row.session_id()), (&AGENT_LINKS, row.agent_id())] {
        plan.push(Operation::Append(Append {
            log,
            stream: Stream::new(&stream)?,
            entries: vec![NewEntry { id: None, body: entry.clone(), refs: Vec::new() }],
            known: Known::Refuse,
            start: None,
        }));
    }
    Ok(listed)
}

/// The links in these records, whole.
pub(super) async fn whole(space: &Space, records: &[&Record]) -> Result<Vec<Kept<LinkRow>>> {
    let rows = toolsets::put_in(space, records).await?;
    records.iter().zip(rows).map(|(record, row)| kept(record, row, "envelope")).collect()
}

pub(super) async fn get(space: &Space, id: &str) -> Result<Option<Kept<LinkRow>>> {
    let Some(record) = space.get(&key(id)?).await? else { return Ok(None) };
    Ok(whole(space, &[&record]).await?.pop())
}

async fn of_entries(space: &Space, entries: &[Entry]) -> Result<Vec<Kept<LinkRow>>> {
    let keys = entries.iter().map(|entry| {
        let id = entry.body.member("link").and_then(|link| link.to_text());
        key(&id.unwrap_or_default())
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let records = space.get_many(&keys).await?;
    let missing = records.iter().position(Option::is_none);
    if let Some(missing) = missing {
        return Err(damaged(&keys[missing]));
    }
    let records: Vec<&Record> = records.iter().flatten().collect();
    whole(space, &records).await
}

fn stretch(
    log: &'static Log,
    stream: &str,
    from: u64,
    reverse: bool,
    limit: usize,
) -> Result<Read> {
    let stream = Stream::new(stream)?;
    let which = Which::Stretches(vec![Stretch { stream, from, to: u64::MAX }]);
    Ok(Read { log, which, reverse, limit })
}

/// The last entry of a session, and its number; 0 when there is none.
pub(super) async fn last(space: &Space, session: &str) -> Result<(u64, Option<Kept<LinkRow>>)> {
    let read = stretch(&SESSION_LINKS, session, 1, true, 1)?;
    let ([pending], found) = space.get_and_read([Pending::key()?], &read).await?;
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok((0, None));
    }
    let number = found.heads.first().and_then(Option::as_ref).map_or(0, |head| head.last);
    Ok((number, of_entries(space, &found.entries).await?.pop()))
}

/// The last link of a session that was recorded at `time` or before it.
pub(super) async fn before(
    space: &Space,
    session: &str,
    time: i64,
    page: usize,
) -> Result<Option<Kept<LinkRow>>> {
    let stream = Stream::new(session)?;
    let mut to = u64::MAX;
    loop {
        let which = Which::Stretches(vec![Stretch { stream: stream.clone(), from: 1, to }]);
        let read = Read { log: &SESSION_LINKS, which, reverse: true, limit: page };
        let found = space.read(&read).await?;
        if let Some(entry) = found.entries.iter().find(|entry| entry.time <= time) {
            return Ok(of_entries(space, std::slice::from_ref(entry)).await?.pop());
        }
        match found.entries.last().filter(|last| last.number > 1) {
            Some(last) => to = last.number - 1,
            None => return Ok(None),
        }
    }
}

/// A page of a log of links, from a place counted from 0.
async fn page(
    space: &Space,
    log: &'static Log,
    stream: &str,
    from: u64,
    limit: usize,
) -> Result<LinkPage> {
    let read = stretch(log, stream, from.saturating_add(1), false, limit)?;
    read.validate()?;
    let ([pending], found) = space.get_and_read([Pending::key()?], &read).await?;
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(LinkPage { links: Vec::new(), next: None });
    }
    let links = of_entries(space, &found.entries).await?;
    let next = found.entries.last().filter(|_| found.more).map(|entry| entry.number);
    Ok(LinkPage { links, next })
}

pub(super) async fn of_agent(
    space: &Space,
    agent: &str,
    from: u64,
    limit: usize,
) -> Result<LinkPage> {
    check_id("agent", agent)?;
    page(space, &AGENT_LINKS, agent, from, limit).await
}

pub(super) async fn of_session(
    space: &Space,
    session: &str,
    from: u64,
    limit: usize,
) -> Result<LinkPage> {
    check_id("session", session)?;
    page(space, &SESSION_LINKS, session, from, limit).await
}

/// An agent's links by their time.
pub(super) async fn between(
    space: &Space,
    agent: &str,
    (since, before): (Option<i64>, Option<i64>),
    list: &List,
) -> Result<Page<Kept<LinkRow>>> {
    check_id("agent", agent)?;
    let mut find = Find::by(&LINKS, "by_agent")?.equal(Value::text(agent));
    find.range.0 = since.map_or(Bound::Unbounded, |at| Bound::Included(Value::integer(at)));
    find.range.1 = before.map_or(Bound::Unbounded, |at| Bound::Excluded(Value::integer(at)));
    let found = space.find(&find.limit(list.limit()).after(list.continuation()?)).await?;
    let records: Vec<&Record> = found.records.iter().collect();
    let items = whole(space, &records).await?;
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}
