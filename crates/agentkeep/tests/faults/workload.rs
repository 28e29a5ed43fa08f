//! Workloads: which steps, by how many tasks, on which store.

use crate::random::Random;
use crate::runs::RunStep;
use crate::steps::Step;

/// All workloads, in the order in which their lines are printed.
pub(crate) const ALL: [&str; 11] = [
    "open", "upgrade", "add", "fork", "cascade", "unit", "metadata", "import", "mixed", "tasks",
    "runs",
];
/// The workload that finds a store of an earlier format.
pub(crate) const UPGRADE: &str = "upgrade";

/// What a child does.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// The steps of each task, in their order; tasks know nothing of each other.
    pub(crate) tasks: Vec<Vec<Step>>,
    /// How many steps of each task were done before the faults began; with 0 there is no store yet.
    pub(crate) prepared: usize,
}

impl Workload {
    pub(crate) fn named(name: &str, seed: u64) -> Self {
        let place = ALL.iter().position(|known| *known == name).unwrap();
        let mut random = Random::at(seed, &[place as u64]);
        let rounds = 1..=3_u64;
        let mut steps = vec![Step::Setup];
        match ALL[place] {
            "open" => steps.extend([Step::Add(1), Step::Add(2)]),
            UPGRADE => steps.extend([Step::Add(1), Step::Fork(1), Step::Unit(1)]),
            "add" => {
                steps.extend((1..=9).map(Step::Add));
                steps.extend([Step::AddMany(1), Step::Attach(1), Step::Edit(3), Step::Pop]);
                steps.extend([Step::Add(20), Step::Truncate(5), Step::Add(21)]);
            }
            "fork" => {
                steps.extend([Step::Add(1), Step::Add(2), Step::Fork(1), Step::AddToFork(1)]);
                steps.extend([Step::ForkAt(2, 1), Step::AddToFork(2), Step::Add(3)]);
                steps.extend([
                    Step::ForkImage(1),
                    Step::DeleteFork(1),
                    Step::Add(4),
                    Step::Fork(3),
                ]);
            }
            "cascade" => {
                steps.extend(rounds.clone().map(Step::Tree));
                steps.extend([Step::Cascade(2), Step::EraseTag(1), Step::Add(1), Step::Cascade(3)]);
            }
            "unit" => steps.extend((1..=10).map(Step::Unit)),
            "metadata" => steps.extend((1..=6).flat_map(|n| {
                [
                    Step::MergeSession(n),
                    if n % 2 == 0 { Step::MergeImage(n) } else { Step::Save(n) },
                ]
            })),
            "import" => steps.extend(rounds.flat_map(|n| [Step::Load(n), Step::Add(n)])),
            "runs" => {
                steps.extend(crate::runs::steps().into_iter().map(Step::Run));
                steps.extend(by_chance(&mut random, 12));
            }
            "mixed" => steps.extend(mixed(&mut random, 30)),
            _ => {
                let tasks = (0..4).map(|_| {
                    let mut steps = vec![Step::Setup];
                    steps.extend(mixed(&mut random, 8));
                    steps
                });
                return Self { name: ALL[place], seed, tasks: tasks.collect(), prepared: 1 };
            }
        }
        let prepared = usize::from(!["open", UPGRADE].contains(&name));
        Self { name: ALL[place], seed, tasks: vec![steps], prepared }
    }
}

/// Runs go on by chance, in all the forms of a step.
fn by_chance(random: &mut Random, count: u64) -> Vec<Step> {
    let (mut steps, mut index) = (vec![RunStep::StartAs(3)], 0);
    while (steps.len() as u64) < count {
        let step = match random.below(8) {
            0 => RunStep::Claim(3),
            1 => RunStep::Say(100 + steps.len() as u64),
            2 => {
                steps.push(RunStep::Fail(3));
                RunStep::Claim(3)
            }
            form => {
                index += 1;
                if form < 5 { RunStep::Step(3, index - 1) } else { RunStep::Whole(3, index - 1) }
            }
        };
        steps.push(step);
    }
    steps.into_iter().map(Step::Run).collect()
}

/// Steps by chance; only such as are possible after those before them.
fn mixed(random: &mut Random, count: u64) -> Vec<Step> {
    let (mut steps, mut adds, mut trees, mut forks) =
        (vec![Step::Add(0)], 1, Vec::new(), Vec::new());
    for n in 100..100 + count {
        let step = match random.below(16) {
            0 | 1 => Step::Unit(n),
            2 => Step::AddMany(n),
            3 => Step::Attach(n),
            4 => Step::Edit(0),
            5 => Step::MergeSession(n),
            6 => Step::MergeImage(n),
            7 | 8 => {
                forks.push(n);
                if random.chance(2) { Step::Fork(n) } else { Step::ForkAt(n, 0) }
            }
            9 if let Some(fork) = forks.pop() => Step::DeleteFork(fork),
            10 | 11 => {
                trees.push(n);
                Step::Tree(n)
            }
            12 if let Some(tree) = trees.pop() => {
                if random.chance(2) {
                    Step::Cascade(tree)
                } else {
                    Step::EraseTag(tree)
                }
            }
            13 => Step::Load(n),
            _ => {
                adds += 1;
                Step::Add(adds)
            }
        };
        steps.push(step);
    }
    steps
}
