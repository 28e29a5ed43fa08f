//! Lists of runs, and totals over them.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;

use super::record::RunRecord;
use crate::driver::{Find, Record};
use crate::error::Result;
use crate::json::Json;
use crate::model::RunStatus;
use crate::repo::conversations::pending::Pending;
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::schema::{RUNS, Value};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Runs looked at in one call when a text is sought.
const SOUGHT: usize = 1_000;

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those that stand so.
    pub status: Option<RunStatus>,
    /// Only those begun at or after this time, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Only those begun before this time.
    pub before: Option<i64>,
    /// Only those with this text in their error. Reads the runs that the rest leaves.
    pub error: Option<String>,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Its id.
    pub run_id: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it began, in milliseconds since 1970.
    pub started_at: Option<i64>,
    /// When it ended.
    pub completed_at: Option<i64>,
    /// How many step results it has.
    pub steps: u64,
    /// What it used, as the last snapshot said.
    pub usage: Option<Json>,
    /// Its error.
    pub error: Option<String>,
    /// The fencing number of the last claim; 0 when nobody has claimed it.
    pub fence: u64,
    /// Who holds or held the lease.
    pub owner: Option<String>,
    /// Till when the lease lives.
    pub until: Option<i64>,
}

/// What runs of one status and day used together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunTotals {
    /// The day on which they began, as the time of its midnight in UTC; `None` for those that do
    /// not say.
    pub day: Option<i64>,
    /// Where they stand.
    pub status: RunStatus,
    /// How many.
    pub runs: u64,
    /// The sums of the whole numbers in their usage, by name.
    pub usage: BTreeMap<String, i64>,
}

impl RunInfo {
    pub(super) fn of(id: &str, run: &RunRecord) -> Self {
        Self {
            run_id: id.to_owned(),
            status: run.status(),
            started_at: run.number("startedAt"),
            completed_at: run.number("completedAt"),
            steps: run.steps(),
            usage: run.member("usage").cloned(),
            error: run.member("error").and_then(Json::to_text),
            fence: run.fence,
            owner: run.owner.clone(),
            until: run.until,
        }
    }

    fn of_record(record: &Record) -> Result<Self> {
        let run = RunRecord::parse(&record.body).map_err(|e| e.at(record.key.to_string()))?;
        Ok(Self::of(record.key.first(), &run))
    }
}

impl RunFilter {
    fn find(&self) -> Result<Find> {
        let mut find = match self.status {
            Some(status) => Find::by(&RUNS, "by_status")?.equal(Value::text(status.name())),
            None => Find::by(&RUNS, "newest")?,
        };
        if let Some(since) = self.since {
            find.range.0 = Bound::Included(Value::integer(since));
        }
        if let Some(before) = self.before {
            find.range.1 = Bound::Excluded(Value::integer(before));
            if self.since.is_none() {
                find.range.0 = Bound::Excluded(Value::Missing);
            }
        }
        Ok(find)
    }

    fn fits(&self, run: &RunInfo) -> bool {
        let Some(text) = &self.error else { return true };
        run.error.as_ref().is_some_and(|error| error.contains(text.as_str()))
    }
}

/// One page, newest first.
pub(super) async fn page(space: &Space, filter: &RunFilter, list: &List) -> Result<Page<RunInfo>> {
    if Pending::load(space).await?.hides_all() {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let mut find = filter.find()?.after(list.continuation()?);
    let mut items = Vec::new();
    loop {
        let wanted = list.limit() - items.len();
        find.limit = if filter.error.is_some() { SOUGHT } else { wanted };
        let found = space.find(&find).await?;
        let count = found.records.len();
        for (place, record) in found.records.iter().enumerate() {
            let run = RunInfo::of_record(record)?;
            if !filter.fits(&run) {
                continue;
            }
            items.push(run);
            if items.len() == list.limit() {
                let next =
                    if place + 1 < count { Some(continuation(&find, record)?) } else { found.next };
                return Ok(Page { items, next: next.map(|next| next.token()) });
            }
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(Page { items, next: None }),
        }
    }
}

fn continuation(find: &Find, record: &Record) -> Result<crate::driver::Continuation> {
    let fields = RUNS.extract(&record.body)?;
    let value = |name: &str| match RUNS.field(name).and_then(|place| fields.get(place)) {
        Some(crate::schema::FieldValue::One(value)) => value.clone(),
        _ => Value::Missing,
    };
    let values = find.index.fields.iter().map(|(name, _)| value(name)).collect();
    Ok(find.continuation(values, &record.key))
}

/// Executing runs whose lease is over or was never taken.
pub(super) async fn abandoned(space: &Space, list: &List) -> Result<Page<RunInfo>> {
    if Pending::load(space).await?.hides_all() {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let find = Find::by(&RUNS, "by_lease")?
        .equal(Value::text(RunStatus::Executing.name()))
        .limit(list.limit())
        .after(list.continuation()?);
    let found = space.find(&find).await?;
    let wall = space.ages().wall();
    let mut items = Vec::new();
    for record in &found.records {
        let run = RunInfo::of_record(record)?;
        // In the order of the ends of leases: all others live.
        if run.until.is_some_and(|until| until > wall) {
            return Ok(Page { items, next: None });
        }
        items.push(run);
    }
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

/// What runs used, by status and day. Reads every run that the filter leaves.
pub(super) async fn totals(space: &Space, filter: &RunFilter) -> Result<Vec<RunTotals>> {
    let mut totals: BTreeMap<(Option<i64>, RunStatus), RunTotals> = BTreeMap::new();
    if Pending::load(space).await?.hides_all() {
        return Ok(Vec::new());
    }
    let mut find = filter.find()?;
    loop {
        let found = space.find(&find).await?;
        for record in &found.records {
            let run = RunInfo::of_record(record)?;
            if !filter.fits(&run) {
                continue;
            }
            let day = run.started_at.map(|at| at.div_euclid(DAY) * DAY);
            let new = || RunTotals { day, status: run.status, runs: 0, usage: BTreeMap::new() };
            let total = totals.entry((day, run.status)).or_insert_with(new);
            total.runs += 1;
            for (name, value) in run.usage.iter().flat_map(Json::members) {
                if let Some(value) = value.to_i64() {
                    let sum = total.usage.entry(name).or_default();
                    *sum = sum.saturating_add(value);
                }
            }
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(totals.into_values().collect()),
        }
    }
}
