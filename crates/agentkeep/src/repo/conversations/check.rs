//! Checking what the driver cannot know: that lineages, sessions, deletions and lists of tools fit
//! together.

use super::lineage::Lineage;
use super::pending::{Pending, RootKind};
use crate::driver::{CheckReport, Find};
use crate::error::{Kind, Result};
use crate::json::Json;
use crate::repo::capabilities;
use crate::repo::space::Space;
use crate::schema::{DELETIONS, GARBAGE, Key, LINEAGES, NAMESPACES, SESSIONS, STREAMS, check_id};

/// All namespaces.
pub(crate) async fn namespaces(space: &Space) -> Result<Vec<String>> {
    let records = space.find_all(Find::by(&NAMESPACES, "key")?).await?;
    Ok(records.into_iter().map(|record| record.key.first().to_owned()).collect())
}

/// The driver's own check, and ours for every namespace.
pub(crate) async fn check(space: &Space) -> Result<CheckReport> {
    let mut report = space.driver().check().await?;
    // The driver has told what is damaged; what cannot be read for it keeps nothing else from being
    // looked at.
    let mut all = Vec::new();
    let listed = namespaces(space).await.map(|names| all = names);
    noted(listed, "the namespaces", &mut report)?;
    for namespace in all {
        if check_id("namespace", &namespace).is_err() {
            report.damaged(format!("namespace {namespace:?}"), "its name is no valid id");
            continue;
        }
        let space = space.sibling(crate::schema::Namespace::new(&namespace)?);
        let place = |what: &str| format!("{:?} {what}", space.namespace());
        let pending = Pending::load(&space).await.map(|pending| pending.hides_all());
        // What is still being copied, or removed as a whole, need not fit together.
        if let Ok(false) = pending {
            let looked = lineages(&space, &mut report).await;
            noted(looked, &place("sessions and lineages"), &mut report)?;
            capabilities::check::check(&space, &mut report).await?;
        }
        noted(pending.map(|_| ()), &place(DELETIONS.name), &mut report)?;
        let looked = due(&space, &mut report).await;
        noted(looked, &place("what is due"), &mut report)?;
    }
    Ok(report)
}

/// What could not be read because it is damaged, as a finding.
fn noted(looked: Result<()>, place: &str, report: &mut CheckReport) -> Result<()> {
    match looked {
        Err(error) if error.kind() == Kind::Corrupt => {
            let place = error.place().map_or(place.to_owned(), |at| format!("{place}: {at}"));
            report.damaged(place, error.message());
            Ok(())
        }
        other => other,
    }
}

async fn lineages(space: &Space, report: &mut CheckReport) -> Result<()> {
    let place = |what: &str| format!("{:?} {what}", space.namespace());
    for record in space.find_all(Find::by(&LINEAGES, "key")?).await? {
        let id = record.key.first().to_owned();
        if space.get(&Key::new(&SESSIONS, [id.as_str()])?).await?.is_none() {
            report.damaged(place(&format!("lineage {id:?}")), "there is no such session");
        }
        match Lineage::of_record(&record) {
            Ok((lineage, _)) => segments(space, &id, &lineage, report).await?,
            Err(error) => report.damaged(place(&format!("lineage {id:?}")), error.message()),
        }
    }
    for record in space.find_all(Find::by(&SESSIONS, "key")?).await? {
        let id = record.key.first();
        if space.get(&Key::new(&LINEAGES, [id])?).await?.is_none() {
            report.damaged(place(&format!("session {id:?}")), "it has no lineage");
        }
    }
    Ok(())
}

/// Closed segments must lie within what their streams hold.
async fn segments(
    space: &Space,
    id: &str,
    lineage: &Lineage,
    report: &mut CheckReport,
) -> Result<()> {
    for segment in &lineage.segments {
        let Some(to) = segment.to else { continue };
        let key = Key::new(&STREAMS, ["messages", segment.stream.as_str()])?;
        let head = space.get(&key).await?;
        let number = |field| {
            let member = head.as_ref().and_then(|head| head.body.member(field));
            member.as_ref().and_then(Json::to_i64).and_then(|n| u64::try_from(n).ok())
        };
        let holds = number("first").is_some_and(|first| first <= segment.from)
            && number("last").is_some_and(|last| to <= last);
        if !holds {
            let place = format!("{:?} session {id:?}", space.namespace());
            let what = format!("messages of stream {} are missing", segment.stream);
            report.damaged(place, what);
        }
    }
    Ok(())
}

async fn due(space: &Space, report: &mut CheckReport) -> Result<()> {
    let pending = Pending::load(space).await?;
    for import in &pending.imports {
        report.due(format!("{:?} import {:?}", space.namespace(), import.id), import.stage.due());
    }
    for root in &pending.roots {
        let what = match root.kind {
            RootKind::Copy => "its copy is not finished: fork, rename or copy again, or delete it",
            RootKind::Move | RootKind::Moved => {
                "the renaming to it is not finished: rename again, or delete the new namespace"
            }
            _ if root.erase => "its erasure is not finished",
            _ => "its deletion is not finished",
        };
        report.due(format!("{:?} {root}", space.namespace()), what);
    }
    for note in space.find_all(Find::by(&GARBAGE, "key")?).await? {
        let place = format!("{:?} stream {}", space.namespace(), note.key.first());
        report.due(place, "it may hold deleted messages");
    }
    Ok(())
}
