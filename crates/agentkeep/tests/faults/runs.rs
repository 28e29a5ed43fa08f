//! The steps of workloads that are about runs and transcripts.

use std::time::Duration;

use agentkeep::{
    Json, List, ObjectEditor, Result, RunFilter, RunSnapshot, Runs, Store, TranscriptEntry,
};

use crate::dump::Dump;
use crate::steps::{id, text_of};

/// One acknowledged thing that is done to runs and threads; `n` makes their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunStep {
    Start(u64),
    /// Begun and claimed in one commit.
    StartAs(u64),
    /// The result of a step, by its index.
    Step(u64, u64),
    /// The same as a whole snapshot.
    Whole(u64, u64),
    Claim(u64),
    Complete(u64),
    Fail(u64),
    Delete(u64),
    Say(u64),
    /// So many that a block becomes full.
    SayMany(u64),
    Clean,
}

/// The steps of the workload `runs`, before what comes by chance.
pub(crate) fn steps() -> Vec<RunStep> {
    let mut steps = vec![RunStep::Start(1)];
    steps.extend((0..4).map(|index| RunStep::Step(1, index)));
    steps.extend([RunStep::Claim(1), RunStep::Step(1, 4), RunStep::Whole(1, 5)]);
    steps.extend([RunStep::Fail(1), RunStep::Claim(1), RunStep::Step(1, 6), RunStep::Complete(1)]);
    steps.extend([RunStep::StartAs(2), RunStep::Whole(2, 0), RunStep::Whole(2, 1)]);
    steps.extend([RunStep::Say(1), RunStep::Say(2), RunStep::SayMany(3), RunStep::Say(4)]);
    steps.extend([RunStep::Claim(2), RunStep::Step(2, 2), RunStep::Delete(1), RunStep::Start(1)]);
    steps.extend([RunStep::Clean, RunStep::Say(5), RunStep::Step(1, 0)]);
    steps
}

/// What a step answered: made from its place alone, so that every byte can be checked.
pub(crate) fn result(task: usize, n: u64, index: u64) -> Json {
    let name = id(task, &format!("r{n}-"), index);
    let mut step = ObjectEditor::default();
    step.set("id", &Json::string(&name));
    let mut result = ObjectEditor::default();
    result.set("step", &step.finish()).set("summary", &Json::string(&text_of(&name)));
    result.set("toolCalls", &Json::array([])).set("durationMs", &number(index));
    result.finish()
}

fn number(n: u64) -> Json {
    Json::integer(i64::try_from(n).unwrap())
}

pub(crate) fn changes(index: u64) -> Json {
    let mut usage = ObjectEditor::default();
    usage.set("totalTokens", &number(10 * index));
    let mut changes = ObjectEditor::default();
    changes.set("stepIndex", &number(index)).set("iterations", &number(index + 1));
    changes.set("usage", &usage.finish());
    changes.finish()
}

