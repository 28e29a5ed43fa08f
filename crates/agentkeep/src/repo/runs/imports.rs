//! Runs within an import: compared with what is there, taken in, taken back.

use async_trait::async_trait;

use super::change::Change;
use super::record::RunRecord;
use super::write::{Answer, RunIntent, What, place};
use crate::driver::{Expect, MAX_BATCH_BYTES, MAX_BODY, Operation, Record};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::model::RunSnapshot;
use crate::repo::plan::{Guard, Intent, Plan};
use crate::schema::{Key, STEPS, Stream};

/// A run comes in with one commit, beside which others may stand.
const LARGEST: usize = MAX_BATCH_BYTES / 4 * 3;

/// A run of so many bytes is a record and an entry, whatever it holds;
const SMALL: usize = 1 << 20;
/// so many bytes come to it.
const BESIDE: usize = 1_024;

/// The key of a run's record.
pub(crate) fn key(snapshot: &RunSnapshot) -> Result<Key> {
    RunRecord::key(snapshot.id())
}

/// The key of the record of a run with this id.
pub(crate) fn key_of(id: &str) -> Result<Key> {
    RunRecord::key(id)
}

/// Whether the run in a record is exactly as the snapshot says, whoever holds it.
pub(crate) fn is_as(record: &Record, snapshot: &RunSnapshot) -> Result<bool> {
    let there = RunRecord::parse(&record.body).map_err(|error| error.at(place(snapshot.id())))?;
    let mut run = there.clone();
    Change::default().become_snapshot(&mut run, snapshot.json());
    Ok(run == there)
}

/// How many operations and bytes taking it in costs; `TooLarge` when no commit could hold it.
pub(crate) fn weigh(snapshot: &RunSnapshot) -> Result<(usize, usize)> {
    let bytes = snapshot.json().len();
    if bytes <= SMALL {
        return Ok((2, bytes + BESIDE));
    }
    let (mut run, mut change) = (RunRecord::default(), Change::default());
    change.become_snapshot(&mut run, snapshot.json());
    run.birth = Some(super::planned::birth());
    let mut bodies = change.finish(&[("birth", Json::string(&super::planned::birth()))]);
    bodies.push(run.to_json());
    let too_large = |bytes: usize, most: usize, what: &str| {
        Error::new(Kind::TooLarge, format!("{what} has {bytes} bytes, more than {most}"))
            .at(place(snapshot.id()))
            .advice("keep large outputs as attachments, and refer to them")
    };
    if let Some(body) = bodies.iter().find(|body| body.len() > MAX_BODY) {
        return Err(too_large(body.len(), MAX_BODY, "one value of the run"));
    }
    let bytes = bodies.iter().map(Json::len).sum();
    if bytes > LARGEST {
        return Err(too_large(bytes, LARGEST, "the run"));
    }
    Ok((bodies.len(), bytes))
}

/// Takes a run in as it stands.
pub(crate) fn take_in(snapshot: RunSnapshot) -> impl Intent + 'static {
    let id = snapshot.id().to_owned();
    RunIntent { id, fence: 0, what: What::Import(snapshot), answer: Answer::default() }
}

/// Takes a run away that is still as the import left it.
#[derive(Debug)]
pub(crate) struct TakeBack {
    key: Key,
    version: u64,
}

impl TakeBack {
    pub(crate) fn of(record: &Record) -> Self {
        Self { key: record.key.clone(), version: record.version }
    }
}

#[async_trait]
impl Intent for TakeBack {
    async fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.settled().await?;
        let changed = Error::new(Kind::Conflict, "it has changed since");
        plan.expect(Expect::Version(self.key.clone(), self.version), Guard::Answer(changed));
        plan.space.forget(&self.key);
        let stream = Stream::new(self.key.first())?;
        plan.push(Operation::Delete(self.key.clone()));
        plan.push(Operation::Drop { log: &STEPS, stream });
        Ok(())
    }
}
