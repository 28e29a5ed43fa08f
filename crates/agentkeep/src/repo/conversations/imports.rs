//! Imports that are larger than a commit: what is under way, letting their own commits through
//! and nobody else's, and switching them on.
//!
//! Into an empty namespace an import is staged: one commit lists it, from which on readers see
//! nothing and others may not write; its records come in commits of a bearable size; one last
//! commit takes it off the list, and all of it is there. Into a namespace that holds something it
//! is added in commits that can be repeated. Each of its commits carries its id as the turn.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::collect::{self, Collected};
use super::pending::Pending;
use super::undo;
use crate::driver::{Expect, Find};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::document;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::repo::space::Space;
use crate::repo::unit::Unit;
use crate::schema::{CONTAINERS, DEFINITIONS, IMAGES, RUNS, SESSIONS, THREADS, TOPICS, Turn};

pub use super::undo::Undone;
pub(crate) use super::undo::undo;

/// An import that stays staged for so long has been given up.
const STAGED_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// So has one that has not even found out whether it can be staged.
const OPENING_FOR_MS: i64 = 60 * 1000;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stage {
    /// Others may not write any more; whether the namespace is empty is still to be seen.
    Opening,
    /// All that is in the namespace is its.
    Staged,
    /// It adds to what is there.
    Adding,
    /// It is being taken back.
    Undoing,
}

/// An import under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) id: String,
    pub(crate) stage: Stage,
    /// When it began, or was last taken up again.
    pub(crate) since: i64,
    /// Which run of it has the right to write.
    pub(crate) run: String,
}

/// One run of an import: what a process holds that works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) import: Turn,
    token: String,
    /// True once it is on the list: it may write only as long as it stays there.
    pub(super) begun: bool,
}

impl Run {
    /// A run that nobody else has.
    pub(crate) fn new(import: &Turn) -> Self {
        let token = uuid::Uuid::new_v4().simple().to_string();
        Self { import: import.clone(), token, begun: false }
    }

    /// Refuses when this run was on the list and another one has its place, or nobody.
    fn refuse_overtaken(&self, pending: &Pending) -> Result<()> {
        let listed = pending.import(self.import.as_str());
        if listed.map_or(self.begun, |listed| listed.run != self.token) {
            return Err(taken_over(self.import.as_str()));
        }
        Ok(())
    }
}

/// An import that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// Its id.
    pub import_id: String,
    /// True while the namespace shows nothing and takes no other changes.
    pub staged: bool,
    /// When it began, or was last taken up again, in milliseconds since 1970.
    pub since: i64,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Staged => "staged",
            Self::Adding => "adding",
            Self::Undoing => "undoing",
        }
    }

    /// True when readers see nothing.
    pub(crate) fn hides(self) -> bool {
        self == Self::Staged
    }

    /// True when others may not write.
    pub(super) fn locks(self) -> bool {
        matches!(self, Self::Opening | Self::Staged)
    }

    /// What `check` says.
    pub(crate) fn due(self) -> &'static str {
        match self {
            Self::Opening | Self::Staged => {
                "it is staged and not switched on: run it again, or undo it"
            }
            Self::Adding => "it is not finished: run it again, or undo it",
            Self::Undoing => "its undoing is not finished: undo it again",
        }
    }
}

impl Import {
    pub(crate) fn to_json(&self) -> Json {
        let mut editor = ObjectEditor::default();
        editor.set("id", &Json::string(&self.id));
        editor.set("stage", &Json::string(self.stage.name()));
        editor.set("since", &Json::integer(self.since));
        editor.set("run", &Json::string(&self.run));
        editor.finish()
    }

    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        let stage = match json.member("stage")?.to_text()?.as_str() {
            "opening" => Stage::Opening,
            "staged" => Stage::Staged,
            "adding" => Stage::Adding,
            "undoing" => Stage::Undoing,
            _ => return None,
        };
        Some(Self {
            id: json.member("id")?.to_text()?,
            stage,
            since: json.member("since")?.to_i64()?,
            run: json.member("run")?.to_text()?,
        })
    }

    fn is_given_up(&self) -> bool {
        let patience = match self.stage {
            Stage::Opening => OPENING_FOR_MS,
            Stage::Staged => STAGED_FOR_MS,
            Stage::Adding | Stage::Undoing => return false,
        };
        self.since < document::now() - patience
    }

    /// What a writer is told who may not write now.
    pub(super) fn in_the_way(&self) -> Error {
        let message = format!("the import {} is under way in this namespace", self.id);
        Error::new(Kind::Conflict, message)
            .retryable(false)
            .advice("let it end; if it was interrupted, run it again or undo it")
    }
}

