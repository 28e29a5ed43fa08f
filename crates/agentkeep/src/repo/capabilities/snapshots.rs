//! Runtime snapshots, envelopes and transitions.

use super::kept::{Kept, Row, body, damaged, kept, other_row, plain, save};
use super::parts::{self, Parts};
use super::toolsets::Listed;
use super::{links, toolsets};
use crate::driver::{Expect, Find, Operation, Put, Record};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{EnvelopeRow, OpContext, RuntimeSnapshotRow, TransitionRow};
use crate::repo::pages::{List, Page};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::{ENVELOPES, Key, TOOL_SNAPSHOTS, TRANSITIONS, Table, Value, check_id};

fn key<T: Row>(table: &'static Table, id: &str) -> Result<Key> {
    check_id(T::ID, id)?;
    Key::new(table, [id])
}

/// True when the id is known and its record holds the same; an error when it holds something else.
/// The first plan takes it for new, which the commit checks, so nearly all rows are not looked for.
async fn is_known(
    plan: &mut Plan<'_>,
    key: &Key,
    what: &str,
    same: impl Fn(&Json) -> bool,
) -> Result<bool> {
    if !plan.again {
        return Ok(false);
    }
    let Some(known) = plan.get(key).await? else { return Ok(false) };
    if !same(&known.body) {
        return Err(other_row(what, key.first()));
    }
    plan.expect(Expect::Exists(key.clone()), Guard::Retry);
    Ok(true)
}

pub(super) async fn plan_runtime(
    plan: &mut Plan<'_>,
    op: &OpContext,
    (row, new): &(RuntimeSnapshotRow, bool),
) -> Result<()> {
    let key = key::<RuntimeSnapshotRow>(&TOOL_SNAPSHOTS, &row.id().unwrap_or_default())?;
    let (rest, listed) = toolsets::take_out(plan, row).await?;
    let toolset = listed.as_ref().map(Listed::told);
    let same = |body: &Json| {
        body.member("row").as_ref() == Some(&rest) && body.member("toolset") == toolset
    };
    if !new && is_known(plan, &key, "runtime snapshot", same).await? {
        return Ok(());
    }
    let how = save(plan, &key, *new);
    plan.put(key, body(&rest, op, &[("toolset", toolset)]), how)
}

/// Plans to record an envelope. `listed` is what the same plan keeps of the link's tools.
pub(super) async fn plan_envelope(
    plan: &mut Plan<'_>,
    op: &OpContext,
    (row, new): &(EnvelopeRow, bool),
    link: Option<&str>,
    listed: Option<&Listed>,
) -> Result<()> {
    let key = key::<EnvelopeRow>(&ENVELOPES, &row.id().unwrap_or_default())?;
    let (rest, parts) = Parts::of_row(row.json(), Row::long(row), listed);
    let same = |body: &Json| {
        body.member("row").as_ref() == Some(&rest)
            && body.member("envelope").as_ref() == Some(&parts.rest)
            && body.member("parts").as_ref() == Some(&parts.places)
    };
    if !new && is_known(plan, &key, "envelope", same).await? {
        return Ok(());
    }
    for (name, refs) in &parts.toolsets {
        toolsets::keep(plan, name, refs).await?;
    }
    let how = save(plan, &key, *new);
    let refs = parts.refs();
    let more = [
        ("envelope", Some(parts.rest)),
        ("parts", Some(parts.places)),
        ("link", link.map(Json::string)),
    ];
    let mut put = Put::new(key, body(&rest, op, &more), how)?;
    put.refs = refs;
    for blob in parts.blobs {
        plan.push(Operation::PutBlob(blob));
    }
    plan.push(Operation::Put(put));
    Ok(())
}

