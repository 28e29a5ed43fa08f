//! Saving and changing containers, images and sessions.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::lineage::Lineage;
use super::lists::Kept;
use super::parents::{self, Parents};
use crate::driver::{Expect, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{Container, Image, Session, document};
use crate::repo::plan::{Guard, Intent, Plan};

/// How to save.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// Over what it may be written: anything, nothing, or one version.
    pub save: Save,
    /// Whether its parents must exist.
    pub parents: Parents,
}

impl Default for SaveOptions {
    /// Over anything; parents must exist.
    fn default() -> Self {
        Self { save: Save::Any, parents: Parents::MustExist }
    }
}

/// What saving means for each type, beyond its own record.
pub(crate) trait Savable: Kept + Clone + fmt::Debug + 'static {
    fn expect_parents(&self, plan: &mut Plan<'_>) -> Result<()>;

    /// True when a new one needs a lineage.
    const HAS_MESSAGES: bool = false;
}

impl Savable for Container {
    fn expect_parents(&self, _plan: &mut Plan<'_>) -> Result<()> {
        Ok(())
    }
}

impl Savable for Image {
    fn expect_parents(&self, plan: &mut Plan<'_>) -> Result<()> {
        parents::of_image(plan, self)
    }
}

impl Savable for Session {
    fn expect_parents(&self, plan: &mut Plan<'_>) -> Result<()> {
        parents::of_session(plan, self)
    }

    const HAS_MESSAGES: bool = true;
}

/// Writes the whole record as it is given.
#[derive(Debug)]
pub(crate) struct SaveIntent<T> {
    pub(crate) value: T,
    pub(crate) options: SaveOptions,
}

#[async_trait]
impl<T: Savable> Intent for SaveIntent<T> {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        if self.options.parents == Parents::MustExist {
            self.value.expect_parents(plan)?;
        }
        let id = self.value.id();
        if T::HAS_MESSAGES && plan.lineage(id).await?.is_none() {
            plan.create_lineage(id, Lineage::fresh())?;
        }
        plan.put(T::key(id)?, self.value.json().clone(), self.options.save)
    }
}

/// How a record is changed.
pub(crate) type Change<T> = Arc<dyn Fn(T) -> Result<T> + Send + Sync>;

/// Reads the record, changes it, writes it over the version that it read.
pub(crate) struct UpdateIntent<T> {
    pub(crate) id: String,
    pub(crate) change: Change<T>,
    /// What stands for the change under an operation id.
    pub(crate) what: String,
}

impl<T> fmt::Debug for UpdateIntent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update {:?} {}", self.id, self.what)
    }
}

#[async_trait]
impl<T: Savable> Intent for UpdateIntent<T> {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let key = T::key(&self.id)?;
        let not_found = || {
            Error::new(Kind::NotFound, format!("there is no {} {:?}", T::WHAT, self.id))
                .advice("save it first")
        };
        let record = plan.get(&key).await?.ok_or_else(not_found)?;
        let value = T::parse(record.body).map_err(|e| e.at(key.to_string()))?;
        let pending = plan.pending().await?;
        if value.hidden(plan.space, &pending).await? {
            return Err(not_found());
        }
        plan.expect(Expect::Version(key.clone(), record.version), Guard::Retry);
        let changed = (self.change)(value)?;
        if changed.id() != self.id {
            return Err(Error::new(
                Kind::InvalidInput,
                format!("a change cannot give a {} another id", T::WHAT),
            )
            .at(key.to_string())
            .advice("save it under the new id and delete the old one"));
        }
        plan.put(key, changed.json().clone(), Save::Any)
    }
}

/// The change that merges `patch` into the metadata, takes `remove` out and notes the time.
/// Only the top level is merged; `null` in the patch is stored as `null`.
pub(crate) fn merge_metadata<T: Kept>(patch: Json, remove: Vec<String>) -> Change<T> {
    Arc::new(move |value: T| {
        if !patch.is_object() {
            return Err(Error::new(Kind::InvalidInput, "the metadata patch is no JSON object"));
        }
        let metadata = value.json().member("metadata").filter(|metadata| !metadata.is_null());
        if metadata.as_ref().is_some_and(|metadata| !metadata.is_object()) {
            return Err(Error::new(Kind::InvalidInput, "the metadata is no JSON object")
                .at(format!("{} {:?}", T::WHAT, value.id()))
                .advice("save the record with an object as metadata first"));
        }
        let mut merged = metadata.as_ref().map(ObjectEditor::of).unwrap_or_default();
        for (key, member) in patch.members() {
            merged.set(&key, &member);
        }
        for key in &remove {
            merged.remove(key);
        }
        let mut whole = ObjectEditor::of(value.json());
        whole.set("metadata", &merged.finish());
        whole.set("updatedAt", &Json::integer(document::now()));
        T::parse(whole.finish())
    })
}
