//! Sessions.

use super::delete::DeleteSession;
use super::fork::{self, At, ForkSession};
use super::images::merge;
use super::lists;
use super::save::{Change, SaveIntent, SaveOptions, UpdateIntent};
use super::view::not_found;
use super::{collect, counts};
use crate::error::Result;
use crate::json::Json;
use crate::model::Session;
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::repo::unit::Unit;

/// The sessions of a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    space: &'a Space,
}

impl<'a> Sessions<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Writes a session as it is given, over whatever was there; its messages stay. Its image and
    /// container must exist.
    ///
    /// # Errors
    /// `MissingParent`.
    pub async fn save(&self, session: Session) -> Result<()> {
        self.save_with(session, SaveOptions::default()).await
    }

    /// Writes a session under a condition, or without looking for its parents.
    ///
    /// # Errors
    /// `AlreadyExists` or `Conflict`, as the condition says; `MissingParent`.
    pub async fn save_with(&self, session: Session, options: SaveOptions) -> Result<()> {
        self.commit(SaveIntent { value: session, options }).await
    }

    /// Reads a session, changes it, and writes it unless somebody else was faster, in which case
    /// it is read and changed again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` after five attempts; what `change` gives.
    pub async fn update(
        &self,
        id: &str,
        change: impl Fn(Session) -> Result<Session> + Send + Sync + 'static,
    ) -> Result<()> {
        let change: Change<Session> = std::sync::Arc::new(change);
        self.commit(UpdateIntent { id: id.to_owned(), change, what: String::new() }).await
    }

    /// Merges `patch` into the session's metadata, as for
    /// [`Images::merge_metadata`](crate::Images::merge_metadata).
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when the patch or the metadata is no object; `Conflict` after
    /// five attempts.
    pub async fn merge_metadata(&self, id: &str, patch: &Json, remove: &[&str]) -> Result<()> {
        self.commit(merge::<Session>(id, patch, remove)).await
    }

    /// A session; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get(&self, id: &str) -> Result<Option<Session>> {
        Ok(self.get_versioned(id).await?.map(|(session, _)| session))
    }

    /// A session with its version, for [`Save::At`](crate::driver::Save::At).
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_versioned(&self, id: &str) -> Result<Option<(Session, u64)>> {
        lists::get(self.space, id).await
    }

    /// Whether there is such a session.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn exists(&self, id: &str) -> Result<bool> {
        Ok(self.get_versioned(id).await?.is_some())
    }

    /// A page of all sessions, newest first, then by id.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn list(&self, list: &List) -> Result<Page<Session>> {
        lists::page(self.space, "newest", None, list).await
    }

    /// All sessions, newest first, then by id.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn all(&self) -> Result<Vec<Session>> {
        lists::all(self.space, "newest", None).await
    }

    /// A page of the sessions of exactly this image, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_image(&self, image_id: &str, list: &List) -> Result<Page<Session>> {
        lists::page(self.space, "by_image", Some(image_id), list).await
    }

    /// A page of the sessions in exactly this container, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_container(&self, container_id: &str, list: &List) -> Result<Page<Session>> {
        lists::page(self.space, "by_container", Some(container_id), list).await
    }

    /// A page of the sessions with this tag, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_tag(&self, tag: &str, list: &List) -> Result<Page<Session>> {
        lists::page(self.space, "by_tag", Some(tag), list).await
    }

    /// How many messages each of these sessions has, in their order; `None` for those that are not
    /// there. For lists: all of them in a few calls.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn message_counts(&self, ids: &[&str]) -> Result<Vec<Option<u64>>> {
        counts::of(self.space, ids).await
    }

    /// Forks a session: a copy of its record under `new_id` that shares the messages up to `at`.
    /// Costs the same for 10 messages or 1,000,000, and survives the deletion of the original.
    ///
    /// # Errors
    /// `NotFound` without the session or the message; `AlreadyExists` when the new id is taken.
    pub async fn fork(&self, id: &str, at: At, new_id: &str) -> Result<Session> {
        let session = self.get(id).await?.ok_or_else(|| not_found(id))?;
        let session = fork::session_copy(&session, new_id, None)?;
        let fork = ForkSession { from: id.to_owned(), at, session: session.clone() };
        self.commit(fork).await?;
        Ok(session)
    }

    /// Deletes a session with its messages. False when there was none. Forks keep what they share.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn delete(&self, id: &str) -> Result<bool> {
        let intent = DeleteSession { id: id.to_owned(), erase: false };
        let done = Unit::new(self.space.clone()).with(intent).commit().await?;
        collect::collect(self.space).await?;
        Ok(done.deleted)
    }

    async fn commit(&self, intent: impl crate::repo::plan::Intent + 'static) -> Result<()> {
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }
}

/// Changes of sessions within a unit of work.
#[derive(Debug)]
pub struct UnitSessions<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitSessions<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Writes a session as it is given.
    pub fn save(&mut self, session: Session) -> &mut Self {
        self.save_with(session, SaveOptions::default())
    }

    /// Writes a session under a condition, or without looking for its parents.
    pub fn save_with(&mut self, session: Session, options: SaveOptions) -> &mut Self {
        self.unit.push(SaveIntent { value: session, options });
        self
    }

    /// Merges `patch` into the session's metadata and takes the keys `remove` out.
    pub fn merge_metadata(&mut self, id: &str, patch: &Json, remove: &[&str]) -> &mut Self {
        self.unit.push(merge::<Session>(id, patch, remove));
        self
    }

    /// Deletes a session with its messages.
    pub fn delete(&mut self, id: &str) -> &mut Self {
        self.unit.push(DeleteSession { id: id.to_owned(), erase: false });
        self
    }
}