/// Plans to record a transition. `recorded` is the link that the same plan records.
pub(super) async fn plan_transition(
    plan: &mut Plan<'_>,
    op: &OpContext,
    (row, new): &(TransitionRow, bool),
    recorded: Option<&str>,
) -> Result<()> {
    let key = key::<TransitionRow>(&TRANSITIONS, &row.id().unwrap_or_default())?;
    let same = |body: &Json| body.member("row").as_ref() == Some(row.json());
    if !new && is_known(plan, &key, "transition", same).await? {
        return Ok(());
    }
    for id in [row.from_link(), row.to_link()] {
        if recorded == Some(id.as_str()) {
            continue;
        }
        let link = links::key(&id)?;
        let of = plan.get(&link).await?.ok_or_else(|| unknown_link(&id))?;
        let session = of.body.member("row").and_then(|row| row.member("sessionId"));
        if session != Some(Json::string(&row.session_id())) {
            let message = format!("the link {id:?} is of another session than the transition");
            return Err(Error::new(Kind::InvalidInput, message)
                .advice("a transition is between two links of one session"));
        }
        plan.expect(Expect::Exists(link), Guard::Answer(unknown_link(&id)));
    }
    let how = save(plan, &key, *new);
    plan.put(key, body(row.json(), op, &[]), how)
}

fn unknown_link(id: &str) -> Error {
    Error::new(Kind::MissingParent, "the transition names a link that is not there")
        .at(format!("link {id:?}"))
        .advice("record the link first, or both in one turn")
}

async fn envelope(space: &Space, record: &Record) -> Result<Kept<EnvelopeRow>> {
    let member = |name: &str| record.body.member(name).ok_or_else(|| damaged(&record.key));
    let (rest, places) = (member("envelope")?, member("parts")?);
    let envelope = parts::whole(space, &rest, &places, &record.refs).await;
    let envelope = envelope.map_err(|error| error.at(record.key.to_string()))?;
    let mut row = ObjectEditor::of(&member("row")?);
    row.set("envelope", &envelope);
    kept(record, row.finish(), "link")
}

pub(super) async fn get_envelope(space: &Space, id: &str) -> Result<Option<Kept<EnvelopeRow>>> {
    match space.get(&key::<EnvelopeRow>(&ENVELOPES, id)?).await? {
        Some(record) => envelope(space, &record).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn get_runtime(
    space: &Space,
    id: &str,
) -> Result<Option<Kept<RuntimeSnapshotRow>>> {
    let key = key::<RuntimeSnapshotRow>(&TOOL_SNAPSHOTS, id)?;
    let Some(record) = space.get(&key).await? else { return Ok(None) };
    let row = toolsets::put_in(space, &[&record]).await?.pop().ok_or_else(|| damaged(&key))?;
    kept(&record, row, "").map(Some)
}

pub(super) async fn get_transition(space: &Space, id: &str) -> Result<Option<Kept<TransitionRow>>> {
    let record = space.get(&key::<TransitionRow>(&TRANSITIONS, id)?).await?;
    record.as_ref().map(plain).transpose()
}

fn of_session(table: &'static Table, session: &str) -> Result<Find> {
    check_id("session", session)?;
    Ok(Find::by(table, "by_session")?.equal(Value::text(session)))
}

pub(super) async fn envelopes(
    space: &Space,
    session: &str,
    list: &List,
) -> Result<Page<Kept<EnvelopeRow>>> {
    let find = of_session(&ENVELOPES, session)?.limit(list.limit()).after(list.continuation()?);
    let found = space.find(&find).await?;
    let mut items = Vec::with_capacity(found.records.len());
    for record in &found.records {
        items.push(envelope(space, record).await?);
    }
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

pub(super) async fn runtimes(
    space: &Space,
    session: &str,
    list: &List,
) -> Result<Page<Kept<RuntimeSnapshotRow>>> {
    let find = of_session(&TOOL_SNAPSHOTS, session)?;
    let found = space.find(&find.limit(list.limit()).after(list.continuation()?)).await?;
    let records: Vec<&Record> = found.records.iter().collect();
    let rows = toolsets::put_in(space, &records).await?;
    let items = records.iter().zip(rows).map(|(record, row)| kept(record, row, ""));
    let items = items.collect::<Result<_>>()?;
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

pub(super) async fn transitions(
    space: &Space,
    session: &str,
    list: &List,
) -> Result<Page<Kept<TransitionRow>>> {
    let find = of_session(&TRANSITIONS, session)?;
    let found = space.find(&find.limit(list.limit()).after(list.continuation()?)).await?;
    let items = found.records.iter().map(plain).collect::<Result<_>>()?;
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

/// All transitions of a session, oldest first.
pub(super) async fn all_transitions(
    space: &Space,
    session: &str,
) -> Result<Vec<Kept<TransitionRow>>> {
    let records = space.find_all(of_session(&TRANSITIONS, session)?).await?;
    records.iter().map(plain).collect()
}
