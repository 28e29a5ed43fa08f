//! What the record of a namespace says of its state: live, or marked as not yet whole or as
//! being deleted. A mark is the record's only member, so it never stands beside the user's own.

use crate::driver::{Hash, Record};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::NamespaceInfo;
use crate::repo::space::Space;
use crate::schema::{Key, NAMESPACES};

const COPYING: &str = "$copying";
const DELETING: &str = "$deleting";

/// The state of a namespace.
#[derive(Debug)]
pub(super) enum State {
    Absent,
    Live {
        info: NamespaceInfo,
        version: u64,
        refs: Vec<Hash>,
    },
    /// Not yet whole.
    Copying {
        from: String,
        /// True when it takes the place of the one that it is copied from.
        renames: bool,
        version: u64,
    },
    /// Gone for readers.
    Deleting {
        /// A copy that was to take the place of this one, and was given up.
        renames: Option<String>,
    },
}

/// The key of the namespace's record.
pub(super) fn key(space: &Space) -> Result<Key> {
    Key::new(&NAMESPACES, [space.namespace().as_str()])
}

impl State {
    pub(super) async fn load(space: &Space) -> Result<Self> {
        Ok(space.get(&key(space)?).await?.map_or(Self::Absent, Self::of))
    }

    pub(super) fn of(record: Record) -> Self {
        let from = |mark: &Json| mark.member("from").and_then(|from| from.to_text());
        let renames = |mark: &Json| mark.raw_member("renames") == Some("true");
        if let Some(mark) = record.body.member(COPYING) {
            let from = from(&mark).unwrap_or_default();
            return Self::Copying { from, renames: renames(&mark), version: record.version };
        }
        if let Some(mark) = record.body.member(DELETING) {
            return Self::Deleting { renames: from(&mark).filter(|_| renames(&mark)) };
        }
        let info = NamespaceInfo::stored(record.key.first(), record.body);
        Self::Live { info, version: record.version, refs: record.refs }
    }

    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Live { version, .. } | Self::Copying { version, .. } => *version,
            Self::Absent | Self::Deleting { .. } => 0,
        }
    }
}

pub(super) fn copying(from: &str, renames: bool) -> Json {
    marked(COPYING, Some(from), renames)
}

pub(super) fn deleting(renames: Option<&str>) -> Json {
    marked(DELETING, renames, renames.is_some())
}

fn marked(name: &str, from: Option<&str>, renames: bool) -> Json {
    let mut mark = ObjectEditor::default();
    if let Some(from) = from {
        mark.set("from", &Json::string(from));
    }
    if renames {
        mark.set("renames", &Json::assembled("true".into()));
    }
    let mut editor = ObjectEditor::default();
    editor.set(name, &mark.finish());
    editor.finish()
}
