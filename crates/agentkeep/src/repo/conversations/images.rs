//! Images.

use super::collect::Collected;
use super::delete::{self, DeleteImage, Reach};
use super::fork::{self, At, ForkImage, ForkSession};
use super::lists;
use super::save::{Change, SaveIntent, SaveOptions, UpdateIntent, merge_metadata};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{Image, Session};
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::repo::unit::Unit;

/// The images of a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    space: &'a Space,
}

impl<'a> Images<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Writes an image as it is given, over whatever was there. Its container must exist.
    ///
    /// # Errors
    /// `MissingParent`.
    pub async fn save(&self, image: Image) -> Result<()> {
        self.save_with(image, SaveOptions::default()).await
    }

    /// Writes an image under a condition, or without looking for its container.
    ///
    /// # Errors
    /// `AlreadyExists` or `Conflict`, as the condition says; `MissingParent`.
    pub async fn save_with(&self, image: Image, options: SaveOptions) -> Result<()> {
        self.commit(SaveIntent { value: image, options }).await
    }

    /// Reads an image, changes it, and writes it unless somebody else was faster, in which case
    /// it is read and changed again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` after five attempts; what `change` gives.
    pub async fn update(
        &self,
        id: &str,
        change: impl Fn(Image) -> Result<Image> + Send + Sync + 'static,
    ) -> Result<()> {
        let change: Change<Image> = std::sync::Arc::new(change);
        self.commit(UpdateIntent { id: id.to_owned(), change, what: String::new() }).await
    }

    /// Merges `patch` into the image's metadata, top level only, takes the keys `remove` out, and
    /// notes the time in `updatedAt`. A `null` in the patch is stored as `null`.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when the patch or the metadata is no object; `Conflict` after
    /// five attempts.
    pub async fn merge_metadata(&self, id: &str, patch: &Json, remove: &[&str]) -> Result<()> {
        self.commit(merge::<Image>(id, patch, remove)).await
    }

    /// An image; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get(&self, id: &str) -> Result<Option<Image>> {
        Ok(self.get_versioned(id).await?.map(|(image, _)| image))
    }

    /// An image with its version, for [`Save::At`](crate::driver::Save::At).
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn get_versioned(&self, id: &str) -> Result<Option<(Image, u64)>> {
        lists::get(self.space, id).await
    }

    /// Whether there is such an image.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn exists(&self, id: &str) -> Result<bool> {
        Ok(self.get_versioned(id).await?.is_some())
    }

    /// A page of all images, newest first, then by id.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn list(&self, list: &List) -> Result<Page<Image>> {
        lists::page(self.space, "newest", None, list).await
    }

    /// All images, newest first, then by id.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn all(&self) -> Result<Vec<Image>> {
        lists::all(self.space, "newest", None).await
    }

    /// A page of the images with exactly this name, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_name(&self, name: &str, list: &List) -> Result<Page<Image>> {
        lists::page(self.space, "by_name", Some(name), list).await
    }

    /// A page of the images in exactly this container, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_container(&self, container_id: &str, list: &List) -> Result<Page<Image>> {
        lists::page(self.space, "by_container", Some(container_id), list).await
    }

    /// A page of the images with this tag, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn by_tag(&self, tag: &str, list: &List) -> Result<Page<Image>> {
        lists::page(self.space, "by_tag", Some(tag), list).await
    }

    /// A page of the images that were forked from this one, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a damaged continuation.
    pub async fn forks_of(&self, image_id: &str, list: &List) -> Result<Page<Image>> {
        lists::page(self.space, "by_parent", Some(image_id), list).await
    }

    /// Forks an image with the conversation that its `sessionId` names: a copy of its record with
    /// `parentImageId`, and a session that shares the messages up to `at`. Costs the same whatever
    /// the length, and survives the deletion of the original.
    ///
    /// # Errors
    /// `NotFound` without the image, its session or the message; `AlreadyExists` when one of the
    /// new ids is taken.
    pub async fn fork(
        &self,
        id: &str,
        at: At,
        new_image_id: &str,
        new_session_id: &str,
    ) -> Result<(Image, Session)> {
        let no_image = || Error::new(Kind::NotFound, format!("there is no image {id:?}"));
        let image = self.get(id).await?.ok_or_else(no_image)?;
        let from = image.session_id().unwrap_or_default();
        let session = lists::get::<Session>(self.space, &from).await?;
        let (session, _) = session.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no session {from:?}"))
                .at(format!("image {id:?}"))
                .advice("only an image whose sessionId names a session can be forked")
        })?;
        let image = fork::image_copy(&image, new_image_id, new_session_id)?;
        let session = fork::session_copy(&session, new_session_id, Some(new_image_id))?;
        let fork = ForkSession { from, at, session: session.clone() };
        self.commit(ForkImage { image: image.clone(), fork }).await?;
        Ok((image, session))
    }

    /// Deletes an image that has no sessions. False when there was none.
    ///
    /// # Errors
    /// `Conflict` while it has some.
    pub async fn delete(&self, id: &str) -> Result<bool> {
        self.remove(id, Reach::Alone).await.map(|(existed, _)| existed)
    }

    /// Deletes an image with all its sessions: gone in one commit, whatever the size, and
    /// collected before this returns.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn delete_cascade(&self, id: &str) -> Result<bool> {
        self.remove(id, Reach::Cascade).await.map(|(existed, _)| existed)
    }

    async fn remove(&self, id: &str, reach: Reach) -> Result<(bool, Collected)> {
        delete::run(self.space, DeleteImage { id: id.to_owned(), reach }).await
    }

    async fn commit(&self, intent: impl crate::repo::plan::Intent + 'static) -> Result<()> {
        Unit::new(self.space.clone()).with(intent).commit().await.map(|_| ())
    }
}

/// The intent to merge metadata.
pub(super) fn merge<T: lists::Kept>(id: &str, patch: &Json, remove: &[&str]) -> UpdateIntent<T> {
    let what = format!("{patch} {remove:?}");
    let remove = remove.iter().map(|&key| key.to_owned()).collect();
    UpdateIntent { id: id.to_owned(), change: merge_metadata(patch.clone(), remove), what }
}

/// Changes of images within a unit of work.
#[derive(Debug)]
pub struct UnitImages<'a> {
    unit: &'a mut Unit,
}

impl<'a> UnitImages<'a> {
    pub(crate) fn new(unit: &'a mut Unit) -> Self {
        Self { unit }
    }

    /// Writes an image as it is given.
    pub fn save(&mut self, image: Image) -> &mut Self {
        self.save_with(image, SaveOptions::default())
    }

    /// Writes an image under a condition, or without looking for its container.
    pub fn save_with(&mut self, image: Image, options: SaveOptions) -> &mut Self {
        self.unit.push(SaveIntent { value: image, options });
        self
    }

    /// Merges `patch` into the image's metadata and takes the keys `remove` out.
    pub fn merge_metadata(&mut self, id: &str, patch: &Json, remove: &[&str]) -> &mut Self {
        self.unit.push(merge::<Image>(id, patch, remove));
        self
    }

    /// Deletes an image that has no sessions.
    pub fn delete(&mut self, id: &str) -> &mut Self {
        self.unit.push(DeleteImage { id: id.to_owned(), reach: Reach::Alone });
        self
    }
}
