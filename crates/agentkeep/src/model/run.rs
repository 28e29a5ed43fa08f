//! Snapshots of runs.

use std::fmt;

use serde::{Serialize, Serializer};

use super::document;
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};

/// The member of a stored run that is the store's.
pub(crate) const OWN: &str = "$run";

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It goes on, or whoever led it died.
    Executing,
    /// It came to its end.
    Complete,
    /// It ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Executing, Self::Complete, Self::Failed, Self::Cancelled];

    /// As snapshots write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Executing => "executing",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that stands as canonical text.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let name = text.strip_prefix('"')?.strip_suffix('"')?;
        Self::named(name)
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The whole state of a run: `{"runId", "status", "startedAt", "completedAt"?, "input",
/// "history"?, "plan"?, "trace", "usage", "stepIndex", "iterations", "revisions", "text"?,
/// "error"?, ...}`. Key order, number text and unknown fields are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct RunSnapshot {
    json: Json,
    id: String,
    status: RunStatus,
}

/// The rule for ids of runs.
///
/// # Errors
/// `InvalidId`.
pub(crate) fn check_run_id(id: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=128).contains(&id.len()) && id.chars().all(fits) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidId, format!("{id:?} cannot be the id of a run"))
        .advice("give 1 to 128 letters, digits, _ or -"))
}

impl RunSnapshot {
    /// A new run, executing, with empty trace, begun now.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn new(id: &str, input: &str) -> Result<Self> {
        let zero = Json::integer(0);
        let mut editor = ObjectEditor::default();
        editor.set("runId", &Json::string(id));
        editor.set("status", &Json::string(RunStatus::Executing.name()));
        editor.set("startedAt", &Json::integer(document::now()));
        editor.set("input", &Json::string(input));
        editor.set("trace", &Json::array([]));
        editor.set("usage", &ObjectEditor::default().finish());
        editor.set("stepIndex", &zero).set("iterations", &zero).set("revisions", &zero);
        Self::from_json(editor.finish())
    }

    /// Reads it from JSON, which is kept as it is.
    ///
    /// # Errors
    /// `InvalidId`; `InvalidInput` for a missing or wrong member.
    pub fn from_json(json: Json) -> Result<Self> {
        document::object("run", &json)?;
        let id = json.member("runId").and_then(|id| id.to_text()).ok_or_else(|| {
            Error::new(Kind::InvalidInput, "the run has no runId").advice("give it a runId")
        })?;
        check_run_id(&id)?;
        let status = Self::check(&json).map_err(|error| error.at(format!("run {id:?}")))?;
        Ok(Self { json, id, status })
    }

    /// What was kept: it was looked at when it came.
    pub(crate) fn stored(json: Json, id: &str, status: RunStatus) -> Self {
        Self { json, id: id.to_owned(), status }
    }

    fn check(json: &Json) -> Result<RunStatus> {
        let wrong = |field: &str, expected: &str| {
            Error::new(
                Kind::InvalidInput,
                format!("{field} of the run has the wrong type or value"),
            )
            .advice(format!("make it {expected}"))
        };
        let status = json.member("status").and_then(|status| status.to_text());
        let status = status.and_then(|status| RunStatus::named(&status));
        let status =
            status.ok_or_else(|| wrong("status", "executing, complete, failed or cancelled"))?;
        let [started, completed, error] = json.raw_members(["startedAt", "completedAt", "error"]);
        document::optional_number("run", "startedAt", started)?;
        document::optional_number("run", "completedAt", completed)?;
        document::optional_text("run", "error", error)?;
        for list in ["trace", "history"] {
            let fits = |value: Json| value.is_null() || value.is_array();
            if !json.member(list).is_none_or(fits) {
                return Err(wrong(list, "a list"));
            }
        }
        for count in ["stepIndex", "iterations", "revisions"] {
            let fits = |value: Json| value.is_null() || value.to_i64().is_some_and(|n| n >= 0);
            if !json.member(count).is_none_or(fits) {
                return Err(wrong(count, "a whole number from 0"));
            }
        }
        if json.member(OWN).is_some() {
            let message = format!("the member {OWN:?} of a run is the store's");
            return Err(Error::new(Kind::InvalidInput, message).advice("give it another name"));
        }
        Ok(status)
    }

    /// The whole as JSON.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// The results of its steps.
    pub fn trace(&self) -> Vec<Json> {
        self.json.member("trace").iter().flat_map(Json::elements).collect()
    }

    /// The step of the plan that comes next, as its runner counts.
    pub fn step_index(&self) -> u64 {
        self.json
            .member("stepIndex")
            .and_then(|index| u64::try_from(index.to_i64()?).ok())
            .unwrap_or(0)
    }

    /// The same with member `field` set to `value`.
    ///
    /// # Errors
    /// As for [`from_json`](Self::from_json).
    pub fn with<V: Serialize + ?Sized>(self, field: &str, value: &V) -> Result<Self> {
        let mut editor = ObjectEditor::of(&self.json);
        editor.set(field, &Json::of(value)?);
        Self::from_json(editor.finish())
    }
}

impl fmt::Debug for RunSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunSnapshot({})", self.json)
    }
}

impl Serialize for RunSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}
