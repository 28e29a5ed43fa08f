//! Deleting containers, images, sessions; and erasing what belongs to one person.

use async_trait::async_trait;

use super::collect::{self, Collected};
use super::pending::{Root, RootKind};
use super::sweep;
use crate::driver::{Expect, Operation};
use crate::error::{Error, Kind, Result};
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{CONTAINERS, IMAGES, Key, MAX_INDEXED_TEXT, SESSIONS, Table, Value};

/// How far a deletion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Refused while something belongs to it.
    Alone,
    /// With all that belongs to it.
    Cascade,
    /// With all that belongs to it, and the content must be gone.
    Erase,
}

/// Deletes a container.
#[derive(Debug)]
pub(crate) struct DeleteContainer {
    pub(crate) id: String,
    pub(crate) reach: Reach,
}

/// Deletes an image.
#[derive(Debug)]
pub(crate) struct DeleteImage {
    pub(crate) id: String,
    pub(crate) reach: Reach,
}

/// Deletes a session with its messages.
#[derive(Debug)]
pub(crate) struct DeleteSession {
    pub(crate) id: String,
    pub(crate) erase: bool,
}

/// Takes away all that has a tag.
#[derive(Debug)]
struct EraseTag {
    tag: String,
}

#[async_trait]
impl Intent for DeleteContainer {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        if self.reach == Reach::Alone {
            let place = format!("container {:?}", self.id);
            plan.settled().await?;
            expect_none(plan, &IMAGES, "by_container", &self.id, &place, "images")?;
            expect_none(plan, &SESSIONS, "by_container", &self.id, &place, "sessions")?;
        } else {
            list_root(plan, RootKind::Container, &self.id, self.reach).await?;
        }
        plan.push(Operation::Delete(Key::new(&CONTAINERS, [self.id.as_str()])?));
        Ok(())
    }
}

#[async_trait]
impl Intent for DeleteImage {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        if self.reach == Reach::Alone {
            let place = format!("image {:?}", self.id);
            plan.settled().await?;
            expect_none(plan, &SESSIONS, "by_image", &self.id, &place, "sessions")?;
        } else {
            list_root(plan, RootKind::Image, &self.id, self.reach).await?;
        }
        plan.push(Operation::Delete(Key::new(&IMAGES, [self.id.as_str()])?));
        Ok(())
    }
}

#[async_trait]
impl Intent for DeleteSession {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        take_session(plan, &self.id, self.erase).await
    }
}

#[async_trait]
impl Intent for EraseTag {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        list_root(plan, RootKind::Tag, &self.tag, Reach::Erase).await
    }
}

/// Deletes a session, its lineage, and notes its streams as garbage.
pub(super) async fn take_session(plan: &mut Plan<'_>, id: &str, erase: bool) -> Result<()> {
    if let Some(planned) = plan.lineage(id).await? {
        for stream in planned.lineage.clone().streams() {
            sweep::note(plan, stream, erase)?;
        }
        plan.delete_lineage(id);
    }
    plan.push(Operation::Delete(Key::new(&SESSIONS, [id])?));
    Ok(())
}

fn expect_none(
    plan: &mut Plan<'_>,
    table: &'static Table,
    index: &str,
    id: &str,
    place: &str,
    what: &str,
) -> Result<()> {
    let index = crate::driver::Find::by(table, index)?.index;
    let error = Error::new(Kind::Conflict, format!("it still has {what}"))
        .at(place)
        .retryable(false)
        .advice(format!("delete its {what} first, or cascade"));
    plan.expect(Expect::NoRecord(table, index, Value::text(id)), Guard::Answer(error));
    Ok(())
}

async fn list_root(plan: &mut Plan<'_>, kind: RootKind, id: &str, reach: Reach) -> Result<()> {
    let mut pending = (*plan.settled().await?).clone();
    pending.roots.push(Root { kind, id: id.to_owned(), erase: reach == Reach::Erase });
    plan.set_pending(pending)
}

/// Deletes, then collects what the deletion left due.
pub(crate) async fn run(space: &Space, intent: impl Intent + 'static) -> Result<(bool, Collected)> {
    let done = Unit::new(space.clone()).with(intent).commit().await?;
    Ok((done.deleted, collect::collect(space).await?))
}

/// Erases what has a tag.
pub(crate) async fn erase_tag(space: &Space, tag: &str) -> Result<Collected> {
    // A tag may be any text that can stand in an index, whatever the rule for ids says.
    if tag.len() > MAX_INDEXED_TEXT {
        return Err(Error::new(Kind::TooLarge, format!("the tag has {} bytes", tag.len()))
            .advice(format!("a tag has at most {MAX_INDEXED_TEXT} bytes")));
    }
    Ok(run(space, EraseTag { tag: tag.to_owned() }).await?.1)
}
