//! Lists of runs, and totals over them.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;

use super::record::RunRecord;
use super::tail::{MOST, Step, newest, stretch};
use crate::driver::{Entry, Find, Found, Record};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::{OWN, RunStatus};
use crate::repo::conversations::pending::Pending;
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::schema::{RUNS, Value};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Runs looked at in one call when a text is sought.
const SOUGHT: usize = 1_000;
/// Runs whose last steps are asked for in one call.
const TOGETHER: usize = 500;

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

    /// From the text of the record, of which lists need little; with the last entry of which it
    /// tells, and its mark, when steps may stand behind it.
    fn of_text(id: &str, body: &Json) -> Option<(Self, Option<(u64, u32)>)> {
        // What is the store's comes last.
        let (members, own) = Json::members_and_last(body.as_str(), OWN);
        let [status, started, completed, usage, error] =
            ["status", "startedAt", "completedAt", "usage", "error"].map(|name| {
                let named = |(key, _): &&(&str, &str)| key[1..key.len() - 1] == *name;
                members.iter().find(named).map(|(_, value)| *value)
            });
        let [parts, ahead, fence, owner, until] =
            Json::raw_members_of(own?, ["parts", "ahead", "fence", "owner", "until"]);
        let [trace] = Json::raw_members_of(parts?, ["trace"]);
        let [n] = trace.map_or([None], |trace| Json::raw_members_of(trace, ["n"]));
        let ahead = match ahead {
            Some(ahead) => {
                let [after, mark] = Json::raw_members_of(ahead, ["after", "mark"]);
                Some((after?.parse().ok()?, mark?.parse().ok()?))
            }
            None => None,
        };
        let status = status.and_then(RunStatus::of_text);
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let info = Self {
            run_id: id.to_owned(),
            status: status.unwrap_or(RunStatus::Executing),
            started_at: number(started),
            completed_at: number(completed),
            steps: n.map_or(Some(0), |n| n.parse().ok())?,
            usage: usage.map(Json::piece),
            error: error.and_then(Json::text_of),
            fence: fence?.parse().ok()?,
            owner: owner.and_then(Json::text_of),
            until: number(until),
        };
        Some((info, ahead))
    }

    /// Takes in what the last step behind the record says; false when it is not of the record.
    fn follow(&mut self, after: u64, mark: u32, entry: &Entry) -> bool {
        let Some(step) = Step::of(mark, &entry.body) else { return false };
        self.steps += entry.number - after;
        let [usage, error] = Json::raw_members_of(step.now, ["usage", "error"]);
        self.usage = usage.map(Json::piece).or(self.usage.take());
        self.error = error.map_or(self.error.take(), Json::text_of);
        true
    }

    /// The record was written again since it was read: the last step of it is further back.
    async fn look_back(&mut self, space: &Space, after: u64, mark: u32) -> Result<()> {
        let read = stretch(&self.run_id, after + 1, MOST)?;
        let entries = space.read(&read).await?.entries;
        let steps = entries.iter().take_while(|entry| Step::of(mark, &entry.body).is_some());
        if let Some(last) = steps.last() {
            self.follow(after, mark, last);
        }
        Ok(())
    }
}

/// The runs of some records, with their last steps.
async fn infos(space: &Space, records: &[Record]) -> Result<Vec<RunInfo>> {
    let mut infos = Vec::with_capacity(records.len());
    let mut ahead = Vec::new();
    for record in records {
        let found = RunInfo::of_text(record.key.first(), &record.body);
        let (info, behind) = found.ok_or_else(|| {
            Error::new(Kind::Corrupt, "the record of a run is damaged").at(record.key.to_string())
        })?;
        ahead.extend(behind.map(|(after, mark)| (infos.len(), after, mark)));
        infos.push(info);
    }
    for some in ahead.chunks(TOGETHER) {
        let of = |(place, after, _): &(usize, u64, u32)| (records[*place].key.first(), *after);
        let runs: Vec<(&str, u64)> = some.iter().map(of).collect();
        let entries = newest(space, &runs).await?;
        for ((place, after, mark), entry) in some.iter().zip(entries) {
            if let (Some(info), Some(entry)) = (infos.get_mut(*place), entry)
                && !info.follow(*after, *mark, &entry)
            {
                info.look_back(space, *after, *mark).await?;
            }
        }
    }
    Ok(infos)
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

/// What lists tell of one run.
pub(super) async fn info(space: &Space, id: &str) -> Result<Option<RunInfo>> {
    let [key, pending] = [RunRecord::key(id)?, Pending::key()?];
    let found = space.get_many(&[key, pending]).await?;
    let [record, pending] = found.as_slice() else { return Ok(None) };
    if Pending::of_record(pending.as_ref())?.hides_all() {
        return Ok(None);
    }
    Ok(infos(space, record.as_slice()).await?.pop())
}

/// The first answer of a query, and whether it may be shown.
async fn first(space: &Space, find: &Find) -> Result<Option<Found>> {
    let ([pending], found) = space.get_and_find([Pending::key()?], find).await?;
    let hidden = Pending::of_record(pending.as_ref())?.hides_all();
    Ok((!hidden).then_some(found))
}

/// One page, newest first.
pub(super) async fn page(space: &Space, filter: &RunFilter, list: &List) -> Result<Page<RunInfo>> {
    let mut find = filter.find()?.after(list.continuation()?);
    find.limit = if filter.error.is_some() { SOUGHT } else { list.limit() };
    let Some(mut found) = first(space, &find).await? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut items = Vec::with_capacity(list.limit().min(found.records.len()));
    loop {
        let count = found.records.len();
        let infos = infos(space, &found.records).await?;
        for (place, run) in infos.into_iter().enumerate() {
            if !filter.fits(&run) {
                continue;
            }
            items.push(run);
            if items.len() == list.limit() {
                let next = match found.records.get(place) {
                    Some(record) if place + 1 < count => Some(continuation(&find, record)?),
                    _ => found.next,
                };
                return Ok(Page { items, next: next.map(|next| next.token()) });
            }
        }
        match found.next {
            Some(next) => find.after = Some(next),
            None => return Ok(Page { items, next: None }),
        }
        found = space.find(&find).await?;
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
    let find = Find::by(&RUNS, "by_lease")?
        .equal(Value::text(RunStatus::Executing.name()))
        .limit(list.limit())
        .after(list.continuation()?);
    let Some(found) = first(space, &find).await? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let wall = space.ages().wall();
    let mut items = infos(space, &found.records).await?;
    // In the order of the ends of leases: all others live.
    let living = items.iter().position(|run| run.until.is_some_and(|until| until > wall));
    if let Some(living) = living {
        items.truncate(living);
        return Ok(Page { items, next: None });
    }
    Ok(Page { items, next: found.next.map(|next| next.token()) })
}

/// What runs used, by status and day. Reads every run that the filter leaves.
pub(super) async fn totals(space: &Space, filter: &RunFilter) -> Result<Vec<RunTotals>> {
    let mut totals: BTreeMap<(Option<i64>, RunStatus), RunTotals> = BTreeMap::new();
    let mut find = filter.find()?;
    let Some(mut found) = first(space, &find).await? else { return Ok(Vec::new()) };
    loop {
        for run in infos(space, &found.records).await? {
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
        found = space.find(&find).await?;
    }
}
