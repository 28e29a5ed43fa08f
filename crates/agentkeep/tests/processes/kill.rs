//! `kill -9` of a writing process at random instants.

use std::collections::{BTreeMap, BTreeSet};

use agentkeep::{Session, Store};

use crate::child::{Running, start, text_of};
use crate::contention::{prepared, url};
use crate::{Outcome, block_on};

/// Kills in one run.
const KILLS: u64 = 200;
/// Kills of one store, so that checking it stays quick.
const KILLS_PER_STORE: u64 = 20;

/// A small generator of our own, so that a run can be repeated from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

pub(crate) fn two_hundred_times(scheme: &str) -> Outcome {
    let seed = std::env::var("AGENTKEEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("{scheme}: kill -9: seed {seed} (repeat with AGENTKEEP_TEST_SEED={seed})");
    let mut random = Random(seed);
    let (mut in_flight, mut acknowledged, mut landed) = (0, 0, 0);
    for first in (0..KILLS).step_by(usize::try_from(KILLS_PER_STORE).unwrap()) {
        let folder = tempfile::tempdir().unwrap();
        block_on(async {
            let url = url(scheme, folder.path(), "");
            prepared(&url).await.close().await.unwrap();
            for kill in first..first + KILLS_PER_STORE {
                let ledger = write_and_kill(&url, kill, &mut random).await;
                in_flight += u64::from(!ledger.open.is_empty());
                acknowledged += ledger.acknowledged.len();
                landed += verify(&url, kill, &ledger).await;
            }
        });
    }
    println!(
        "{scheme}: kill -9: {KILLS} kills, {in_flight} of them with a write in flight; {acknowledged} \
         acknowledged writes, all there; {landed} that were not acknowledged are there, whole"
    );
    if in_flight == 0 {
        return Err("no kill hit a write in flight: this run has shown nothing".into());
    }
    Ok(())
}

/// What the child said, held outside the store.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeSet<String>,
    /// Tried and not acknowledged.
    open: BTreeSet<String>,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("TRY", id)) => drop(self.open.insert(id.to_owned())),
            Some(("ACK", id)) => {
                assert!(self.open.remove(id), "{line}");
                self.acknowledged.insert(id.to_owned());
            }
            _ => panic!("the child said {line:?}"),
        }
    }
}

async fn write_and_kill(url: &str, kill: u64, random: &mut Random) -> Ledger {
    let session = format!("s{kill}");
    let store = Store::open(url).await.unwrap();
    store.sessions().save(Session::new(&session, "i", "c").unwrap()).await.unwrap();
    store.close().await.unwrap();
    let Running { mut process, input, mut lines } = start("write", url, &session);
    let mut ledger = Ledger::default();
    // Some kills come at the first writes, some later.
    for _ in 0..=random.below(if kill.is_multiple_of(2) { 20 } else { 300 }) {
        ledger.note(&lines.next().unwrap().unwrap());
    }
    // Between two lines there is time for a few file operations: spread over it.
    for _ in 0..random.below(20_000) {
        std::hint::spin_loop();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    drop(input);
    lines.for_each(|line| ledger.note(&line.unwrap()));
    ledger
}

/// Everything acknowledged is there and whole; answers how many others are.
async fn verify(url: &str, kill: u64, ledger: &Ledger) -> u64 {
    let store = Store::open(url).await.unwrap();
    let session = format!("s{kill}");
    let stored = store.messages(&session).all().await.unwrap();
    let seen: BTreeMap<&str, usize> =
        stored.iter().enumerate().map(|(i, m)| (m.message.id().unwrap(), i)).collect();
    assert_eq!(seen.len(), stored.len(), "kill {kill}: a message twice");
    for id in &ledger.acknowledged {
        assert!(seen.contains_key(id.as_str()), "kill {kill}: {id} was acknowledged and is lost");
    }
    let mut landed = 0;
    for stored in &stored {
        let id = stored.message.id().unwrap();
        let text = agentkeep::Content::Text(text_of(id));
        assert_eq!(stored.message.content(), text, "kill {kill}: {id} is torn");
        let first = id.trim_end_matches("-second");
        let known = ledger.acknowledged.contains(first) || ledger.open.contains(first);
        assert!(known, "kill {kill}: nobody wrote {id}");
        landed += u64::from(ledger.open.contains(id));
    }
    // Pairs were one commit: both or none, one after the other.
    for id in seen.keys().filter(|id| !id.ends_with("-second")) {
        let i: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
        let second = seen.get(format!("{id}-second").as_str());
        let expected = i.is_multiple_of(3).then(|| seen[id] + 1);
        assert_eq!(second.copied(), expected, "kill {kill}: half of {id}");
    }
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "kill {kill}: {report:?}");
    assert!(report.due.is_empty(), "kill {kill}: {report:?}");
    store.close().await.unwrap();
    landed
}
