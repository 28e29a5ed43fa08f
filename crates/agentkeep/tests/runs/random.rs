//! Random sequences: what is loaded is the last snapshot given, whoever gave it.

use agentkeep::{Json, RunSnapshot, Store};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    History(usize),
    Shrink,
    Plan(usize),
    Text(usize),
    Gone,
    Again,
    Reopen,
    /// Another handle goes on, which remembers what it saw last.
    Swap,
    /// A result with what it changes, by its index or without.
    Form(usize, bool),
    Claim,
    /// Ends it, claims it, and goes on.
    FailAndGoOn(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..600_usize).prop_map(Step::Push),
        2 => (1..600_usize).prop_map(Step::History),
        1 => Just(Step::Shrink),
        1 => (1..600_usize).prop_map(Step::Plan),
        1 => (1..600_usize).prop_map(Step::Text),
        1 => Just(Step::Gone),
        1 => Just(Step::Again),
        1 => Just(Step::Reopen),
        2 => Just(Step::Swap),
        8 => (1..600_usize, any::<bool>()).prop_map(|(size, at)| Step::Form(size, at)),
        1 => Just(Step::Claim),
        1 => (1..600_usize).prop_map(Step::FailAndGoOn),
    ];
    proptest::collection::vec(step, 1..25)
}

fn list(run: &RunSnapshot, name: &str) -> Vec<Json> {
    run.json().member(name).iter().flat_map(Json::elements).collect()
}

/// The run as it is after a result, made here without the store.
fn after(run: &RunSnapshot, result: &Json, changes: &Json) -> RunSnapshot {
    let mut trace = run.trace();
    trace.push(result.clone());
    let mut editor = agentkeep::ObjectEditor::of(run.json());
    if run.status() == agentkeep::RunStatus::Failed {
        editor.remove("completedAt").remove("error").set("status", &Json::string("executing"));
    }
    editor.set("trace", &Json::array(&trace));
    for (name, value) in changes.members() {
        editor.set(&name, &value);
    }
    RunSnapshot::from_json(editor.finish()).unwrap()
}

/// A result in the form of a step: what is given is its size.
async fn kept_step(
    store: &Store,
    fence: u64,
    run: &RunSnapshot,
    value: Json,
    at: bool,
) -> RunSnapshot {
    let mut changes = agentkeep::ObjectEditor::default();
    let tokens = Json::of(&std::collections::BTreeMap::from([("totalTokens", run.trace().len())]));
    changes.set("usage", &tokens.unwrap()).set("other", &value);
    let (changes, runs) = (changes.finish(), store.runs().under(fence));
    if at {
        let index = run.trace().len() as u64;
        runs.step_at("r", index, value.clone(), changes.clone()).await.unwrap();
    } else {
        runs.step("r", value.clone(), changes.clone()).await.unwrap();
    }
    after(run, &value, &changes)
}

async fn play(store: Store, steps: &[Step]) {
    let mut fence = 0;
    let mut run = RunSnapshot::new("r", "in").unwrap();
    let mut twin = Store::over(std::sync::Arc::clone(store.driver()));
    let mut store = store;
    store.runs().on_run_start(run.clone()).await.unwrap();
    for (n, step) in steps.iter().enumerate() {
        let value = |size: usize| Json::string(&format!("{n}{}", "é\u{0}".repeat(size)));
        let longer = |name: &str, size: usize| {
            let mut all = list(&run, name);
            all.push(value(size));
            all
        };
        run = match step {
            Step::Push(size) => run.clone().with("trace", &longer("trace", *size)).unwrap(),
            Step::History(size) => run.clone().with("history", &longer("history", *size)).unwrap(),
            Step::Shrink => {
                let mut all = list(&run, "trace");
                all.truncate(all.len() / 2);
                run.clone().with("trace", &all).unwrap()
            }
            Step::Plan(size) => run.clone().with("plan", &value(*size)).unwrap(),
            Step::Text(size) => run.clone().with("other", &vec![value(*size); 2]).unwrap(),
            Step::Gone => {
                let mut editor = agentkeep::ObjectEditor::of(run.json());
                editor.remove("plan").remove("other").remove("history");
                RunSnapshot::from_json(editor.finish()).unwrap()
            }
            Step::Again => run,
            Step::Form(size, at) => kept_step(&store, fence, &run, value(*size), *at).await,
            Step::Claim => {
                let hour = std::time::Duration::from_hours(1);
                fence = store.runs().claim("r", "w", hour).await.unwrap().fence;
                run
            }
            Step::FailAndGoOn(size) => {
                let ended = Json::parse(r#"{"completedAt":5}"#).unwrap();
                store.runs().under(fence).fail("r", "no net", ended).await.unwrap();
                let failed = run.clone().with("status", "failed").unwrap();
                let failed = failed.with("completedAt", &5).unwrap();
                let failed = failed.with("error", "no net").unwrap();
                assert_eq!(store.runs().load("r").await.unwrap().unwrap(), failed);
                fence =
                    store.runs().claim("r", "w", std::time::Duration::ZERO).await.unwrap().fence;
                kept_step(&store, fence, &failed, value(*size), false).await
            }
            Step::Swap => {
                std::mem::swap(&mut store, &mut twin);
                run
            }
            Step::Reopen => {
                store = Store::over(std::sync::Arc::clone(store.driver()));
                run
            }
        };
        // The same again, after a step in another form: nothing changes.
        store.runs().under(fence).on_step_complete(run.clone()).await.unwrap();
        assert_eq!(store.runs().load("r").await.unwrap().unwrap(), run);
        let info = twin.runs().info("r").await.unwrap().unwrap();
        assert_eq!(info.steps, run.trace().len() as u64);
        assert_eq!(info.usage, run.json().member("usage"));
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_loads_the_last_snapshot(steps in steps()) {
        block_on(async { play(Store::open("memory:").await.unwrap(), &steps).await });
    }

    #[test]
    fn sqlite_loads_the_last_snapshot(steps in steps()) {
        block_on(crate::drivers::kept("sqlite", |store| async move { play(store, &steps).await }));
    }

    #[test]
    fn file_loads_the_last_snapshot(steps in steps()) {
        block_on(crate::drivers::kept("file", |store| async move { play(store, &steps).await }));
    }
}
