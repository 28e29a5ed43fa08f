//! Deletions that have taken effect and are still being collected.
//!
//! One record for each namespace lists the roots. Whatever belongs to a root is gone for readers
//! from the commit that lists it; writers make their commits depend on the record's version. The
//! same record lists the imports that have begun and not ended.

use std::sync::{Arc, OnceLock};

use super::imports::Import;
use crate::driver::{Put, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{Image, Session};
use crate::repo::space::Space;
use crate::schema::{DELETIONS, IMAGES, Key, Namespace};

/// What kind of thing was deleted with all that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootKind {
    Container,
    Image,
    Tag,
    /// The namespace itself, with all that is in it.
    Namespace,
    /// Not deleted: what is here is still being copied from the namespace `id`, and hidden till then.
    Copy,
    /// Not deleted: the namespace is being renamed to `id`, and only read till then.
    Move,
    /// As `Move`, and the copy is whole: `id` may be switched on, or is.
    Moved,
}

/// A deletion under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) kind: RootKind,
    pub(crate) id: String,
    /// True when the content, blobs included, must be gone, not only out of reach.
    pub(crate) erase: bool,
}

/// The deletions under way, and the version of the record that lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) roots: Vec<Root>,
    pub(crate) imports: Vec<Import>,
    version: u64,
}

impl RootKind {
    fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Tag => "tag",
            Self::Namespace => "namespace",
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Moved => "moved",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Container, Self::Image, Self::Tag, Self::Namespace];
        let copying = [Self::Copy, Self::Move, Self::Moved];
        all.into_iter().chain(copying).find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.id)
    }
}

impl Pending {
    pub(crate) fn key() -> Result<Key> {
        // Every write depends on it.
        static KEY: OnceLock<Key> = OnceLock::new();
        if let Some(key) = KEY.get() {
            return Ok(key.clone());
        }
        let key = Key::new(&DELETIONS, ["pending"])?;
        Ok(KEY.get_or_init(|| key).clone())
    }

    /// These roots, to be written.
    pub(crate) fn of(roots: Vec<Root>) -> Self {
        Self { roots, ..Self::default() }
    }