/// The list for a plan: as its own import sees it. Others are refused while an import is staged,
/// also an older run of the same; one that was given up is taken away first.
pub(crate) async fn let_in(
    space: &Space,
    pending: Arc<Pending>,
    own: Option<&Run>,
) -> Result<Arc<Pending>> {
    let mut pending = pending;
    if pending.imports.iter().any(Import::is_given_up) {
        abandoned(space, &mut Collected::default()).await?;
        pending = Pending::load(space).await?;
    }
    let import = own.map_or("", |run| run.import.as_str());
    if let Some(own) = own {
        own.refuse_overtaken(&pending)?;
    }
    let seen = pending.as_seen_by(import);
    seen.refuse_locked()?;
    Ok(Arc::new(seen))
}

fn taken_over(import: &str) -> Error {
    let message = format!("the import {import} was taken over by another run, or taken back");
    Error::new(Kind::Conflict, message).retryable(false).advice("let that end, then run it again")
}

/// Takes away what imports that were given up have staged.
pub(super) async fn abandoned(space: &Space, collected: &mut Collected) -> Result<()> {
    for import in Pending::load(space).await?.imports.clone() {
        if import.is_given_up() {
            let run = Run::new(&Turn::new(&import.id)?);
            undo::staged(space, &run, collected).await?;
        }
    }
    Ok(())
}

/// The imports under way.
pub(crate) async fn unfinished(space: &Space) -> Result<Vec<Unfinished>> {
    let pending = Pending::load(space).await?;
    let unfinished = pending.imports.iter().map(|import| Unfinished {
        import_id: import.id.clone(),
        staged: import.stage.hides(),
        since: import.since,
    });
    Ok(unfinished.collect())
}

/// Puts an import on the list at a stage, or takes it off (`None`). Whoever puts it there has the
/// right to write from then on; only they may take it off.
pub(super) async fn set_stage(space: &Space, run: &Run, stage: Option<Stage>) -> Result<()> {
    let unit = Unit::new(space.clone()).turn(&run.import).run_of(run);
    unit.with(SetStage { run: run.clone(), stage }).commit().await.map(|_| ())
}

#[derive(Debug)]
struct SetStage {
    run: Run,
    stage: Option<Stage>,
}

#[async_trait]
impl Intent for SetStage {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let mut pending = (*Pending::load(plan.space).await?).clone();
        if !pending.roots.is_empty() {
            collect::roots(plan.space, &mut Collected::default()).await?;
            pending = (*Pending::load(plan.space).await?).clone();
        }
        let id = self.run.import.as_str();
        pending.refuse_if_held(plan.space.namespace())?;
        pending.as_seen_by(id).refuse_locked()?;
        plan.expect(Expect::Version(Pending::key()?, pending.version()), Guard::Retry);
        if self.stage.is_none() || self.run.begun {
            self.run.refuse_overtaken(&pending)?;
        }
        pending.imports.retain(|import| import.id != id);
        if let Some(stage) = self.stage {
            let (id, run) = (id.to_owned(), self.run.token.clone());
            pending.imports.push(Import { id, stage, since: document::now(), run });
        }
        plan.set_pending(pending)
    }
}

/// Stages an import if the namespace is empty, else lets it add: answers which. Nobody can write
/// between the look and the decision.
pub(super) async fn open(space: &Space, run: &Run) -> Result<Stage> {
    let mut stage = Stage::Adding;
    if is_empty(space).await? {
        set_stage(space, run, Some(Stage::Opening)).await?;
        if is_empty(space).await? {
            stage = Stage::Staged;
        }
    }
    set_stage(space, run, Some(stage)).await?;
    Ok(stage)
}

/// True when the namespace holds no records that users make.
pub(super) async fn is_empty(space: &Space) -> Result<bool> {
    for table in [&CONTAINERS, &IMAGES, &SESSIONS, &DEFINITIONS, &TOPICS, &RUNS, &THREADS] {
        let first = space.find(&Find::by(table, "key")?.limit(1)).await?;
        if !first.records.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
