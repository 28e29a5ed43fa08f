//! Deletions that have taken effect and are still being collected.
//!
//! One record for each namespace lists the roots. Whatever belongs to a root is gone for readers
//! from the commit that lists it; writers make their commits depend on the record's version. The
//! same record lists the imports that have begun and not ended.

use std::sync::Arc;

use super::imports::Import;
use crate::driver::Record;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{Image, Session};
use crate::repo::space::Space;
use crate::schema::{DELETIONS, IMAGES, Key};

/// What kind of thing was deleted with all that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootKind {
    Container,
    Image,
    Tag,
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
        }
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.id)
    }
}

impl Pending {
    pub(crate) fn key() -> Result<Key> {
        Key::new(&DELETIONS, ["pending"])
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The deletions under way now.
    pub(crate) async fn load(space: &Space) -> Result<Arc<Self>> {
        let key = Self::key()?;
        let pending = Arc::new(Self::of_record(space.get(&key).await?.as_ref())?);
        // Remembered also when there is no such record, as version 0.
        space.remember(key, Arc::clone(&pending), pending.version);
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

    /// True when all of the namespace belongs to an import that is not switched on yet.
    pub(crate) fn hides_all(&self) -> bool {
        self.imports.iter().any(|import| import.stage.hides())
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
            let kind = match root.member("kind")?.to_text()?.as_str() {
                "container" => RootKind::Container,
                "image" => RootKind::Image,
                "tag" => RootKind::Tag,
                _ => return None,
            };
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

    fn lists(&self, kind: RootKind, id: &str) -> bool {
        self.roots.iter().any(|root| root.kind == kind && root.id == id)
    }

    /// True when the image is gone for readers.
    pub(crate) fn hides_image(&self, image: &Image) -> bool {
        self.hides_all()
            || !self.roots.is_empty()
                && (self.lists(RootKind::Image, image.id())
                    || self.lists(RootKind::Container, &image.container_id())
                    || image.tags().iter().any(|tag| self.lists(RootKind::Tag, tag)))
    }

    /// True when the session is gone for readers: itself, or its image.
    pub(crate) async fn hides_session(&self, space: &Space, session: &Session) -> Result<bool> {
        if self.hides_all() || self.roots.is_empty() {
            return Ok(self.hides_all());
        }
        let image_id = session.image_id();
        if self.lists(RootKind::Image, &image_id)
            || self.lists(RootKind::Container, &session.container_id())
            || session.tags().iter().any(|tag| self.lists(RootKind::Tag, tag))
        {
            return Ok(true);
        }
        let image = space.get(&Key::new(&IMAGES, [image_id.as_str()])?).await?;
        image.map_or(Ok(false), |image| Ok(self.hides_image(&Image::from_json(image.body)?)))
    }
}
