//! Parents that must exist.

use crate::error::{Error, Kind, Result};
use crate::model::{Image, Session};
use crate::repo::plan::Plan;
use crate::schema::{CONTAINERS, IMAGES, Key};

/// What a save does about a parent that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parents {
    /// Refuses with `MissingParent`.
    #[default]
    MustExist,
    /// Saves all the same.
    MayBeMissing,
}

fn missing(child: &str, id: &str, parent: &str, parent_id: &str) -> Error {
    let message = format!("{parent} {parent_id:?} does not exist");
    Error::new(Kind::MissingParent, message)
        .at(format!("{child} {id:?}"))
        .advice(format!("save the {parent} first, or allow missing parents"))
}

fn expect_container(plan: &mut Plan<'_>, child: &str, id: &str, container: &str) -> Result<()> {
    let key = Key::new(&CONTAINERS, [container])?;
    plan.expect_parent(key, missing(child, id, "container", container));
    Ok(())
}

/// The image's container must exist.
pub(crate) fn of_image(plan: &mut Plan<'_>, image: &Image) -> Result<()> {
    expect_container(plan, "image", image.id(), &image.container_id())
}

/// The session's image and container must exist.
pub(crate) fn of_session(plan: &mut Plan<'_>, session: &Session) -> Result<()> {
    let image = session.image_id();
    let key = Key::new(&IMAGES, [image.as_str()])?;
    plan.expect_parent(key, missing("session", session.id(), "image", &image));
    expect_container(plan, "session", session.id(), &session.container_id())
}