    /// The write of the record.
    pub(crate) fn put(&self) -> Result<Put> {
        Put::new(Self::key()?, self.to_json(), Save::Any)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The deletions under way now.
    pub(crate) async fn load(space: &Space) -> Result<Arc<Self>> {
        Self::remembering(space, space.get(&Self::key()?).await?.as_ref())
    }

    /// The deletions that this record lists, which has just been read.
    pub(crate) fn remembering(space: &Space, record: Option<&Record>) -> Result<Arc<Self>> {
        let pending = Arc::new(Self::of_record(record)?);
        // Remembered also when there is no such record, as version 0.
        space.remember(Self::key()?, Arc::clone(&pending), pending.version);
        Ok(pending)
    }

    /// From memory if it was empty then: the commit must check the version.
    pub(crate) async fn cached(space: &Space) -> Result<Arc<Self>> {
        match space.remembered::<Self>(&Self::key()?) {
            Some((pending, _)) if pending.is_clear() => Ok(pending),
            _ => Self::load(space).await,
        }
    }

    /// The same list in a record of another version.
    pub(crate) fn at_version(&self, version: u64) -> Self {
        Self { version, ..self.clone() }
    }

    /// True when nothing is under way.
    pub(crate) fn is_clear(&self) -> bool {
        self.roots.is_empty() && self.imports.is_empty()
    }

    /// The import of this id, if it is under way.
    pub(crate) fn import(&self, id: &str) -> Option<&Import> {
        self.imports.iter().find(|import| import.id == id)
    }

    /// Refuses while an import is staged.
    pub(crate) fn refuse_locked(&self) -> Result<()> {
        match self.imports.iter().find(|import| import.stage.locks()) {
            Some(import) => Err(import.in_the_way()),
            None => Ok(()),
        }
    }

    /// Refuses to copy or rename what an import is changing.
    pub(crate) fn refuse_importing(&self) -> Result<()> {
        self.imports.first().map_or(Ok(()), |import| Err(import.in_the_way()))
    }

    /// The list as the import `own` sees it: what it has staged is there for it.
    pub(crate) fn as_seen_by(&self, own: &str) -> Self {
        let mut seen = self.clone();
        seen.imports.retain(|import| import.id != own);
        seen
    }

    pub(crate) fn of_record(record: Option<&Record>) -> Result<Self> {
        record.map_or(Ok(Self::default()), |record| Self::from_json(&record.body, record.version))
    }

    pub(crate) fn to_json(&self) -> Json {
        let root = |root: &Root| {
            let mut editor = ObjectEditor::default();
            editor.set("kind", &Json::string(root.kind.name())).set("id", &Json::string(&root.id));
            if root.erase {
                editor.set("erase", &Json::assembled("true".into()));
            }
            editor.finish()
        };
        let roots: Vec<Json> = self.roots.iter().map(root).collect();
        let mut editor = ObjectEditor::default();
        editor.set("roots", &Json::array(&roots));
        if !self.imports.is_empty() {
            let imports: Vec<Json> = self.imports.iter().map(Import::to_json).collect();
            editor.set("imports", &Json::array(&imports));
        }
        editor.finish()
    }

    pub(crate) fn from_json(json: &Json, version: u64) -> Result<Self> {
        let parse = |root: Json| {
            let kind = RootKind::named(&root.member("kind")?.to_text()?)?;
            let erase = root.raw_member("erase") == Some("true");
            Some(Root { kind, id: root.member("id")?.to_text()?, erase })
        };
        let roots = json
            .member("roots")
            .and_then(|roots| roots.elements().map(parse).collect::<Option<Vec<Root>>>());
        let imports = json.member("imports").map_or(Some(Vec::new()), |imports| {
            imports.elements().map(|import| Import::from_json(&import)).collect()
        });
        match (roots, imports) {
            (Some(roots), Some(imports)) => Ok(Self { roots, imports, version }),
            _ => Err(Error::new(Kind::Corrupt, "the list of pending deletions is damaged")),
        }
    }

    /// True when everything in the namespace is gone, or not yet there, for readers.
    pub(crate) fn hides_all(&self) -> bool {
        let hides = |root: &Root| matches!(root.kind, RootKind::Namespace | RootKind::Copy);
        self.roots.iter().any(hides) || self.imports.iter().any(|import| import.stage.hides())
    }

    /// The root of a copy or a renaming under way, which nobody else may write into.
    pub(crate) fn held_by(&self) -> Option<&Root> {
        let holds =
            |root: &&Root| matches!(root.kind, RootKind::Copy | RootKind::Move | RootKind::Moved);
        self.roots.iter().find(holds)
    }

    /// Refuses to write while a copy or a renaming is under way.
    pub(crate) fn refuse_if_held(&self, namespace: &Namespace) -> Result<()> {
        let Some(root) = self.held_by() else { return Ok(()) };
        let (what, advice) = match root.kind {
            RootKind::Copy => (
                format!("it is still being copied from namespace {:?}", root.id),
                "finish the copy by asking for it again, or delete this namespace",
            ),
            _ => (
                format!("it is being renamed to {:?}, and only read till then", root.id),
                "finish the renaming by asking for it again, or delete the new namespace",
            ),
        };
        let error = Error::new(Kind::Conflict, what).at(format!("namespace {namespace:?}"));
        Err(error.retryable(false).advice(advice))
    }

    fn lists(&self, kind: RootKind, id: &str) -> bool {
        self.roots.iter().any(|root| root.kind == kind && root.id == id)
    }

    /// True when the image is gone for readers.
    pub(crate) fn hides_image(&self, image: &Image) -> bool {
        !self.is_clear()
            && (self.hides_all()
                || self.lists(RootKind::Image, image.id())
                || self.lists(RootKind::Container, &image.container_id())
                || image.tags().iter().any(|tag| self.lists(RootKind::Tag, tag)))
    }

    /// True when the session is gone for readers: itself, or its image.
    pub(crate) async fn hides_session(&self, space: &Space, session: &Session) -> Result<bool> {
        if self.is_clear() {
            return Ok(false);
        }
        let image_id = session.image_id();
        if self.hides_all()
            || self.lists(RootKind::Image, &image_id)
            || self.lists(RootKind::Container, &session.container_id())
            || session.tags().iter().any(|tag| self.lists(RootKind::Tag, tag))
        {
            return Ok(true);
        }
        let image = space.get(&Key::new(&IMAGES, [image_id.as_str()])?).await?;
        image.map_or(Ok(false), |image| Ok(self.hides_image(&Image::from_json(image.body)?)))
    }
}
