//! Forking: another session, or image, that shares the past.

use async_trait::async_trait;

use super::lineage::Lineage;
use super::lists::Kept;
use super::parents;
use super::view::{View, not_found};
use crate::driver::{Expect, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{Image, Session, document};
use crate::repo::plan::{Guard, Intent, Plan};

/// From where a fork goes its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// After the newest message.
    End,
    /// After the message with this id.
    Message(String),
    /// Before the first message.
    Start,
}

/// Makes a session that shares the messages of another up to some point.
#[derive(Debug)]
pub(crate) struct ForkSession {
    pub(crate) from: String,
    pub(crate) at: At,
    pub(crate) session: Session,
}

/// Makes an image with a fork of the other image's session.
#[derive(Debug)]
pub(crate) struct ForkImage {
    pub(crate) image: Image,
    pub(crate) fork: ForkSession,
}

#[async_trait]
impl Intent for ForkSession {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        parents::of_session(plan, &self.session)?;
        let Some(planned) = plan.lineage(&self.from).await? else {
            return Err(not_found(&self.from));
        };
        let origin = (*planned.lineage).clone();
        let view = View::of(plan.space, &self.from, origin.clone());
        let end = view.open_end().await?.unwrap_or(0);
        let closed = origin.clone().closed_at(end);
        let count = match &self.at {
            At::End => closed.closed_len(),
            At::Message(id) => view.message(id).await?.index + 1,
            At::Start => 0,
        };
        if count > origin.shared {
            plan.set_lineage(&self.from, Lineage { shared: count, ..origin });
        }
        let fork_of = Some((self.from.clone(), count));
        let lineage = Lineage { shared: count, fork_of, ..closed.prefix(count) };
        let id = self.session.id();
        let key = Session::key(id)?;
        let taken = Error::new(Kind::AlreadyExists, format!("there is a session {id:?} already"))
            .advice("give the fork another id");
        plan.expect(Expect::Absent(key.clone()), Guard::Answer(taken));
        plan.create_lineage(id, lineage)?;
        plan.put(key, self.session.json().clone(), Save::Any)
    }
}

#[async_trait]
impl Intent for ForkImage {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        parents::of_image(plan, &self.image)?;
        let id = self.image.id();
        let key = Image::key(id)?;
        let taken = Error::new(Kind::AlreadyExists, format!("there is an image {id:?} already"))
            .advice("give the fork another id");
        plan.expect(Expect::Absent(key.clone()), Guard::Answer(taken));
        plan.put(key, self.image.json().clone(), Save::Any)?;
        self.fork.plan(plan).await
    }
}

/// The session's record under another id, made now.
pub(crate) fn session_copy(session: &Session, id: &str, image_id: Option<&str>) -> Result<Session> {
    let mut editor = ObjectEditor::of(session.json());
    editor.set("sessionId", &Json::string(id));
    if let Some(image_id) = image_id {
        editor.set("imageId", &Json::string(image_id));
    }
    stamp(&mut editor);
    Session::from_json(editor.finish())
}

/// The image's record under another id, with its origin and its own session, made now.
pub(crate) fn image_copy(image: &Image, id: &str, session_id: &str) -> Result<Image> {
    let mut editor = ObjectEditor::of(image.json());
    editor.set("imageId", &Json::string(id)).set("sessionId", &Json::string(session_id));
    editor.set("parentImageId", &Json::string(image.id()));
    stamp(&mut editor);
    Image::from_json(editor.finish())
}

fn stamp(editor: &mut ObjectEditor) {
    let now = Json::integer(document::now());
    editor.set("createdAt", &now).set("updatedAt", &now);
}