/// A run with a plan, begun at 1000.
pub(crate) fn begun(id: &str) -> RunSnapshot {
    let plan = Json::parse(&format!(r#"{{"thought":"{}","steps":[{{"id":"s"}}]}}"#, text_of(id)));
    let run = RunSnapshot::new(id, "do it").unwrap();
    run.with("startedAt", &1000).unwrap().with("plan", &plan.unwrap()).unwrap()
}

fn ended() -> Json {
    Json::parse(r#"{"completedAt":2000,"text":"done"}"#).unwrap()
}

fn entry(task: usize, n: u64) -> TranscriptEntry {
    let text = text_of(&id(task, "e", n));
    let text =
        format!(r#"{{"t":{n}.5,"iter":{n},"agent_id":"a","role":"agent","content":"{text}"}}"#);
    TranscriptEntry::from_json(Json::parse(&text).unwrap()).unwrap()
}

/// The runs as the one sees them who claimed this one last.
async fn under<'a>(store: &'a Store, run: &str) -> Result<Runs<'a>> {
    let fence = store.runs().info(run).await?.map_or(0, |info| info.fence);
    Ok(store.runs().under(fence))
}

impl RunStep {
    pub(crate) async fn apply(self, store: &Store, task: usize) -> Result<()> {
        let hour = Duration::from_hours(1);
        let (runs, threads) = (store.runs(), store.transcripts());
        let run = |n| id(task, "r", n);
        let thread = id(task, "thread", 0);
        match self {
            Self::Start(n) => runs.start(begun(&run(n))).await,
            Self::StartAs(n) => runs.start_as(begun(&run(n)), "w", hour).await.map(drop),
            Self::Step(n, index) => {
                let (result, changes) = (result(task, n, index), changes(index));
                under(store, &run(n)).await?.step_at(&run(n), index, result, changes).await
            }
            Self::Whole(n, index) => {
                let snapshot = runs.load(&run(n)).await?.unwrap();
                let mut trace = snapshot.trace();
                trace.truncate(usize::try_from(index).unwrap());
                trace.push(result(task, n, index));
                let whole = snapshot.with("trace", &trace)?.with("stepIndex", &index)?;
                under(store, &run(n)).await?.on_step_complete(whole).await
            }
            Self::Claim(n) => runs.claim(&run(n), "w", hour).await.map(drop),
            Self::Complete(n) => under(store, &run(n)).await?.complete(&run(n), ended()).await,
            Self::Fail(n) => under(store, &run(n)).await?.fail(&run(n), "no net", ended()).await,
            Self::Delete(n) => runs.delete(&run(n)).await.map(drop),
            Self::Say(n) => threads.append(&thread, entry(task, n)).await,
            Self::SayMany(n) => {
                let entries = (0..300).map(|i| entry(task, n * 1_000 + i)).collect();
                threads.append_many(&thread, entries).await
            }
            Self::Clean => threads.clean(&thread, true, true).await.map(drop),
        }
    }

    /// A defect to be caught: a step's result and what it changes in two commits.
    pub(crate) async fn apply_in_halves(self, store: &Store, task: usize) -> Result<()> {
        let Self::Step(n, index) = self else { return self.apply(store, task).await };
        let run = id(task, "r", n);
        let nothing = ObjectEditor::default().finish();
        under(store, &run).await?.step_at(&run, index, result(task, n, index), nothing).await?;
        let whole = store.runs().load(&run).await?.unwrap();
        let mut editor = ObjectEditor::of(whole.json());
        for (name, value) in changes(index).members() {
            editor.set(&name, &value);
        }
        let whole = RunSnapshot::from_json(editor.finish())?;
        under(store, &run).await?.on_step_complete(whole).await
    }
}

/// Runs and threads, a line each; but for the times of leases, which are the clock's.
pub(crate) async fn dump(store: &Store, lines: &mut Dump) -> Result<()> {
    let mut list = List::default();
    loop {
        let page = store.runs().list(&RunFilter::default(), &list).await?;
        for info in &page.items {
            let run = store.runs().load(&info.run_id).await?;
            let run = run.map_or_else(|| "GONE".to_owned(), |run| run.json().to_string());
            let line = format!("{:?} {} {run}", info.owner, info.fence);
            lines.insert(format!("run/{}", info.run_id), line);
        }
        match page.next {
            Some(next) => list = List::default().after(&next),
            None => break,
        }
    }
    for thread in store.transcripts().threads().await? {
        let name = thread.thread;
        // By the blocks, too: a mark that says too little would hide an entry.
        let found = store.transcripts().iterations(&name, i64::MIN, i64::MAX).await?;
        let all = store.transcripts().all(&name).await?;
        let same = if found == all { "" } else { " (MARKS)" };
        for stored in all {
            let line = format!("{}{same}", stored.entry.json());
            lines.insert(format!("thread/{name}/{:06}", stored.number), line);
        }
    }
    Ok(())
}
