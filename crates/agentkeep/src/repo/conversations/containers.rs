//! Containers.

use super::collect::Collected;
use super::delete::{self, DeleteContainer, Reach};
use super::lists;
use super::save::{Change, SaveIntent, SaveOptions, UpdateIntent};
use crate::error::Result;
use crate::model::Container;
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::repo::unit::Unit;

/// The containers of a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Containers<'a> {
    space: &'a Space,
}

impl<'a> Containers<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Writes a container as it is given, over whatever was there.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn save(&self, container: Container) -> Result<()> {
        self.save_with(container, SaveOptions::default()).await
    }

    /// Writes a container under a condition.
    ///
    /// # Errors
    /// `AlreadyExists` or `Conflict`, as the condition says.
    pub async fn save_with(&self, container: Container, options: SaveOptions) -> Result<()> {
        let intent = SaveIntent { value: container, options };
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }

    /// Reads a container, changes it, and writes it unless somebody else was faster, in which
    /// case it is read and changed again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` after five attempts; what `change` gives.
    pub async fn update(
        &self,
        id: &str,
        change: impl Fn(Container) -> Result<Container> + Send + Sync + 'static,
    ) -> Result<()> {
        let change: Change<Container> = std::sync::Arc::new(change);
        let intent = UpdateIntent { id: id.to_owned(), change, what: String::new() };
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }

    /// A container; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get(&self, id: &str) -> Result<Option<Container>> {
        Ok(self.get_versioned(id).await?.map(|(container, _)| container))
    }

    /// A container with its version, for [`Save::At`](crate::driver::Save::At).
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_versioned(&self, id: &str) -> Result<Option<(Container, u64)>> {
        lists::get(self.space, id).await
    }

    /// Whether there is such a container.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn exists(&self, id: &str) -> Result<bool> {
        Ok(self.get_versioned(id).await?.is_some())
    }

    /// A page of all containers, newest first, then by id.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn list(&self, list: &List) -> Result<Page<Container>> {
        lists::page(self.space, "newest", None, list).await
    }

    /// All containers, newest first, then by id.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn all(&self) -> Result<Vec<Container>> {
        lists::all(self.space, "newest", None).await
    }

    /// Deletes a container that has no images and no sessions. False when there was none.
    ///
    /// # Errors
    /// `Conflict` while it has some.
    pub async fn delete(&self, id: &str) -> Result<bool> {
        self.remove(id, Reach::Alone).await.map(|(existed, _)| existed)
    }

    /// Deletes a container with all its images and sessions: gone in one commit, whatever the
    /// size, and collected before this returns. After an interruption
    /// [`Store::collect`](crate::Store::collect) does the rest.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn delete_cascade(&self, id: &str) -> Result<bool> {
        self.remove(id, Reach::Cascade).await.map(|(existed, _)| existed)
    }

    /// As [`delete_cascade`](Self::delete_cascade), and the attachments that nothing else refers
    /// to go at once. Messages that a fork in another container shares stay with the fork.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn erase(&self, id: &str) -> Result<Collected> {
        self.remove(id, Reach::Erase).await.map(|(_, collected)| collected)
    }

    async fn remove(&self, id: &str, reach: Reach) -> Result<(bool, Collected)> {
        delete::run(self.space, DeleteContainer { id: id.to_owned(), reach }).await
    }
}

/// Changes of containers within a unit of work.
#[derive(Debug)]
pub struct UnitContainers<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitContainers<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Writes a container as it is given.
    pub fn save(&mut self, container: Container) -> &mut Self {
        self.save_with(container, SaveOptions::default())
    }

    /// Writes a container under a condition.
    pub fn save_with(&mut self, container: Container, options: SaveOptions) -> &mut Self {
        self.unit.push(SaveIntent { value: container, options });
        self
    }

    /// Deletes a container that has no images and no sessions.
    pub fn delete(&mut self, id: &str) -> &mut Self {
        self.unit.push(DeleteContainer { id: id.to_owned(), reach: Reach::Alone });
        self
    }
}
